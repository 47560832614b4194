"""Where nuclei count: the region, the tumor in it, and their areas. The one place with the counting rule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ki67.pipeline.outlines import Outline, contains, rasterize
from ki67.types import FloatArray, GridMap, RunRecord

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Region:
    """The measured rectangle in full-resolution px, half-open: left and top in, right and bottom out.

    (0, 0) is the centre of the first pixel, so a whole picture starts at -0.5.
    """

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float

    def contains(self, x_px: FloatArray, y_px: FloatArray) -> BoolArray:
        """Which points lie in the region."""
        across = (x_px >= self.left_px) & (x_px < self.right_px)
        down = (y_px >= self.top_px) & (y_px < self.bottom_px)
        return np.asarray(across & down)


@dataclass(frozen=True)
class TumorArea:
    """The tumor that counts: a mask on a grid for areas and places, and the exact outline where one is used.

    `mask` (255 or 0) lies on the geometry of the stored map, already without exclusions and without
    what lies outside the region. `outline` is set when it replaces the map; `exclusions` holds an
    outline whose exclusions apply.
    """

    mask: GridMap
    region: Region
    everything: bool
    outline: Outline | None
    exclusions: Outline | None

    def contains(self, x_px: FloatArray, y_px: FloatArray) -> BoolArray:
        """Which nuclei count, by their centres."""
        inside = self.region.contains(x_px, y_px)
        if self.outline is not None:
            inside &= contains(self.outline.tumor, x_px, y_px)
        elif not self.everything:
            inside &= self.mask.at(x_px, y_px) > 0
        if self.exclusions is not None and not self.exclusions.exclude.is_empty:
            inside &= ~contains(self.exclusions.exclude, x_px, y_px)
        return inside


def region_of(record: RunRecord) -> Region:
    """The run's rectangle, cut to the picture, or the whole picture."""
    roi = record.parameters.roi
    if roi is None:
        return Region(-0.5, -0.5, record.width_px - 0.5, record.height_px - 0.5)
    return Region(
        max(roi.x, 0) - 0.5,
        max(roi.y, 0) - 0.5,
        min(roi.x + roi.width, record.width_px) - 0.5,
        min(roi.y + roi.height, record.height_px) - 0.5,
    )


def probability_mask(probability: GridMap, border: float) -> GridMap:
    """255 where the stored 8-bit probability value / 255 >= border, else 0."""
    least = math.ceil(round(border * 255, 6))
    return replace(probability, values=np.where(probability.values >= least, 255, 0).astype(np.uint8))


def tumor_area(record: RunRecord, *, outline: Outline | None, use_outline: bool) -> TumorArea:
    """The tumor that counts for this record.

    By the order of the counting rule: the outline if it is to replace the map; everything when the
    run was made without the tumor mask (its area is then the tissue); else the stored map at
    `parameters.tumor_border`. Exclusions of an outline always apply. Raises ValueError when
    `use_outline` comes without an outline.
    """
    if use_outline and outline is None:
        raise ValueError("use_outline needs an outline")
    region = region_of(record)
    replaces = outline if use_outline else None
    everything = replaces is None and not record.parameters.use_tumor_mask
    if replaces is not None:
        grid = record.tumor_map or record.tissue_map
        mask = _as_map(rasterize(replaces.tumor, grid), grid)
    elif everything:
        mask = probability_mask(record.tissue_map, 0.5)
    elif record.tumor_map is None:
        raise ValueError("a run with the tumor mask on must hold a tumor map")
    else:
        mask = probability_mask(record.tumor_map, record.parameters.tumor_border)
    inside = mask.values > 0
    if outline is not None and not outline.exclude.is_empty:
        inside &= ~rasterize(outline.exclude, mask)
    inside &= cut_to_region(mask, region)
    return TumorArea(_as_map(inside, mask), region, everything, replaces, outline)


def area_mm2(mask: GridMap, region: Region, *, mpp: float) -> float:
    """Area of the set cells of a mask, cells at the edge weighed by the part that lies in the region."""
    across, down = _axis_overlaps(mask, region)
    square_px = float(down @ (mask.values > 0).astype(np.float32) @ across)
    return square_px * (mpp / 1000) ** 2


def cut_to_region(grid: GridMap, region: Region) -> BoolArray:
    """Which cells of the grid lie in the region, in whole or in part."""
    across, down = _axis_overlaps(grid, region)
    return np.outer(down > 0, across > 0)


def cell_centres(grid: GridMap) -> tuple[DoubleArray, DoubleArray]:
    """x of every column's centre and y of every row's centre, in full-resolution pixels."""
    height, width = grid.values.shape
    x = grid.origin_x_px + (np.arange(width) + 0.5) * grid.px_per_cell - 0.5
    y = grid.origin_y_px + (np.arange(height) + 0.5) * grid.px_per_cell - 0.5
    return x, y


def _as_map(inside: BoolArray, grid: GridMap) -> GridMap:
    return replace(grid, values=np.where(inside, 255, 0).astype(np.uint8))


def _axis_overlaps(grid: GridMap, region: Region) -> tuple[DoubleArray, DoubleArray]:
    """Length of every column and of every row that lies in the region, in pixels."""
    x, y = cell_centres(grid)
    half = grid.px_per_cell / 2
    across = np.minimum(x + half, region.right_px) - np.maximum(x - half, region.left_px)
    down = np.minimum(y + half, region.bottom_px) - np.maximum(y - half, region.top_px)
    return np.clip(across, 0, None), np.clip(down, 0, None)


def middles_of(grid: GridMap) -> tuple[FloatArray, FloatArray]:
    """x and y, in full-resolution px, of the middles of the cells of a map that are not 0."""
    rows, columns = np.nonzero(grid.values)
    x = grid.origin_x_px + (columns + 0.5) * grid.px_per_cell - 0.5
    y = grid.origin_y_px + (rows + 0.5) * grid.px_per_cell - 0.5
    return x.astype(np.float32), y.astype(np.float32)


def share_not_covered(record: RunRecord, x_px: FloatArray, y_px: FloatArray) -> float:
    """Share of these points at which step 2 was never run, 0-1; 0 without a point."""
    return float(np.mean(record.covered_map.at(x_px, y_px) < 0.5)) if len(x_px) else 0.0
