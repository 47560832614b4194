"""The algorithm against the panel: values by hand, identities, edges, targets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ki67.errors import DataError
from ki67.stats.algorithm_images import algorithm_image_coefficient, algorithm_image_sd
from ki67.stats.bland_altman import ba_loa
from ki67.stats.concordance import lin_ccc
from ki67.stats.forms import AlgorithmAndReaders, Pairs
from ki67.stats.interchange import STATISTICS, against_margin, interchange, interchangeability
from ki67.stats.panel import in_points, panel_bias, panel_ccc, panel_loa
from ki67.stats.panel_table import PanelTable, tabulate
from ki67.stats.single_reader import reader_reader_loa, single_reader_bias, single_reader_loa
from ki67.stats.two_way import mean_squares
from tests.golden.__main__ import check

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


def long(algorithm, readings) -> AlgorithmAndReaders:
    """A table of the algorithm (n,) and readers (n, k) in long form; NaN stays a missing reading."""
    cells = np.column_stack([np.asarray(algorithm, float), np.asarray(readings, float)])
    names = ("algorithm", *(f"R{j}" for j in range(1, cells.shape[1])))
    rows = [
        (f"T{i}", name, value) for i, row in enumerate(cells) for name, value in zip(names, row, strict=True)
    ]
    cases, readers, values = zip(*rows, strict=True)
    return AlgorithmAndReaders(cases, readers, np.array(values))


BY_HAND = long([10, 20], [[12, 8], [20, 26]])


def simulated(n: int = 20, k: int = 5, seed: int = 1) -> AlgorithmAndReaders:
    """Log-normal readings: ln SDs case 1.2, reader 0.35, residual 0.45."""
    rng = np.random.default_rng(seed)
    case = 1.2 * rng.normal(size=n) + np.log(15)
    readings = case[:, None] + 0.35 * rng.normal(size=k) + 0.45 * rng.normal(size=(n, k))
    return long(np.exp(case + 0.45 * rng.normal(size=n)), np.exp(readings))


@pytest.mark.parametrize(
    ("statistic", "value"),
    [
        ("interch_msd_ai", 11.0),  # (4 + 4 + 0 + 36)/4
        ("interch_msd_rr", 26.0),  # (16 + 36)/2
        ("interch_mad_ai", 2.5),
        ("interch_mad_rr", 5.0),
        ("interch_iei", -15.0),
        ("interch_mad_diff", -2.5),
        ("interch_rms_ratio", np.sqrt(11 / 26)),
    ],
)
def test_interchangeability_by_hand(statistic, value):
    assert interchange(BY_HAND, statistic=statistic, variant="jackknife").value == pytest.approx(value)


def test_the_jackknife_of_a_mean_is_the_t_interval_over_cases():
    data = simulated()
    table = tabulate(data)
    per_case = (table.differences**2).mean(axis=1)
    found = interchange(data, statistic="interch_msd_ai", variant="jackknife")
    assert (found.ci_low, found.ci_high) == pytest.approx(
        stats.t.interval(0.95, 19, per_case.mean(), stats.sem(per_case))
    )


def test_every_variant_gives_the_same_value_and_names_its_target():
    data = simulated()
    found = [
        interchange(data, statistic="interch_iei", variant=variant, transform="ln")
        for variant in ("jackknife", "two-way GPQ", "two-way jackknife", "two-way bootstrap")
    ]
    assert [one.value for one in found] == pytest.approx([found[0].value] * 4)
    assert [one.target for one in found] == ["these readers", *["reader population"] * 3]
    assert [one.seed for one in found] == [None, 0, None, 0]
    for one in found[1:]:
        assert one.ci_low < one.value < one.ci_high


def test_missing_readings_leave_the_others_in_place():
    data = long([10, 20, 30], [[12, 8], [20, np.nan], [np.nan, np.nan]])
    found = {one.statistic: one for one in interchangeability(data, variant="jackknife")}
    assert found["interch_msd_ai"].value == pytest.approx((4 + 4 + 0) / 3)
    assert found["interch_msd_rr"].value == pytest.approx(16.0)
    assert (found["interch_iei"].n, found["interch_iei"].excluded) == (2, 1)
    complete = interchange(data, statistic="interch_iei", variant="two-way GPQ")
    assert (complete.n, complete.excluded, complete.reason) == (1, 2, "too_few")


@pytest.mark.parametrize("variant", ["jackknife", "two-way GPQ", "two-way jackknife", "two-way bootstrap"])
def test_one_reader_has_nobody_to_differ_from(variant):
    data = long([10, 20, 31], [[12], [20], [30]])
    ratio = interchange(data, statistic="interch_rms_ratio", variant=variant)
    assert (ratio.value, ratio.ci_low, ratio.reason) == (None, None, "too_few")
    own = interchange(data, statistic="interch_msd_ai", variant=variant)
    assert own.value == pytest.approx(5 / 3)
    assert (own.ci_low is None) == (variant != "jackknife")


def test_readers_who_never_differ_give_differences_and_no_ratio():
    data = long([11, 20, 31], [[10, 10], [20, 20], [30, 30]])
    found = {one.statistic: one for one in interchangeability(data, variant="two-way GPQ")}
    assert (found["interch_rms_ratio"].value, found["interch_rms_ratio"].reason) == (None, "zero_variance")
    assert found["interch_msd_rr"].value == 0
    assert found["interch_iei"].value == pytest.approx(2 / 3)


def test_everything_equal_is_zero_with_limits_of_zero():
    found = interchange(long([5, 5, 5], np.full((3, 3), 5.0)), statistic="interch_iei")
    assert (found.value, found.ci_low, found.ci_high, found.reason) == (0, 0, 0, None)


def test_undefined_data_say_why():
    twice = AlgorithmAndReaders(("A", "A", "A"), ("algorithm", "R1", "R1"), np.array([1.0, 2.0, 3.0]))
    nobody = AlgorithmAndReaders(("A", "B"), ("algorithm", "R1"), np.array([1.0, 2.0]))
    zero = long([0, 10], [[1, 2], [3, 4]])
    assert interchange(twice, statistic="interch_iei").reason == "duplicate_key"
    assert "R1" in interchange(twice, statistic="interch_iei").message
    assert single_reader_bias(nobody).reason == "no_pairs"
    assert panel_bias(nobody).reason == "no_pairs"
    assert single_reader_loa(zero, side="upper", transform="ln").reason == "nonpositive_value"
    assert single_reader_loa(zero, side="upper", transform="log2(x+0.1)").value is not None
    with pytest.raises(DataError, match="cube"):
        panel_bias(zero, transform="cube")


def test_an_algorithm_of_another_name_is_no_reader():
    data = simulated()
    renamed = tuple("net" if name == "algorithm" else name for name in data.readers)
    same = AlgorithmAndReaders(data.cases, renamed, data.values, algorithm="net")
    assert tabulate(same).readers == ("R1", "R2", "R3", "R4", "R5")
    assert (
        interchange(same, statistic="interch_iei").value == interchange(data, statistic="interch_iei").value
    )


def test_pictures_of_one_patient_count_once():
    data = simulated(n=12)
    again = AlgorithmAndReaders(
        data.cases + tuple(f"{case}b" for case in data.cases),
        data.readers * 2,
        np.concatenate([data.values, data.values]),
    )
    patients = {case: case.rstrip("b") for case in again.cases}
    once = interchange(data, statistic="interch_mad_diff", variant="jackknife")
    grouped = interchange(again, statistic="interch_mad_diff", variant="jackknife", patients=patients)
    apart = interchange(again, statistic="interch_mad_diff", variant="jackknife")
    assert (grouped.ci_low, grouped.ci_high) == pytest.approx((once.ci_low, once.ci_high))
    assert apart.ci_high - apart.ci_low < 0.75 * (once.ci_high - once.ci_low)


def test_a_verdict_needs_a_margin():
    found = interchange(simulated(), statistic="interch_iei", transform="ln")
    assert against_margin(found, None).word is None
    assert "no verdict" in against_margin(found, None).sentence
    assert against_margin(found, found.ci_high + 1).word == "within the margin"
    assert against_margin(found, found.ci_low - 1).word == "beyond the margin"
    assert against_margin(found, found.value).word == "undecided"
    assert against_margin(interchange(long([1], [[1]]), statistic="interch_iei"), 0.1).word is None


def test_the_bias_has_the_mean_difference_and_a_wider_interval_than_the_cases_alone():
    data = simulated()
    mean = float(tabulate(data, transform="ln").differences.mean())
    carries = ("two-way Satterthwaite", "two-way GPQ", "two-way jackknife", "two-way bootstrap")
    variants = (*carries, "cases only")
    found = {name: single_reader_bias(data, variant=name, transform="ln") for name in variants}
    assert [one.value for one in found.values()] == pytest.approx([mean] * 5)
    width = {name: one.ci_high - one.ci_low for name, one in found.items()}
    assert all(width[name] > 1.2 * width["cases only"] for name in carries)
    assert found["cases only"].target == "these readers"
    assert found["two-way Satterthwaite"].target == "reader population"


def test_limits_of_one_reader_have_the_components_of_the_two_way_analysis():
    data = simulated()
    squares = mean_squares(tabulate(data, transform="ln").differences)
    spread = stats.norm.ppf(0.975) * np.sqrt(squares.single_variance)
    for variant in ("two-way GPQ", "two-way MOVER"):
        upper = single_reader_loa(data, side="upper", variant=variant, transform="ln")
        lower = single_reader_loa(data, side="lower", variant=variant, transform="ln")
        assert (lower.value, upper.value) == pytest.approx((squares.mean - spread, squares.mean + spread))
        assert upper.ci_low < upper.value < upper.ci_high
        assert lower.ci_low < lower.value < lower.ci_high


def test_limits_between_two_readers_are_symmetric_and_need_no_bias():
    data = simulated()
    for variant in ("two-way GPQ", "two-way MOVER", "two-way bootstrap"):
        upper = reader_reader_loa(data, side="upper", variant=variant)
        lower = reader_reader_loa(data, side="lower", variant=variant)
        assert (lower.value, lower.ci_low, lower.ci_high) == pytest.approx(
            (-upper.value, -upper.ci_high, -upper.ci_low)
        )
        assert upper.value == pytest.approx(
            stats.norm.ppf(0.975) * np.sqrt(interchange(data, statistic="interch_msd_rr").value)
        )


def test_one_reader_gives_a_bias_without_population_limits_and_no_limits_of_agreement():
    data = long([10, 20, 31], [[12], [20], [30]])
    bias = single_reader_bias(data)
    assert (bias.value, bias.ci_low, bias.reason) == (pytest.approx(-1 / 3), None, "too_few")
    assert single_reader_bias(data, variant="cases only").ci_low is not None
    assert single_reader_loa(data, side="upper").reason == "too_few"


def test_the_panel_is_the_median_and_its_intervals_are_those_over_cases():
    data = simulated()
    table = tabulate(data)
    pairs = Pairs(table.cases, np.median(table.readings, axis=1), table.algorithm)
    upper = panel_loa(data, side="upper")
    wanted = ba_loa(pairs, side="upper", variant="exact individual")
    assert (upper.value, upper.ci_low, upper.ci_high) == (wanted.value, wanted.ci_low, wanted.ci_high)
    assert panel_ccc(data).value == lin_ccc(pairs).value
    mean = panel_bias(data, reference="mean")
    assert mean.value == pytest.approx(float(table.differences.mean()))
    assert {upper.target, mean.target} == {"these readers"}
    assert (mean.params["reference"], mean.readers) == ("mean", ("panel", "algorithm"))
    with pytest.raises(DataError, match="median or mean"):
        panel_bias(data, reference="best")


def test_a_doubling_around_20_percent_is_13_points():
    data = long([20, 40], [[10, 10], [20, 20]])
    bias = single_reader_bias(data, transform="ln")
    assert bias.value == pytest.approx(np.log(2))
    points = in_points(bias, index_percent=20)
    assert points.value == pytest.approx(40 / 3)  # 26.67 against 13.33: mean 20, ratio 2
    upper = in_points(reader_reader_loa(simulated(), side="upper", transform="log2(x+0.1)"), index_percent=20)
    lower = in_points(reader_reader_loa(simulated(), side="lower", transform="log2(x+0.1)"), index_percent=20)
    assert upper.value == pytest.approx(-lower.value)
    raw = single_reader_bias(data)
    assert in_points(raw, index_percent=20) == raw
    with pytest.raises(DataError, match="120"):
        in_points(bias, index_percent=120)


def test_replicate_images_give_the_algorithm_its_own_spread_and_nothing_else_does():
    for images in (None, np.array([[1.0], [2.0]]), np.array([[1.0, np.nan], [np.nan, 2.0]])):
        found = algorithm_image_sd(images)
        assert (found.value, found.reason) == (None, "not_measured")
    images = np.array([[10.0, 12.0], [20.0, 20.0], [30.0, np.nan], [40.0, 44.0]])
    found = algorithm_image_sd(images, label="scanner")
    assert found.value == pytest.approx(np.sqrt((2 + 0 + 8) / 3))
    assert found.ci_low == pytest.approx(np.sqrt(10 / stats.chi2.ppf(0.975, 3)))
    assert (found.n, found.excluded) == (3, 1)
    assert algorithm_image_coefficient(images).value == pytest.approx(1.959964 * np.sqrt(2) * found.value)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs ../shared (not part of the project)")
def test_every_golden_row_of_the_form_holds():
    rows = json.loads((GOLDEN / "expected.json").read_text(encoding="utf8"))["rows"]
    ours = [row for row in rows if row["form"] == "algorithm_and_readers"]
    assert len(ours) >= 7
    assert all((row["form"], row["statistic"], row["variant"]) in STATISTICS for row in ours)
    assert [line for line in (check(row, GOLDEN) for row in ours) if line] == []


@pytest.mark.parametrize("readers", [2, 5, 6])
def test_the_panel_without_a_reader_is_the_median_of_the_others(readers: int) -> None:
    rng = np.random.default_rng(readers)
    readings = np.round(rng.uniform(0, 20, (40, readers)))  # many ties
    full = PanelTable(
        tuple(f"T{case}" for case in range(40)),
        tuple(f"O{reader}" for reader in range(readers)),
        readings[:, 0],
        readings,
        np.arange(40),
    )
    gaps = readings.copy()
    gaps[3, 1] = gaps[7, 0] = np.nan
    for table in (full, replace(full, readings=gaps, computed={})):
        for reader in range(readers):
            others = np.delete(table.readings, reader, axis=1)
            read = [row[np.isfinite(row)] for row in others]
            expected = np.array([np.median(row) if row.size else np.nan for row in read])
            assert np.array_equal(table.panel_without(reader, "median"), expected, equal_nan=True)
            assert table.panel_without(reader, "mean")[0] == pytest.approx(others[0].mean())
