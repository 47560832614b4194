"""Figures by hand, and evaluation with a backend whose answers are known."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.pipeline.cards import ModelSet
from ki67.pipeline.images import sha256_of
from ki67.training.counting import Found, count_field
from ki67.training.evaluate import Evaluation, evaluate_fields, evaluate_folder, read_patients
from ki67.training.evaluate_files import evaluation_json, read_figures, write_evaluation
from ki67.training.figures import FieldFigures, MaskOverlap, StepCounts, Tally, pooled_dice, summarize
from ki67.training.folder import Kind, Nuclei, read_folder
from ki67.training.report import EVERY_PICTURE_TRAINED, report_of
from tests.annotated import write_manifest, write_mask, write_rows, write_scene
from tests.pipeline_fakes import ColorBackend, draw_scene, fake_card, fake_models

DETECT = Path(__file__).resolve().parents[2] / "shared" / "tools" / "detect.py"
POS, NEG, OTHER, UNKNOWN = Kind.POSITIVE, Kind.NEGATIVE, Kind.OTHER, Kind.UNKNOWN


def nuclei(*rows: tuple[float, float, Kind]) -> Nuclei:
    return Nuclei(
        np.array([(x, y) for x, y, _ in rows], np.float64).reshape(-1, 2),
        np.array([kind for *_, kind in rows], np.int8),
        np.arange(1, len(rows) + 1),
    )


def found(*rows: tuple[float, float, bool]) -> Found:
    return Found(
        np.array([(x, y) for x, y, _ in rows], np.float64).reshape(-1, 2),
        np.array([positive for *_, positive in rows], bool),
        np.full(len(rows), 0.9),
    )


def count(truth: Nuclei, detections: Found, *, mpp: float = 0.5) -> StepCounts:
    return count_field(truth, detections, mpp=mpp, width_px=400, height_px=400)[0]


def test_the_class_aware_f1_is_that_of_a_field_counted_by_hand() -> None:
    truth = nuclei((100, 100, POS), (120, 100, POS), (140, 100, NEG), (160, 100, NEG), (180, 100, NEG))
    seen = found((101, 100, True), (121, 100, False), (141, 100, False), (160, 106, False), (300, 300, True))
    counts = count(truth, seen)
    assert counts.positive == Tally(tp=1, fp=1, fn=1)
    assert counts.negative == Tally(tp=2, fp=1, fn=1)
    assert counts.any == Tally(tp=4, fp=1, fn=1)
    assert counts.both.f1 == pytest.approx(2 * 3 / (2 * 3 + 2 + 2))
    assert counts.both.precision == pytest.approx(3 / 5)
    assert counts.both.recall == pytest.approx(3 / 5)
    assert (counts.found_positive, counts.found_negative) == (2, 3)
    assert counts.within_1_25_um == Tally(tp=2, fp=3, fn=3)
    assert counts.within_2_5_um == Tally(tp=2, fp=3, fn=3)


def test_the_radius_is_4_um_whatever_the_pixel_size() -> None:
    truth, seen = nuclei((100, 100, POS)), found((108, 100, True))
    assert count(truth, seen, mpp=0.5).positive == Tally(1, 0, 0)
    assert count(truth, seen, mpp=0.51).positive == Tally(0, 1, 1)


def test_a_detection_on_another_nucleus_is_false_and_one_on_an_unknown_nucleus_is_ignored() -> None:
    truth = nuclei((100, 100, OTHER), (200, 200, UNKNOWN), (300, 300, UNKNOWN))
    counts = count(truth, found((100, 101, False), (200, 201, True), (201, 200, True)))
    assert counts.negative == Tally(0, 1, 0)
    assert counts.positive == Tally(0, 1, 0)
    assert counts.any == Tally(0, 2, 0)
    assert counts.other_counted == 1


def test_the_inner_count_leaves_out_what_lies_within_one_radius_of_the_border() -> None:
    truth = nuclei((7, 200, POS), (8, 100, POS), (200, 200, NEG), (395, 395, NEG))
    counts = count(truth, found((8, 200, True), (200, 200, False), (392, 10, False)))
    assert counts.both == Tally(tp=2, fp=1, fn=2)
    assert counts.inner == Tally(tp=1, fp=0, fn=1)


def test_every_truth_and_every_detection_has_one_row() -> None:
    truth = nuclei((100, 100, POS), (150, 100, NEG), (200, 200, OTHER), (250, 250, UNKNOWN))
    seen = found((102, 100, True), (200, 201, False), (250, 250, True))
    _, rows = count_field(truth, seen, mpp=0.5, width_px=400, height_px=400)
    assert sorted(row.outcome for row in rows) == [
        "false",
        "ignored",
        "matched",
        "missed",
        "not counted",
        "not counted",
    ]
    matched = next(row for row in rows if row.outcome == "matched")
    assert matched.distance_um == pytest.approx(1.0)
    assert (matched.truth_label, matched.found_label) == ("positive", "positive")


def figures(
    name: str, *, tp: int, fp: int, fn: int, truth: tuple[int, int], seen: tuple[int, int]
) -> FieldFigures:
    tally = Tally(tp, fp, fn)
    counts = StepCounts(tally, Tally(), tally, tally, tally, tally, 0, *seen)
    return FieldFigures(name, "s", name, True, False, False, *truth, 0, counts, None, None)


def test_counts_are_pooled_before_the_ratio_and_index_errors_need_50_nuclei() -> None:
    fields = [
        figures("a", tp=90, fp=10, fn=10, truth=(20, 80), seen=(30, 70)),
        figures("b", tp=1, fp=9, fn=9, truth=(5, 5), seen=(10, 0)),
        figures("c", tp=0, fp=0, fn=60, truth=(30, 30), seen=(0, 0)),
        figures("d", tp=50, fp=0, fn=0, truth=(25, 25), seen=(23, 27)),
    ]
    summary = summarize(fields, "without_step_1")
    assert summary is not None
    assert summary.f1 == pytest.approx(2 * 141 / (2 * 141 + 19 + 79))
    assert summary.index.fields == 2
    assert summary.index.mean_absolute == pytest.approx((10 + 4) / 2)
    assert summary.index.bias == pytest.approx((10 - 4) / 2)
    assert summary.index.root_mean_square == pytest.approx(np.sqrt((100 + 16) / 2))
    assert summary.index.not_assessable == 1
    assert summarize(fields, "with_step_1") is None


def test_nothing_found_and_nothing_there_is_no_figure_and_not_zero() -> None:
    assert Tally().f1 is None
    assert Tally(0, 0, 3).precision is None
    assert Tally(0, 2, 0).recall is None
    assert pooled_dice([]) is None


def scene_folder(folder: Path) -> Path:
    """Two fields of nuclei that `ColorBackend` knows; in half of each they are not tumor."""
    folder.mkdir()
    rows = []
    for number in range(2):
        scene = draw_scene(512, 512, seed=number, tumor=(0, 0, 256, 512))
        write_scene(folder, f"{number}.png", scene)
        text = (folder / f"{number}.csv").read_text().splitlines()
        changed = [text[0]]
        for line in text[1:]:
            x, y, label = line.split(",")
            changed.append(f"{x},{y},{'other' if float(x) >= 256 else label}")
        (folder / f"{number}.csv").write_text("\n".join(changed) + "\n")
        mask = np.zeros((512, 512), np.uint8)
        mask[:, :256] = 255
        write_mask(folder, f"{number}.png", mask)
        rows.append((f"{number}.png", 0.5, f"P{number}", "drawn"))
    write_manifest(folder, rows)
    return folder


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    return evaluation_json(evaluation, report_of(evaluation.figures, draws=50))


def with_training(models: ModelSet, *, cells: tuple[str, ...] = (), tumor: tuple[str, ...] = ()) -> ModelSet:
    return dataclasses.replace(
        models,
        cells=fake_card("cells", training_images=cells),
        tumor=fake_card("tumor", training_images=tumor),
    )


def test_step_1_removes_the_nuclei_outside_the_tumor_and_every_figure_comes_both_ways(tmp_path: Path) -> None:
    data = scene_folder(tmp_path / "data")
    evaluation = evaluate_folder(data, models=fake_models(), backend=ColorBackend())
    with_step, without = (summarize(evaluation.figures, step) for step in ("with_step_1", "without_step_1"))
    assert with_step is not None
    assert without is not None
    assert without.recall == pytest.approx(1.0)
    assert without.other_counted == without.other > 50
    assert without.precision == pytest.approx(0.5, abs=0.1)
    assert with_step.recall > 0.95
    assert with_step.precision > 0.95
    assert with_step.index.mean_absolute is not None
    assert with_step.index.mean_absolute < 3
    dice = pooled_dice(evaluation.figures)
    assert dice is not None
    assert dice > 0.95


def test_tumor_nuclei_outside_the_mask_are_lost_and_every_removed_detection_is_a_row(tmp_path: Path) -> None:
    scene = draw_scene(512, 512, seed=3, tumor=(0, 0, 256, 512))
    write_scene(tmp_path, "a.png", scene)
    write_manifest(tmp_path, [("a.png", 0.5, "P", "drawn")])
    (field,) = evaluate_folder(tmp_path, models=fake_models(), backend=ColorBackend()).fields
    beyond = int((scene.x > 262).sum())
    assert beyond > 50
    figures = field.figures
    assert figures.found_anyhow == len(scene.x)
    assert figures.lost_to_mask == pytest.approx(beyond, abs=6)
    assert figures.outside_mask == pytest.approx(beyond, abs=6)
    removed = field.removed_by_mask()
    assert len(removed) == figures.lost_to_mask
    assert {row.outcome for row in removed} == {"matched"}
    assert min(row.found_x_px or 0 for row in removed) > 240
    missed = [row for row in field.errors("with_step_1") if row.fault == "missed"]
    assert len(missed) == figures.lost_to_mask
    assert field.errors("without_step_1") == ()
    bins = figures.without_step_1.bins if figures.without_step_1 else None
    assert bins is not None
    assert sum(bins.true) == len(scene.x)


def test_training_pictures_are_marked_and_left_out_of_the_headline(tmp_path: Path) -> None:
    data = scene_folder(tmp_path / "data")
    first, second = (sha256_of(data / f"{i}.png") for i in range(2))
    backend = ColorBackend()
    models = with_training(fake_models(), cells=(first,), tumor=(second,))
    raw = as_json(evaluate_folder(data, models=models, backend=backend))
    assert [field["trained_cells"] for field in raw["fields"]] == [True, False]
    assert raw["headline"]["with_step_1"] is None
    assert raw["headline"]["without_step_1"]["fields"] == 1
    assert raw["on_training_pictures"]["with_step_1"]["fields"] == 2
    assert raw["headline_reason"] is None
    everything = with_training(fake_models(), cells=(first, second))
    raw = as_json(evaluate_folder(data, models=everything, backend=backend))
    assert raw["headline"] == {"with_step_1": None, "without_step_1": None}
    assert raw["headline_reason"] == EVERY_PICTURE_TRAINED


def test_an_evaluation_is_limited_to_the_patients_of_a_file(tmp_path: Path) -> None:
    data = scene_folder(tmp_path / "data")
    (tmp_path / "patients.txt").write_text("P1\n\n")
    patients = read_patients(tmp_path / "patients.txt")
    evaluation = evaluate_folder(data, models=fake_models(), backend=ColorBackend(), patients=patients)
    assert [field.patient for field in evaluation.figures] == ["P1"]
    with pytest.raises(DataError, match="has no patient P9: correct the list"):
        evaluate_folder(data, models=fake_models(), backend=ColorBackend(), patients=["P9"])
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="names no patient: write one a line"):
        read_patients(tmp_path / "empty.txt")


def test_an_evaluation_writes_json_a_row_per_field_and_a_row_per_nucleus(tmp_path: Path) -> None:
    data = scene_folder(tmp_path / "data")
    evaluation = evaluate_folder(data, models=fake_models(), backend=ColorBackend())
    write_evaluation(tmp_path / "out", evaluation, report_of(evaluation.figures, draws=50))
    raw = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert raw["research_use_only"] is True
    assert raw["models"]["cells"]["name"] == "test-cells"
    assert raw["by_source"]["drawn"]["with_step_1"]["fields"] == 2
    assert read_figures(tmp_path / "out" / "evaluation.json") == evaluation.figures
    with (tmp_path / "out" / "fields.csv").open() as stream:
        fields = list(csv.DictReader(stream))
    assert [row["image"] for row in fields] == ["0.png", "1.png"]
    counts = evaluation.figures[0].with_step_1
    assert counts is not None
    assert int(fields[0]["tp_with_step_1"]) == counts.both.tp
    with (tmp_path / "out" / "matches.csv").open() as stream:
        matches = [row for row in csv.DictReader(stream) if row["counted"] == "with_step_1"]
    matched = [row for row in matches if row["image"] == "0.png" and row["outcome"] == "matched"]
    assert len(matched) == counts.both.tp
    assert all(float(row["distance_um"]) <= 4 for row in matched)


@pytest.mark.skipif(not DETECT.is_file(), reason="needs ../shared (not part of the project)")
def test_the_pooled_figures_are_those_of_the_independent_check(tmp_path: Path) -> None:
    data = scene_folder(tmp_path / "data")
    evaluation = evaluate_folder(data, models=fake_models(), backend=ColorBackend())
    for field in evaluation.fields:
        rows = [row for step, row in field.rows if step == "without_step_1" and row.found_label]
        (tmp_path / "out" / Path(field.figures.image).stem).mkdir(parents=True)
        write_rows(
            tmp_path / "out" / Path(field.figures.image).stem / "cells.csv",
            [
                ("x_px", "y_px", "label", "in_tumor"),
                *((row.found_x_px, row.found_y_px, row.found_label, 1) for row in rows),
            ],
        )
    done = subprocess.run(
        [sys.executable, str(DETECT), str(data), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    summary = summarize(evaluation.figures, "without_step_1")
    assert summary is not None
    last = done.stdout.splitlines()[-1]
    assert (
        f"F1 class-aware {summary.f1:.3f} (pos {summary.f1_positive:.3f} neg {summary.f1_negative:.3f}"
        in last
    )
    assert f"any {summary.f1_any_class:.3f})" in last
    assert f"non-tumor counted {summary.other_counted}/{summary.other}" in last
    assert f"index MAE {summary.index.mean_absolute:.1f} RMSE {summary.index.root_mean_square:.1f}" in last


def test_pictures_without_any_truth_are_refused(tmp_path: Path) -> None:
    write_scene(tmp_path, "a.png", draw_scene(96, 96, seed=0), label=False)
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    with pytest.raises(DataError, match="nothing to measure against"):
        evaluate_folder(tmp_path, models=fake_models(), backend=ColorBackend())


def test_figures_survive_being_written_and_read_again(tmp_path: Path) -> None:
    field = dataclasses.replace(
        figures("a", tp=9, fp=1, fn=1, truth=(2, 8), seen=(3, 7)),
        tumor=MaskOverlap(5, 12),
        patient_known=False,
    )
    evaluation = Evaluation("set", {"cells": None, "tumor": None}, "torch cpu f32", ())
    raw = as_json(evaluation) | {"fields": [dataclasses.asdict(field)]}
    (tmp_path / "evaluation.json").write_text(json.dumps(raw))
    assert read_figures(tmp_path / "evaluation.json") == (field,)


def test_progress_is_reported_for_every_picture(tmp_path: Path) -> None:
    fields = read_folder(scene_folder(tmp_path / "data"))
    seen: list[tuple[int, int]] = []
    evaluate_fields(
        fields,
        models=fake_models(),
        backend=ColorBackend(),
        report=lambda progress: seen.append((progress.done, progress.total)),
    )
    assert seen == [(0, 2), (1, 2), (2, 2)]
