"""The pictures of the gate's list: files of a data folder, some changed so that a person should be warned."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from ki67.errors import DataError
from ki67.pipeline.images import open_picture
from ki67.pipeline.light import estimate_light
from ki67.stains import deconvolve, optical_density, transmitted, unit
from ki67.types import ByteArray, FloatArray, Rect

Transform = Literal["none", "scale x2", "scale x0.5", "blur 3 um", "red", "pen"]
Half = Literal["tuning", "test"]
SEED = 2026  # draws the list and its halves
# How many of each on the list: H&E from these sources, and transforms of real Ki-67 fields.
H_AND_E = {"brca_m2c": 6, "consep": 4, "monuseg": 4}
SLIDES = (("slides/CMU-1-Small-Region.svs", 0.499), ("slides/no_mpp_two_levels.svs", 0.5))
CHANGED: dict[Transform, int] = {"scale x2": 10, "scale x0.5": 10, "blur 3 um": 10, "red": 7, "pen": 6}
FEWEST_TO_RECOLOR = 10  # positive nuclei: with fewer there is hardly anything to turn red
DOUBLE_STAIN = ("fields/cytokeratin_ki67_double_stain.tif", 0.25)
# Ki-67 fields without annotation. The scale of most is unknown and set so that their nuclei measure
# what nuclei measure elsewhere.
KI67_FIELDS = (
    ("fields/epiderm_ki67.jpg", 0.5),
    ("fields/gepnet_16.png", 0.33),
    ("fields/immunopy_20x.png", 0.2286),
    ("fields/ki67_field_a.jpg", 0.17),
    ("fields/ki67_field_b.jpg", 0.25),
)
BLUE_CASTS = tuple((f"fields/blue_cast_{number}.png", 0.25) for number in (1, 2, 3, 4))

AEC = (0.2743, 0.6796, 0.6803)  # density in R, G, B as ImageJ's color deconvolution has it
HAEMATOXYLIN = (0.65, 0.70, 0.29)
INKS = ((25, 140, 70), (25, 50, 150), (15, 15, 20), (15, 120, 110))  # what white paper shows under the pen
PEN_UM = 60.0


@dataclass(frozen=True)
class Item:
    """A line of the list: a file (relative to the data folder), its µm/px, and what is done to it."""

    half: Half
    file: str
    mpp: float
    transform: Transform

    @property
    def entered_mpp(self) -> float:
        """The pixel size that the person enters."""
        return self.mpp * {"scale x2": 2.0, "scale x0.5": 0.5}.get(self.transform, 1.0)


def draw_list(data: Path) -> tuple[Item, ...]:
    """The list of 60: files drawn without replacement per kind, and every second one for tuning.

    Raises DataError when a manifest of the data folder is missing.
    """
    rng = np.random.default_rng(SEED)
    items: list[Item] = []

    def add(files: Sequence[tuple[str, float]], transform: Transform) -> None:
        halves: tuple[Half, Half] = ("tuning", "test")
        first = sum(item.half == "tuning" for item in items) * 2 > len(items)
        items.extend(
            Item(halves[(place + first) % 2], file, mpp, transform) for place, (file, mpp) in enumerate(files)
        )

    nuclei, cells = (read_manifest(data, folder) for folder in ("nuclei", "cells"))
    for source, count in H_AND_E.items():
        of_source = [(file, mpp) for file, mpp in nuclei if file.startswith(f"nuclei/{source}/")]
        add([of_source[i] for i in rng.permutation(len(of_source))[:count]], "none")
    add(SLIDES, "none")
    add([DOUBLE_STAIN], "none")
    stained = set(read_manifest(data, "cells", least_positive=FEWEST_TO_RECOLOR))
    for transform, count in CHANGED.items():
        drawn = [cells[i] for i in rng.permutation(len(cells))]
        add([each for each in drawn if transform != "red" or each in stained][:count], transform)
    return tuple(items)


def read_manifest(data: Path, folder: str, *, least_positive: int = 0) -> list[tuple[str, float]]:
    """File (relative to the data folder) and µm/px of each row of a folder's manifest.

    `least_positive`: only fields with so many positive nuclei, as the manifest counts them.
    Raises DataError when it is missing.
    """
    manifest = data / folder / "manifest.csv"
    try:
        with manifest.open(newline="", encoding="utf-8") as lines:
            return [
                (f"{folder}/{row['image']}", float(row["mpp"]))
                for row in csv.DictReader(lines)
                if int(row.get("positive") or 0) >= least_positive
            ]
    except OSError as fault:
        raise DataError(f"{manifest} cannot be read: give the data folder that holds it.") from fault


def list_csv(items: Sequence[Item]) -> str:
    """The list as the text of `gate_list.csv`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(each.name for each in fields(Item))
    writer.writerows(astuple(item) for item in items)
    return stream.getvalue()


