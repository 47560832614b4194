"""The small classifier that tells real from redrawn patches, on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from bench.realism import auc, held_out_scores, sheet


def test_the_area_under_the_curve_is_the_share_of_pairs_in_the_right_order() -> None:
    scores, label = np.array([0.9, 0.4, 0.5, 0.1]), np.array([1.0, 1.0, 0.0, 0.0])
    assert auc(scores, label) == pytest.approx(3 / 4)


def test_a_classifier_that_only_knows_the_pictures_by_heart_is_at_chance() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat([f"picture {i}" for i in range(40)], 10)
    own = np.repeat(rng.normal(size=(40, 30)), 10, axis=0)  # tells pictures apart, not kinds
    label = np.repeat(np.arange(40) % 2, 10).astype(float)
    assert 0.3 < auc(held_out_scores(own, label, groups, seed=0), label) < 0.7


def test_a_number_that_differs_between_the_kinds_is_found_on_pictures_not_seen() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat([f"picture {i}" for i in range(40)], 10)
    label = np.repeat(np.arange(40) % 2, 10).astype(float)
    values = np.column_stack((label + rng.normal(0, 0.3, len(label)), rng.normal(size=len(label))))
    assert auc(held_out_scores(values, label, groups, seed=0), label) > 0.95


def test_the_sheet_shows_the_patches_in_order() -> None:
    patches = np.stack([np.full((8, 8, 3), 10 * i, np.uint8) for i in range(8)])
    drawn = sheet(patches, columns=4)
    assert drawn.shape == (24, 48, 3)
    assert drawn[6, 6, 0] == 0
    assert drawn[18, 42, 0] == 70
