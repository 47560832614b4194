"""Non-parametric limits, total deviation index, coverage probability, proportional bias."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ki67.stats import bland_altman as ba
from ki67.stats import bland_altman_more as more
from tests.stats_pairs import pairs_of, pefr, similar_pairs


def differing(d: np.ndarray) -> ba.Pairs:
    return pairs_of(np.zeros(d.size), d)


def test_a_quantile_and_its_limits_are_those_of_the_order_statistics() -> None:
    d = np.random.default_rng(1).permutation(np.arange(1.0, 201.0))
    upper = more.ba_loa_nonparametric(differing(d), side="upper")
    assert upper.value == pytest.approx(stats.scoreatpercentile(d, 97.5), abs=1)
    low, high = int(upper.ci_low or 0), int(upper.ci_high or 0)
    assert stats.binom.cdf(low - 1, 200, 0.975) <= 0.025 < stats.binom.cdf(low, 200, 0.975)
    assert stats.binom.sf(high - 1, 200, 0.975) <= 0.025 < stats.binom.sf(high - 2, 200, 0.975)


def test_the_outer_limit_of_a_tail_needs_146_cases() -> None:
    short = more.ba_loa_nonparametric(differing(np.arange(145.0)), side="lower")
    assert short.ci_low is None
    assert short.ci_high is not None
    assert short.reason == "out_of_range"
    assert "146" in short.message
    assert more.ba_loa_nonparametric(differing(np.arange(146.0)), side="lower").reason is None


def test_the_normal_deviation_index_holds_its_share() -> None:
    d = np.random.default_rng(2).normal(3, 2, 40)
    q = more.tdi(differing(d)).value
    assert q is not None
    fitted = stats.norm(d.mean(), d.std(ddof=1))
    assert fitted.cdf(q) - fitted.cdf(-q) == pytest.approx(0.9)


def test_without_bias_the_index_is_lins_approximation() -> None:
    d = np.array([-3.0, -1.0, 1.0, 3.0, -2.0, 2.0])
    exact, lin = more.tdi(differing(d)).value, ba.ba_tdi90_normal_approx(differing(d)).value
    assert exact == pytest.approx((lin or 0) * math.sqrt(6 / 5))  # n − 1 instead of n


def test_the_upper_bound_covers_as_often_as_promised() -> None:
    random = np.random.default_rng(3)
    true = math.sqrt(stats.ncx2.ppf(0.9, 1, 0.25))
    wanted: tuple[tuple[more.TdiVariant, float], ...] = (("normal", 0.92), ("nonparametric", 0.94))
    for variant, least in wanted:
        covered = [
            (more.tdi_upper_bound(differing(random.normal(0.5, 1, 40)), variant=variant).value or 0) >= true
            for _ in range(200)
        ]
        assert least <= np.mean(covered)


def test_a_bound_without_a_distribution_needs_29_cases() -> None:
    assert more.tdi_upper_bound(differing(np.arange(28.0)), variant="nonparametric").reason == "out_of_range"
    assert more.tdi_upper_bound(differing(np.arange(29.0)), variant="nonparametric").value == 28


def test_the_coverage_probability_turns_the_deviation_index_round() -> None:
    q = more.tdi(pefr(), coverage=0.8).value
    assert q is not None
    found = more.coverage_probability(pefr(), within=q)
    assert found.value == pytest.approx(0.8)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert 0.5 < found.ci_low < 0.8 < found.ci_high < 0.95


def test_constant_differences_lie_within_or_not() -> None:
    five = pairs_of([1.0, 2.0, 9.0], [6.0, 7.0, 14.0])
    assert more.coverage_probability(five, within=5).value == 1
    assert more.coverage_probability(five, within=4.9).value == 0
    assert more.tdi(five).value == 5


def test_a_bias_far_beyond_the_spread_leaves_one_tail() -> None:
    d = np.array([100.0, 101.0, 99.5, 100.2])
    one_tail = d.mean() + stats.norm.ppf(0.9) * d.std(ddof=1)
    assert more.tdi(differing(d)).value == pytest.approx(one_tail)
    assert more.tdi(differing(-d)).value == pytest.approx(one_tail)
    assert more.tdi(pairs_of([0.2, 0.7], [0.3, 0.8])).value == pytest.approx(0.1)


def test_the_normality_check_is_shapiro_and_wilks() -> None:
    w, p = stats.shapiro(pefr().y - pefr().x)
    assert ba.ba_shapiro_w(pefr()).value == pytest.approx(w)
    assert more.ba_shapiro_p(pefr()).value == pytest.approx(p)
    assert more.ba_shapiro_p(pairs_of([1.0, 2.0], [1.0, 3.0])).reason == "too_few"


def test_percent_limits_get_the_interval_of_1999() -> None:
    pairs = similar_pairs(20, seed=4)
    percents = 200 * (pairs.y - pairs.x) / (pairs.x + pairs.y)
    expected = ba.ba_loa(differing(percents), side="upper")
    made = more.ba_percent_limit(pairs, side="upper")
    assert (made.value, made.ci_low, made.ci_high) == pytest.approx(
        (expected.value, expected.ci_low, expected.ci_high)
    )


def test_a_noisy_reference_alone_makes_a_slope_that_is_not_interpretable() -> None:
    random = np.random.default_rng(6)
    truth = random.uniform(5, 40, 200)
    pairs = pairs_of(truth + random.normal(0, 6, 200), truth + random.normal(0, 0.5, 200))
    plain = more.proportional_bias(pairs)
    assert plain.slope.ci_high is not None
    assert plain.slope.ci_high < 0
    assert plain.word == "not interpretable"
    corrected = more.proportional_bias(pairs, error_ratio=36 / 0.25)
    assert corrected.word == "none shown"
    assert corrected.corrected is not None
    assert corrected.corrected.value == pytest.approx(0, abs=0.05)


def test_a_true_proportional_bias_is_shown_once_the_error_ratio_is_known() -> None:
    found = more.proportional_bias(similar_pairs(80, seed=7, slope=1.3), error_ratio=1.0)
    assert found.word == "shown"
    assert found.corrected is not None
    assert found.corrected.value == pytest.approx(0.3, abs=0.06)
