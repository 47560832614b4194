"""The light of a picture: its color and strength, estimated once and divided out before the nets.

A lamp, a filter or a camera's white balance multiplies each channel by a factor. The estimate is a
percentile of each channel of the low-power picture and nothing else, so a factor on a channel is a
factor on the estimate, and what the nets see afterwards is the same (the "white patch" of Land,
The retinex theory of color vision, Sci Am 1977;237(6):108-128).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ki67.types import ByteArray, PictureInfo

LIGHT_PERCENTILE = 98.0
LIGHT_TARGET = 240.0  # gray level that the light has afterwards
DARKEST_LIGHT = 60.0  # a picture without anything bright is not lifted further than from here

Light = tuple[float, float, float]


def estimate_light(low_power: ByteArray) -> Light:
    """Gray level of the light in R, G, B (0-255) from the low-power picture, H×W×3 at 8 µm/px."""
    levels = np.percentile(low_power.reshape(-1, 3), LIGHT_PERCENTILE, axis=0)
    red, green, blue = (max(float(level), DARKEST_LIGHT) for level in levels)
    return red, green, blue


def without_light(rgb: ByteArray, light: Light) -> ByteArray:
    """The picture (…×H×W×3) as a neutral light of level 240 would show it; brighter values clip at 255."""
    levels = np.arange(256, dtype=np.float64)[:, None] * (LIGHT_TARGET / np.asarray(light))
    table: npt.NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    flat = np.ascontiguousarray(rgb).reshape(-1, rgb.shape[-2], 3)
    return np.asarray(cv2.LUT(flat, table[None]), np.uint8).reshape(rgb.shape)


class _Readable(Protocol):
    @property
    def info(self) -> PictureInfo: ...

    def read_scaled(self, x: int, y: int, width: int, height: int, *, px_per_out: float) -> ByteArray: ...


@dataclass(frozen=True)
class NeutralPicture:
    """A picture read with its light divided out."""

    picture: _Readable
    light: Light

    @property
    def info(self) -> PictureInfo:
        """That of the picture."""
        return self.picture.info

    def read_scaled(self, x: int, y: int, width: int, height: int, *, px_per_out: float) -> ByteArray:
        """As the picture's own, in a neutral light."""
        return without_light(self.picture.read_scaled(x, y, width, height, px_per_out=px_per_out), self.light)
