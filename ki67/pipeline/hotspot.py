"""The hot spot: the circle that reads highest, and how high it would read if nothing were there.

A hot spot is a maximum over many places, so it lies above the global index even in a homogeneous
tumor; `expected_maximum` says how far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ki67.index import ki67_index, wilson
from ki67.pipeline.error_model import ErrorModel
from ki67.pipeline.intervals import (
    BLOCK_SIDES_UM,
    block_bootstrap,
    sampling_interval,
    total_interval,
)
from ki67.pipeline.regions import TumorArea, cell_centres
from ki67.types import GridMap, HotSpot

AREAS_MM2 = (0.2, 0.4, 0.8)
FEWEST_NUCLEI = 500
LEAST_TUMOR_SHARE = 0.5
PERMUTATIONS = 100
LARGEST_LUMEN_MM2 = 0.01
STEPS_PER_RADIUS = 8

DoubleArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Nuclei:
    """The counted tumor nuclei: positions in full-resolution pixels and which are positive."""

    x_px: DoubleArray
    y_px: DoubleArray
    is_positive: BoolArray


@dataclass(frozen=True)
class _Places:
    """Circle centres that qualify, as nodes of a coarse grid over the counted nuclei (all in pixels)."""

    nuclei_bin: npt.NDArray[np.int64]
    grid_shape: tuple[int, int]
    kernel: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    centres: DoubleArray
    tree: cKDTree
    radius_px: float

    def highest(self, is_positive: BoolArray) -> tuple[int, npt.NDArray[np.int64]]:
        """The place with the most positive nuclei around it, and the numbers of the nuclei in its circle."""
        height, width = self.grid_shape
        counts = np.bincount(self.nuclei_bin[is_positive], minlength=height * width)
        density = cv2.filter2D(
            counts.reshape(height, width).astype(np.float32),
            -1,
            self.kernel,
            borderType=cv2.BORDER_CONSTANT,
        )
        best = int(np.argmax(np.round(density[self.rows, self.cols], 3)))
        return best, np.sort(self.tree.query_ball_point(self.centres[best], self.radius_px))


def find_hot_spot(
    nuclei: Nuclei,
    area: TumorArea,
    tissue: GridMap,
    *,
    mpp: float,
    seed: int,
    error_model: ErrorModel | None,
) -> tuple[HotSpot | None, str | None]:
    """The hot spot, or None and the reason.

    The smallest of 0.2, 0.4 and 0.8 mm² for which some circle lies wholly in the tissue and in the
    region, is at least half tumor and holds 500 tumor nuclei; among those circles the one where the
    density of positive tumor nuclei, smoothed over the circle, is highest. Lumina up to 0.01 mm² are
    tissue here.
    """
    if len(nuclei.x_px) < FEWEST_NUCLEI:
        return None, f"fewer than {FEWEST_NUCLEI} tumor nuclei in the whole region"
    reason = ""
    for area_mm2 in AREAS_MM2:
        radius_px = 1000 * math.sqrt(area_mm2 / math.pi) / mpp
        places, reason = _places(nuclei, area, tissue, mpp=mpp, area_mm2=area_mm2, radius_px=radius_px)
        if places is not None:
            return _hot_spot(nuclei, places, mpp=mpp, seed=seed, error_model=error_model), None
    return None, reason


def _expected_maximum(places: _Places, is_positive: BoolArray, *, seed: int) -> float:
    """Mean index of the circle found when the labels are dealt anew over the same nuclei, a fraction 0-1.

    Each of 100 permutations keeps the number of positive nuclei and is searched over the same places
    by the same rule: the reading to be expected if the tumor were homogeneous.
    """
    rng = np.random.default_rng(seed)
    readings = []
    for _ in range(PERMUTATIONS):
        shuffled = rng.permutation(is_positive)
        _, members = places.highest(shuffled)
        positive = int(np.count_nonzero(shuffled[members]))
        readings.append(ki67_index(positive, len(members) - positive))
    return float(np.mean(np.array(readings, np.float64)))


def _hot_spot(
    nuclei: Nuclei, places: _Places, *, mpp: float, seed: int, error_model: ErrorModel | None
) -> HotSpot:
    best, members = places.highest(nuclei.is_positive)
    positive = int(np.count_nonzero(nuclei.is_positive[members]))
    negative = len(members) - positive
    counting, index = wilson(positive, negative), ki67_index(positive, negative)
    if counting is None or index is None:
        raise ValueError("a hot spot holds nuclei by construction")
    x, y = places.centres[best]
    resampled = block_bootstrap(
        (nuclei.x_px[members] - x + places.radius_px) * mpp,
        (nuclei.y_px[members] - y + places.radius_px) * mpp,
        nuclei.is_positive[members],
        seed=seed,
        sides_um=BLOCK_SIDES_UM[-1:],
    )
    sampling = sampling_interval(counting, resampled) or counting
    radius_um = places.radius_px * mpp
    return HotSpot(
        x_px=float(x),
        y_px=float(y),
        radius_um=radius_um,
        area_mm2=math.pi * (radius_um / 1000) ** 2,
        positive=positive,
        negative=negative,
        interval=sampling,
        total_interval=total_interval(index, sampling, error_model, nuclei=len(members))
        if error_model
        else None,
        expected_maximum=_expected_maximum(places, nuclei.is_positive, seed=seed),
    )


def _places(
    nuclei: Nuclei, area: TumorArea, tissue: GridMap, *, mpp: float, area_mm2: float, radius_px: float
) -> tuple[_Places | None, str]:
    """Every circle centre that qualifies, or None and what was missing first."""
    grid = area.mask
    cells = max(1, round(radius_px / STEPS_PER_RADIUS / grid.px_per_cell))
    step = cells * grid.px_per_cell
    share = _block_means(grid.values, cells)
    height, width = share.shape
    x = grid.origin_x_px + (np.arange(width) + 0.5) * step - 0.5
    y = grid.origin_y_px + (np.arange(height) + 0.5) * step - 0.5
    circle = f"circle of {area_mm2} mm²"
    room = _room_in_tissue(tissue, mpp=mpp)
    fits = _within_region(area, x, y, radius_px) & (_sample(room, tissue, x, y) >= radius_px)
    if not fits.any():
        return None, f"no {circle} lies wholly in the tissue and in the region"
    kernel = _disc(radius_px / step)
    tumor = cv2.filter2D(share, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT)
    rows, cols = np.nonzero(fits & (tumor >= LEAST_TUMOR_SHARE))
    if not len(rows):
        return None, f"no {circle} in the tissue is at least half tumor"
    tree = cKDTree(np.column_stack([nuclei.x_px, nuclei.y_px]))
    centres = np.column_stack([x[cols], y[rows]])
    held = np.asarray(tree.query_ball_point(centres, radius_px, return_length=True))
    enough = held >= FEWEST_NUCLEI
    if not enough.any():
        return None, f"no {circle} in the tumor holds {FEWEST_NUCLEI} tumor nuclei"
    col = np.clip(((nuclei.x_px + 0.5 - grid.origin_x_px) // step).astype(np.int64), 0, width - 1)
    row = np.clip(((nuclei.y_px + 0.5 - grid.origin_y_px) // step).astype(np.int64), 0, height - 1)
    return (
        _Places(
            nuclei_bin=row * width + col,
            grid_shape=(height, width),
            kernel=kernel,
            rows=rows[enough],
            cols=cols[enough],
            centres=centres[enough],
            tree=tree,
            radius_px=radius_px,
        ),
        "",
    )


def _block_means(values: npt.NDArray[np.uint8], cells: int) -> npt.NDArray[np.float32]:
    """Share of set cells in blocks of `cells` × `cells` (a part beyond the edge counts as not set)."""
    height, width = (math.ceil(side / cells) for side in values.shape)
    padded = np.zeros((height * cells, width * cells), np.uint8)
    padded[: values.shape[0], : values.shape[1]] = values > 0
    held = padded.reshape(height, cells, width, cells).sum(axis=(1, 3), dtype=np.float32)
    return np.asarray(held / cells**2, np.float32)


def _room_in_tissue(tissue: GridMap, *, mpp: float) -> npt.NDArray[np.float32]:
    """For every cell of the tissue map the distance (px) from its centre to the nearest glass."""
    glass = (tissue.values < 128).astype(np.uint8)
    cell_mm2 = (tissue.px_per_cell * mpp / 1000) ** 2
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(glass, connectivity=4)
    height, width = glass.shape
    left, top = statistics[:, cv2.CC_STAT_LEFT], statistics[:, cv2.CC_STAT_TOP]
    right, bottom = left + statistics[:, cv2.CC_STAT_WIDTH], top + statistics[:, cv2.CC_STAT_HEIGHT]
    enclosed = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    lumen = enclosed & (statistics[:, cv2.CC_STAT_AREA] * cell_mm2 <= LARGEST_LUMEN_MM2)
    lumen[0] = False
    solid = ((glass == 0) | lumen[labels]).astype(np.uint8)
    if solid.all():
        return np.full(solid.shape, np.inf, np.float32)
    cells = cv2.distanceTransform(solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray((cells - 0.5) * tissue.px_per_cell, np.float32)


def _within_region(area: TumorArea, x: DoubleArray, y: DoubleArray, radius_px: float) -> BoolArray:
    region = area.region
    across = (x - radius_px >= region.left_px) & (x + radius_px <= region.right_px)
    down = (y - radius_px >= region.top_px) & (y + radius_px <= region.bottom_px)
    return np.outer(down, across)


def _sample(
    values: npt.NDArray[np.float32], grid: GridMap, x: DoubleArray, y: DoubleArray
) -> npt.NDArray[np.float32]:
    """Values of the nearest cells at the nodes of a lattice."""
    centres_x, centres_y = cell_centres(grid)
    cols = np.clip(np.round((x - centres_x[0]) / grid.px_per_cell), 0, len(centres_x) - 1).astype(np.int64)
    rows = np.clip(np.round((y - centres_y[0]) / grid.px_per_cell), 0, len(centres_y) - 1).astype(np.int64)
    return np.asarray(values[rows][:, cols], np.float32)


def _disc(radius: float) -> npt.NDArray[np.float32]:
    """A disc of this radius in grid steps, each cell weighed by the part inside (from 9 × 9 points)."""
    reach = math.ceil(radius)
    points = (np.arange((2 * reach + 1) * 9) + 0.5) / 9 - reach - 0.5
    inside = (np.hypot(*np.meshgrid(points, points)) <= radius).astype(np.float32)
    side = 2 * reach + 1
    return np.asarray(inside.reshape(side, 9, side, 9).mean(axis=(1, 3)), np.float32)
