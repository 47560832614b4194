"""SEM, within-subject figures, Kendall's W, overall CCC, Krippendorff's alpha and its interval."""

from __future__ import annotations

import math

import krippendorff
import numpy as np
import pytest
from scipy import stats

from ki67.stats.anova import Matrix
from ki67.stats.forms import Categories, Pairs
from ki67.stats.krippendorff_alpha import LEVELS, krippendorff_alpha
from ki67.stats.reliability import (
    CV_VARIANTS,
    kendall_w,
    overall_ccc,
    repeatability_coefficient,
    sem_agreement,
    sem_consistency,
    within_subject_cv,
    within_subject_sd,
)
from tests.readings_tables import SHROUT_FLEISS, long, matrix, simulated


def test_measurement_errors_of_shrout_and_fleiss_follow_from_the_papers_mean_squares() -> None:
    table = matrix(SHROUT_FLEISS)
    assert sem_consistency(table).value == pytest.approx(math.sqrt(1.0194), abs=1e-4)
    assert sem_agreement(table).value == pytest.approx(math.sqrt((32.4861 - 1.0194) / 6 + 1.0194), abs=1e-4)
    assert within_subject_sd(table).value == pytest.approx(math.sqrt(6.2639), abs=1e-4)
    assert sem_consistency(table).ci_low is None


def test_within_subject_sd_of_two_repeats_is_the_sd_of_differences_over_root_two() -> None:
    random = np.random.default_rng(1)
    x = random.normal(30, 8, 40)
    d = random.normal(0, 2, 40)
    found = within_subject_sd(Pairs(tuple(map(str, range(40))), x, x + d))
    by_hand = math.sqrt(np.mean(d**2) / 2)
    low, high = (math.sqrt(40 * by_hand**2 / stats.chi2.ppf(p, 40)) for p in (0.975, 0.025))
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((by_hand, low, high))
    repeat = repeatability_coefficient(Pairs(tuple(map(str, range(40))), x, x + d), coverage=0.9)
    assert repeat.value == pytest.approx(1.6448536269514722 * math.sqrt(2) * by_hand)


def test_limits_of_the_measurement_errors_hold_the_truth_as_often_as_they_say() -> None:
    inside = np.zeros(2)
    for seed in range(300):
        values = simulated((12, 5, 1, 1), seed=seed, case=4.0, reader=1.0, replicate=2.0)[:, :, 0, 0]
        both = (
            (sem_consistency(matrix(values), alpha=0.05), 2.0),
            (
                sem_agreement(matrix(values), alpha=0.05),
                math.sqrt(5.0),
            ),
        )
        inside += [(one.ci_low or 0) < truth < (one.ci_high or 0) for one, truth in both]
    assert inside / 300 == pytest.approx([0.95, 0.95], abs=0.04)


def test_coefficients_of_variation_follow_from_their_formulas() -> None:
    values = np.array([[10.0, 12.0], [20.0, 18.0], [5.0, 5.5]])
    sd, mean = values.std(axis=1, ddof=1), values.mean(axis=1)
    log_sd = math.sqrt(np.log(values).var(axis=1, ddof=1).mean())
    by_hand = {
        "root mean square": math.sqrt(np.mean((sd / mean) ** 2)),
        "sw/mean": math.sqrt(np.mean(sd**2)) / values.mean(),
        "exp(sw_log)-1": math.exp(log_sd) - 1,
        "sqrt(exp(sw_log^2)-1)": math.sqrt(math.exp(log_sd**2) - 1),
    }
    found = {name: within_subject_cv(matrix(values), name).value for name in CV_VARIANTS}
    assert found == pytest.approx(by_hand)


def test_a_reading_of_nothing_has_no_coefficient_of_variation_on_logs() -> None:
    values = np.array([[0.0, 1.0], [20.0, 18.0]])
    assert within_subject_cv(matrix(values), "exp(sw_log)-1").reason == "nonpositive_value"
    assert within_subject_cv(matrix(values), "root mean square").value is not None
    values[0] = 0
    assert within_subject_cv(matrix(values), "root mean square").reason == "nonpositive_value"


def test_repeats_without_any_difference_have_an_sd_of_nothing() -> None:
    found = within_subject_sd(matrix(np.repeat([[0.1], [0.7], [30.3]], 3, axis=1)))
    assert (found.value, found.ci_low, found.ci_high) == (0, 0, 0)


def test_kendalls_w_is_friedmans_statistic_in_other_clothes() -> None:
    values = np.random.default_rng(2).integers(0, 6, (9, 4)).astype(float)  # with ties
    of_cases = stats.friedmanchisquare(*values).statistic  # the readers are its blocks
    assert kendall_w(matrix(values)).value == pytest.approx(of_cases / (4 * 8))


def test_readers_with_one_order_of_cases_have_a_w_of_one() -> None:
    values = np.array([[1.0, 10.0], [2.0, 30.0], [9.0, 31.0]])
    assert kendall_w(matrix(values)).value == pytest.approx(1)
    assert kendall_w(matrix(np.full((4, 3), 7.0))).reason == "zero_variance"


def test_overall_ccc_of_two_readers_is_lins_with_n_minus_one() -> None:
    x, y = SHROUT_FLEISS[:, 0], SHROUT_FLEISS[:, 2]
    covariance = np.cov(x, y)
    by_hand = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (x.mean() - y.mean()) ** 2)
    assert overall_ccc(Pairs(tuple("abcdef"), x, y)).value == pytest.approx(by_hand)