def read_list(path: Path) -> tuple[Item, ...]:
    """The items of a list; raises DataError naming the line that makes no sense."""
    items: list[Item] = []
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            half, transform = row["half"], row["transform"]
            if half not in get_args(Half) or transform not in get_args(Transform):
                raise DataError(f"{path}, line {number}: {half!r} or {transform!r} is unknown: correct it.")
            items.append(Item(half, row["file"], float(row["mpp"]), transform))  # type: ignore[arg-type]
    return tuple(items)


def changed_pixels(item: Item, data: Path, *, seed: int) -> ByteArray | None:
    """The picture as the person gives it, H×W×3; None where the file itself serves."""
    if item.transform in ("none", "scale x2", "scale x0.5"):
        return None
    with open_picture(data / item.file) as picture:
        rgb = picture.read(Rect(0, 0, picture.info.width_px, picture.info.height_px))
    if item.transform == "blur 3 um":
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 3.0 / item.mpp), np.uint8)
    return red_instead_of_brown(rgb) if item.transform == "red" else under_pen(rgb, mpp=item.mpp, seed=seed)


def red_instead_of_brown(rgb: ByteArray) -> ByteArray:
    """The picture with AEC where it has DAB: the picture's own DAB vector, amounts by deconvolution."""
    light = np.asarray(estimate_light(rgb), np.float32)
    density = optical_density(rgb, light)
    dab = _own_dab(np.asarray(cv2.GaussianBlur(rgb, (0, 0), 1.0), np.uint8), light)
    rest = np.cross(unit(HAEMATOXYLIN), dab)
    stains = np.stack([unit(HAEMATOXYLIN), dab, unit(rest)])
    amounts = deconvolve(density, stains)
    chromogen = np.maximum(amounts[..., 1:2], 0)
    return np.clip(np.rint(transmitted(density + chromogen * (unit(AEC) - dab), light)), 0, 255).astype(
        np.uint8
    )


def under_pen(rgb: ByteArray, *, mpp: float, seed: int) -> ByteArray:
    """The picture with one soft-edged stroke of a 60 µm wide pen across it, in one of four inks."""
    rng = np.random.default_rng([seed, 5])
    height, width = rgb.shape[:2]
    ink = optical_density(np.array(INKS[rng.integers(len(INKS))], np.uint8))
    mask = np.zeros((height, width), np.float32)
    start, end = rng.uniform(0.1, 0.9, 2) * height
    thickness = max(3, round(PEN_UM / mpp))
    cv2.line(mask, (-thickness, round(start)), (width + thickness, round(end)), 1.0, thickness)
    stroke = cv2.GaussianBlur(mask, (0, 0), max(1.0, 3.0 / mpp))[..., None]
    white = np.full(3, 255, np.float32)
    shown = transmitted(optical_density(rgb, white) + stroke * ink, white)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def _own_dab(soft: ByteArray, light: FloatArray) -> FloatArray:
    """Unit density vector of what is brown in a picture."""
    density = optical_density(soft, light).reshape(-1, 3)
    levels = soft.reshape(-1, 3).astype(np.float32)
    brown = (levels[:, 0] > levels[:, 1:].max(axis=1) + 15) & (levels.min(axis=1) >= 20)
    brown &= (density.sum(axis=1) > 0.5) & (density[:, 0] < 0.28 * density.sum(axis=1))
    if np.count_nonzero(brown) < 50:
        return unit((0.27, 0.57, 0.78))
    return unit(np.median(unit(density[brown]), axis=0))
