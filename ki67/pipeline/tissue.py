"""Tissue told from glass on a low-power picture, and the two numbers estimated from it.

White point and threshold are estimated once, from the whole picture at 8 µm/px, so that no tile
decides for itself; both are stored with the run and can be given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ki67.pipeline.reading import ReadablePicture, Watch
from ki67.types import ByteArray, FloatArray, GridMap, Rect

LOW_POWER_MPP = 8.0
BLOCK_CELLS = 128  # a block of 128 × 128 low-power pixels is read at a time
GLASS_LOWEST = 205  # darkest channel of empty glass
GLASS_COLOR = 14  # its largest difference between channels
GLASS_PERCENTILE = 99.0  # pale stroma may hide among it
GLASS_SHARE = 0.002  # of the picture; less is no glass but a few bright cells
USUAL_WHITE = (240.0, 240.0, 240.0)
THRESHOLD_RANGE = (0.02, 0.03)  # optical density; above scanner shading, below pale stroma
FILL_BLACK = 16  # scanners fill what they did not scan with black
CLOSING_CELLS = 3  # gaps up to 24 µm between nuclei and fibres belong to the tissue
MARGIN_CELLS = 2


@dataclass(frozen=True)
class LowPower:
    """The whole picture at 8 µm/px, H×W×3; `px_per_cell` full-resolution pixels a side."""

    rgb: ByteArray
    px_per_cell: float

    def grid(self, mask: npt.NDArray[np.bool_], rect: Rect) -> GridMap:
        """The cells of a mask that touch a rectangle, as a map over the picture (255 where true)."""
        left, top = int(rect.x / self.px_per_cell), int(rect.y / self.px_per_cell)
        right = math.ceil((rect.x + rect.width) / self.px_per_cell)
        bottom = math.ceil((rect.y + rect.height) / self.px_per_cell)
        return GridMap(
            values=np.where(mask[top:bottom, left:right], 255, 0).astype(np.uint8),
            px_per_cell=self.px_per_cell,
            origin_x_px=left * self.px_per_cell,
            origin_y_px=top * self.px_per_cell,
        )

    def over(self, grid: GridMap) -> ByteArray:
        """The pixels under a map made by `grid`."""
        top, left = round(grid.origin_y_px / self.px_per_cell), round(grid.origin_x_px / self.px_per_cell)
        height, width = grid.values.shape
        return self.rgb[top : top + height, left : left + width]


def read_low_power(picture: ReadablePicture, *, mpp: float, watch: Watch) -> LowPower:
    """Reads the whole picture at 8 µm/px, block by block (stage "read")."""
    scale = LOW_POWER_MPP / mpp
    width = math.ceil(picture.info.width_px / scale)
    height = math.ceil(picture.info.height_px / scale)
    rgb = np.full((height, width, 3), 255, np.uint8)
    corners = [(x, y) for y in range(0, height, BLOCK_CELLS) for x in range(0, width, BLOCK_CELLS)]
    for done, (x, y) in enumerate(corners):
        watch.step("read", done, len(corners))
        columns, rows = min(BLOCK_CELLS, width - x), min(BLOCK_CELLS, height - y)
        with watch.clock.timed("read"):
            rgb[y : y + rows, x : x + columns] = picture.read_scaled(x, y, columns, rows, px_per_out=scale)
    watch.step("read", len(corners), len(corners))
    return LowPower(rgb, scale)


def measure_light(
    low_power: ByteArray,
    *,
    white_point: tuple[float, float, float] | None = None,
    threshold: float | None = None,
) -> tuple[tuple[float, float, float], float]:
    """White point (RGB of empty glass, 0-255) and tissue threshold (optical density); given ones stay.

    Glass is what is bright and nearly without color; a percentile of it is the white point, and Otsu's
    threshold, kept within a sane range, parts it from tissue. A picture without glass has a usual
    white point and the lowest threshold: it stays whole.
    """
    glass = low_power[(low_power.min(axis=2) >= GLASS_LOWEST) & (np.ptp(low_power, axis=2) <= GLASS_COLOR)]
    in_view = len(glass) >= GLASS_SHARE * low_power.shape[0] * low_power.shape[1]
    if white_point is None:
        values = np.percentile(glass, GLASS_PERCENTILE, axis=0) if in_view else USUAL_WHITE
        red, green, blue = (float(value) for value in values)
        white_point = (red, green, blue)
    if threshold is None:
        density = np.clip(optical_density(low_power, white_point) * 255, 0, 255).astype(np.uint8)
        otsu, _ = cv2.threshold(density.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        lowest, highest = THRESHOLD_RANGE
        threshold = min(max(otsu / 255, lowest), highest) if in_view else lowest
    return white_point, threshold


def find_tissue(
    low_power: ByteArray, *, white_point: tuple[float, float, float], threshold: float
) -> npt.NDArray[np.bool_]:
    """True on tissue, generously: gaps up to 24 µm closed and a margin of 16 µm kept."""
    dense = optical_density(low_power, white_point) >= threshold
    filled = (low_power < FILL_BLACK).all(axis=2)
    mask = (dense & ~filled).astype(np.uint8)
    reach = CLOSING_CELLS + MARGIN_CELLS
    padded = cv2.copyMakeBorder(mask, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    grown = cv2.dilate(padded, _disc(reach))
    shrunk = cv2.erode(grown, _disc(CLOSING_CELLS), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray(shrunk[reach:-reach, reach:-reach] > 0)


def optical_density(rgb: ByteArray, white_point: tuple[float, float, float]) -> FloatArray:
    """Mean over the channels of log10(white / value), H×W; brighter than white counts as 0."""
    table = np.stack(
        [
            np.log10(np.float32(white) / np.maximum(np.arange(256, dtype=np.float32), 1))
            for white in white_point
        ]
    )
    density = sum(np.maximum(table[channel], 0)[rgb[..., channel]] for channel in range(3))
    return np.asarray(density / np.float32(3), np.float32)


def _disc(radius: int) -> npt.NDArray[np.uint8]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(kernel, np.uint8)
