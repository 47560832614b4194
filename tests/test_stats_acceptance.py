"""Error sizes, bias at a level, shares near the reference, and limits that open with the index."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ki67.stats import acceptance as acc
from ki67.stats import bland_altman as ba
from ki67.stats.blank import on_log2
from ki67.stats.forms import Pairs
from ki67.stats.limit_curves import Curve, curve_from_log2, in_points, limit_curves, points_at
from ki67.stats.regression_limits import ba_reg_loa, ba_spread_slope, scale_advice
from tests.stats_pairs import pairs_of, similar_pairs

PAIRS = similar_pairs(40, seed=41)
LEVELS = (1.0, 5.0, 20.0, 60.0)


def opening_pairs(n: int, *, seed: int) -> Pairs:
    """Pairs whose errors grow in proportion to the level."""
    random = np.random.default_rng(seed)
    truth = np.exp(random.normal(2.7, 0.8, n))
    noise = np.exp(random.normal(0, 0.25, (2, n)))
    return pairs_of(truth * noise[0], truth * noise[1] * 0.9)


def drawn(curve: Curve) -> np.ndarray:
    assert curve.value is not None
    assert curve.low is not None
    assert curve.high is not None
    return np.array([curve.low, curve.value, curve.high])


def test_error_sizes_are_means_of_the_differences() -> None:
    d = PAIRS.y - PAIRS.x
    for made in (acc.mae(PAIRS), acc.mae_interval(PAIRS)):
        assert made.value == pytest.approx(np.mean(np.abs(d)))
    for made in (acc.rmse(PAIRS), acc.rmse_interval(PAIRS), acc.rmse_mover(PAIRS)):
        assert made.value == pytest.approx(np.sqrt(np.mean(d**2)))
    zero = acc.rmse_interval(pairs_of([1.0, 2.0], [1.0, 2.0]))
    assert (zero.value, zero.ci_low, zero.ci_high) == (0, 0, 0)
    assert acc.mae_interval(pairs_of([1.0], [3.0])).reason == "too_few"


def test_error_size_intervals_cover_what_they_name() -> None:
    random = np.random.default_rng(42)
    wanted = {"mae": stats.foldnorm.mean(0.5), "delta": math.sqrt(1.25), "mover": math.sqrt(1.25)}
    covered = dict.fromkeys(wanted, 0)
    for _ in range(400):
        pairs = pairs_of(np.zeros(30), random.normal(0.5, 1, 30))
        made = {
            "mae": acc.mae_interval(pairs),
            "delta": acc.rmse_interval(pairs),
            "mover": acc.rmse_mover(pairs),
        }
        for name, estimate in made.items():
            covered[name] += (estimate.ci_low or 0) <= wanted[name] <= (estimate.ci_high or 0)
    assert covered["mae"] / 400 == pytest.approx(0.95, abs=0.03)
    assert covered["delta"] / 400 == pytest.approx(0.93, abs=0.03)
    assert covered["mover"] / 400 == pytest.approx(0.955, abs=0.03)


def test_a_share_has_clopper_and_pearsons_interval() -> None:
    d = np.array([0.0, 5.0, -5.0, 5.1, 4.9, -7.0, 1.0, 30.0])
    made = acc.share_within_points(pairs_of(np.full(8, 20.0), 20 + d))
    expected = stats.binomtest(5, 8).proportion_ci(method="exact")
    assert (made.value, made.ci_low, made.ci_high) == pytest.approx((5 / 8, expected.low, expected.high))


def test_a_border_counts_as_within_in_floating_point_too() -> None:
    x = np.array([35.0, 0.3, 10.1, 70.2])
    assert acc.share_within_percent(pairs_of(x, x * 1.2), floor_points=0).value == 1
    assert acc.share_within_points(pairs_of(x, x + 5)).value == 1


def test_near_zero_one_point_is_near_enough() -> None:
    near = pairs_of([0.0, 2.0, 2.0, 50.0], [1.0, 3.0, 3.1, 60.0])
    assert acc.share_within_percent(near).value == 3 / 4
    assert acc.share_within_percent(near, floor_points=0).value == 1 / 4


def test_all_or_none_within_has_one_open_side() -> None:
    every = acc.share_within_points(pairs_of(np.arange(20.0), np.arange(20.0)))
    assert (every.value, every.ci_high) == (1, 1)
    assert every.ci_low == pytest.approx(0.025 ** (1 / 20))


def test_pictures_of_one_patient_count_once() -> None:
    """Each patient's five pictures are all near or all far: ten patients' worth, not fifty."""
    x = np.full(50, 20.0)
    y = x + np.repeat([0, 0, 0, 0, 0, 0, 0, 9, 9, 9], 5)
    patients = [f"P{number // 5}" for number in range(50)]
    plain = acc.share_within_points(pairs_of(x, y))
    by_patient = acc.share_within_points(pairs_of(x, y), patients=patients)
    ten = stats.binomtest(7, 10).proportion_ci(method="exact")
    assert plain.value == by_patient.value == 0.7
    assert by_patient.variant == "exact, by patient"
    assert (by_patient.ci_low or 1) < (plain.ci_low or 0)
    assert by_patient.ci_low == pytest.approx(ten.low, abs=0.08)
    alone = acc.share_within_points(pairs_of(x, y), patients=["P"] * 50)
    assert (alone.ci_low, alone.reason) == (None, "too_few")


def test_independent_patients_leave_the_interval_nearly_as_it_is() -> None:
    plain = acc.share_within_points(PAIRS, points=2)
    each = acc.share_within_points(PAIRS, points=2, patients=PAIRS.cases)
    assert (each.ci_low, each.ci_high) == pytest.approx((plain.ci_low, plain.ci_high), abs=0.01)


def test_bias_at_a_level_recovers_a_known_line() -> None:
    pairs = similar_pairs(3000, seed=43, slope=1.1, intercept=-0.5)
    made = acc.bias_at(pairs, level=20.0, variant="Deming")
    assert made.value == pytest.approx(1.5, abs=0.15)
    assert made.ci_low is not None
    assert made.ci_high is not None
    assert made.ci_low < 1.5 < made.ci_high
    assert acc.bias_at(pairs, level=20.0, variant="regression").value == pytest.approx(
        np.polyval(np.polyfit((pairs.x + pairs.y) / 2, pairs.y - pairs.x, 1), 20)
    )


def test_bias_of_a_constant_ratio_is_that_ratio_at_every_level() -> None:
    x = np.array([1.0, 4.0, 20.0, 50.0])
    pairs = pairs_of(x, (x + 0.1) * 0.8 - 0.1)
    made = acc.bias_at(pairs, level=20.0, variant="log ratio")
    first = 2 * 20.1 / 1.8 - 0.1
    assert made.value == pytest.approx((first + 0.1) * 0.8 - 0.1 - first)
    assert (made.ci_low, made.ci_high) == pytest.approx((made.value, made.value))


def test_bias_is_given_at_every_cut_off_of_the_site() -> None:
    levels = [made.params["level"] for made in acc.bias_at_cutoffs(PAIRS, "breast")]
    assert levels == [5, 14, 20, 30]
    assert acc.bias_at_cutoffs(PAIRS, "other") == ()


def test_points_at_a_level_are_the_difference_with_that_mean_and_ratio() -> None:
    x, y = 12.0, 31.0
    ratio = math.log2((y + 0.1) / (x + 0.1))
    assert points_at(ratio, (x + y) / 2) == pytest.approx(y - x)
    assert points_at(-ratio, (x + y) / 2) == pytest.approx(x - y)


def test_limits_from_the_log_scale_open_with_the_index() -> None:
    pairs = opening_pairs(60, seed=44)
    curves = limit_curves(pairs, levels=LEVELS)
    upper = drawn(curves.upper)
    assert (np.diff(upper, axis=1) > 0).all()
    expected = ba.ba_loa(on_log2(pairs), side="upper")
    at_20 = in_points(expected, 20.0)
    assert upper[:, 2] == pytest.approx([at_20.ci_low, at_20.value, at_20.ci_high])
    assert curves.estimates[2] == expected


def test_log_limits_hold_the_share_of_differences_at_low_and_at_high_levels() -> None:
    pairs = opening_pairs(4000, seed=45)
    mean, d = (pairs.x + pairs.y) / 2, pairs.y - pairs.x
    estimates = limit_curves(pairs, levels=LEVELS).estimates
    lower, upper = (drawn(curve_from_log2(estimate, mean))[1] for estimate in estimates[1:])
    within = (lower <= d) & (d <= upper)
    for group in (mean < 8, (mean >= 8) & (mean < 25), mean >= 25):
        assert within[group].mean() == pytest.approx(0.95, abs=0.015)


def test_raw_limits_are_level_and_percent_limits_go_through_zero() -> None:
    raw = drawn(limit_curves(PAIRS, levels=LEVELS, scale="raw").lower)
    assert np.ptp(raw, axis=1) == pytest.approx([0, 0, 0])
    assert raw[1, 0] == ba.ba_loa(PAIRS, side="lower").value
    percent = drawn(limit_curves(PAIRS, levels=(0.0, 10.0, 50.0), scale="percent").upper)
    assert percent[:, 0] == pytest.approx([0, 0, 0])
    assert percent[:, 2] == pytest.approx(5 * percent[:, 1])


def test_regression_limits_find_bias_and_spread_that_are_lines() -> None:
    random = np.random.default_rng(46)
    mean = random.uniform(2, 60, 5000)
    d = 1 + 0.05 * mean + (1 + 0.1 * mean) * random.standard_normal(5000)
    pairs = pairs_of(mean - d / 2, mean + d / 2)
    curves = limit_curves(pairs, levels=LEVELS, scale="regression")
    at = np.array(LEVELS)
    assert drawn(curves.bias)[1] == pytest.approx(1 + 0.05 * at, abs=0.3)
    assert drawn(curves.upper)[1] == pytest.approx(1 + 0.05 * at + 1.96 * (1 + 0.1 * at), abs=0.5)
    slope = ba_spread_slope(pairs)
    assert slope.value == pytest.approx(0.1 * math.sqrt(2 / math.pi), abs=0.01)
    made = ba_reg_loa(pairs, side="upper", level=20.0)
    assert [made.ci_low, made.value, made.ci_high] == pytest.approx(list(drawn(curves.upper)[:, 2]))


def test_differences_on_one_line_have_limits_on_it() -> None:
    x = np.array([1.0, 2.0, 5.0, 9.0])
    made = ba_reg_loa(pairs_of(x, x + 2), side="lower", level=5.0)
    assert (made.value, made.ci_low, made.ci_high) == pytest.approx((2, 2, 2))


def test_a_spread_that_would_be_negative_has_no_limits_there() -> None:
    random = np.random.default_rng(47)
    mean = random.uniform(20, 60, 300)
    d = (mean - 19) * random.standard_normal(300)
    made = ba_reg_loa(pairs_of(mean - d / 2, mean + d / 2), side="upper", level=1.0)
    assert (made.value, made.reason) == (None, "out_of_range")


def test_the_advised_scale_follows_the_spread() -> None:
    assert scale_advice(opening_pairs(200, seed=48)).scale == "log2(x+0.1)"
    assert scale_advice(PAIRS).scale == "raw"


def test_curves_of_too_few_cases_are_absent_with_a_reason() -> None:
    one = pairs_of([10.0], [12.0])
    for scale in ("raw", "log2(x+0.1)", "percent", "regression"):
        curves = limit_curves(one, levels=LEVELS, scale=scale)
        assert curves.upper.value is None
        assert curves.estimates[2].reason == "too_few"
