"""Lines between two methods against plain loops, exact fractions and published properties."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs
from ki67.stats.passing_bablok import linearity, passing_bablok, pb_equivariant
from ki67.stats.regression import deming, deming_jackknife, ols, weighted_deming
from tests.stats_pairs import pairs_of, pefr, similar_pairs

PAIRS = similar_pairs(24, seed=11)
SWAPPED = Pairs(PAIRS.cases, PAIRS.y, PAIRS.x)


def numbers(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.ci_low, estimate.ci_high


def without(pairs: Pairs, case: int) -> Pairs:
    return pairs_of(np.delete(pairs.x, case), np.delete(pairs.y, case))


def test_least_squares_is_scipys() -> None:
    expected = stats.linregress(PAIRS.x, PAIRS.y)
    t = stats.t.ppf(0.975, 22)
    for which in ("intercept", "slope"):
        made = ols(PAIRS, which=which)
        se = expected.stderr if which == "slope" else expected.intercept_stderr
        value = getattr(expected, which)
        assert (made.value, made.ci_low, made.ci_high) == pytest.approx(
            (value, value - t * se, value + t * se)
        )


def test_deming_with_equal_errors_is_the_principal_axis() -> None:
    vectors = np.linalg.eigh(np.cov(PAIRS.x, PAIRS.y))[1]
    assert deming(PAIRS, which="slope").value == pytest.approx(vectors[1, 1] / vectors[0, 1])


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_swapping_methods_and_ratio_turns_demings_slope_into_its_reciprocal(ratio: float) -> None:
    there = deming(PAIRS, which="slope", ratio=ratio).value
    back = deming(SWAPPED, which="slope", ratio=1 / ratio).value
    assert there == pytest.approx(1 / (back or 0))


def test_demings_limits_come_from_leaving_each_case_out() -> None:
    full = deming(PAIRS, which="slope", ratio=2.0)
    left_out = [deming(without(PAIRS, case), which="slope", ratio=2.0).value or 0 for case in range(24)]
    se = math.sqrt(23 / 24 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    half = stats.t.ppf(0.975, 22) * se
    assert full.value is not None
    assert (full.ci_low, full.ci_high) == pytest.approx((full.value - half, full.value + half))
    assert deming_jackknife(PAIRS, ratio=2.0).left_out[:, 1] == pytest.approx(left_out)


def plain_weighted(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Linnet's weighted Deming line (ratio 1) written as one loop over rounds."""
    weights = np.ones(x.size)
    line = (math.inf, math.inf)
    for _ in range(31):
        w = weights / weights.sum()
        a, b = x - w @ x, y - w @ y
        u = w @ b**2 - w @ a**2
        slope = (u + math.sqrt(u**2 + 4 * (w @ (a * b)) ** 2)) / (2 * (w @ (a * b)))
        new = (w @ y - slope * (w @ x), slope)
        if max(abs(new[0] - line[0]), abs(new[1] - line[1])) < 1e-6:
            return new
        line = new
        off = (y - line[0] - slope * x) / (1 + slope**2)
        weights = 1 / ((x + slope * off + y - off) / 2) ** 2
    return line


def test_weighted_deming_and_its_limits_are_those_of_a_plain_loop() -> None:
    made = weighted_deming(PAIRS, which="slope")
    left_out = [plain_weighted(np.delete(PAIRS.x, i), np.delete(PAIRS.y, i))[1] for i in range(24)]
    half = stats.t.ppf(0.975, 22) * math.sqrt(23 * np.var(left_out))
    value = plain_weighted(PAIRS.x, PAIRS.y)[1]
    assert (made.value, made.ci_low, made.ci_high) == pytest.approx(
        (value, value - half, value + half), rel=1e-5
    )


def test_proportional_errors_are_fitted_better_with_weights() -> None:
    random = np.random.default_rng(12)
    off = {True: 0.0, False: 0.0}
    for _ in range(40):
        truth = np.exp(random.uniform(0.5, 4.4, 40))
        pairs = pairs_of(
            truth * np.exp(random.normal(0, 0.2, 40)), 1.2 * truth * np.exp(random.normal(0, 0.2, 40))
        )
        off[True] += ((weighted_deming(pairs, which="slope").value or 0) - 1.2) ** 2
        off[False] += ((deming(pairs, which="slope").value or 0) - 1.2) ** 2
    assert off[True] < off[False] / 2


def test_lines_at_their_edges() -> None:
    flat = pairs_of([20.0] * 6, [1.0, 5, 9, 20, 40, 70])
    assert {ols(flat, which="slope").reason, deming(flat, which="slope").reason} == {"x_constant"}
    assert passing_bablok(flat, which="slope").reason == "x_constant"
    assert pb_equivariant(flat, which="intercept").reason == "x_constant"
    two = deming(pairs_of([1.0, 2.0], [1.0, 4.0]), which="slope")
    assert (two.value, two.ci_low, two.reason) == (pytest.approx(3), None, "too_few")
    uncorrelated = pairs_of([0.0, 0.0, 1.0, 1.0], [0.0, 5.0, 0.0, 5.0])
    assert deming(uncorrelated, which="slope").reason == "zero_variance"
    level = deming(pairs_of([1.0, 2.0, 4.0, 7.0], [3.0, 3.0, 3.0, 3.0]), which="slope")
    assert (level.value, level.ci_low, level.ci_high) == (0, 0, 0)
    assert (
        weighted_deming(pairs_of([0.0, 0.0, 3.0], [0.0, 0.0, 3.0]), which="slope").reason
        == "nonpositive_value"
    )


