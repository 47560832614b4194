"""Tissue told from glass on the low-power picture."""

import numpy as np
import pytest

from ki67.pipeline.reading import Clock, Watch
from ki67.pipeline.tissue import find_tissue, measure_light, read_low_power
from ki67.types import Rect, never_cancelled, no_progress
from tests.pipeline_fakes import GLASS, STROMA, ArrayPicture, draw_scene


def low_power(rgb, mpp=0.5):
    return read_low_power(ArrayPicture(rgb), mpp=mpp, watch=Watch(no_progress, never_cancelled, Clock()))


def on_glass(width, height, box):
    rgb = np.full((height, width, 3), GLASS, np.uint8)
    rgb[box[1] : box[3], box[0] : box[2]] = STROMA
    return rgb


def test_the_white_point_is_that_of_the_glass_and_tissue_is_where_it_was_drawn():
    low = low_power(on_glass(1600, 1200, (400, 300, 1200, 900)))
    white, threshold = measure_light(low.rgb)
    mask = find_tissue(low.rgb, white_point=white, threshold=threshold)
    assert white == pytest.approx(GLASS, abs=1)
    drawn = np.zeros_like(mask)
    drawn[300 // 16 : 900 // 16 + 1, 400 // 16 : 1200 // 16] = True
    assert mask[drawn].mean() > 0.99
    assert mask.sum() * 64 == pytest.approx((400 + 32) * (300 + 32), rel=0.1)  # µm², a margin of 16 µm


def test_a_picture_without_glass_is_all_tissue_and_one_without_tissue_has_none():
    tissue = low_power(np.full((800, 800, 3), STROMA, np.uint8)).rgb
    white, threshold = measure_light(tissue)
    assert find_tissue(tissue, white_point=white, threshold=threshold).all()
    glass = low_power(np.full((800, 800, 3), 255, np.uint8)).rgb
    white, threshold = measure_light(glass)
    assert not find_tissue(glass, white_point=white, threshold=threshold).any()


def test_pale_nuclei_in_a_field_without_glass_lie_on_tissue():
    scene = draw_scene(640, 640, seed=1, ground=(221, 218, 210), nuclei=((150, 125, 100), (145, 150, 175)))
    low = low_power(scene.rgb)
    white, threshold = measure_light(low.rgb)
    mask = find_tissue(low.rgb, white_point=white, threshold=threshold)
    grid = low.grid(mask, Rect(0, 0, 640, 640))
    assert (grid.at(scene.x, scene.y) == 1).all()


def test_what_a_scanner_filled_with_black_is_no_tissue():
    rgb = on_glass(1600, 1200, (400, 300, 1200, 900))
    rgb[:, :160] = 0
    low = low_power(rgb).rgb
    white, threshold = measure_light(low)
    assert not find_tissue(low, white_point=white, threshold=threshold)[:, :8].any()


def test_given_white_point_and_threshold_are_kept():
    low = low_power(on_glass(320, 320, (0, 0, 160, 320))).rgb
    assert measure_light(low, white_point=(240.0, 241.0, 242.0), threshold=0.07) == (
        (240.0, 241.0, 242.0),
        0.07,
    )


def test_the_map_of_a_region_lies_where_the_region_lies():
    low = low_power(on_glass(1600, 1200, (400, 300, 1200, 900)))
    white, threshold = measure_light(low.rgb)
    mask = find_tissue(low.rgb, white_point=white, threshold=threshold)
    grid = low.grid(mask, Rect(700, 500, 800, 600))
    x, y = np.float32([1000, 1000, 1450]), np.float32([600, 1050, 600])
    assert grid.at(x, y).tolist() == [1, 0, 0]
    assert low.over(grid).shape[:2] == grid.values.shape
