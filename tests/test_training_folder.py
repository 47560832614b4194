"""Reading annotated folders, and dividing them by patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ki67.errors import DataError
from ki67.training.folder import (
    Kind,
    read_color_mask,
    read_folder,
    read_instances,
    read_nuclei,
    read_rgb,
    read_tumor_mask,
    split_by_patient,
)
from tests.annotated import make_folder, write_manifest, write_mask, write_rows


def blank(folder: Path, name: str = "a.png") -> Path:
    Image.new("RGB", (40, 32), (250, 250, 250)).save(folder / name)
    return folder


def test_a_manifest_is_read_with_everything_that_lies_beside_the_pictures(tmp_path: Path) -> None:
    blank(tmp_path)
    write_rows(
        tmp_path / "a.csv", [("id", "x_px", "y_px", "label"), (7, 1.5, 2, "positive"), (9, 3, 4, "other")]
    )
    write_mask(tmp_path, "a.png", np.full((32, 40), 255, np.uint8))
    write_mask(tmp_path, "a.png", np.full((32, 40), 9, np.uint16), ending=".inst.png")
    write_manifest(tmp_path, [("a.png", 0.25, "P1", "here")])
    (field,) = read_folder(tmp_path)
    nuclei = read_nuclei(field)
    assert (field.source, field.patient, field.patient_known, field.mpp, field.labelled) == (
        "here",
        "P1",
        True,
        0.25,
        True,
    )
    assert nuclei is not None
    assert nuclei.xy_px.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert nuclei.kind.tolist() == [Kind.POSITIVE, Kind.OTHER]
    assert nuclei.ids.tolist() == [7, 9]
    assert read_instances(field).max() == 9
    assert (read_tumor_mask(field) == 255).all()
    assert read_rgb(field).shape == (32, 40, 3)


def test_typed_nuclei_are_tumor_unknown_or_other_and_carry_no_label(tmp_path: Path) -> None:
    blank(tmp_path)
    rows = [("x_px", "y_px", "type"), (1, 1, "epithelial"), (2, 2, ""), (3, 3, "spindle")]
    write_rows(tmp_path / "a.csv", rows)
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    (field,) = read_folder(tmp_path)
    nuclei = read_nuclei(field)
    assert nuclei is not None
    assert nuclei.kind.tolist() == [Kind.TUMOR, Kind.UNKNOWN, Kind.OTHER]
    assert not field.labelled
    assert (field.patient, field.patient_known, field.source) == ("a.png", False, tmp_path.name)


def test_nuclei_of_a_color_mask_lie_at_the_centre_of_their_area(tmp_path: Path) -> None:
    blank(tmp_path)
    mask = np.zeros((32, 40, 3), np.uint8)
    mask[2:5, 2:5, 0] = 255
    mask[5:8, 11:16, 2] = 255
    write_mask(tmp_path, "a.png", mask, ending=".mask.png")
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    (field,) = read_folder(tmp_path)
    nuclei = read_nuclei(field)
    assert nuclei is not None
    assert nuclei.xy_px.tolist() == [[3.0, 3.0], [13.0, 6.0]]
    assert nuclei.kind.tolist() == [Kind.POSITIVE, Kind.NEGATIVE]
    assert read_color_mask(field).sum() == 9 + 15


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("b.png", 0.5, "", "")], ("manifest.csv, line 2", "b.png", "is not in")),
        ([("a.png", "half", "", "")], ("line 2", "'half'", "µm per pixel")),
        ([("a.png", 352.78, "", "")], ("line 2", "352.78", "correct it")),
        ([("a.png", 2, "", "")], ("line 2", "a.png", "too coarse (2 µm/px", "export it")),
        ([("a.png", 0.5, "", "")], ("line 2", "no annotation lies beside a.png", "a.csv")),
        ([], ("lists no picture", "add a row")),
    ],
)
def test_a_faulty_manifest_is_refused_with_place_fault_and_remedy(
    tmp_path: Path, rows: list[tuple[object, ...]], words: tuple[str, ...]
) -> None:
    blank(tmp_path)
    write_manifest(tmp_path, rows)
    with pytest.raises(DataError) as fault:
        read_folder(tmp_path)
    assert all(word in str(fault.value) for word in words)


def test_a_folder_without_manifest_and_a_manifest_without_mpp_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no manifest\.csv"):
        read_folder(tmp_path)
    write_rows(tmp_path / "manifest.csv", [("image",), ("a.png",)])
    with pytest.raises(DataError, match="lacks the column mpp"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("x_px", "y_px"), (1, 1)], ("label or type",)),
        ([("x_px", "y_px", "label"), (1, "one", "positive")], ("line 2", "not a number")),
        ([("x_px", "y_px", "label"), (1, "nan", "positive")], ("line 2", "no place")),
        ([("x_px", "y_px", "label"), (1, 1, "positve")], ("line 2", "'positve'")),
    ],
)
def test_a_faulty_list_of_nuclei_is_refused_with_its_line(
    tmp_path: Path, rows: list[tuple[object, ...]], words: tuple[str, ...]
) -> None:
    blank(tmp_path)
    write_rows(tmp_path / "a.csv", rows)
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    with pytest.raises(DataError) as fault:
        read_nuclei(read_folder(tmp_path)[0])
    assert all(word in str(fault.value) for word in ("a.csv", *words))


def test_a_tumor_mask_with_another_gray_is_refused(tmp_path: Path) -> None:
    blank(tmp_path)
    write_mask(tmp_path, "a.png", np.full((32, 40), 1, np.uint8))
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    with pytest.raises(DataError, match=r"the value 1: only 0, 128 and 255"):
        read_tumor_mask(read_folder(tmp_path)[0])


def test_a_picture_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path, patients=["A"], side=32)
    write_manifest(tmp_path, 2 * [("field-0.png", 0.5, "", "")])
    with pytest.raises(DataError, match=r"lists field-0\.png twice: keep one row"):
        read_folder(tmp_path)


def test_a_mask_of_another_size_than_its_picture_is_refused(tmp_path: Path) -> None:
    blank(tmp_path)
    write_mask(tmp_path, "a.png", np.zeros((16, 20), np.uint8))
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    with pytest.raises(DataError, match=r"a\.tumor\.png has 20 × 16 px and its picture 40 × 32"):
        read_tumor_mask(read_folder(tmp_path)[0])


def test_without_ids_an_outline_belongs_to_the_nucleus_that_lies_in_it(tmp_path: Path) -> None:
    blank(tmp_path)
    labels = np.zeros((32, 40), np.uint16)
    labels[2:8, 2:8], labels[20:26, 30:36] = 2, 1
    write_mask(tmp_path, "a.png", labels, ending=".inst.png")
    rows = [("x_px", "y_px", "label"), (4, 5, "positive"), (33, 22, "negative"), (20, 10, "other")]
    write_rows(tmp_path / "a.csv", rows)
    write_manifest(tmp_path, [("a.png", 0.5, "", "")])
    nuclei = read_nuclei(read_folder(tmp_path)[0])
    assert nuclei is not None
    assert nuclei.ids.tolist() == [2, 1, 0]


def test_a_split_never_shares_a_patient_tests_each_picture_once_and_follows_its_seed(tmp_path: Path) -> None:
    patients = ["A", "A", "B", "C", "C", "C", "D", "E", "F", "G"]
    fields = read_folder(make_folder(tmp_path, patients=patients, side=32))
    for seed in range(5):
        groups = split_by_patient(fields, folds=3, seed=seed)
        owners = [{field.patient for field in group} for group in groups]
        assert not owners[0] & owners[1]
        assert not owners[0] & owners[2]
        assert not owners[1] & owners[2]
        assert sorted(field.name for group in groups for field in group) == sorted(f.name for f in fields)
        assert groups == split_by_patient(fields, folds=3, seed=seed)
    splits = {str(split_by_patient(fields, folds=3, seed=seed)) for seed in range(5)}
    assert len(splits) > 1


def test_a_split_spreads_each_source_over_the_folds(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path, patients=[str(i) for i in range(12)], side=32))
    for group in split_by_patient(fields, folds=3, seed=1):
        assert sum(field.source == "left" for field in group) == 2
        assert sum(field.source == "right" for field in group) == 2


def test_more_folds_than_patients_are_refused(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path, patients=["A", "B"], side=32))
    with pytest.raises(DataError, match="3 folds need at least 3 patients"):
        split_by_patient(fields, folds=3, seed=0)
