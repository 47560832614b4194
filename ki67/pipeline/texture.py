"""Size and sharpness of what is stained, in samples at 0.5 µm/px."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from ki67.pipeline.light import Light
from ki67.stains import optical_density
from ki67.types import ByteArray, FloatArray

SAMPLE_MPP = 0.5
SIGMAS_PX = 1.4 * 1.4 ** np.arange(8)  # 0.7 to 7.4 µm
DENSEST = 1.2  # of red light; darker nuclei do not weigh more
HOLE_PX = 60
OPENING_PX = 3
LEAST_VARIANCE = 0.5  # of gray levels at 2-4 px; bare glass has less
FEWEST_NUCLEI = 5
LEAST_NUCLEUS_PX = 12
LEAST_SOLIDITY = 0.9  # area over that of the convex hull: clumps of nuclei have less
MOST_ELONGATED = 2.2
WIDTH_QUANTILE = 0.4  # of the nuclear area; the upper half holds what clumps are left


def red_density(tile: ByteArray, light: Light) -> FloatArray:
    """H×W density in red light, where haematoxylin and DAB both absorb and eosin hardly does."""
    return np.minimum(optical_density(tile, light)[..., 0], np.float32(DENSEST))


def nucleus_width_um(densities: Sequence[FloatArray]) -> float | None:
    """Typical width of a nucleus, in µm at 0.5 µm/px: diameter of the circle of its area.

    Measured on dense areas that are convex and not too long, which clumps of nuclei are not; 40 % of their
    area belongs to smaller ones. None with fewer than five.
    """
    found = [_convex_areas(_nuclear(density)) for density in densities]
    areas = np.sort(np.concatenate([np.zeros(0), *found]))
    if len(areas) < FEWEST_NUCLEI:
        return None
    below = (np.cumsum(areas) - areas / 2) / areas.sum()
    diameters = np.sqrt(areas * (4 / np.pi))
    return float(np.interp(WIDTH_QUANTILE, below, diameters)) * SAMPLE_MPP


def texture_um(densities: Sequence[FloatArray]) -> float | None:
    """Mean scale of the structure: geometric mean of the scales of Gaussian bands, weighted by energy.

    None for tiles without structure.
    """
    energy = np.zeros(len(SIGMAS_PX) - 1)
    for density in densities:
        blurred = [cv2.GaussianBlur(density, (0, 0), float(sigma)) for sigma in SIGMAS_PX]
        energy += [np.mean((fine - soft) ** 2) for fine, soft in pairwise(blurred)]
    if energy.sum() <= 1e-9:
        return None
    scales = np.sqrt(SIGMAS_PX[:-1] * SIGMAS_PX[1:])
    return float(np.exp(np.average(np.log(scales), weights=energy))) * SAMPLE_MPP


def sharpness(tile: ByteArray) -> tuple[float, float] | None:
    """Variance below 1 px over that of 1-2 px, and of 1-2 px over that of 2-4 px (Gaussian bands).

    None for a tile without structure.
    """
    gray = cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY).astype(np.float32)
    blurred = [cv2.GaussianBlur(gray, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0)]
    fine, medium, coarse = (
        float(np.var(sharp - soft)) for sharp, soft in zip([gray, *blurred[:-1]], blurred, strict=True)
    )
    if coarse < LEAST_VARIANCE:
        return None
    return fine / medium, medium / coarse


def _nuclear(density: FloatArray) -> ByteArray:
    """1 where it is denser than Otsu's threshold, above a smooth background; pinholes filled, specks gone."""
    soft = cv2.GaussianBlur(density, (0, 0), 1.0)
    above = np.maximum(soft - np.minimum(cv2.GaussianBlur(soft, (0, 0), 24.0), soft.mean()), 0)
    top = max(float(np.percentile(above, 99.5)), 0.05)
    scaled = np.clip(above * (255 / top), 0, 255).astype(np.uint8)
    _, dense = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - dense, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < HOLE_PX
    small[0] = False
    filled = ((dense > 0) | small[holes]).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (OPENING_PX, OPENING_PX))
    return np.asarray(cv2.morphologyEx(filled, cv2.MORPH_OPEN, disc), np.uint8)


def _convex_areas(mask: ByteArray) -> npt.NDArray[np.float64]:
    """Areas in pixels of the parts of a mask that may be single nuclei and lie clear of its edge."""
    height, width = mask.shape
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = []
    for contour in contours:
        x, y, across, down = cv2.boundingRect(contour)
        area = cv2.contourArea(contour) + len(contour) / 2 + 1  # a contour runs through pixel centres
        if area < LEAST_NUCLEUS_PX or x == 0 or y == 0 or x + across == width or y + down == height:
            continue
        hull = cv2.convexHull(contour)
        solidity = area / (cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)
        short, long = sorted(side + 1 for side in cv2.minAreaRect(contour)[1])
        if solidity >= LEAST_SOLIDITY and long <= MOST_ELONGATED * short:
            areas.append(area)
    return np.array(areas, np.float64)
