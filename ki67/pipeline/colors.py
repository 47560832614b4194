"""The stain of a picture in numbers: how its absorption is shared between red, green and blue.

Densities are natural, relative to the picture's own light (Beer–Lambert); a share is a channel's part
of the three densities, so it does not change with the amount of stain (the Maxwell triangle of
Ruifrok & Johnston, Anal Quant Cytol Histol 2001;23:291-299). DAB lies near (0.17, 0.35, 0.48),
AEC near (0.17, 0.42, 0.42), haematoxylin near (0.40, 0.43, 0.17), eosin near (0.06, 0.85, 0.09).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ki67.pipeline.light import Light
from ki67.pipeline.texture import SAMPLE_MPP
from ki67.pipeline.tissue import LOW_POWER_MPP
from ki67.stains import optical_density
from ki67.types import ByteArray, FloatArray

DARKEST = 30  # gray level below which the color of a density can no longer be told
STAINED = (0.25, 3.0)  # sum of the densities of what counts as stained, and of what is too dark to judge
FEWEST_STAINED_PX = 200
FEWEST_CHROMOGEN_PX = 60  # 15 µm², part of one nucleus
CHROMOGEN_RED_SHARE = 0.28  # of the chromogen at most; counterstain has more
CHROMOGEN_DENSITY = 0.8
WARM = 15  # gray levels by which red leads green and blue in what looks brown or red
PURE_RED_SHARE = 0.167  # of DAB and of AEC
COUNTERSTAIN_PULL = 3.5  # change of log(blue/green) per share of red, from the chromogen to haematoxylin
COVERED_MPP = 2.0
COVERED_UM = 24.0  # wider than a nucleus or a clump of them
COVERED_DENSITY = 2.8  # such wide tissue at most 1.3, ink 4 and more


@dataclass(frozen=True)
class Pixels:
    """Pixels of the samples: gray levels N×3, densities N×3, sum of the densities N, their shares N×3."""

    levels: FloatArray
    densities: FloatArray
    total: FloatArray
    shares: FloatArray


def read_pixels(tiles: Sequence[ByteArray], light: Light) -> Pixels:
    """All pixels of the tiles, smoothed by 0.5 µm against noise and the fringes of lenses."""
    soft = [np.asarray(cv2.GaussianBlur(tile, (0, 0), 1.0), np.uint8).reshape(-1, 3) for tile in tiles]
    rgb = np.concatenate([np.zeros((0, 3), np.uint8), *soft])
    densities = optical_density(rgb, light)
    total = densities.sum(axis=1)
    return Pixels(rgb.astype(np.float32), densities, total, densities / np.maximum(total, 1e-6)[:, None])


def stain_color(pixels: Pixels) -> tuple[float, float, float] | None:
    """Mean share of red and of blue over what is stained, weighted by density, and its median density.

    None when hardly anything is stained.
    """
    stained = (pixels.levels.min(axis=1) >= DARKEST) & (pixels.total >= STAINED[0])
    stained &= pixels.total <= STAINED[1]
    if np.count_nonzero(stained) < FEWEST_STAINED_PX:
        return None
    red, _, blue = np.average(pixels.shares[stained], axis=0, weights=pixels.total[stained])
    return float(red), float(blue), float(np.median(pixels.total[stained]))


def chromogen_hue(pixels: Pixels) -> float | None:
    """Median of log(blue / green density) of the chromogen, freed of the counterstain under it.

    About 0.3 for DAB, 0 for AEC, below 0 for fast red. None with less than part of a nucleus of chromogen.
    The haematoxylin mixed in pulls a pixel along a straight line towards its own color.
    """
    warm = np.minimum(pixels.levels[:, 0] - pixels.levels[:, 1], pixels.levels[:, 0] - pixels.levels[:, 2])
    chromogen = (pixels.levels.min(axis=1) >= DARKEST) & (warm > WARM)
    chromogen &= (pixels.total >= CHROMOGEN_DENSITY) & (pixels.shares[:, 0] < CHROMOGEN_RED_SHARE)
    if np.count_nonzero(chromogen) < FEWEST_CHROMOGEN_PX:
        return None
    red, green, blue = np.maximum(pixels.shares[chromogen], 1e-3).T
    return float(np.median(np.log(blue / green) + COUNTERSTAIN_PULL * (red - PURE_RED_SHARE)))


def green_share(tiles: Sequence[ByteArray], light: Light) -> float | None:
    """Mean share of green in the density of what is stained, the less of two: in the picture's own light
    and in white light.

    Eosin absorbs green. Without glass in view the light of an H&E picture is estimated pink, and a
    colored lamp may look like a stain: what is H&E looks so in both. None when hardly anything is stained.
    """
    white = max(light)
    found = [stain_color(read_pixels(tiles, each)) for each in (light, (white, white, white))]
    shares = [1 - color[0] - color[1] for color in found if color is not None]
    return min(shares) if len(shares) == len(found) else None


def covered_share(
    low_power: ByteArray, tissue: npt.NDArray[np.bool_], tiles: Sequence[ByteArray], *, light: Light
) -> float | None:
    """Share (0-1) that something dense and wider than 24 µm covers: pen, fold, dirt.

    The larger of the shares of the samples and of the tissue at low power (8 µm/px); None without tissue.
    """
    if not tissue.any():
        return None
    factor = round(COVERED_MPP / SAMPLE_MPP)
    covered = total = 0
    for tile in tiles:
        size = (max(1, tile.shape[1] // factor), max(1, tile.shape[0] // factor))
        small = np.asarray(cv2.resize(tile, size, interpolation=cv2.INTER_AREA), np.uint8)
        wide = _wide_density(small, light, mpp=COVERED_MPP)
        covered += int(np.count_nonzero(wide > COVERED_DENSITY))
        total += wide.size
    on_tissue = _wide_density(low_power, light, mpp=LOW_POWER_MPP)[tissue]
    return max(covered / total if total else 0.0, float(np.mean(on_tissue > COVERED_DENSITY)))


def _wide_density(rgb: ByteArray, light: Light, *, mpp: float) -> FloatArray:
    """H×W sum of the densities, opened with a disc of 24 µm: nothing narrower is left."""
    total = optical_density(rgb, light).sum(axis=-1)
    side = 2 * round(COVERED_UM / mpp / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(
        cv2.morphologyEx(total, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REFLECT), np.float32
    )
