"""Import of counts, of counts per field, and of the region that a reader drew."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ki67.study.reading_import import preview_import, store_import
from ki67.study.reading_settings import suggest_settings
from ki67.study.reading_sheet import Sheet, read_sheet
from ki67.study.readings import (
    FieldCount,
    list_readings,
)
from ki67.study.workplace import Workplace
from tests.imports import empty_study, looked_at, told  # noqa: F401
from tests.pages_store import SIDE_PX, add_result
from tests.stores import LOCAL

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ikwg_phase3"
SQUARE = {"type": "Polygon", "coordinates": [[[10, 10], [400, 10], [400, 400], [10, 400], [10, 10]]]}


@pytest.mark.usefixtures("study")
def test_counts_give_the_value_and_no_nuclei_is_not_assessable(workplace: Workplace) -> None:
    text = "case,reader,positive,total\nT1,O1,60,500\nT2,O1,0,0\nT3,O1,501,500\nT4,O1,6.5,10\n"
    preview = looked_at(workplace, text)
    assert told(preview) == [
        (4, "positive", "501 positive nuclei of"),
        (5, "positive", "“6.5” is not a"),
    ]
    first, second = preview.readings
    assert (first.value_percent, first.positive, first.negative) == (12.0, 60, 440)
    assert (second.value_percent, second.reason) == (None, "no nuclei counted")
    off = looked_at(workplace, "case,reader,value,positive,negative\nT1,O1,20,60,440\n")
    assert off.readings[0].value_percent == 20.0
    assert "differ by more than 1 point" in off.warnings[0]


@pytest.mark.usefixtures("study")
def test_counts_per_field_give_the_working_groups_scores(workplace: Workplace) -> None:
    text = (
        "case,reader,field,positive,total,area_percent_high,area_percent_medium,area_percent_low,"
        "area_percent_negligible\n"
        "T1,A,high,50,100,25,0,75,0\nT1,A,low,10,100,25,0,75,0\nT1,A,hot-spot,300,500,25,0,75,0\n"
    )
    pooled = looked_at(workplace, text)
    assert [(e.key.method, e.value_percent, e.positive, e.negative) for e in pooled.readings] == [
        ("global", 30.0, 60, 140),
        ("hot spot", 60.0, 300, 200),
    ]
    weighted = looked_at(workplace, text, weighted=True)
    assert weighted.readings[0].value_percent == pytest.approx(0.25 * 50 + 0.75 * 10)
    store_import(workplace, LOCAL, weighted)
    stored = list_readings(workplace, LOCAL, "S1")[0]
    assert stored.fields == (FieldCount(50, 50, "high", 25.0), FieldCount(10, 90, "low", 75.0))
    assert looked_at(workplace, text, weighted=True).known == 2
    wrong = looked_at(workplace, text.replace("A,low,10", "A,lowish,10"))
    assert told(wrong) == [(3, "field", "“lowish” is not a")]


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared (not part of the project)")
@pytest.mark.usefixtures("study")
def test_scores_from_the_working_groups_fields_equal_its_scores_but_for_two_cases(
    workplace: Workplace,
) -> None:
    fields = looked_at(workplace, read_sheet((SHARED / "fields.csv").read_bytes(), file_name="fields.csv"))
    assert fields.problems == ()
    found = {
        (each.key.method, each.key.case_code, each.key.reader_code): each.value_percent
        for each in fields.readings
    }
    methods = {"unweighted_global": "global", "hot_spot": "hot spot"}
    with (SHARED / "scores.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] in methods]
    off = {
        (row["case"], row["reader"])
        for row in rows
        if abs((found[methods[row["method"]], row["case"], row["reader"]] or 0) - float(row["ki67_percent"]))
        > 0.01
    }
    assert off <= {("TB016", "A"), ("TB196", "N")}
    assert len(found) == 1320


@pytest.mark.usefixtures("study")
def test_a_region_lies_on_the_picture_of_its_case(workplace: Workplace, tmp_path: Path) -> None:
    add_result(workplace, tmp_path, case_code="T1", site="breast", positive=60, negative=440)
    sheet = Sheet(
        "", ("case", "reader", "value", "region"),
        ((2, ("T1", "O1", "12", json.dumps(SQUARE))), (3, ("T1", "O2", "12", "o2.geojson"))), (),
    )  # fmt: skip
    settings = suggest_settings(sheet)
    regions = {"o2.geojson": json.dumps({"type": "Feature", "geometry": SQUARE, "properties": {}}).encode()}
    preview = preview_import(
        workplace, LOCAL, "S1", sheet=sheet, settings=replace(settings, new_cases=True), regions=regions
    )
    assert preview.problems == ()
    assert store_import(workplace, LOCAL, preview).added == 2
    first, second = list_readings(workplace, LOCAL, "S1")
    assert first.region_geojson == second.region_geojson
    assert first.picture_code is not None
    features = json.loads(first.region_geojson or "")["features"]
    assert features[0]["geometry"]["coordinates"] == SQUARE["coordinates"]


@pytest.mark.usefixtures("study")
def test_a_region_that_cannot_be_used_is_a_problem_of_its_row(workplace: Workplace, tmp_path: Path) -> None:
    add_result(workplace, tmp_path, case_code="T1", site="breast", positive=60, negative=440)
    far = {"type": "Polygon", "coordinates": [[[x + SIDE_PX * 2, y] for x, y in SQUARE["coordinates"][0]]]}
    texts = ("{", "gone.geojson", json.dumps({"type": "Point", "coordinates": [1, 1]}), json.dumps(far))
    rows = tuple(
        (at, (f"T{1 if at < 6 else 2}", f"O{at}", "12", text))
        for at, text in enumerate((*texts, json.dumps(SQUARE)), 2)
    )
    preview = looked_at(workplace, Sheet("", ("case", "reader", "value", "region"), rows, ()))
    sentences = {each.row: each.sentence for each in preview.problems}
    assert {each.column for each in preview.problems} == {"region"}
    assert "not GeoJSON" in sentences[2]
    assert "not among the GeoJSON files" in sentences[3]
    assert "not GeoJSON areas" in sentences[4]
    assert "wholly outside the picture" in sentences[5]
    assert "needs its picture" in sentences[6]
