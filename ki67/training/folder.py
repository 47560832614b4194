"""Annotated folders: `manifest.csv`, pictures, and the annotation that lies beside each picture.

Points are full-resolution pixels, (0, 0) the centre of the first pixel, as in `cells.csv`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ki67.errors import DataError
from ki67.pipeline.images import open_picture, probe
from ki67.pipeline.pixel_size import COARSEST_SCORABLE_MPP, usable_mpp
from ki67.types import ByteArray, Rect


class Kind(IntEnum):
    """What a nucleus is. `TUMOR` is typed as tumor without a Ki-67 label; figures ignore `UNKNOWN`."""

    UNKNOWN = 0
    POSITIVE = 1
    NEGATIVE = 2
    OTHER = 3
    TUMOR = 4


TUMOR_KINDS: tuple[Kind, ...] = (Kind.POSITIVE, Kind.NEGATIVE, Kind.TUMOR)
_LABELS = {
    "positive": Kind.POSITIVE,
    "negative": Kind.NEGATIVE,
    "other": Kind.OTHER,
    "": Kind.UNKNOWN,
}


@dataclass(frozen=True)
class Nuclei:
    """The nuclei of one picture: `xy_px` N×2, `kind` N (`Kind`), `ids` N (label in `.inst.png`)."""

    xy_px: npt.NDArray[np.float64]
    kind: npt.NDArray[np.int8]
    ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)

    def of(self, *kinds: Kind) -> npt.NDArray[np.float64]:
        """Points of the nuclei of these kinds, M×2."""
        return self.xy_px[np.isin(self.kind, [int(kind) for kind in kinds])]


@dataclass(frozen=True)
class AnnotatedField:
    """One row of a manifest with the annotation found beside the picture.

    `labelled` is True where the nuclei say positive or negative (a `label` column or a `.mask.png`);
    a picture whose manifest names no patient stands for its own patient (`patient_known` False).
    """

    image: Path
    name: str
    source: str
    patient: str
    patient_known: bool
    mpp: float
    points_file: Path | None
    labelled: bool
    tumor_file: Path | None
    instances_file: Path | None
    color_file: Path | None


def read_folder(folder: Path) -> tuple[AnnotatedField, ...]:
    """Read `manifest.csv` and look beside every picture; raises DataError naming file, fault and remedy."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise DataError(
            f"{folder} holds no manifest.csv: an annotated folder needs one with the columns image and mpp."
        )
    with _open_text(manifest) as lines:
        reader = csv.DictReader(lines)
        missing = {"image", "mpp"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(
                f"{manifest} lacks the column {', '.join(sorted(missing))}: add it and try again."
            )
        fields = tuple(_field(folder, manifest, number, row) for number, row in enumerate(reader, start=2))
    if not fields:
        raise DataError(f"{manifest} lists no picture: add a row for each.")
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{manifest} lists {twice} twice: keep one row for each picture.")
    return fields


def read_nuclei(field: AnnotatedField) -> Nuclei | None:
    """The nuclei of a picture from its CSV, or from its `.mask.png`; None where it has neither."""
    if field.points_file is not None:
        nuclei = _read_points(field.points_file)
        if field.instances_file is not None and not _has_column(field.points_file, "id"):
            return replace(nuclei, ids=_labels_at(nuclei.xy_px, read_instances(field)))
        return nuclei
    if field.color_file is not None:
        return _points_of_color_areas(read_color_mask(field))
    return None


def read_rgb(field: AnnotatedField) -> ByteArray:
    """The whole picture, H×W×3 RGB uint8."""
    with open_picture(field.image) as picture:
        return picture.read(Rect(0, 0, picture.info.width_px, picture.info.height_px))


def read_tumor_mask(field: AnnotatedField) -> ByteArray:
    """The drawn mask, H×W uint8: 255 tumor, 0 not tumor, 128 not annotated."""
    if field.tumor_file is None:
        raise DataError(f"{field.name} has no drawn tumor mask beside it: add {field.image.stem}.tumor.png.")
    mask = _read_mask(field, field.tumor_file)
    if mask.ndim == 3:
        mask = mask[..., 0]
    strange = np.setdiff1d(np.unique(mask), (0, 128, 255))
    if strange.size:
        raise DataError(
            f"{field.tumor_file} holds the value {strange[0]}: only 0, 128 and 255 have a meaning."
        )
    return mask.astype(np.uint8)


def read_instances(field: AnnotatedField) -> npt.NDArray[np.int32]:
    """The label map of nuclei, H×W int32, 0 where there is none."""
    if field.instances_file is None:
        raise DataError(f"{field.name} has no label map beside it: add {field.image.stem}.inst.png.")
    labels = _read_mask(field, field.instances_file)
    if labels.ndim != 2:
        raise DataError(f"{field.instances_file} is a color picture: a label map has one 16-bit channel.")
    return labels.astype(np.int32)


def read_color_mask(field: AnnotatedField) -> npt.NDArray[np.bool_]:
    """The areas of `.mask.png`, H×W×3 bool: positive, border, negative (red, green, blue above 127)."""
    if field.color_file is None:
        raise DataError(f"{field.name} has no color mask beside it: add {field.image.stem}.mask.png.")
    mask = _read_mask(field, field.color_file)
    if mask.ndim != 3:
        raise DataError(f"{field.color_file} is a gray picture: nucleus areas are red, blue and green.")
    return np.asarray(mask[..., :3] > 127)


def split_by_patient(
    fields: Sequence[AnnotatedField], *, folds: int, seed: int
) -> tuple[tuple[AnnotatedField, ...], ...]:
    """Split into `folds` groups of whole patients, each source spread evenly, decided by the seed.

    Within every source the patients are shuffled and dealt, largest first, to the fold with the fewest
    fields of that source (then the fewest in all). A patient of two sources stays in one fold.
    """
    patients: dict[str, list[AnnotatedField]] = {}
    for field in fields:
        patients.setdefault(field.patient, []).append(field)
    if len(patients) < folds:
        raise DataError(
            f"{folds} folds need at least {folds} patients and the data hold {len(patients)}: "
            "ask for fewer folds."
        )
    order = [sorted(patients)[i] for i in np.random.default_rng(seed).permutation(len(patients))]
    order.sort(key=lambda patient: (patients[patient][0].source, -len(patients[patient])))
    groups: list[list[AnnotatedField]] = [[] for _ in range(folds)]

    def fullness(source: str) -> Callable[[int], tuple[int, int]]:
        return lambda fold: (sum(field.source == source for field in groups[fold]), len(groups[fold]))

    for patient in order:
        group = min(range(folds), key=fullness(patients[patient][0].source))
        groups[group].extend(patients[patient])
    return tuple(tuple(group) for group in groups)


def _field(folder: Path, manifest: Path, number: int, row: dict[str, str]) -> AnnotatedField:
    name = (row["image"] or "").strip()
    image = folder / name
    if not name or not image.is_file():
        raise DataError(f"{manifest}, line {number}: the picture {name or '(empty)'} is not in {folder}.")
    try:
        mpp = float(row["mpp"] or "")
    except ValueError:
        raise DataError(f"{manifest}, line {number}: mpp is {row['mpp']!r}, give µm per pixel.") from None
    if not usable_mpp(mpp):
        raise DataError(
            f"{manifest}, line {number}: mpp is {mpp:g}, which is no pixel size in µm: correct it."
        )
    if mpp > COARSEST_SCORABLE_MPP:
        raise DataError(
            f"{manifest}, line {number}: {name} is too coarse ({mpp:g} µm/px; nuclei need at most "
            f"{COARSEST_SCORABLE_MPP:g}): export it at 20× or 40×."
        )
    patient = (row.get("patient") or "").strip()
    points = _beside(image, ".csv")
    color, tumor, instances = (_beside(image, f".{kind}.png") for kind in ("mask", "tumor", "inst"))
    if not (points or color or tumor or instances):
        raise DataError(
            f"{manifest}, line {number}: no annotation lies beside {name}: add {image.stem}.csv, .tumor.png, "
            ".inst.png or .mask.png, or take the line out."
        )
    return AnnotatedField(
        image=image,
        name=name,
        source=(row.get("source") or "").strip() or folder.resolve().name,
        patient=patient or name,
        patient_known=bool(patient),
        mpp=mpp,
        points_file=points,
        labelled=_has_column(points, "label") if points is not None else color is not None,
        tumor_file=tumor,
        instances_file=instances,
        color_file=color,
    )


def _beside(image: Path, ending: str) -> Path | None:
    path = image.with_name(image.stem + ending)
    return path if path.is_file() else None


def _open_text(path: Path) -> TextIO:
    try:
        path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file in UTF-8: save it again as CSV (UTF-8).") from None
    return path.open(newline="", encoding="utf-8-sig")


def _has_column(points: Path, column: str) -> bool:
    with _open_text(points) as lines:
        return column in (csv.DictReader(lines).fieldnames or ())


def _read_points(path: Path) -> Nuclei:
    with _open_text(path) as lines:
        reader = csv.DictReader(lines)
        columns = set(reader.fieldnames or ())
        if not {"x_px", "y_px"} <= columns or not columns & {"label", "type"}:
            raise DataError(
                f"{path} needs the columns x_px, y_px and either label or type: correct its first line."
            )
        rows = [_point(path, number, row) for number, row in enumerate(reader, start=2)]
    return Nuclei(
        xy_px=np.array([(x, y) for x, y, _, _ in rows], np.float64).reshape(-1, 2),
        kind=np.array([kind for _, _, kind, _ in rows], np.int8),
        ids=np.array([label for _, _, _, label in rows], np.int64),
    )


def _point(path: Path, number: int, row: dict[str, str]) -> tuple[float, float, Kind, int]:
    try:
        x, y = float(row["x_px"]), float(row["y_px"])
        label = int(row.get("id") or number - 1)
    except (TypeError, ValueError):
        raise DataError(f"{path}, line {number}: x_px, y_px or id is not a number: correct it.") from None
    if not (math.isfinite(x) and math.isfinite(y)) or label < 0:
        raise DataError(f"{path}, line {number}: x_px, y_px or id is no place or label: correct it.")
    if "label" in row:
        word = (row["label"] or "").strip()
        if word not in _LABELS:
            raise DataError(f"{path}, line {number}: the label {word!r} is not positive, negative or other.")
        return x, y, _LABELS[word], label
    word = (row["type"] or "").strip()
    kind = Kind.TUMOR if word == "epithelial" else Kind.OTHER if word else Kind.UNKNOWN
    return x, y, kind, label


def _points_of_color_areas(areas: npt.NDArray[np.bool_]) -> Nuclei:
    from scipy import ndimage

    positive, border, negative = areas[..., 0], areas[..., 1], areas[..., 2]
    points: list[tuple[float, float]] = []
    kinds: list[Kind] = []
    for area, kind in ((positive, Kind.POSITIVE), (negative, Kind.NEGATIVE)):
        labels, count = ndimage.label(area & ~border)
        centres = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
        points += [(x, y) for y, x in centres]
        kinds += [kind] * count
    return Nuclei(
        xy_px=np.array(points, np.float64).reshape(-1, 2),
        kind=np.array(kinds, np.int8),
        ids=np.arange(1, len(kinds) + 1, dtype=np.int64),
    )


def _labels_at(xy: npt.NDArray[np.float64], labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The label under each point, 0 beside every outline: says whose outline it is where no id does."""
    cols, rows = (np.clip(np.rint(xy[:, i]).astype(int), 0, labels.shape[1 - i] - 1) for i in (0, 1))
    return np.asarray(labels[rows, cols], np.int64)


def _read_mask(field: AnnotatedField, path: Path) -> npt.NDArray[np.integer]:
    """A mask, which has the size of its picture."""
    mask, info = _read_png(path), probe(field.image)
    if mask.shape[:2] != (info.height_px, info.width_px):
        raise DataError(
            f"{path} has {mask.shape[1]} × {mask.shape[0]} px and its picture {info.width_px} × "
            f"{info.height_px}: export the mask in the size of the picture."
        )
    return mask


def _read_png(path: Path) -> npt.NDArray[np.integer]:
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("RGB") if opened.mode in ("P", "RGBA") else opened)
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise DataError(f"{path} cannot be read as a PNG: write it again.") from None
