"""Small annotated folders with a known truth, written by the tests themselves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.pipeline_fakes import Scene, draw_scene


def write_scene(folder: Path, name: str, scene: Scene, *, label: bool = True) -> None:
    """The picture of a scene and its nuclei, with Ki-67 labels or (without) as typed epithelium."""
    Image.fromarray(scene.rgb).save(folder / name)
    words = np.where(scene.positive, "positive", "negative") if label else ["epithelial"] * len(scene.x)
    rows = [("x_px", "y_px", "label" if label else "type"), *zip(scene.x, scene.y, words, strict=True)]
    write_rows((folder / name).with_suffix(".csv"), rows)


def write_mask(folder: Path, name: str, mask: npt.NDArray[np.generic], *, ending: str = ".tumor.png") -> None:
    """A mask beside a picture."""
    Image.fromarray(mask).save(folder / (Path(name).stem + ending))


def write_manifest(folder: Path, rows: Sequence[Sequence[object]]) -> None:
    """`manifest.csv` with image, mpp, patient, source."""
    write_rows(folder / "manifest.csv", [("image", "mpp", "patient", "source"), *rows])


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def make_folder(folder: Path, *, patients: Sequence[str], side: int = 160, mpp: float = 0.5) -> Path:
    """One labelled field per entry of `patients` (the same name twice: two fields of one patient)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, patient in enumerate(patients):
        name = f"field-{number}.png"
        write_scene(folder, name, draw_scene(side, side, seed=number, mpp=mpp))
        rows.append((name, mpp, patient, "left" if number % 2 == 0 else "right"))
    write_manifest(folder, rows)
    return folder
