"""What a score writes: exactly the contract's files, keys, units and origins."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, box

from ki67.pipeline.measure import measure
from ki67.pipeline.outlines import Outline
from ki67.pipeline.outputs import write_cells_geojson, write_result
from ki67.types import Parameters, Rect
from tests.records import PlainPicture, make_record, scattered

KEYS = [
    "image", "sha256", "width_px", "height_px", "mpp", "mpp_source", "index_percent", "index_ci_low",
    "index_ci_high", "ci_wilson", "ci_bootstrap", "total_interval", "seed", "positive", "negative", "reason",
    "tumor_area_mm2", "tissue_area_mm2", "hot_spot", "qc", "models", "backend", "device", "precision",
    "parameters", "software_version", "started_at", "seconds",
]  # fmt: skip
ERRORS = {
    "scale": "arcsine",
    "laboratories": 4,
    "field_nuclei": 150,
    "levels": [{"from_percent": 0, "laboratory_sd": 0.03, "field_sd": 0.02}],
}
GREEN, RED, YELLOW = (0x2B, 0xE3, 0x8B), (0xD1, 0x00, 0x3F), (0xFF, 0xD6, 0x0A)


def write(folder, record, *, measurement=None, outline=None, picture=None):
    measurement = measurement or measure(record, outline=outline)
    picture = picture or PlainPicture(record.width_px, record.height_px)
    write_result(
        folder,
        record,
        measurement,
        picture=picture,
        image_name="case 7.png",
        sha256="c" * 64,
        outline=outline,
    )
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def hot_record(**kwargs):
    x, y = scattered(9000, width_px=3000, height_px=3000, seed=4)
    return make_record(x, y, x % 10 < 1.2, width_px=3000, height_px=3000, **kwargs)


def rows_of(folder):
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels(folder):
    return cv2.cvtColor(cv2.imread(str(folder / "overlay.png")), cv2.COLOR_BGR2RGB)


def has(rgb, color):
    return bool((rgb == color).all(axis=-1).any())


def test_the_summary_holds_the_contracts_keys_in_percent(tmp_path):
    record = hot_record()
    measurement = measure(record, error_model=ERRORS)
    summary = write(tmp_path / "x", record, measurement=measurement)
    assert [key for key in summary if key not in ("notice",)] == KEYS
    assert summary["image"] == "case 7.png"
    assert summary["index_percent"] == pytest.approx(100 * measurement.positive / 9000)
    assert 11 < summary["index_percent"] < 14
    assert summary["index_ci_low"] == min(summary["ci_wilson"][0], summary["ci_bootstrap"][0])
    assert summary["index_ci_high"] == max(summary["ci_wilson"][1], summary["ci_bootstrap"][1])
    assert summary["total_interval"][0] < summary["index_ci_low"]
    assert summary["positive"] + summary["negative"] == 9000
    assert summary["reason"] is None
    assert summary["models"]["tumor"] == {"name": "tumor-net", "version": "1.0", "sha256": "a" * 64}
    assert summary["started_at"] == "2026-11-24T09:12:00+00:00"
    assert set(summary["seconds"]) == {"read", "tumor", "cells", "post", "total"}
    assert list(summary["hot_spot"]) == [
        "x_px", "y_px", "radius_um", "area_mm2", "positive", "negative", "index_percent", "ci_low", "ci_high",
        "total_interval", "expected_maximum_percent",
    ]  # fmt: skip
    assert 12 < summary["hot_spot"]["expected_maximum_percent"] < 20


def test_not_assessable_is_null_with_a_reason_and_never_zero(tmp_path):
    summary = write(tmp_path / "x", make_record([], [], []))
    for key in (
        "index_percent",
        "index_ci_low",
        "index_ci_high",
        "ci_wilson",
        "ci_bootstrap",
        "total_interval",
        "hot_spot",
    ):
        assert summary[key] is None
    assert summary["reason"] == "no tumor nuclei found"
    assert summary["total_interval_reason"] == "no tumor nuclei found"
    assert "fewer than 500" in summary["hot_spot_reason"]
    assert rows_of(tmp_path / "x") == []
    assert json.loads((tmp_path / "x" / "cells.geojson").read_text())["features"] == []


def test_percentages_carry_no_dust_of_binary_fractions(tmp_path):
    x, y = scattered(50, width_px=1000, height_px=1000, seed=0)
    summary = write(tmp_path / "x", make_record(x, y, np.arange(50) < 7))
    assert summary["index_percent"] == 14.0
    assert summary["qc"][0]["code"] == "fewer_than_500"
    assert set(summary["qc"][0]) == {"code", "message"}


def test_the_cells_table_has_a_row_for_every_nucleus_found(tmp_path):
    tumor = np.zeros((250, 250), np.uint8)
    tumor[:, :125] = 255
    record = make_record(
        [10.25, 20, 600, 30], [11.5, 21, 41, 31], [1, 0, 1, 1], tumor=tumor, score=[0.9, 0.8, 0.7, 0.2]
    )
    write(tmp_path / "x", record)
    assert (tmp_path / "x" / "cells.csv").read_text().splitlines()[
        0
    ] == "x_px,y_px,label,score,in_tumor,nucleus"
    assert (tmp_path / "x" / "cells.csv").read_text().splitlines()[1:] == [
        "10.25,11.50,positive,0.9000,1,0",
        "20.00,21.00,negative,0.8000,1,1",
        "600.00,41.00,positive,0.7000,0,2",
    ]


def test_without_the_mask_every_row_is_in_tumor_and_no_tumor_model_is_named(tmp_path):
    parameters = Parameters(use_tumor_mask=False, roi=Rect(0, 0, 500, 500))
    record = make_record([10, 20, 600], [11, 21, 41], [1, 0, 1], parameters=parameters)
    summary = write(tmp_path / "x", record)
    assert [row["in_tumor"] for row in rows_of(tmp_path / "x")] == ["1", "1"]
    assert summary["models"]["tumor"] is None
    assert summary["parameters"]["roi"] == {"x": 0, "y": 0, "width": 500, "height": 500}
    assert json.loads((tmp_path / "x" / "tumor.geojson").read_text())["features"] == []


def test_qupath_gets_points_of_counted_nuclei_from_the_corner_with_classes(tmp_path):
    tumor = np.zeros((250, 250), np.uint8)
    tumor[:, :125] = 255
    write(tmp_path / "x", make_record([10.25, 20, 600], [11.5, 21, 41], [1, 0, 1], tumor=tumor))
    collection = json.loads((tmp_path / "x" / "cells.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    points = [feature["geometry"] for feature in collection["features"]]
    assert points == [
        {"type": "Point", "coordinates": [10.75, 12.0]},
        {"type": "Point", "coordinates": [20.5, 21.5]},
    ]
    properties = [feature["properties"] for feature in collection["features"]]
    assert [p["classification"]["name"] for p in properties] == ["Positive", "Negative"]
    assert properties[0]["classification"]["color"] == list(GREEN)


def test_the_tumor_border_is_written_from_the_corner_and_cut_to_the_region(tmp_path):
    tumor = np.zeros((250, 250), np.uint8)
    tumor[25:50, :125] = 255  # x -0.5 to 499.5, y 99.5 to 199.5 (centre origin)
    record = make_record([10], [110], [1], tumor=tumor)
    write(tmp_path / "x", record)
    (feature,) = json.loads((tmp_path / "x" / "tumor.geojson").read_text())["features"]
    assert shapely.geometry.shape(feature["geometry"]).equals(box(0, 100, 500, 200))
    assert feature["properties"]["classification"]["name"] == "Tumor"
    cut = replace(record, parameters=replace(record.parameters, roi=Rect(100, 0, 50, 150)))
    write(tmp_path / "x", cut)
    (feature,) = json.loads((tmp_path / "x" / "tumor.geojson").read_text())["features"]
    assert shapely.geometry.shape(feature["geometry"]).equals(box(100, 100, 150, 150))


def test_a_used_outline_becomes_the_border_without_its_exclusions(tmp_path):
    outline = Outline(
        MultiPolygon([box(99.5, 99.5, 299.5, 299.5)]), MultiPolygon([box(199.5, 99.5, 400, 299.5)])
    )
    record = make_record([150], [150], [1])
    measurement = measure(record, outline=outline, use_outline=True)
    summary = write(tmp_path / "x", record, measurement=measurement, outline=outline)
    (feature,) = json.loads((tmp_path / "x" / "tumor.geojson").read_text())["features"]
    assert shapely.geometry.shape(feature["geometry"]).equals(box(100, 100, 200, 300))
    assert summary["parameters"]["use_outline"] is True
    assert 0 < summary["outline_dice"] < 1


def test_the_overlay_marks_positive_green_negative_red_and_the_outline_yellow(tmp_path):
    tumor = np.zeros((250, 250), np.uint8)
    tumor[:, :125] = 255
    outline = Outline(MultiPolygon([box(50, 50, 700, 900)]), MultiPolygon())
    record = make_record([200, 300, 800], [200, 300, 800], [1, 0, 1], tumor=tumor)
    write(tmp_path / "x", record, outline=outline)
    rgb = pixels(tmp_path / "x")
    assert rgb.shape == (1000, 1000, 3)
    assert has(rgb[185:216, 185:216], GREEN)
    assert not has(rgb[185:216, 185:216], RED)
    assert has(rgb[285:316, 285:316], RED)
    assert not has(rgb[785:816, 785:816], GREEN)  # not counted: not drawn
    assert has(rgb[400:420, 40:60], YELLOW)
    write(tmp_path / "x", record)
    assert not has(pixels(tmp_path / "x"), YELLOW)


def test_the_heat_map_tints_the_tumor_and_leaves_what_is_below_half_bare(tmp_path):
    tumor = np.zeros((250, 250), np.uint8)
    tumor[:, 125:] = 127
    tumor[:, 188:] = 255
    write(tmp_path / "x", make_record([], [], [], tumor=tumor))
    rgb = pixels(tmp_path / "x")
    assert (rgb[100:900, 10:700] == 200).all()
    expected = np.round(200 + 0.3 * (np.array([0x00, 0x91, 0xB3]) - 200))
    assert np.abs(rgb[500, 900].astype(int) - expected).max() <= 1


def test_a_large_picture_is_drawn_at_4096_in_bounded_reads_with_small_marks(tmp_path):
    x, y = scattered(3000, width_px=16_000, height_px=12_000, seed=1)
    record = make_record(x, y, x < 8000, width_px=16_000, height_px=12_000)
    picture = PlainPicture(16_000, 12_000)
    write(tmp_path / "x", record, picture=picture)
    rgb = pixels(tmp_path / "x")
    assert rgb.shape == (3072, 4096, 3)
    assert picture.largest_read_px <= 4096 * 512
    assert has(rgb[:, :2000], GREEN)
    assert not has(rgb[:3000, :2000], RED)
    assert has(rgb[:, 2100:], RED)


def test_the_overlay_of_a_region_shows_the_region(tmp_path):
    parameters = Parameters(roi=Rect(200, 300, 250, 150))
    write(tmp_path / "x", make_record([300], [370], [1], parameters=parameters))
    rgb = pixels(tmp_path / "x")
    assert rgb.shape == (150, 250, 3)
    assert has(rgb[55:86, 85:116], GREEN)


def test_the_hot_spot_is_drawn_and_research_use_only_stands_on_the_files(tmp_path):
    record = hot_record(tumor=np.full((750, 750), 128, np.uint8))
    summary = write(tmp_path / "x", record)
    spot, rgb = summary["hot_spot"], pixels(tmp_path / "x")
    left = round(spot["x_px"] - spot["radius_um"] / 0.5)
    row = round(spot["y_px"])
    around = rgb[row - 60 : row + 60, max(left - 5, 0) : left + 40]
    assert has(around, (255, 255, 255))
    assert has(around, (0x17, 0x22, 0x2D))
    corner = rgb[-80:, -500:]
    assert has(corner, (255, 255, 255))
    assert summary["notice"] == "Research use only"
    for name in ("cells.geojson", "tumor.geojson"):
        assert json.loads((tmp_path / "x" / name).read_text())["notice"] == "Research use only"


def test_an_error_while_drawing_leaves_the_old_folder_as_it_was(tmp_path):
    write(tmp_path / "x", make_record([1], [1], [1]))
    before = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    assert sorted(before) == ["cells.csv", "cells.geojson", "overlay.png", "summary.json", "tumor.geojson"]

    class Vanishing(PlainPicture):
        def read_scaled(self, *args, **kwargs):
            raise RuntimeError("the slide folder vanished")

    with pytest.raises(RuntimeError, match="vanished"):
        write(tmp_path / "x", make_record([1, 2], [1, 2], [1, 1]), picture=Vanishing(1000, 1000))
    assert {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_hundred_thousand_nuclei_stream_into_geojson_in_seconds(tmp_path):
    x, y = scattered(100_000, width_px=20_000, height_px=20_000, seed=0)
    record = make_record(x, y, x < 4000, width_px=20_000, height_px=20_000)
    counted = np.ones(100_000, bool)
    measurement = replace(measure(make_record([], [], [])), counted=counted, found=counted)
    began = time.perf_counter()
    write_cells_geojson(tmp_path / "cells.geojson", record, measurement)
    assert time.perf_counter() - began < 5
    assert len(json.loads((tmp_path / "cells.geojson").read_text())["features"]) == 100_000
