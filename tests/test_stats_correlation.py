"""Correlations and Lin's concordance against SciPy, the papers' formulas and the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ki67.stats import concordance as lin
from ki67.stats.correlation import SpearmanVariant, kendall_tau_b, pearson, spearman
from ki67.stats.forms import Pairs
from tests.stats_pairs import pairs_of, similar_pairs

PAIRS = similar_pairs(20, seed=3)


def test_pearson_has_fishers_limits() -> None:
    expected = stats.pearsonr(PAIRS.x, PAIRS.y)
    limits = expected.confidence_interval(0.95)
    made = pearson(PAIRS)
    assert (made.value, made.ci_low, made.ci_high) == pytest.approx(
        (expected.statistic, limits.low, limits.high)
    )


@pytest.mark.parametrize(
    ("variant", "constant", "by_square"),
    [("Fisher z", 1, 0), ("Fieller", 1.03**2, 0), ("Bonett-Wright", 1, 0.5)],
)
def test_spearman_has_the_limits_of_its_variant(
    variant: SpearmanVariant, constant: float, by_square: float
) -> None:
    r = stats.spearmanr(PAIRS.x, PAIRS.y).statistic
    half = 1.959964 * math.sqrt((constant + by_square * r**2) / 17)
    made = spearman(PAIRS, variant=variant)
    assert made.value == pytest.approx(r)
    assert (made.ci_low, made.ci_high) == pytest.approx(
        (math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))
    )


def test_kendall_counts_ties_and_needs_five_pairs_for_limits() -> None:
    tied = pairs_of([1.0, 1, 2, 3, 4, 4], [2.0, 1, 2, 5, 3, 5])
    made = kendall_tau_b(tied)
    assert made.value == pytest.approx(stats.kendalltau(tied.x, tied.y).statistic)
    half = 1.959964 * math.sqrt(0.437 / 2)
    assert made.ci_high == pytest.approx(math.tanh(math.atanh(made.value or 0) + half))
    assert kendall_tau_b(pairs_of([1.0, 2.0], [5.0, 3.0])).value == -1
    four = kendall_tau_b(pairs_of([1.0, 2, 3, 4], [1.0, 3, 2, 4]))
    assert (four.value, four.ci_low, four.reason) == (pytest.approx(2 / 3), None, "too_few")


def test_a_perfect_correlation_has_both_limits_at_one() -> None:
    line = pairs_of([1.0, 2.0, 3.5, 7.0, 9.0], [3.0, 5.0, 8.0, 15.0, 19.0])
    for made in (pearson(line), spearman(line), kendall_tau_b(line)):
        assert (made.value, made.ci_low, made.ci_high) == pytest.approx((1, 1, 1))


def test_a_constant_method_correlates_with_nothing() -> None:
    flat = pairs_of([20.0] * 6, [1.0, 5, 9, 20, 40, 70])
    assert [made.reason for made in (pearson(flat), spearman(flat), kendall_tau_b(flat))] == [
        "zero_variance"
    ] * 3
    assert pearson(pairs_of([3.0, 5.0], [4.0, 8.0])).reason == "too_few"


def test_concordance_is_the_formula_of_1989() -> None:
    sxy = float(np.mean((PAIRS.x - PAIRS.x.mean()) * (PAIRS.y - PAIRS.y.mean())))
    apart = PAIRS.x.mean() - PAIRS.y.mean()
    expected = 2 * sxy / (PAIRS.x.var() + PAIRS.y.var() + apart**2)
    made = lin.concordance(PAIRS)
    assert made.ccc.value == pytest.approx(expected)
    assert (made.precision.value or 0) * (made.accuracy.value or 0) == pytest.approx(expected)
    w, v = made.scale_shift.value or 0, made.location_shift.value or 0
    assert made.accuracy.value == pytest.approx(2 / (w + 1 / w + v**2))


def test_the_limits_of_concordance_are_lins_corrected_variance() -> None:
    made = lin.concordance(PAIRS)
    r, c, u = made.precision.value or 0, made.ccc.value or 0, made.location_shift.value or 0
    variance = (1 - r**2) * c**2 / ((1 - c**2) * r**2)
    variance += 2 * c**3 * (1 - c) * u**2 / (r * (1 - c**2) ** 2)
    variance -= c**4 * u**4 / (2 * r**2 * (1 - c**2) ** 2)
    half = 1.959964 * math.sqrt(variance / 18)
    assert made.ccc.ci_low == pytest.approx(math.tanh(math.atanh(c) - half))
    assert made.ccc.ci_high == pytest.approx(math.tanh(math.atanh(c) + half))


def test_the_limits_of_accuracy_are_those_of_the_delta_method() -> None:
    """Moments of normal pairs put through the accuracy's numerical gradient."""
    n, sx, sy = 20, PAIRS.x.std(), PAIRS.y.std()
    rho = float(np.corrcoef(PAIRS.x, PAIRS.y)[0, 1])

    def logit(apart: float, log_sx: float, log_sy: float) -> float:
        w = math.exp(log_sy - log_sx)
        accuracy = 2 / (w + 1 / w + apart**2 / math.exp(log_sx + log_sy))
        return math.log(accuracy / (1 - accuracy))

    at = np.array([PAIRS.y.mean() - PAIRS.x.mean(), math.log(sx), math.log(sy)])
    steps = np.eye(3) * 1e-5
    gradient = np.array([(logit(*(at + step)) - logit(*(at - step))) / 2e-5 for step in steps])
    covariance = np.diag([sx**2 + sy**2 - 2 * rho * sx * sy, 0.5, 0.5])
    covariance[1, 2] = covariance[2, 1] = rho**2 / 2
    half = 1.959964 * math.sqrt(gradient @ covariance @ gradient / (n - 2))
    made = lin.lin_accuracy(PAIRS)
    assert math.log((made.ci_high or 0) / (1 - (made.ci_high or 0))) == pytest.approx(
        logit(*at) + half, rel=1e-4
    )


def test_the_ratio_of_spreads_has_pitmans_exact_limits() -> None:
    """At a limit w the sum and difference of y and w·x are just correlated at the 5 % border."""
    made = lin.lin_scale_shift(PAIRS)
    border = stats.t.ppf(0.975, 18)
    for limit in (made.ci_low or 0, made.ci_high or 0):
        r = np.corrcoef(PAIRS.y + limit * PAIRS.x, PAIRS.y - limit * PAIRS.x)[0, 1]
        assert abs(r) * math.sqrt(18 / (1 - r**2)) == pytest.approx(border)


def test_concordance_at_its_edges() -> None:
    both = lin.lin_ccc(pairs_of([20.0] * 6, [20.0] * 6))
    assert (both.value, both.reason) == (None, "zero_variance")
    apart = lin.lin_ccc(pairs_of([20.0] * 6, [30.0] * 6))
    assert (apart.value, apart.ci_low, apart.reason) == (0, None, "zero_variance")
    one = lin.lin_ccc(pairs_of([20.0] * 6, [1.0, 5, 9, 20, 40, 70]))
    assert (one.value, one.ci_low, one.reason) == (0, None, "zero_variance")
    two = lin.lin_ccc(pairs_of([3.0, 5.0], [4.0, 8.0]))
    assert (two.value, two.ci_low, two.reason) == (pytest.approx(4 / 9), None, "too_few")
    same = lin.lin_ccc(Pairs(PAIRS.cases, PAIRS.x, PAIRS.x))
    assert (same.value, same.ci_low, same.ci_high) == pytest.approx((1, 1, 1))
