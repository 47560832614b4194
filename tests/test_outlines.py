"""GeoJSON outlines: origin, classes, clear errors; rasterizing, Dice, and borders as polygons."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, box

from ki67.errors import OutlineError
from ki67.pipeline.outlines import (
    check_outline_meets,
    contains,
    dice,
    geojson_geometry,
    mask_polygons,
    parse_outline,
    rasterize,
    read_outline,
)
from ki67.types import GridMap

SQUARE = [[10, 20], [110, 20], [110, 70], [10, 70], [10, 20]]


def feature(rings, name="Tumor", kind="Polygon"):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": rings},
        "properties": {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}},
    }


def parsed(*features, name="a.geojson"):
    return parse_outline(
        json.dumps({"type": "FeatureCollection", "features": list(features)}).encode(), name=name
    )


def grid(rows, cols, px_per_cell=1.0, **origin):
    return GridMap(np.zeros((rows, cols), np.uint8), px_per_cell, **origin)


def test_the_corner_origin_of_qupath_becomes_the_pixel_centre():
    assert parsed(feature([SQUARE])).tumor.bounds == (9.5, 19.5, 109.5, 69.5)


def test_reading_and_writing_give_the_same_coordinates_back():
    written = geojson_geometry(parsed(feature([SQUARE])).tumor.geoms[0])
    assert shapely.geometry.shape(written).equals(shapely.Polygon(SQUARE))


def test_exclusions_and_other_classes_are_told_apart():
    outline = parsed(
        feature([SQUARE]),
        feature([[[20, 30], [40, 30], [40, 40], [20, 30]]], name="exclude"),
        feature([[[0, 0], [500, 0], [500, 500], [0, 0]]], name="Stroma"),
    )
    assert outline.tumor.area == pytest.approx(5000)
    assert outline.exclude.area == pytest.approx(100)


def test_multipolygons_holes_lists_and_single_features_are_read():
    holed = [SQUARE, [[20, 30], [20, 40], [30, 40], [30, 30], [20, 30]]]
    assert parsed(feature(holed)).tumor.area == pytest.approx(4900)
    assert parsed(
        feature([[SQUARE], [[[200, 0], [210, 0], [210, 10], [200, 0]]]], kind="MultiPolygon")
    ).tumor.area == (pytest.approx(5050))
    assert parse_outline(json.dumps([feature([SQUARE])]).encode(), name="x").tumor.area == pytest.approx(5000)
    assert parse_outline(json.dumps(feature([SQUARE])).encode(), name="x").tumor.area == pytest.approx(5000)


def test_a_polygon_that_crosses_itself_is_repaired():
    bow_tie = [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]
    assert parsed(feature(bow_tie)).tumor.area == pytest.approx(50)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not GeoJSON"),
        (b"\xff\xd8\xff", "is not GeoJSON"),
        (b"{}", "not GeoJSON features"),
        (b"[1, 2]", "not GeoJSON features"),
        (json.dumps({"type": "FeatureCollection", "features": []}).encode(), "has no polygon classed Tumor"),
        (json.dumps(feature([SQUARE], name="Stroma")).encode(), "has no polygon classed Tumor"),
        (json.dumps(feature([10, 20], kind="Point")).encode(), "not an area but Point"),
        (
            json.dumps(
                {"type": "Feature", "geometry": None, "properties": {"classification": "Tumor"}}
            ).encode(),
            "without geometry",
        ),
        (json.dumps(feature([[[1, 2], [3]]])).encode(), "broken coordinates"),
        (json.dumps(feature([[[1, 2], ["a", 3], [1, 1]]])).encode(), "broken coordinates"),
        (json.dumps(feature(None)).encode(), "broken coordinates"),
        (
            b'{"type": "Feature", "geometry": {"type": "Polygon", '
            b'"coordinates": [[[0,0],[1,NaN],[1,1],[0,0]]]},'
            b' "properties": {"classification": {"name": "Tumor"}}}',
            "broken coordinates",
        ),
        (json.dumps(feature([[[1, 1], [1, 1], [1, 1], [1, 1]]])).encode(), "has no polygon classed Tumor"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_fault_and_remedy(content, words):
    with pytest.raises(OutlineError, match=words) as caught:
        parse_outline(content, name="case 7.geojson")
    assert str(caught.value).startswith("case 7.geojson ")
    assert ": " in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OutlineError, match=r"^gone\.geojson cannot be read"):
        read_outline(tmp_path / "gone.geojson")


def test_an_outline_of_another_picture_is_refused():
    outline = parsed(feature([SQUARE]))
    check_outline_meets(outline, width_px=100, height_px=100, name="x")
    with pytest.raises(OutlineError, match="wholly outside the picture"):
        check_outline_meets(outline, width_px=5, height_px=5, name="x")


def test_rasterizing_takes_the_cells_whose_centres_are_inside():
    shape = MultiPolygon([box(1.5, 0.5, 4.5, 2.5)])
    mask = rasterize(shape, grid(5, 8))
    expected = np.zeros((5, 8), bool)
    expected[1:3, 2:5] = True
    assert np.array_equal(mask, expected)
    # cells of 2 px, their origin 1 px further right: centres at x = 1.5, 3.5, … and y = 0.5, 2.5, …
    coarse = rasterize(shape, grid(3, 4, 2.0, origin_x_px=1.0))
    assert coarse.tolist() == [[True, True, False, False], [False] * 4, [False] * 4]


def test_rasterizing_agrees_with_exact_containment_on_a_ragged_shape():
    rng = np.random.default_rng(0)
    shape = shapely.union_all([Point(*rng.random(2) * 90).buffer(rng.random() * 20 + 3) for _ in range(12)])
    shape = MultiPolygon([shape] if shape.geom_type == "Polygon" else list(shape.geoms))
    y, x = np.mgrid[0:100, 0:100]
    exact = contains(shape, x.ravel().astype(np.float32), y.ravel().astype(np.float32)).reshape(100, 100)
    assert np.count_nonzero(rasterize(shape, grid(100, 100)) != exact) <= 2


def test_dice_of_known_shapes():
    cells = grid(100, 100)
    left = rasterize(MultiPolygon([box(-0.5, -0.5, 49.5, 99.5)]), cells)
    middle = rasterize(MultiPolygon([box(24.5, -0.5, 74.5, 99.5)]), cells)
    assert dice(left, middle) == pytest.approx(0.5)
    assert dice(left, left) == 1.0
    assert dice(left, ~left) == 0.0
    assert dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) is None


def test_the_border_of_a_block_of_cells_runs_along_their_outer_sides():
    values = np.zeros((20, 20), np.uint8)
    values[5:10, 4:12] = 255
    polygons = mask_polygons(GridMap(values, 4.0))
    assert polygons.bounds == pytest.approx((15.5, 19.5, 47.5, 39.5))
    assert polygons.area == pytest.approx(8 * 5 * 16)


def test_single_cells_lines_holes_and_islands_in_holes_keep_their_area():
    values = np.zeros((30, 30), np.uint8)
    values[2, 2] = 255
    values[5, 5:10] = 255
    values[12:26, 12:26] = 255
    values[15:22, 15:22] = 0
    values[18, 18] = 255
    polygons = mask_polygons(GridMap(values, 2.0, origin_x_px=10.0))
    assert polygons.is_valid
    assert len(polygons.geoms) == 4
    assert polygons.area == pytest.approx(np.count_nonzero(values) * 4, rel=0.02)
    assert mask_polygons(GridMap(np.zeros((5, 5), np.uint8), 1.0)).is_empty


def test_the_border_of_a_round_tumor_has_its_area_and_rasterizes_back():
    y, x = np.mgrid[0:200, 0:200]
    values = np.where(np.hypot(x - 100, y - 100) < 70, 255, 0).astype(np.uint8)
    polygons = mask_polygons(GridMap(values, 4.0))
    assert polygons.area == pytest.approx(np.count_nonzero(values) * 16, rel=0.01)
    back = rasterize(polygons, GridMap(values, 4.0))
    assert dice(back, values > 0) > 0.99
