"""IKWG scores from counts per field, by hand and against the working group's own."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from ki67.errors import DataError
from ki67.stats.ikwg import AREA_LEVELS, FieldCount, ikwg_scores

PHASE_3 = Path(__file__).resolve().parents[2] / "shared" / "data" / "ikwg_phase3"


def test_scores_follow_from_the_counts() -> None:
    fields = (
        FieldCount("high", 40, 100),
        FieldCount("high", 30, 100),
        FieldCount("low", 5, 100),
        FieldCount("negative", 0, 110),
        FieldCount("hot-spot", 300, 500),
    )
    found = ikwg_scores(fields, {"high": 20, "medium": 0, "low": 50, "negligible": 30})
    assert found.unweighted_global == pytest.approx(75 / 410)
    assert found.weighted_global == pytest.approx(0.2 * 0.35 + 0.5 * 0.05)
    assert found.hot_spot == pytest.approx(0.6)
    assert (found.nuclei, found.hot_spot_nuclei, found.notes) == (410, 500, ())


def test_a_level_with_area_but_no_field_is_left_out_with_a_note() -> None:
    fields = (FieldCount("high", 40, 100), FieldCount("low", 5, 100))
    found = ikwg_scores(fields, {"high": 20, "medium": 20, "low": 60})
    assert found.weighted_global == pytest.approx((20 * 0.4 + 60 * 0.05) / 80)
    assert found.notes == ("20 % of the area is medium, but no field was counted there: left out.",)


def test_areas_short_of_the_whole_leave_the_rest_without_staining() -> None:
    found = ikwg_scores((FieldCount("high", 40, 100),), {"high": 90})
    assert found.weighted_global == pytest.approx(0.36)
    assert found.notes == ("The areas add up to 90 %: the rest counts as 0 % positive.",)


def test_nothing_counted_is_no_score_never_zero() -> None:
    found = ikwg_scores((), {"high": 100})
    assert (found.unweighted_global, found.weighted_global, found.hot_spot) == (None, None, None)
    only_hot = ikwg_scores((FieldCount("hot-spot", 10, 500),), {})
    assert (only_hot.unweighted_global, only_hot.hot_spot) == (None, pytest.approx(0.02))


def test_a_field_at_a_level_without_area_has_no_weight_and_a_note() -> None:
    fields = (FieldCount("high", 40, 100), FieldCount("low", 5, 100))
    found = ikwg_scores(fields, {"high": 100, "low": 0})
    assert found.weighted_global == pytest.approx(0.4)
    assert found.notes == ("A field is low, but the area at this level is 0 %: it has no weight.",)


@pytest.mark.parametrize(
    ("field", "areas", "sentence"),
    [
        (FieldCount("high", 101, 100), {}, "101 positive of 100"),
        (FieldCount("high", -1, 100), {}, "mend the counts"),
        (FieldCount("strong", 1, 100), {}, "'strong'"),
        (FieldCount("high", 1, 100), {"high": 130}, "130 %"),
        (FieldCount("high", 1, 100), {"top": 30}, "'top'"),
    ],
)
def test_counts_and_areas_that_cannot_be_are_refused(
    field: FieldCount, areas: dict[str, float], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        ikwg_scores((field,), areas)  # type: ignore[arg-type]


@pytest.mark.skipif(not PHASE_3.is_dir(), reason="needs ../shared (not part of the project)")
def test_scores_of_the_third_phase_are_the_working_groups_but_for_two_cases() -> None:
    fields, areas = defaultdict(list), {}
    with (PHASE_3 / "fields.csv").open(encoding="utf8") as lines:
        for row in csv.DictReader(lines):
            key = row["case"], row["reader"]
            fields[key].append(FieldCount(row["field"], int(row["positive"]), int(row["total"])))
            areas[key] = {level: float(row[f"area_percent_{level}"]) for level in AREA_LEVELS}
    different = set()
    with (PHASE_3 / "scores.csv").open(encoding="utf8") as lines:
        for row in csv.DictReader(lines):
            key = row["case"], row["reader"]
            score = getattr(ikwg_scores(fields[key], areas[key]), row["method"])
            if score is None or abs(100 * score - float(row["ki67_percent"])) > 1e-4:
                different.add(key)
    assert different == {("TB016", "A"), ("TB196", "N")}
