"""Two-way (case and reader) intervals: published mean squares, special cases, coverage on known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ki67.stats.two_way import (
    generalized,
    mean_limits,
    mean_square_difference,
    mean_squares,
    pivots,
    quantile_limits,
    reader_variance_limits,
    single_reader_mover,
    single_variance_limits,
)

# Shrout PE, Fleiss JL. Psychol Bull 1979;86:420-428, table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def studies(count: int, *, n: int = 20, k: int = 5, seed: int = 1):
    """Differences with SDs case 0.45, reader 0.35, residual 0.45 and mean 0.1."""
    rng = np.random.default_rng(seed)
    case = 0.45 * rng.normal(size=(count, n, 1))
    reader = 0.35 * rng.normal(size=(count, 1, k))
    return 0.1 + case + reader + 0.45 * rng.normal(size=(count, n, k))


def test_mean_squares_are_those_of_shrout_and_fleiss():
    squares = mean_squares(SHROUT_FLEISS)
    assert squares.case == pytest.approx(11.24, abs=0.005)
    assert squares.reader == pytest.approx(32.49, abs=0.005)
    assert squares.error == pytest.approx(1.02, abs=0.005)


def test_a_stack_of_tables_gives_what_each_table_gives():
    stack = studies(3)
    together = mean_squares(stack)
    alone = [mean_squares(table) for table in stack]
    assert together.reader == pytest.approx([float(one.reader) for one in alone])
    assert mean_limits(together, alpha=0.05).low == pytest.approx(
        [float(mean_limits(one, alpha=0.05).low) for one in alone]
    )


def test_one_case_or_one_reader_is_refused():
    with pytest.raises(ValueError, match="2 cases and 2 readers"):
        mean_squares(np.zeros((1, 4)))


def test_where_only_readers_differ_the_mean_has_the_t_interval_over_readers():
    readers = np.array([1.0, 2.0, 4.0, 3.5, -1.0])
    limits = mean_limits(mean_squares(np.tile(readers, (8, 1))), alpha=0.05)
    low, high = stats.t.interval(0.95, 4, readers.mean(), stats.sem(readers))
    assert (limits.low, limits.high) == (pytest.approx(low), pytest.approx(high))


def test_where_only_cases_differ_the_mean_has_the_t_interval_over_cases():
    cases = np.array([1.0, 2.0, 4.0, 3.5, -1.0, 0.5])
    limits = mean_limits(mean_squares(np.tile(cases[:, None], (1, 4))), alpha=0.1)
    low, high = stats.t.interval(0.90, 5, cases.mean(), stats.sem(cases))
    assert (limits.low, limits.high) == (pytest.approx(low), pytest.approx(high))


def test_nothing_varies_so_both_limits_are_the_mean():
    limits = mean_limits(mean_squares(np.full((4, 3), 2.0)), alpha=0.05)
    assert (limits.low, limits.high) == (2.0, 2.0)


def test_a_single_mean_square_has_its_chi_square_interval_by_every_method():
    readers = np.array([1.0, 2.0, 4.0, 3.5, -1.0])
    squares = mean_squares(np.tile(readers, (8, 1)))
    exact = 2 * readers.var(ddof=1) * 4 / stats.chi2.ppf([0.975, 0.025], 4)
    large_sample = reader_variance_limits(squares, alpha=0.05)
    assert [large_sample.low, large_sample.high] == pytest.approx(exact)
    quantity = generalized(squares, pivots(seed=3)).reader_variance
    pivotal = quantile_limits(quantity, alpha=0.05)
    assert [pivotal.low, pivotal.high] == pytest.approx(exact, rel=0.01)


def test_components_add_up_to_the_mean_squared_difference_of_one_reader():
    d = studies(1, n=7, k=4)[0]
    squares = mean_squares(d)
    unbiased_square = squares.mean**2 - (squares.case + squares.reader - squares.error) / d.size
    assert unbiased_square + squares.single_variance == pytest.approx((d**2).mean())
    between = [(d[:, i] - d[:, j]) ** 2 for i in range(4) for j in range(i)]
    assert squares.reader_variance == pytest.approx(np.mean(between))


def test_the_same_seed_gives_the_same_limits_and_another_seed_nearly_the_same():
    squares = mean_squares(studies(1)[0])

    def limits(seed: int) -> list[float]:
        found = quantile_limits(mean_square_difference(generalized(squares, pivots(seed=seed))), alpha=0.05)
        return [float(found.low), float(found.high)]

    assert limits(1) == limits(1)
    assert limits(1) == pytest.approx(limits(2), rel=0.02)


def test_a_few_cases_that_carry_the_spread_take_degrees_of_freedom_away():
    rng = np.random.default_rng(2)
    d = rng.normal(size=(30, 6))
    even = mean_squares(d)
    assert even.error_df > 75
    d[:3] *= 10
    uneven = mean_squares(d)
    assert uneven.error_df < 20
    assert uneven.case_df < even.case_df
    assert (uneven.case_df, uneven.error_df) >= (2, 2)


def test_limits_of_agreement_by_two_methods_agree_and_mirror():
    squares = mean_squares(studies(1)[0])
    mirrored = mean_squares(-studies(1)[0])
    upper = single_reader_mover(squares, z=1.96, alpha=0.05)
    lower = single_reader_mover(mirrored, z=-1.96, alpha=0.05)
    assert (upper.low, upper.high) == (pytest.approx(-lower.high), pytest.approx(-lower.low))
    quantity = generalized(squares, pivots())
    pivotal = quantile_limits(quantity.mean + 1.96 * np.sqrt(quantity.single_variance), alpha=0.05)
    assert upper.low == pytest.approx(pivotal.low, abs=0.2 * (upper.high - upper.low))
    assert upper.high == pytest.approx(pivotal.high, abs=0.2 * (upper.high - upper.low))


def test_two_way_intervals_cover_the_reader_population_where_the_cases_alone_do_not():
    d = studies(600)
    squares = mean_squares(d)

    def share(low, high, truth: float) -> float:
        return float(np.mean((low <= truth) & (truth <= high)))

    bias = mean_limits(squares, alpha=0.05)
    assert 0.92 < share(bias.low, bias.high, 0.1) < 0.98
    cases = d.mean(axis=2)
    low, high = stats.t.interval(0.95, 19, cases.mean(axis=1), stats.sem(cases, axis=1))
    assert share(low, high, 0.1) < 0.82
    variance = single_variance_limits(squares, alpha=0.05)
    assert 0.92 < share(variance.low, variance.high, 2 * 0.45**2 + 0.35**2) < 0.98
    quantity = generalized(squares, pivots(draws=256))
    truth = 0.1**2 + 0.45**2 - 0.35**2 - 0.45**2
    index = quantile_limits(mean_square_difference(quantity) - quantity.reader_variance, alpha=0.05)
    assert 0.92 < share(index.low, index.high, truth) < 0.99
    upper = quantile_limits(quantity.mean + 1.96 * np.sqrt(quantity.single_variance), alpha=0.05)
    assert 0.92 < share(upper.low, upper.high, 0.1 + 1.96 * np.sqrt(2 * 0.45**2 + 0.35**2)) < 0.98
