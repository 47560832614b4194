"""ICCs and mean squares: the paper's table, other formulas, and what happens at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from ki67.stats.anova import anova_ms, mean_squares
from ki67.stats.forms import Pairs, Ratings
from ki67.stats.icc import ICC_NAMES, STATISTICS, every_icc, icc
from ki67.stats.icc_missing import icc_every_reading
from ki67.stats.undefined import Undefined
from tests.readings_tables import SHROUT_FLEISS, long, matrix, simulated, thinned


def test_the_six_iccs_of_shrout_and_fleiss_are_those_of_the_paper() -> None:
    paper = {"ICC(1,1)": 0.17, "ICC(2,1)": 0.29, "ICC(3,1)": 0.71}
    paper |= {"ICC(1,k)": 0.44, "ICC(2,k)": 0.62, "ICC(3,k)": 0.91}
    found = {one.statistic: one.value for one in every_icc(matrix(SHROUT_FLEISS))}
    assert found == pytest.approx(paper, abs=0.005)


def test_mean_squares_of_shrout_and_fleiss_are_those_of_the_paper() -> None:
    paper = {"MSR": 11.24, "MSW": 6.26, "MSC": 32.49, "MSE": 1.02}
    found = {which: anova_ms(matrix(SHROUT_FLEISS), which=which).value for which in paper}
    assert found == pytest.approx(paper, abs=0.005)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("ICC(1,1)", -0.132932324874751, 0.722560062328121),
        ("ICC(2,1)", 0.018786513374712, 0.761084369648953),
        ("ICC(3,1)", 0.342464765033925, 0.94585825995536),
        ("ICC(1,k)", -0.884442155238119, 0.912415420340776),
        ("ICC(2,k)", 0.0711368153025035, 0.927232040167722),
        ("ICC(3,k)", 0.675674713816305, 0.985891678169062),
    ],
)
def test_limits_of_shrout_and_fleiss_are_those_of_r_psych(name: str, low: float, high: float) -> None:
    found = STATISTICS["ratings", name, "F"](long(SHROUT_FLEISS), {"alpha": 0.05})
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-9)


def test_the_target_says_for_whom_an_icc_speaks() -> None:
    targets = {one.statistic: one.target for one in every_icc(matrix(SHROUT_FLEISS))}
    assert targets["ICC(2,1)"] == "reader population"
    assert targets["ICC(3,1)"] == "these readers"


def test_two_methods_are_two_readers_and_change_places_freely() -> None:
    x, y = SHROUT_FLEISS[:, 0], SHROUT_FLEISS[:, 3]
    cases = tuple("abcdef")
    there, back = icc(Pairs(cases, x, y), "ICC(2,1)"), icc(Pairs(cases, y, x), "ICC(2,1)")
    assert there.form == "pairs"
    assert there.value == pytest.approx(icc(matrix(SHROUT_FLEISS[:, [0, 3]]), "ICC(2,1)").value)
    assert (there.value, there.ci_low) == pytest.approx((back.value, back.ci_low))


def test_a_stack_of_tables_has_the_mean_squares_of_each() -> None:
    stack = np.stack([SHROUT_FLEISS, SHROUT_FLEISS**2])
    together = mean_squares(stack)
    assert together.error[1] == pytest.approx(float(mean_squares(SHROUT_FLEISS**2).error))
    assert together.within[0] == pytest.approx(float(mean_squares(SHROUT_FLEISS).within))


def test_logarithms_are_taken_with_their_offset_and_named() -> None:
    values = np.array([[0.0, 1.0], [3.0, 5.0], [20.0, 30.0], [70.0, 64.0]])
    found = icc(matrix(values), "ICC(2,1)", transform="log2(x+0.1)")
    by_hand = icc(matrix(np.log2(values + 0.1)), "ICC(2,1)")
    assert found.value == by_hand.value
    assert found.variant == "F, log2(x+0.1)"
    assert found.params["transform"] == "log2(x+0.1)"


def test_a_logarithm_of_nothing_is_undefined() -> None:
    found = icc(matrix(np.array([[-1.0, 2.0], [3.0, 4.0]])), "ICC(2,1)", transform="log2(x+1)")
    assert (found.value, found.reason) == (None, "nonpositive_value")


@pytest.mark.parametrize("name", ICC_NAMES)
def test_constant_readings_are_undefined_not_one(name: str) -> None:
    found = icc(matrix(np.full((6, 3), 0.1)), name)  # type: ignore[arg-type]
    assert (found.value, found.ci_low, found.ci_high, found.reason) == (None, None, None, "zero_variance")


@pytest.mark.parametrize("name", ICC_NAMES)
def test_varying_readings_in_perfect_agreement_have_an_icc_of_one(name: str) -> None:
    values = np.repeat(np.array([[0.1], [7.3], [30.7], [11.0]]), 3, axis=1)
    found = icc(matrix(values), name)  # type: ignore[arg-type]
    assert (found.value, found.ci_low, found.ci_high) == (1, 1, 1)
    every = icc_every_reading(matrix(values), name)  # type: ignore[arg-type]
    assert (every.value, every.ci_low, every.ci_high) == (1, 1, 1)


def test_readers_a_constant_apart_are_consistent_but_do_not_agree() -> None:
    values = np.array([10.0, 20, 30, 50])[:, None] + np.array([0.0, 5, 9])
    assert icc(matrix(values), "ICC(3,1)").value == 1
    found = icc(matrix(values), "ICC(2,1)")
    assert found.value is not None
    assert found.ci_low is not None
    assert 0 < found.ci_low < found.value < 1


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([[1.0, np.nan], [np.nan, 2.0]], "no_pairs"),
        ([[1.0, 2.0]], "too_few"),
        ([[1.0], [2.0], [3.0]], "too_few"),
    ],
)
def test_too_little_to_compare_says_why(rows: list[list[float]], reason: str) -> None:
    found = icc(long(np.array(rows)), "ICC(2,1)")
    assert (found.value, found.reason) == (None, reason)
    assert found.message


def test_a_cell_read_twice_is_an_error_that_names_the_rows() -> None:
    twice = Ratings(("T1", "T1", "T2"), ("R1", "R1", "R1"), np.array([1.0, 2.0, 3.0]))
    found = icc(twice, "ICC(2,1)")
    assert found.reason == "duplicate_key"
    assert "Rows 1 and 2" in found.message


def test_incomplete_cases_are_left_out_and_counted() -> None:
    values = SHROUT_FLEISS.copy()
    values[2, 1] = np.nan
    found = icc(long(values), "ICC(2,1)")
    assert (found.n, found.excluded) == (5, 1)
    assert found.value == icc(matrix(np.delete(SHROUT_FLEISS, 2, axis=0)), "ICC(2,1)").value


@pytest.mark.parametrize("name", ICC_NAMES)
def test_the_icc_by_reml_is_the_plain_one_on_complete_readings(name: str) -> None:
    values = simulated((15, 6, 1, 1), seed=2, case=2.0, reader=1.0, replicate=1.0)[:, :, 0, 0]
    plain, by_reml = icc(matrix(values), name), icc_every_reading(matrix(values), name)  # type: ignore[arg-type]
    assert by_reml.value == pytest.approx(plain.value, abs=1e-6)
    assert by_reml.ci_low == pytest.approx(plain.ci_low, abs=0.06)
    assert by_reml.ci_high == pytest.approx(plain.ci_high, abs=0.06)


def test_the_icc_by_reml_uses_every_case_where_no_case_is_complete() -> None:
    values = simulated((60, 12, 1, 1), seed=4, case=2.0, reader=0.7, replicate=1.0)[:, :, 0, 0]
    thin = thinned(values, 0.4, seed=5)
    found = icc_every_reading(long(thin), "ICC(2,1)")
    assert icc(long(thin), "ICC(2,1)").reason == "no_pairs"
    assert (found.n, found.excluded) == (60, 0)
    assert found.value == pytest.approx(icc(matrix(values), "ICC(2,1)").value, abs=0.05)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < 4 / 5.49 < found.ci_high


def test_an_icc_below_zero_is_zero_by_reml_with_a_lower_limit_of_zero() -> None:
    values = np.array([[1.0, 9.0, 5.0], [9.0, 1.0, 5.0], [5.0, 5.0, 5.5], [2.0, 8.0, 5.0]])
    plain, by_reml = icc(matrix(values), "ICC(3,1)"), icc_every_reading(matrix(values), "ICC(3,1)")
    assert plain.value is not None
    assert plain.value < 0
    assert (by_reml.value, by_reml.ci_low) == (0, 0)
    assert by_reml.ci_high is not None
    assert 0 < by_reml.ci_high < 1


def test_mean_squares_of_one_case_do_not_exist() -> None:
    with pytest.raises(Undefined):
        mean_squares(np.array([[1.0, 2.0]]))
