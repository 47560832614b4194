"""Nuclei from probability maps."""

import cv2
import numpy as np
import pytest

from ki67.pipeline.cells import PeakRules, find_nuclei, strongest

RULES = PeakRules(smoothing_px=1.0, min_distance_px=6.0, floor=0.1)


def disc(x, y, radius, height=1.0, size=96):
    grid = np.zeros((size, size), np.float32)
    cv2.circle(grid, (round(x * 16), round(y * 16)), round(radius * 16), height, -1, cv2.LINE_8, 4)
    return grid


def test_a_saturated_disc_is_one_nucleus_at_its_middle():
    found = find_nuclei(np.stack([disc(40, 31, 4), np.zeros((96, 96), np.float32)]), RULES)
    assert len(found) == 1
    assert (found.x_px[0], found.y_px[0]) == pytest.approx((40, 31), abs=0.1)
    assert found.positive_score[0] == pytest.approx(1, abs=0.01)
    assert found.negative_score[0] == 0


def test_a_nucleus_of_mixed_classes_keeps_its_score_and_takes_the_larger_class():
    found = find_nuclei(np.stack([disc(40, 40, 4, 0.35), disc(40, 40, 4, 0.45)]), RULES)
    assert found.score[0] == pytest.approx(0.8, abs=0.01)
    assert not found.is_positive[0]
    assert found.positive_score[0] == pytest.approx(0.8 * 0.35 / 0.45, abs=0.01)


def test_touching_nuclei_with_a_dip_between_them_are_two():
    heat = np.maximum(disc(40, 40, 4), disc(49, 40, 4))
    found = find_nuclei(np.stack([heat, np.zeros_like(heat)]), RULES)
    assert sorted(found.x_px.round().tolist()) == [40, 49]


def test_the_weaker_of_two_peaks_too_close_together_goes():
    heat = cv2.GaussianBlur(disc(40, 40, 1.5, 1.0) + disc(44, 40, 1.0, 0.9), (0, 0), 0.5)
    found = find_nuclei(np.stack([np.clip(heat, 0, 1), np.zeros_like(heat)]), RULES)
    assert len(found) == 1


def test_peaks_below_the_floor_are_no_candidates():
    low = disc(40, 40, 4, 0.09)
    assert len(find_nuclei(np.stack([low, np.zeros_like(low)]), RULES)) == 0
    assert len(find_nuclei(np.zeros((2, 64, 64), np.float32), RULES)) == 0


def test_a_peak_is_placed_to_a_fraction_of_a_pixel():
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    bump = np.exp(-((x - 30.3) ** 2 + (y - 20.8) ** 2) / 20).astype(np.float32)
    found = find_nuclei(np.stack([np.zeros_like(bump), bump]), RULES)
    assert (found.x_px[0], found.y_px[0]) == pytest.approx((30.3, 20.8), abs=0.05)


def test_of_close_points_the_strongest_stays_and_a_dropped_point_drops_no_other():
    x = np.float32([0, 4, 8, 50])
    keep = strongest(x, np.zeros(4, np.float32), np.float32([0.9, 0.8, 0.7, 0.1]), min_distance=5)
    assert keep.tolist() == [True, False, True, True]


def test_settled_points_stay_whatever_is_stronger():
    x = np.float32([0, 2])
    score = np.float32([0.3, 0.9])
    assert strongest(x, x * 0, score, min_distance=5, settled=1).tolist() == [True, False]


def test_the_choice_between_points_does_not_depend_on_their_order():
    generator = np.random.default_rng(0)
    x, y = generator.uniform(0, 100, (2, 400)).astype(np.float32)
    score = generator.choice(np.float32([0.2, 0.5, 0.9]), 400)
    order = generator.permutation(400)
    keep = strongest(x, y, score, min_distance=4)
    assert np.array_equal(strongest(x[order], y[order], score[order], min_distance=4), keep[order])