def test_overall_ccc_of_shrout_and_fleiss_and_its_jackknife() -> None:
    found = overall_ccc(matrix(SHROUT_FLEISS))
    assert found.value == pytest.approx(0.284286965030643)
    whole = math.atanh(found.value or 0)
    without = [overall_ccc(matrix(np.delete(SHROUT_FLEISS, case, axis=0))).value or 0 for case in range(6)]
    pseudo = 6 * whole - 5 * np.arctanh(without)
    half = stats.t.ppf(0.975, 5) * pseudo.std(ddof=1) / math.sqrt(6)
    assert (found.ci_low, found.ci_high) == pytest.approx((math.tanh(whole - half), math.tanh(whole + half)))
    assert found.target == "these readers"


def test_overall_ccc_at_the_edges() -> None:
    same = np.repeat([[5.0], [9.0], [30.0]], 3, axis=1)
    assert (overall_ccc(matrix(same)).value, overall_ccc(matrix(same)).ci_low) == (1, 1)
    assert overall_ccc(matrix(np.full((4, 3), 0.1))).reason == "zero_variance"
    two = overall_ccc(matrix(np.array([[1.0, 2.0], [3.0, 5.0]])))
    assert two.value is not None
    assert (two.ci_low, two.reason) == (None, "too_few")
    alone = np.full((5, 3), 7.3)
    alone[2] = [1.0, 2.0, 4.0]  # without this case nothing varies: 0/0, so no limits
    assert overall_ccc(matrix(alone)).value is not None
    assert overall_ccc(matrix(alone)).ci_low is None
    apart = overall_ccc(matrix(np.array([[20.0, 1.0], [20.0, 5.0], [20.0, 9.0]])))
    assert apart.value == pytest.approx(0)


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_of_shrout_and_fleiss_is_that_of_the_package(level: str) -> None:
    found = krippendorff_alpha(matrix(SHROUT_FLEISS), level)  # type: ignore[arg-type]
    expected = krippendorff.alpha(reliability_data=SHROUT_FLEISS.T, level_of_measurement=level)
    assert found.value == pytest.approx(expected)
    assert (found.ci_low, found.reason) == (None, "too_few")


@pytest.mark.parametrize("level", LEVELS)
def test_the_bootstrap_of_alpha_draws_units_as_the_package_would_count_them(level: str) -> None:
    random = np.random.default_rng(3)
    values = np.where(random.random((14, 4)) < 0.15, np.nan, random.integers(0, 5, (14, 4)) * 10.0)
    found = krippendorff_alpha(
        matrix(values),
        level,  # type: ignore[arg-type]
        draws=200,
        seed=5,
        every_reading=True,
    )
    used = np.isfinite(values).sum(axis=1) > 1
    kept = values[used]
    _, owner = np.unique([f"T{case + 1}" for case in np.flatnonzero(used)], return_inverse=True)
    again = np.random.default_rng(5)
    drawn = again.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=200)
    alphas = [
        krippendorff.alpha(
            reliability_data=np.repeat(kept, times[owner], axis=0).T, level_of_measurement=level
        )
        for times in drawn
    ]
    line, number = np.arctanh(alphas), len(kept)
    centre = 2 * math.atanh(found.value or 0) - line.mean()
    half = stats.t.ppf(0.975, number - 1) * line.std(ddof=1) * math.sqrt(number / (number - 1))
    assert (found.ci_low, found.ci_high) == pytest.approx((np.tanh(centre - half), np.tanh(centre + half)))
    assert (found.seed, found.n) == (5, len(kept))


def test_the_same_seed_gives_the_same_limits() -> None:
    values = simulated((15, 4, 1, 1), seed=1, case=4, replicate=2)[:, :, 0, 0].round()
    one, same, other = (krippendorff_alpha(matrix(values), "interval", seed=seed) for seed in (1, 1, 2))
    assert (one.ci_low, one.ci_high) == (same.ci_low, same.ci_high)
    assert one.ci_low != other.ci_low


def test_alpha_of_readings_that_never_differ_is_undefined() -> None:
    assert krippendorff_alpha(long(np.full((5, 3), 20.0)), "interval").reason == "zero_variance"
    classes = Categories(("1", "1", "2", "2"), ("A", "B", "A", "B"), ("x",) * 4, ("x", "y"))
    assert krippendorff_alpha(classes, "nominal").reason == "one_category"
    alone = Categories(("1", "2"), ("A", "B"), ("x", "y"), ("x", "y"))
    assert krippendorff_alpha(alone, "nominal").reason == "no_pairs"


def test_alpha_of_readings_uses_the_cases_that_every_reader_read_unless_every_reading_is_asked_for() -> None:
    values = np.random.default_rng(4).normal(30, 10, (12, 1)) + np.random.default_rng(5).normal(0, 3, (12, 3))
    gaps = values.copy()
    gaps[0, 1] = gaps[3, 2] = np.nan
    cases, readers = tuple(f"T{i}" for i in range(12)), ("a", "b", "c")
    with_gaps = Matrix(cases, readers, gaps)
    complete = krippendorff_alpha(with_gaps, "interval", draws=200)
    kept = np.isfinite(gaps).all(axis=1)
    alone = krippendorff_alpha(
        Matrix(tuple(np.array(cases)[kept]), readers, gaps[kept]), "interval", draws=200
    )
    assert complete.value == pytest.approx(alone.value)
    assert (complete.variant, complete.n, complete.excluded) == ("interval", 10, 2)
    every = krippendorff_alpha(with_gaps, "interval", draws=200, every_reading=True)
    assert (every.variant, every.n, every.excluded) == ("interval, every reading", 12, 0)
    package = krippendorff.alpha(reliability_data=gaps.T, level_of_measurement="interval")
    assert every.value == pytest.approx(package)