def exact_passing_bablok(pairs: Pairs) -> tuple[Fraction, Fraction]:
    """Slope and intercept from exact fractions of the decimal readings."""
    x = [Fraction(str(value)) for value in pairs.x]
    y = [Fraction(str(value)) for value in pairs.y]
    slopes: list[Fraction | float] = []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            dx, dy = x[j] - x[i], y[j] - y[i]
            if dx == 0 and dy != 0:
                slopes.append(math.inf)
            elif dx != 0 and dy != -dx:
                slopes.append(dy / dx)
    slopes.sort()
    shift = sum(slope < -1 for slope in slopes)
    middle = len(slopes) // 2
    slope = Fraction(slopes[middle + shift])
    if len(slopes) % 2 == 0:
        slope = (slope + Fraction(slopes[middle - 1 + shift])) / 2
    rest = sorted(b - slope * a for a, b in zip(x, y, strict=True))
    half = len(rest) // 2
    return slope, rest[half] if len(rest) % 2 else (rest[half] + rest[half - 1]) / 2


@pytest.mark.parametrize("seed", [21, 22, 23, 24])
def test_passing_bablok_is_exact_with_many_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 40, 23) / 10
    tied = pairs_of(np.round(truth + random.integers(-3, 4, 23) / 10, 1), np.round(truth + 0.2, 1))
    slope, intercept = exact_passing_bablok(tied)
    assert passing_bablok(tied, which="slope").value == pytest.approx(float(slope), rel=1e-12)
    assert passing_bablok(tied, which="intercept").value == pytest.approx(
        float(intercept), rel=1e-9, abs=1e-12
    )


def test_passing_bablok_limits_cover_the_slope() -> None:
    covered = 0
    for seed in range(100):
        made = passing_bablok(similar_pairs(20, seed=seed), which="slope")
        covered += (made.ci_low or 0) <= 1.1 <= (made.ci_high or 0)
    assert covered / 100 > 0.9


def test_the_intercepts_limits_are_crossed() -> None:
    slope, intercept = (passing_bablok(pefr(), which=which) for which in ("slope", "intercept"))
    assert intercept.ci_low == pytest.approx(np.median(pefr().y - (slope.ci_high or 0) * pefr().x))
    assert intercept.ci_high == pytest.approx(np.median(pefr().y - (slope.ci_low or 0) * pefr().x))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [30, 302])
def test_points_that_mix_evenly_along_the_line_speak_for_it_without_a_warning(size: int) -> None:
    x = np.arange(1.0, size + 1)
    even = linearity(pairs_of(x, x + np.where(np.arange(size) % 2, 0.3, -0.3)))
    assert even.p.value == pytest.approx(1, abs=1e-6)
    assert even.cusum_max.value is not None
    assert even.cusum_max.value < 2


def test_lines_of_one_table_share_their_slopes_and_a_changed_one_has_its_own() -> None:
    pairs = similar_pairs(20, seed=1)
    slope = passing_bablok(pairs, which="slope")
    assert passing_bablok(pairs, which="slope") == slope
    curved = replace(pairs, y=pairs.y**2)
    afresh = Pairs(pairs.cases, pairs.x, pairs.y**2)
    assert passing_bablok(curved, which="slope") == passing_bablok(afresh, which="slope")
    assert passing_bablok(curved, which="slope") != slope


def test_limits_beyond_the_slopes_of_few_cases_are_undefined() -> None:
    few = passing_bablok(pairs_of([1.0, 2.0, 4.0], [1.0, 3.0, 4.0]), which="slope")
    assert few.value is not None
    assert (few.ci_low, few.ci_high, few.reason) == (None, None, "out_of_range")


def test_the_equivariant_slope_turns_into_its_reciprocal() -> None:
    slope, back = pb_equivariant(PAIRS, which="slope").value, pb_equivariant(SWAPPED, which="slope").value
    intercept, other = (pb_equivariant(pairs, which="intercept").value or 0 for pairs in (PAIRS, SWAPPED))
    assert slope == pytest.approx(1 / (back or 0))
    assert other == pytest.approx(-intercept / (slope or 0))


def test_the_linearity_test_finds_a_bend_and_leaves_lines_alone() -> None:
    random = np.random.default_rng(31)
    x = random.uniform(0, 10, 60)
    bent = pairs_of(x, x + 0.12 * (x - 5) ** 2 + random.normal(0, 0.3, 60))
    assert (linearity(bent).p.value or 1) < 0.01
    probabilities = [linearity(similar_pairs(40, seed=seed)).p.value or 0 for seed in range(60)]
    assert np.mean(np.array(probabilities) < 0.05) <= 0.08


def test_the_largest_cusum_is_the_sum_of_scores_along_the_line() -> None:
    slope, intercept = (passing_bablok(PAIRS, which=which).value or 0 for which in ("slope", "intercept"))
    residual = PAIRS.y - intercept - slope * PAIRS.x
    residual[np.abs(residual) < 1e-9] = 0
    above, below = np.sum(residual > 0), np.sum(residual < 0)
    scores = np.where(residual > 0, math.sqrt(below / above), -math.sqrt(above / below)) * (residual != 0)
    along = np.argsort(PAIRS.y + PAIRS.x / slope)
    assert linearity(PAIRS).cusum_max.value == pytest.approx(np.abs(np.cumsum(scores[along])).max())


def test_points_on_one_line_have_no_test_of_linearity() -> None:
    line = pairs_of([1.0, 2.0, 3.0, 5.0], [2.0, 4.0, 6.0, 10.0])
    assert linearity(line).p.reason == "zero_variance"
