"""Evaluations without nets: annotated folders with known truth, run by a backend that knows colors."""

from __future__ import annotations

import csv
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ki67.pipeline.cards import ModelSet
from ki67.study.evaluating import FieldRunner
from ki67.study.evaluations import list_evaluations
from ki67.study.worker import work
from ki67.study.workplace import Workplace
from ki67.training.evaluate import run_everywhere
from ki67.training.folder import AnnotatedField
from ki67.types import IsCancelled, RunRecord
from tests.annotated import write_manifest, write_rows
from tests.pipeline_fakes import ColorBackend, draw_scene
from tests.stores import LOCAL, FakeScorer, wait_for

SIDE_PX = 400
TUMOR = (0, 0, 290, 400)
UNSURE_PX = 10
MISLABELLED = 3


def run_colors(field: AnnotatedField, *, models: ModelSet, cancelled: IsCancelled) -> RunRecord:
    """A `FieldRunner` that knows tumor and nuclei by color."""
    return run_everywhere(field, models=models, backend=ColorBackend(), cancelled=cancelled)


def annotated_folder(folder: Path, *, patients: Sequence[str], known_patients: bool = True) -> Path:
    """Fields whose left part is tumor; nuclei to its right are marked as other, at the border as unknown.

    In each field three positive nuclei are marked negative on purpose.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, patient in enumerate(patients):
        name = f"Frau Muster {number}.png"
        scene = draw_scene(SIDE_PX, SIDE_PX, seed=number, tumor=TUMOR, apart_um=10.0)
        Image.fromarray(scene.rgb).save(folder / name)
        labels = np.where(scene.x >= TUMOR[2], "other", np.where(scene.positive, "positive", "negative"))
        labels[np.abs(scene.x - TUMOR[2]) < UNSURE_PX] = ""
        labels[np.flatnonzero(labels == "positive")[:MISLABELLED]] = "negative"
        marks = [("x_px", "y_px", "label"), *zip(scene.x, scene.y, labels, strict=True)]
        write_rows((folder / name).with_suffix(".csv"), marks)
        rows.append((name, 0.5, patient if known_patients else "", "left" if number % 2 == 0 else "right"))
    write_manifest(folder, rows)
    return folder


def counted_labels(folder: Path) -> dict[str, int]:
    """How many nuclei of each label the folder holds."""
    found: dict[str, int] = {}
    for path in folder.glob("*.csv"):
        if path.name != "manifest.csv":
            with path.open(encoding="utf8") as lines:
                for row in csv.DictReader(lines):
                    found[row["label"]] = found.get(row["label"], 0) + 1
    return found


def measure_all(workplace: Workplace, *, runner: FieldRunner = run_colors) -> None:
    """Lets a worker in this process do every evaluation that waits."""
    stop = threading.Event()
    thread = threading.Thread(
        target=work, args=(workplace, FakeScorer()), kwargs={"stop": stop, "runner": runner}
    )
    thread.start()
    try:
        wait_for(
            lambda: (
                not any(view.state in ("waiting", "running") for view in list_evaluations(workplace, LOCAL))
            ),
            "the evaluations",
            seconds=300,
        )
    finally:
        stop.set()
        thread.join()
