"""Flags from the pixels: H&E told from Ki-67, blur told from focus."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely

from ki67.pipeline.measure import measure
from ki67.pipeline.outlines import Outline
from ki67.pipeline.quality import quality_inputs
from tests.records import make_record, scattered

BLUE, BROWN, EOSIN, VIOLET = (0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.07, 0.99, 0.11), (0.5, 0.8, 0.3)


def stained(ground, nuclei_colors, *, side=256, seed=0):
    """Nuclei as discs of one of the stains (optical density vectors) on a ground of another."""
    rng = np.random.default_rng(seed)
    density = np.zeros((side, side, 3), np.float32) + 0.25 * np.array(ground, np.float32)
    for number in range(side * side // 300):
        x, y = rng.integers(0, side, 2)
        color = [0.9 * part for part in nuclei_colors[number % len(nuclei_colors)]]
        cv2.circle(density, (int(x), int(y)), int(rng.integers(5, 9)), color, -1, cv2.LINE_AA)
    density += rng.normal(0, 0.01, density.shape).astype(np.float32)
    return np.clip(240 * 10.0**-density, 0, 255).astype(np.uint8)


def inputs_of(rgb, tiles=()):
    """Of a picture at 0.5 µm/px, which is tissue all over; its low power is 16 times coarser."""
    low_power = cv2.resize(rgb, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
    return quality_inputs(low_power, np.ones(low_power.shape[:2], bool), list(tiles))


def flags_with(**inputs):
    x, y = scattered(600, width_px=1000, height_px=1000, seed=0)
    record = replace(make_record(x, y, x > 500), quality_inputs=inputs)
    return [flag.code for flag in measure(record).flags]


def test_h_and_e_is_flagged_and_ki67_is_not():
    h_and_e = inputs_of(stained(EOSIN, [VIOLET]))
    ki67 = inputs_of(stained(BLUE, [BLUE, BROWN]))
    assert h_and_e["pink_share"] > 0.9
    assert ki67["pink_share"] < 0.4
    assert flags_with(**h_and_e) == ["h_and_e"]
    assert flags_with(**ki67) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_blurred_tile_is_flagged_and_a_sharp_one_is_not(seed):
    tile = cv2.GaussianBlur(stained(BLUE, [BLUE, BROWN], seed=seed), (0, 0), 0.7)
    assert flags_with(**inputs_of(tile, [tile])) == []
    soft = cv2.GaussianBlur(tile, (0, 0), 3.0)
    assert flags_with(**inputs_of(tile, [soft])) == ["blur"]
    assert flags_with(**inputs_of(tile, [tile, tile, soft])) == []


def test_white_glass_measures_nothing_and_raises_no_false_flag():
    white = np.full((64, 64, 3), 255, np.uint8)
    assert quality_inputs(white, np.zeros((64, 64), bool), [white]) == {}
    assert flags_with() == []


def test_only_a_count_without_mask_and_outline_says_that_nuclei_outside_the_tumor_count_too():
    x, y = scattered(600, width_px=1000, height_px=1000, seed=0)
    record = make_record(x, y, x > 500)
    record = replace(record, parameters=replace(record.parameters, use_tumor_mask=False))
    left = Outline(shapely.MultiPolygon([shapely.box(-0.5, -0.5, 999.5, 999.5)]), shapely.MultiPolygon())
    codes = [
        {flag.code for flag in measure(record, outline=left, use_outline=use).flags} for use in (False, True)
    ]
    assert ["no_tumor_mask" in each for each in codes] == [True, False]
