"""A picture in memory, and a backend that knows nuclei by color: the truth of a run is then known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ki67.pipeline.cards import ModelCard, ModelSet, default_spec
from ki67.types import ByteArray, Candidates, FloatArray, PictureInfo

GLASS = (244, 244, 245)
STROMA = (232, 200, 205)
TUMOR = (200, 215, 240)
POSITIVE = (110, 70, 40)
NEGATIVE = (80, 95, 165)


@dataclass(frozen=True)
class ArrayPicture:
    """A picture held as an array, with exact area averages (see `ki67.pipeline.images.Picture`)."""

    rgb: ByteArray

    @property
    def info(self) -> PictureInfo:
        return PictureInfo(self.rgb.shape[1], self.rgb.shape[0], "array", None, 1)

    def read_scaled(self, x: int, y: int, width: int, height: int, *, px_per_out: float) -> ByteArray:
        rows, row_weights = _weights(y, height, px_per_out, self.rgb.shape[0])
        columns, column_weights = _weights(x, width, px_per_out, self.rgb.shape[1])
        ink = np.float32(255) - self.rgb[rows, columns].astype(np.float32)
        mean = np.stack([row_weights @ ink[..., c] @ column_weights.T for c in range(3)], axis=-1)
        return np.rint(255 - mean / px_per_out**2).astype(np.uint8)


def _weights(start: int, count: int, scale: float, size: int) -> tuple[slice, FloatArray]:
    """How much of each source pixel lies under each output pixel, and which source pixels those are."""
    edges = np.clip((start + np.arange(count + 1)) * scale, 0, size)
    first, last = int(np.floor(edges[0])), int(np.ceil(edges[-1]))
    cells = np.arange(first, last)
    low = np.maximum(edges[:-1, None], cells[None])
    high = np.minimum(edges[1:, None], cells[None] + 1)
    return slice(first, last), np.maximum(high - low, 0).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A drawn picture and the truth about it, in full-resolution pixels."""

    rgb: ByteArray
    x: FloatArray
    y: FloatArray
    positive: npt.NDArray[np.bool_]

    @property
    def picture(self) -> ArrayPicture:
        return ArrayPicture(self.rgb)


def draw_scene(
    width: int,
    height: int,
    *,
    seed: int,
    mpp: float = 0.5,
    tumor: tuple[int, int, int, int] | None = None,
    apart_um: float = 9.0,
    extra: tuple[tuple[float, float], ...] = (),
    ground: tuple[int, int, int] = TUMOR,
    nuclei: tuple[tuple[int, int, int], tuple[int, int, int]] = (POSITIVE, NEGATIVE),
) -> Scene:
    """Nuclei of 3 µm radius, a third of them positive, on stroma with one tumor rectangle (x0, y0, x1, y1).

    Without a rectangle all of it is `ground`. `extra` nuclei come first, the others keep their distance.
    """
    generator = np.random.default_rng(seed)
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = STROMA if tumor else ground
    if tumor:
        rgb[tumor[1] : tumor[3], tumor[0] : tumor[2]] = TUMOR
    margin = 6 / mpp
    count = int(width * height * mpp**2 / 250)
    points = np.concatenate(
        [
            np.array(extra, float).reshape(-1, 2),
            generator.uniform((margin, margin), (width - margin, height - margin), (count, 2)),
        ]
    )
    kept = _apart(points, apart_um / mpp)
    positive = generator.random(len(kept)) < 1 / 3
    for (x, y), brown in zip(kept, positive, strict=True):
        center = (round(x * 16), round(y * 16))
        cv2.circle(rgb, center, round(3 / mpp * 16), nuclei[0] if brown else nuclei[1], -1, cv2.LINE_AA, 4)
    return Scene(rgb, kept[:, 0].astype(np.float32), kept[:, 1].astype(np.float32), positive)


def _apart(points: npt.NDArray[np.float64], distance: float) -> npt.NDArray[np.float64]:
    keep = np.ones(len(points), bool)
    for first, second in sorted(cKDTree(points).query_pairs(distance)):
        if keep[first]:
            keep[second] = False
    return points[keep]


class ColorBackend:
    """Knows tumor and nuclei by color, from a neighbourhood of a few µm. Counts the tiles it is given."""

    name = "color"
    device = "cpu"
    precision = "f32"

    def __init__(self, batch_size: int = 1) -> None:
        self.batch_size = batch_size
        self.tumor_tiles = 0
        self.cell_tiles = 0

    def tumor(self, batch: ByteArray) -> FloatArray:
        """Bluish tumor ground, with the nuclei that lie wholly in it."""
        self.tumor_tiles += len(batch)
        return np.stack([self._tumor(each) for each in batch])

    def cells(self, batch: ByteArray) -> FloatArray:
        """Brown and blue discs."""
        self.cell_tiles += len(batch)
        return np.stack([self._cells(each) for each in batch])

    def _tumor(self, rgb: ByteArray) -> FloatArray:
        ground = (_like(rgb, TUMOR)).astype(np.uint8)
        closed = cv2.morphologyEx(ground, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
        return np.asarray(cv2.GaussianBlur(closed.astype(np.float32), (0, 0), 2))

    def _cells(self, rgb: ByteArray) -> FloatArray:
        masks = [_like(rgb, color).astype(np.float32) for color in (POSITIVE, NEGATIVE)]
        return np.stack([cv2.GaussianBlur(mask, (0, 0), 2) for mask in masks])


def _like(rgb: ByteArray, color: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    difference = np.abs(rgb.astype(np.int16) - np.array(color, np.int16))
    return np.asarray((difference <= 24).all(axis=-1))


def fake_card(task: str, **changes: object) -> ModelCard:
    """A card of no real weights."""
    spec = default_spec(task)  # type: ignore[arg-type]
    values: dict[str, object] = {
        "task": task,
        "name": f"test-{task}",
        "version": "1",
        "classes": spec.classes,
        "encoder": spec.encoder,
        "encoder_init": "random",
        "created_at": "2026-01-01T00:00:00Z",
        "software_version": "0",
        "sha256": "0" * 64,
    }
    return ModelCard(**{**values, **changes})  # type: ignore[arg-type]


def fake_models(*, with_tumor: bool = True) -> ModelSet:
    """A model set of no real weights."""
    return ModelSet(Path("none"), "test", fake_card("tumor") if with_tumor else None, fake_card("cells"))


def matched_share(ours: Candidates, x: FloatArray, y: FloatArray, *, distance: float) -> float:
    """The share of points of the larger set that have a partner of the other within the distance."""
    if not len(ours) or not len(x):
        return float(len(ours) == len(x))
    mine, other = np.column_stack((ours.x_px, ours.y_px)), np.column_stack((x, y))
    there = (cKDTree(mine).query(other)[0] <= distance).mean()
    back = (cKDTree(other).query(mine)[0] <= distance).mean()
    return float(min(there, back))
