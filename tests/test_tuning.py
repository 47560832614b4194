"""Threshold and distance chosen on pictures whose right answer is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ki67.errors import DataError
from ki67.pipeline.cards import read_card, write_model_folder
from ki67.training.evaluate_tuning import Grid, Setting, best_setting, store_tuning, tune_post_processing
from ki67.training.folder import read_folder
from ki67.types import ByteArray, FloatArray
from tests.annotated import make_folder, write_manifest, write_scene
from tests.pipeline_fakes import ColorBackend, draw_scene, fake_card, fake_models

FAINT = 0.45


class Doubtful(ColorBackend):
    """Sees each nucleus and, 2.5 µm beside it, a fainter one that is not there."""

    def _cells(self, rgb: ByteArray) -> FloatArray:
        sure = super()._cells(rgb)
        moved = np.roll(sure, 5, axis=2)
        peaks = np.stack([_points(channel) for channel in sure]) + FAINT * np.stack(
            [_points(channel) for channel in moved]
        )
        return np.asarray(np.clip(peaks, 0, 1), np.float32)


def _points(channel: FloatArray) -> FloatArray:
    """Narrow bumps of height 1 at the middle of each blob."""
    _, _, _, middles = cv2.connectedComponentsWithStats((channel > 0.4).astype(np.uint8))
    drawn = np.zeros_like(channel)
    for x, y in middles[1:]:
        drawn[round(y), round(x)] = 1
    bump = cv2.GaussianBlur(drawn, (0, 0), 1.0)
    return np.asarray(bump / max(float(bump.max()), 1e-6), np.float32)


def test_the_threshold_rises_above_what_is_not_there_and_the_nets_run_once(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path / "data", patients=["A", "B"], side=300))
    backend = Doubtful()
    grid = Grid(thresholds=(0.2, 0.3, 0.4, 0.5, 0.6), distances_um=(1.0,))
    tuning = tune_post_processing(fields, models=fake_models(with_tumor=False), backend=backend, grid=grid)
    assert 0.3 <= tuning.chosen.score_threshold <= 0.4  # smoothing halves the narrow bumps
    assert tuning.chosen.f1 > 0.97
    assert (tuning.fields, tuning.step) == (2, "without_step_1")
    assert backend.cell_tiles == 2
    low = next(setting for setting in tuning.tried if setting.score_threshold == 0.2)
    assert low.f1 < 0.8


def test_the_distance_thins_what_the_threshold_lets_through(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path / "data", patients=["A"], side=300))
    grid = Grid(thresholds=(0.2,), distances_um=(1.0, 4.0))
    tuning = tune_post_processing(fields, models=fake_models(with_tumor=False), backend=Doubtful(), grid=grid)
    assert tuning.chosen.min_distance_um == 4.0
    assert tuning.chosen.f1 > 0.97
    assert len(tuning.tried) == 2


def test_with_step_1_only_nuclei_in_the_tumor_count(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_scene(folder, "a.png", draw_scene(300, 300, seed=1, tumor=(0, 0, 150, 300)))
    rows = (folder / "a.csv").read_text().splitlines()
    kept = [row for row in rows[1:] if float(row.split(",")[0]) < 140]
    (folder / "a.csv").write_text("\n".join([rows[0], *kept]) + "\n")
    write_manifest(folder, [("a.png", 0.5, "A", "s")])
    grid = Grid(thresholds=(0.5,), distances_um=(3.0,))
    with_mask, without = (
        tune_post_processing(
            read_folder(folder), models=fake_models(with_tumor=tumor), backend=ColorBackend(), grid=grid
        )
        for tumor in (True, False)
    )
    assert with_mask.step == "with_step_1"
    assert with_mask.chosen.f1 > 0.93
    assert without.chosen.f1 < 0.75


def setting(threshold: float, f1: float, error: float | None) -> Setting:
    return Setting(threshold, 3.0, f1, error, error)


def test_among_settings_of_about_the_best_f1_the_smallest_index_error_wins() -> None:
    tried = [setting(0.3, 0.800, 4.0), setting(0.4, 0.799, 1.5), setting(0.5, 0.780, 0.1)]
    assert best_setting(tried).score_threshold == 0.4
    assert best_setting([setting(0.3, 0.799, None), setting(0.4, 0.800, None)]).score_threshold == 0.4


def test_the_chosen_setting_goes_onto_the_card_and_the_weights_stay(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path / "data", patients=["A"], side=200))
    written = write_model_folder(
        tmp_path / "cells", fake_card("cells", figures={"patches": 8}), {"w": np.zeros((2, 2), np.float32)}
    )
    grid = Grid(thresholds=(0.35,), distances_um=(2.5,))
    tuning = tune_post_processing(
        fields, models=fake_models(with_tumor=False), backend=ColorBackend(), grid=grid
    )
    card = store_tuning(tmp_path / "cells", tuning)
    assert card == read_card(tmp_path / "cells")
    assert (card.score_threshold, card.min_distance_um, card.sha256) == (0.35, 2.5, written.sha256)
    assert card.figures["patches"] == 8
    assert card.figures["tuned_on_training_pictures"]["fields"] == 1


def test_nothing_labelled_is_nothing_to_tune_on(tmp_path: Path) -> None:
    write_scene(tmp_path, "a.png", draw_scene(96, 96, seed=0), label=False)
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    with pytest.raises(DataError, match="nothing to tune on"):
        tune_post_processing(
            read_folder(tmp_path), models=fake_models(with_tumor=False), backend=ColorBackend()
        )
