"""Typed H&E fields as an annotated Ki-67 folder that `evaluate` takes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ki67.errors import DataError
from ki67.training.evaluate import evaluate_folder
from ki67.training.evaluate_redrawn import write_redrawn_folder
from ki67.training.folder import AnnotatedField, Kind, read_folder, read_nuclei
from tests.annotated import make_folder, write_manifest, write_rows
from tests.pipeline_fakes import ColorBackend, fake_models

SIDE = 200
TYPES = ("epithelial", "inflammatory", "stromal", "")


def typed_folder(folder: Path, *, count: int = 2, mpp: float = 0.5) -> tuple[AnnotatedField, ...]:
    """Pink fields with violet nuclei on a lattice, their types in turn."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        rgb = np.empty((SIDE, SIDE, 3), np.uint8)
        rgb[:] = (228, 170, 200)
        rgb = np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)
        points = [(x, y) for x in range(20, SIDE - 10, 32) for y in range(20, SIDE - 10, 32)]
        marks = []
        for i, (x, y) in enumerate(points):
            cv2.circle(rgb, (x, y), 8, (90, 60, 140), -1, cv2.LINE_AA)
            marks.append((x, y, TYPES[i % len(TYPES)]))
        Image.fromarray(rgb).save(folder / f"{number}.png")
        write_rows(folder / f"{number}.csv", [("x_px", "y_px", "type"), *marks])
        rows.append((f"{number}.png", mpp, f"P{number}" if number else "", "he"))
    write_manifest(folder, rows)
    return read_folder(folder)


def test_tumor_nuclei_get_a_label_the_others_are_other_and_unknown_stay_unknown(tmp_path: Path) -> None:
    fields = typed_folder(tmp_path / "he")
    out = write_redrawn_folder(fields, tmp_path / "ki67", seed=3)
    redrawn = read_folder(out)
    assert [field.labelled for field in redrawn] == [True, True]
    assert [field.source for field in redrawn] == ["he (redrawn)", "he (redrawn)"]
    assert [field.patient_known for field in redrawn] == [False, True]
    for before, after in zip(fields, redrawn, strict=True):
        old, new = read_nuclei(before), read_nuclei(after)
        assert np.allclose(old.xy_px, new.xy_px, atol=0.01)
        assert set(new.kind[old.kind == Kind.TUMOR]) <= {Kind.POSITIVE, Kind.NEGATIVE}
        assert set(new.kind[old.kind == Kind.OTHER]) == {Kind.OTHER}
        assert set(new.kind[old.kind == Kind.UNKNOWN]) == {Kind.UNKNOWN}
        first, second = (np.asarray(Image.open(field.image)) for field in (before, after))
        assert first.shape == second.shape
        assert np.abs(first.astype(int) - second).mean() > 5


def test_the_seed_decides_and_an_older_folder_of_its_own_is_replaced(tmp_path: Path) -> None:
    fields = typed_folder(tmp_path / "he", count=1)

    def written(seed: int) -> bytes:
        out = write_redrawn_folder(fields, tmp_path / "ki67", seed=seed)
        return (out / "0000-0.png").read_bytes() + (out / "0000-0.csv").read_bytes()

    first, again, other = written(1), written(1), written(2)
    assert first == again
    assert first != other


def test_a_finer_field_is_written_at_half_a_micrometre_with_its_points_in_place(tmp_path: Path) -> None:
    fields = typed_folder(tmp_path / "he", count=1, mpp=0.25)
    (after,) = read_folder(write_redrawn_folder(fields, tmp_path / "ki67", seed=0))
    assert after.mpp == 0.5
    old, new = read_nuclei(fields[0]), read_nuclei(after)
    assert np.allclose((old.xy_px + 0.5) / 2 - 0.5, new.xy_px, atol=0.01)
    assert Image.open(after.image).size == (SIDE // 2, SIDE // 2)


def test_the_folder_can_be_evaluated_and_says_how_many_other_nuclei_there_are(tmp_path: Path) -> None:
    out = write_redrawn_folder(typed_folder(tmp_path / "he"), tmp_path / "ki67", seed=0)
    evaluation = evaluate_folder(out, models=fake_models(), backend=ColorBackend())
    nuclei = [read_nuclei(field) for field in read_folder(out)]
    assert [field.truth_other for field in evaluation.figures] == [
        len(each.of(Kind.OTHER)) for each in nuclei
    ]
    assert sum(field.truth_other for field in evaluation.figures) == 36


def test_fields_that_carry_ki67_labels_or_no_types_are_refused(tmp_path: Path) -> None:
    labelled = read_folder(make_folder(tmp_path / "a", patients=["A"], side=96))
    with pytest.raises(DataError, match="no H&E field with typed nuclei"):
        write_redrawn_folder(labelled, tmp_path / "ki67", seed=0)
    assert not (tmp_path / "ki67").exists()
    with pytest.raises(DataError, match="no field to redraw"):
        write_redrawn_folder([], tmp_path / "ki67", seed=0)
