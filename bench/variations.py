"""Twenty ways in which another laboratory, lamp or camera shows the same section.

Written apart from the training code and sharing nothing with it, so that a net is not tried with what
it was trained with. Densities are decadic, relative to 255; stain vectors are those of Ruifrok &
Johnston (Anal Quant Cytol Histol 2001;23:291-299).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from ki67.types import ByteArray

HAEMATOXYLIN = (0.65, 0.70, 0.29)
DAB = (0.27, 0.57, 0.78)

Doubles = npt.NDArray[np.float64]
# A variation takes H×W×3 RGB and its µm/px and gives a picture of the same size.
Variation = Callable[[ByteArray, float], ByteArray]


def variations() -> dict[str, Variation]:
    """The twenty, by a name for people."""
    found: dict[str, Variation] = {}
    for stain, vector in (("counterstain", 0), ("DAB", 1)):
        for percent in (-30, -15, 15, 30):
            found[f"{stain} {percent:+d} %"] = partial(_stronger, stain=vector, factor=1 + percent / 100)
        for degrees in (-10, 10):
            found[f"{stain} hue {degrees:+d}°"] = partial(_other_hue, stain=vector, degrees=degrees)
    for name, light in (
        ("yellow", (1, 1, 0.85)),
        ("blue", (0.88, 0.92, 1)),
        ("gray", (0.88, 0.88, 0.88)),
    ):
        found[f"white point {name}"] = partial(_in_light, light=light)
    for sigma_um in (0.5, 1.0):
        found[f"blur {sigma_um:g} µm"] = partial(_blurred, sigma_um=sigma_um)
    found["JPEG 50"] = partial(_through_jpeg, quality=50)
    for gamma in (0.8, 1.25):
        found[f"gamma {gamma:g}"] = partial(_with_gamma, gamma=gamma)
    return found


def unmix(rgb: ByteArray) -> tuple[Doubles, Doubles]:
    """Amounts (N×3) of haematoxylin, DAB and the rest at each pixel, and the three unit vectors (rows)."""
    vectors = np.array([HAEMATOXYLIN, DAB, np.cross(HAEMATOXYLIN, DAB)], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    density = -np.log10(np.maximum(rgb.reshape(-1, 3), 1) / 255.0)
    return density @ np.linalg.inv(vectors), vectors


def mix(amounts: Doubles, vectors: Doubles, *, shape: tuple[int, ...]) -> ByteArray:
    """The picture that the amounts give with these vectors."""
    return _rounded(255.0 * 10.0 ** -(amounts @ vectors)).reshape(shape)


def _stronger(rgb: ByteArray, mpp: float, *, stain: int, factor: float) -> ByteArray:
    amounts, vectors = unmix(rgb)
    # Less than nothing of a stain is glass or another color: that is not the stain's to change.
    amounts[:, stain] *= np.where(amounts[:, stain] > 0, factor, 1.0)
    return mix(amounts, vectors, shape=rgb.shape)


def _other_hue(rgb: ByteArray, mpp: float, *, stain: int, degrees: float) -> ByteArray:
    """The stain's vector turned about the gray axis (Rodrigues): its hue changes, not its total density."""
    amounts, vectors = unmix(rgb)
    gray, angle, vector = np.ones(3) / math.sqrt(3), math.radians(degrees), vectors[stain]
    turned = (
        vector * math.cos(angle)
        + np.cross(gray, vector) * math.sin(angle)
        + gray * (gray @ vector) * (1 - math.cos(angle))
    )
    density = amounts @ vectors + np.maximum(amounts[:, [stain]], 0) * (turned - vector)
    return _rounded(255.0 * 10.0**-density).reshape(rgb.shape)


def _in_light(rgb: ByteArray, mpp: float, *, light: tuple[float, float, float]) -> ByteArray:
    return _rounded(rgb * np.array(light))


def _blurred(rgb: ByteArray, mpp: float, *, sigma_um: float) -> ByteArray:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_um / mpp), np.uint8)


def _through_jpeg(rgb: ByteArray, mpp: float, *, quality: int) -> ByteArray:
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def _with_gamma(rgb: ByteArray, mpp: float, *, gamma: float) -> ByteArray:
    return _rounded(255.0 * (rgb / 255.0) ** gamma)


def _rounded(levels: Doubles) -> ByteArray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
