"""overlay.png: the picture with what a person checks drawn on it.

Colors and casings as everywhere in the app: every mark has a casing of opposite lightness, positive
and negative nuclei differ in shape as well as in color.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry import MultiPolygon

from ki67 import numbers
from ki67.pipeline.images import Picture
from ki67.pipeline.outlines import Outline
from ki67.pipeline.regions import Region, region_of
from ki67.types import ByteArray, GridMap, HotSpot, Measurement, RunRecord

LONGEST_SIDE_PX = 4096
NOTICE = "Research use only"
POSITIVE_RGB, POSITIVE_CASING_RGB = (0x2B, 0xE3, 0x8B), (0x06, 0x23, 0x1A)
NEGATIVE_RGB, NEGATIVE_CASING_RGB = (0xD1, 0x00, 0x3F), (0xFF, 0xFF, 0xFF)
TUMOR_RGB, BORDER_RGB = (0x00, 0x91, 0xB3), (0x00, 0x70, 0x8C)
OUTLINE_RGB, INK_RGB, WHITE_RGB = (0xFF, 0xD6, 0x0A), (0x17, 0x22, 0x2D), (0xFF, 0xFF, 0xFF)
TUMOR_OPACITY = 0.30
MARK_RADIUS_UM = 4.0
_SHIFT = 4
_STRIP_ROWS = 512
_FAR_OUT = 2.5


@dataclass(frozen=True)
class _Canvas:
    """The drawing (H×W×3 RGB, changed in place) and where its pixels lie in the picture."""

    rgb: ByteArray
    first_col: int
    first_row: int
    px_per_out: float

    def points(self, x_px: npt.ArrayLike, y_px: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Full-resolution points as canvas points (pixel-centre convention of OpenCV), N×2."""
        x = (np.asarray(x_px, np.float64) + 0.5) / self.px_per_out - 0.5 - self.first_col
        y = (np.asarray(y_px, np.float64) + 0.5) / self.px_per_out - 0.5 - self.first_row
        return np.column_stack([x, y])


def draw_overlay(
    picture: Picture,
    record: RunRecord,
    measurement: Measurement,
    *,
    border: MultiPolygon,
    outline: Outline | None,
) -> ByteArray:
    """The region as RGB, longest side at most 4,096: tint, border, outline, hot spot, nuclei, notice.

    `border` is the border of the tumor that counts. Only counted nuclei are drawn.
    """
    canvas = _blank_canvas(picture, region_of(record))
    if record.tumor_map is not None:
        _tint(canvas, record.tumor_map, record.parameters.tumor_border)
    _draw_shape(canvas, border, inner=(BORDER_RGB, 2), casing=(WHITE_RGB, 4))
    if outline is not None:
        for shape in (outline.tumor, outline.exclude):
            _draw_shape(canvas, shape, inner=(OUTLINE_RGB, 3), casing=(INK_RGB, 5))
    mpp_out = record.pixel_size.mpp * canvas.px_per_out
    _draw_nuclei(canvas, record, measurement, mpp_out=mpp_out)
    if measurement.hot_spot is not None:
        _draw_hot_spot(canvas, measurement.hot_spot, mpp_out=mpp_out)
    return _label(canvas, measurement.hot_spot, mpp_out=mpp_out)


def _blank_canvas(picture: Picture, region: Region) -> _Canvas:
    """The bare region, read in strips so that a bounded part of the picture is in memory."""
    left, top = region.left_px + 0.5, region.top_px + 0.5
    wide, high = region.right_px - region.left_px, region.bottom_px - region.top_px
    scale = max(1.0, max(wide, high) / LONGEST_SIDE_PX)
    first_col, first_row = math.floor(left / scale + 1e-9), math.floor(top / scale + 1e-9)
    width = min(LONGEST_SIDE_PX, math.ceil((left + wide) / scale - 1e-9) - first_col)
    height = min(LONGEST_SIDE_PX, math.ceil((top + high) / scale - 1e-9) - first_row)
    rgb = np.empty((height, width, 3), np.uint8)
    for row in range(0, height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, height - row)
        rgb[row : row + rows] = picture.read_scaled(first_col, first_row + row, width, rows, px_per_out=scale)
    return _Canvas(rgb, first_col, first_row, scale)


def _tint(canvas: _Canvas, tumor: GridMap, border: float) -> None:
    """The heat map: nothing below the border, then an opacity that rises to 30 % at probability 1."""
    height, width, _ = canvas.rgb.shape
    full_x = (np.arange(width) + canvas.first_col + 0.5) * canvas.px_per_out - 0.5
    full_y = (np.arange(height) + canvas.first_row + 0.5) * canvas.px_per_out - 0.5
    cols = np.floor((full_x + 0.5 - tumor.origin_x_px) / tumor.px_per_cell).astype(np.int64)
    rows = np.floor((full_y + 0.5 - tumor.origin_y_px) / tumor.px_per_cell).astype(np.int64)
    map_height, map_width = tumor.values.shape
    known = np.outer((rows >= 0) & (rows < map_height), (cols >= 0) & (cols < map_width))
    cols, rows = np.clip(cols, 0, map_width - 1), np.clip(rows, 0, map_height - 1)
    levels = np.arange(256) / 255
    rising = TUMOR_OPACITY * (0.4 + 0.6 * (levels - border) / max(1 - border, 1e-6))
    opacity = np.where(levels >= border, rising, 0).astype(np.float32)
    color = np.full((_STRIP_ROWS, width, 3), TUMOR_RGB, np.uint8)
    for row in range(0, height, _STRIP_ROWS):
        part = slice(row, min(row + _STRIP_ROWS, height))
        alpha = opacity[tumor.values[rows[part]][:, cols]] * known[part]
        canvas.rgb[part] = cv2.blendLinear(canvas.rgb[part], color[: len(alpha)], 1 - alpha, alpha)


