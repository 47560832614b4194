"""The counting rule: tumor, region, threshold, half-open edges, outlines, exclusions; flags and reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from ki67.pipeline.measure import measure
from ki67.pipeline.outlines import Outline
from ki67.pipeline.regions import area_mm2, probability_mask, region_of
from ki67.types import GridMap, Parameters, Rect
from tests.records import make_record, scattered


def outline_of(tumor, exclude=None):
    return Outline(MultiPolygon([tumor]), MultiPolygon([exclude] if exclude else []))


def codes(measurement):
    return [flag.code for flag in measurement.flags]


def test_only_nuclei_in_the_tumor_with_enough_score_count():
    tumor = np.zeros((250, 250), np.uint8)
    tumor[:, :125] = 255
    record = make_record(
        [10, 20, 30, 600, 40],
        [10, 20, 30, 40, 50],
        [1, 0, 1, 1, 0],
        tumor=tumor,
        score=[0.9, 0.9, 0.9, 0.9, 0.4],
    )
    measurement = measure(record)
    assert (measurement.positive, measurement.negative) == (2, 1)
    assert measurement.counted.tolist() == [True, True, True, False, False]
    assert measurement.found.tolist() == [True, True, True, True, False]
    assert measure(record, score_threshold=0.3).negative == 2
    assert measure(record, score_threshold=0.3).score_threshold == 0.3


def test_the_stored_value_128_is_tumor_and_127_is_not():
    tumor = np.full((250, 250), 127, np.uint8)
    tumor[:, 10:] = 128
    measurement = measure(make_record([39.4, 39.6], [50, 50], [1, 1], tumor=tumor))
    assert measurement.counted.tolist() == [False, True]


def test_a_score_equal_to_the_threshold_counts():
    record = make_record(
        [1, 2], [1, 2], [1, 0], score=[0.55, 0.549], parameters=Parameters(score_threshold=0.55)
    )
    assert measure(record).found.tolist() == [True, False]


def test_the_region_takes_its_left_and_top_edge_and_leaves_its_right_and_bottom():
    parameters = Parameters(roi=Rect(100, 200, 50, 60))
    x = [99.5, 99.4, 149.4, 149.5, 120, 120, 120, 120]
    y = [210, 210, 210, 210, 199.5, 199.4, 259.4, 259.5]
    measurement = measure(make_record(x, y, np.ones(8), parameters=parameters))
    assert measurement.counted.tolist() == [True, False, True, False, True, False, True, False]


def test_two_regions_side_by_side_share_no_nucleus_and_lose_none():
    x, y = scattered(5000, width_px=1000, height_px=1000, seed=3)
    x = np.round(x * 2) / 2  # many exactly on the border
    left = measure(make_record(x, y, x > 0, parameters=Parameters(roi=Rect(0, 0, 400, 1000)))).counted
    right = measure(make_record(x, y, x > 0, parameters=Parameters(roi=Rect(400, 0, 600, 1000)))).counted
    whole = measure(make_record(x, y, x > 0)).counted
    assert not (left & right).any()
    assert np.array_equal(left | right, whole)


def test_without_the_tumor_mask_every_nucleus_counts_and_a_flag_says_so():
    measurement = measure(
        make_record([10, 600], [10, 40], [1, 0], parameters=Parameters(use_tumor_mask=False))
    )
    assert measurement.counted.all()
    assert "no_tumor_mask" in codes(measurement)


def test_an_outline_is_only_compared_until_it_is_used():
    tumor = np.zeros((250, 250), np.uint8)
    tumor[:, :125] = 255  # x < 499.5
    record = make_record([100, 400, 700], [100, 100, 100], [1, 1, 1], tumor=tumor)
    outline = outline_of(box(249.5, -0.5, 749.5, 999.5))
    compared = measure(record, outline=outline)
    assert compared.counted.tolist() == [True, True, False]
    assert compared.outline_dice == pytest.approx(0.5, abs=0.005)  # halves overlap: 2 · 1/4 / (1/2 + 1/2)
    used = measure(record, outline=outline, use_outline=True)
    assert used.counted.tolist() == [False, True, True]
    assert used.tumor_area_mm2 == pytest.approx(0.125)
    assert used.outline_used
    assert not compared.outline_used


def test_an_outline_is_half_open_like_the_region():
    outline = outline_of(box(100, 100, 200, 200))
    x = [100, 200, 150, 150, 150]
    y = [150, 150, 100, 200, 150]
    measurement = measure(make_record(x, y, np.ones(5)), outline=outline, use_outline=True)
    assert measurement.counted.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("use_outline", [False, True])
@pytest.mark.parametrize("use_tumor_mask", [False, True])
def test_exclusions_never_count(use_outline, use_tumor_mask):
    outline = outline_of(box(-0.5, -0.5, 999.5, 999.5), exclude=box(300, 300, 500, 500))
    record = make_record([100, 400], [100, 400], [1, 1], parameters=Parameters(use_tumor_mask=use_tumor_mask))
    measurement = measure(record, outline=outline, use_outline=use_outline)
    assert measurement.counted.tolist() == [True, False]
    assert measurement.tumor_area_mm2 == pytest.approx(0.25 - 0.01, rel=0.01)


def test_an_outline_beyond_what_step_two_covered_raises_a_flag():
    record = make_record([100], [100], [1])
    covered = np.full((250, 250), 255, np.uint8)
    covered[:, 125:] = 0
    record = replace(record, covered_map=GridMap(covered, 4.0))
    whole = outline_of(box(-0.5, -0.5, 999.5, 999.5))
    flagged = measure(record, outline=whole, use_outline=True)
    assert [f.message for f in flagged.flags if f.code == "outline_not_covered"] == [
        "No nuclei were looked for in 50 % of the outline. Its count is too low there."
    ]
    left = outline_of(box(-0.5, -0.5, 499.5, 999.5))
    assert "outline_not_covered" not in codes(measure(record, outline=left, use_outline=True))
    assert "outline_not_covered" not in codes(measure(record))


def test_using_an_outline_that_is_not_there_is_a_programming_error():
    with pytest.raises(ValueError, match="needs an outline"):
        measure(make_record([1], [1], [1]), use_outline=True)


def test_areas_weigh_cells_that_stick_out_of_the_picture():
    # 1001 px in cells of 4 px: the last cell has one px inside
    measurement = measure(make_record([1], [1], [1], width_px=1001, height_px=1000))
    assert measurement.tumor_area_mm2 == pytest.approx(1001 * 1000 * 0.25e-6)
    assert measurement.tissue_area_mm2 == pytest.approx(1001 * 1000 * 0.25e-6)
    cut = measure(make_record([1], [1], [1], parameters=Parameters(roi=Rect(10, 20, 333, 77))))
    assert cut.tissue_area_mm2 == pytest.approx(333 * 77 * 0.25e-6)


def test_the_area_of_a_mask_is_its_cells():
    grid = GridMap(np.array([[0, 200], [127, 128]], np.uint8), 10.0, origin_x_px=5.0, origin_y_px=0.0)
    record = make_record([1], [1], [1])
    assert area_mm2(probability_mask(grid, 0.5), region_of(record), mpp=0.5) == pytest.approx(200 * 0.25e-6)


@pytest.mark.parametrize(
    ("tissue", "tumor", "reason", "flag"),
    [
        (0, 0, "no tissue found", "no_tissue"),
        (255, 0, "no tumor found", "no_tumor"),
        (255, 255, "no tumor nuclei found", None),
    ],
)
def test_nothing_to_count_is_a_reason_not_a_zero(tissue, tumor, reason, flag):
    shape = (250, 250)
    measurement = measure(
        make_record(
            [], [], [], tissue=np.full(shape, tissue, np.uint8), tumor=np.full(shape, tumor, np.uint8)
        )
    )
    assert measurement.reason == reason
    assert measurement.wilson is measurement.sampling is measurement.total is None
    assert measurement.total_reason == "no tumor nuclei found"
    assert measurement.hot_spot is None
    assert codes(measurement) == ([flag] if flag else [])


def test_fewer_than_500_nuclei_are_flagged_and_500_are_not():
    x, y = scattered(500, width_px=1000, height_px=1000, seed=0)
    assert codes(measure(make_record(x[:499], y[:499], x[:499] > 500))) == ["fewer_than_500"]
    assert codes(measure(make_record(x, y, x > 500))) == []


def test_a_pixel_size_entered_by_hand_is_flagged_with_its_value():
    x, y = scattered(600, width_px=1000, height_px=1000, seed=0)
    flags = measure(make_record(x, y, x > 500, source="given")).flags
    assert [(f.code, f.message) for f in flags] == [
        ("pixel_size_given", "Pixel size entered by hand (0.500 µm/px). A wrong size changes every count.")
    ]


def test_the_total_interval_needs_the_cards_error_model():
    x, y = scattered(2000, width_px=1000, height_px=1000, seed=0)
    record = make_record(x, y, x < 200)
    bare = measure(record)
    assert bare.total is None
    assert bare.total_reason == "the model card holds no error model"
    errors = {
        "scale": "arcsine",
        "laboratories": 4,
        "field_nuclei": 150,
        "levels": [{"from_percent": 0, "laboratory_sd": 0.03, "field_sd": 0.02}],
    }
    full = measure(record, error_model=errors)
    assert full.total_reason is None
    assert full.total.low < full.sampling.low
    assert full.total.high > full.sampling.high
    assert full.sampling == bare.sampling


def test_counting_again_gives_the_same_numbers():
    x, y = scattered(9000, width_px=3000, height_px=3000, seed=9)
    record = make_record(x, y, x % 7 < 1, width_px=3000, height_px=3000, seed=5)
    first, second = measure(record), measure(record)
    assert (first.positive, first.negative) == (second.positive, second.negative)
    assert (first.sampling, first.hot_spot) == (second.sampling, second.hot_spot)
    assert first.sampling.low <= first.wilson.low
    assert first.sampling.high >= first.bootstrap.high
