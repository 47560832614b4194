"""Bland–Altman's mean and limits: the paper of 1986, published tolerance factors, and the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ki67.stats import bland_altman as ba
from ki67.stats.bland_altman import LoaVariant, Side
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs
from tests.stats_pairs import pairs_of, pefr, similar_pairs

TWO_SDS = 2 * stats.norm.cdf(2) - 1  # the paper's limits are mean ± 2 SD


def numbers(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.ci_low, estimate.ci_high


def test_the_peak_flow_example_of_1986_has_its_published_numbers() -> None:
    assert numbers(ba.ba_bias(pefr())) == pytest.approx((-2.1, -22.0, 17.8), abs=0.06)
    assert ba.ba_sd(pefr()).value == pytest.approx(38.8, abs=0.05)
    lower = ba.ba_loa(pefr(), side="lower", variant="ba1986", coverage=TWO_SDS)
    upper = ba.ba_loa(pefr(), side="upper", variant="ba1986", coverage=TWO_SDS)
    assert numbers(lower) == pytest.approx((-79.7, -114.3, -45.1), abs=0.3)
    assert numbers(upper) == pytest.approx((75.5, 40.9, 110.1), abs=0.3)


def test_the_1999_interval_is_that_of_mean_plus_z_sd() -> None:
    d = pefr().y - pefr().x
    n, sd, z = 17, float(np.std(d, ddof=1)), stats.norm.ppf(0.975)
    half = stats.t.ppf(0.975, 16) * sd * math.sqrt(1 / n + z**2 / (2 * (n - 1)))
    upper = ba.ba_loa(pefr(), side="upper")
    assert upper.value == pytest.approx(d.mean() + z * sd)
    assert (upper.ci_low, upper.ci_high) == pytest.approx((upper.value - half, upper.value + half))


@pytest.mark.parametrize(("n", "factor"), [(2, 36.519), (10, 3.393), (20, 2.760)])
def test_the_outer_factor_of_a_pair_is_the_published_two_sided_tolerance_factor(
    n: int, factor: float
) -> None:
    """95 % of the population with confidence 95 %: Odeh's exact table."""
    assert ba.pair_factors(n, coverage=0.95, alpha=0.10)[1] == pytest.approx(factor, abs=6e-4)


def test_the_exact_limit_alone_is_the_published_one_sided_tolerance_factor() -> None:
    """n = 10, 95 % of the population, confidence 95 %: 2.911 (Owen)."""
    d = np.arange(10.0)
    upper = ba.ba_loa(
        pairs_of(np.zeros(10), d), side="upper", variant="exact individual", coverage=0.9, alpha=0.1
    )
    assert upper.ci_high is not None
    assert (upper.ci_high - d.mean()) / d.std(ddof=1) == pytest.approx(2.911, abs=6e-4)


def test_a_pair_of_limits_holds_its_content_as_often_as_promised() -> None:
    random = np.random.default_rng(5)
    draws = random.standard_normal((20_000, 12))
    mean, sd = draws.mean(axis=1), draws.std(axis=1, ddof=1)
    inner, outer = ba.pair_factors(12)
    for k, promised in ((inner, 0.025), (outer, 0.975)):
        held = stats.norm.cdf(mean + k * sd) - stats.norm.cdf(mean - k * sd)
        assert np.mean(held >= 0.95) == pytest.approx(promised, abs=0.004)


@pytest.mark.parametrize("variant", ["ba1986", "ba1999", "exact individual", "exact pair"])
def test_swapping_the_methods_turns_sign_and_places(variant: LoaVariant) -> None:
    there = ba.ba_loa(pefr(), side="lower", variant=variant)
    back = ba.ba_loa(Pairs(pefr().cases, pefr().y, pefr().x), side="upper", variant=variant)
    assert there.ci_low is not None
    assert there.ci_high is not None
    assert numbers(back) == pytest.approx((-(there.value or 0), -there.ci_high, -there.ci_low))


def test_equal_constant_methods_agree_exactly() -> None:
    same = pairs_of([20.0] * 6, [20.0] * 6)
    assert numbers(ba.ba_bias(same)) == (0, 0, 0)
    assert ba.ba_sd(same).value == 0
    assert numbers(ba.ba_loa(same, side="upper", variant="exact pair")) == (0, 0, 0)
    assert ba.ba_shapiro_w(same).reason == "zero_variance"
    assert ba.ba_prop_bias_slope(same).reason == "x_constant"


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_one_pair_has_a_difference_and_no_limits_of_agreement(side: Side) -> None:
    one = pairs_of([3.0], [4.0])
    bias = ba.ba_bias(one)
    assert numbers(bias) == (1, None, None)
    assert bias.reason == "too_few"
    assert ba.ba_loa(one, side=side).reason == "too_few"
    assert ba.ba_sd(one).message == "A standard deviation needs 2 cases with both readings; there is 1."


def test_cases_without_both_readings_are_left_out_and_counted() -> None:
    some = pairs_of([1.0, 2.0, math.nan, 4.0], [2.0, math.nan, 3.0, 5.0])
    bias = ba.ba_bias(some)
    assert (bias.value, bias.n, bias.excluded) == (1.0, 2, 2)
    none = pairs_of([1.0, math.nan], [math.nan, 2.0])
    assert ba.ba_n(none).value == 0
    assert ba.ba_bias(none).reason == "no_pairs"


def test_a_percent_difference_of_two_zeros_is_left_out_and_counted() -> None:
    zeros = pairs_of([0.0, 10.0, 20.0, 40.0], [0.0, 12.0, 18.0, 44.0])
    bias = ba.ba_percent_bias(zeros)
    assert bias.value == pytest.approx(np.mean([200 / 11, -200 / 19, 400 / 42]))
    assert (bias.n, bias.excluded) == (3, 1)


def test_a_ratio_of_zeros_is_undefined_unless_an_offset_is_declared() -> None:
    zeros = pairs_of([0.0, 10.0], [0.0, 20.0])
    undefined = ba.ba_log_ratio_gm(zeros)
    assert undefined.value is None
    assert undefined.reason == "nonpositive_value"
    assert "T1" in undefined.message
    assert ba.ba_log_ratio_gm(zeros, offset=0.1).value == pytest.approx(math.sqrt(20.1 / 10.1))


def test_ratio_limits_are_those_of_the_logarithms() -> None:
    pairs = similar_pairs(30, seed=1)
    logs = pairs_of(np.log(pairs.x), np.log(pairs.y))
    expected = ba.ba_loa(logs, side="lower")
    made = ba.ba_log_ratio_loa(pairs, side="lower")
    assert [math.log(number or 0) for number in numbers(made)] == pytest.approx(list(numbers(expected)))


def test_the_slope_on_the_mean_is_least_squares() -> None:
    pairs = similar_pairs(25, seed=2)
    expected = stats.linregress((pairs.x + pairs.y) / 2, pairs.y - pairs.x)
    half = stats.t.ppf(0.975, 23) * expected.stderr
    assert numbers(ba.ba_prop_bias_slope(pairs)) == pytest.approx(
        (expected.slope, expected.slope - half, expected.slope + half)
    )