def _draw_shape(
    canvas: _Canvas,
    shape: MultiPolygon,
    *,
    inner: tuple[tuple[int, int, int], int],
    casing: tuple[tuple[int, int, int], int],
) -> None:
    """The rings of polygons as lines: the casing (color, width) below, the inner line on it."""
    rings = []
    for polygon in shape.geoms:
        for ring in (polygon.exterior, *polygon.interiors):
            points = shapely.get_coordinates(ring)
            rings.append(_fixed(canvas.points(points[:, 0], points[:, 1])))
    for color, width in (casing, inner):
        cv2.polylines(canvas.rgb, rings, True, color, width, cv2.LINE_AA, shift=_SHIFT)


def _draw_nuclei(canvas: _Canvas, record: RunRecord, measurement: Measurement, *, mpp_out: float) -> None:
    """Green rings on positive, red crosses on negative nuclei; small discs and bare crosses far out."""
    candidates, counted = record.candidates, measurement.counted
    points = canvas.points(candidates.x_px[counted], candidates.y_px[counted])
    is_positive = candidates.is_positive[counted]
    if canvas.px_per_out > _FAR_OUT:
        _draw_small(canvas, points[~is_positive], cross=True, color=NEGATIVE_RGB)
        _draw_small(canvas, points[is_positive], cross=False, color=POSITIVE_RGB)
        return
    radius = max(4.0, MARK_RADIUS_UM / mpp_out)
    arm = radius * 0.5
    for color, width in ((NEGATIVE_CASING_RGB, 4), (NEGATIVE_RGB, 2)):
        lines = []
        for way in ((arm, arm), (arm, -arm)):
            ends = np.stack([points[~is_positive] - way, points[~is_positive] + way], axis=1)
            lines += list(_fixed(ends))
        cv2.polylines(canvas.rgb, lines, False, color, width, cv2.LINE_AA, shift=_SHIFT)
    size = round(radius * 2**_SHIFT)
    for color, width in ((POSITIVE_CASING_RGB, 4), (POSITIVE_RGB, 2)):
        for x, y in _fixed(points[is_positive]).tolist():
            cv2.circle(canvas.rgb, (x, y), size, color, width, cv2.LINE_AA, shift=_SHIFT)


def _draw_small(
    canvas: _Canvas, points: npt.NDArray[np.float64], *, cross: bool, color: tuple[int, int, int]
) -> None:
    """3 px marks at once: a diagonal cross, or a full disc (3 × 3)."""
    height, width, _ = canvas.rgb.shape
    cols, rows = np.round(points).astype(np.int64).T
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if cross and (down == 0) != (right == 0):
                continue
            row, col = np.clip(rows + down, 0, height - 1), np.clip(cols + right, 0, width - 1)
            canvas.rgb[row, col] = color


def _draw_hot_spot(canvas: _Canvas, spot: HotSpot, *, mpp_out: float) -> None:
    """A white circle with ink dashes."""
    centre = tuple(_fixed(canvas.points([spot.x_px], [spot.y_px]))[0].tolist())
    radius = round(spot.radius_um / mpp_out * 2**_SHIFT)
    cv2.circle(canvas.rgb, centre, radius, WHITE_RGB, 4, cv2.LINE_AA, shift=_SHIFT)
    for start in range(0, 360, 12):
        cv2.ellipse(
            canvas.rgb, centre, (radius, radius), 0, start, start + 6, INK_RGB, 2, cv2.LINE_AA, shift=_SHIFT
        )


def _label(canvas: _Canvas, spot: HotSpot | None, *, mpp_out: float) -> ByteArray:
    """The words on the picture: the hot spot's below its circle, the notice at the bottom right."""
    height, width, _ = canvas.rgb.shape
    image = Image.fromarray(canvas.rgb)
    draw = ImageDraw.Draw(image)
    size = max(10, min(width, height) // 60)
    font = ImageFont.load_default(size=size)
    if spot is not None:
        x, y = canvas.points([spot.x_px], [spot.y_px])[0]
        below = min(y + spot.radius_um / mpp_out + 6, height - 1)
        text = f"Hot spot {numbers.percent(spot.positive, spot.negative)}"
        anchor = "mt" if below + size < height else "mb"
        draw.text((x, below), text, WHITE_RGB, font, anchor, stroke_width=2, stroke_fill=INK_RGB)
    draw.text((width - 6, height - 6), NOTICE, WHITE_RGB, font, "rb", stroke_width=2, stroke_fill=INK_RGB)
    return np.asarray(image, np.uint8)


def _fixed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Canvas points in the fixed-point numbers OpenCV draws with."""
    return np.asarray(np.round(points * 2**_SHIFT), np.int32)
