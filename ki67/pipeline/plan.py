"""The plan of a run: which region, which tiles, and the map grids laid over the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67.errors import PictureError
from ki67.pipeline.tiling import Layout, Region, Tile, lay_tiles
from ki67.pipeline.tumor import reaches
from ki67.types import ByteArray, GridMap, Parameters, PictureInfo, PixelSize, Rect


@dataclass(frozen=True)
class Plan:
    """Where a run works: the same for the same picture, pixel size and parameters.

    `rect` is the region in full-resolution pixels; `px_per_net` the side of a net pixel in them;
    `cell_px` the side of a map cell in net pixels.
    """

    rect: Rect
    px_per_net: float
    cell_px: int
    layout: Layout

    def grid(self, values: ByteArray) -> GridMap:
        """Values of map cells as a map over the region."""
        region = self.layout.region
        return GridMap(
            values=values,
            px_per_cell=self.px_per_net * self.cell_px,
            origin_x_px=region.x_start * self.px_per_net,
            origin_y_px=region.y_start * self.px_per_net,
        )

    def cores(self, tiles: Sequence[Tile]) -> GridMap:
        """A map that is 255 on the cores of the tiles."""
        region = self.layout.region
        rows, columns = region.y_stop - region.y_start, region.x_stop - region.x_start
        values = np.zeros((rows // self.cell_px, columns // self.cell_px), np.uint8)
        for tile in tiles:
            values[self._core(tile)] = 255
        return self.grid(values)

    def filled(self, grid: GridMap, tile: Tile) -> bool:
        """Whether a map made by `cores` holds the whole core of a tile."""
        return bool(grid.values[self._core(tile)].all())

    def touching(self, grid: GridMap, *, level: int = 1) -> list[Tile]:
        """The tiles on whose core some cell of `grid` is at least `level` (0-255)."""
        return [
            tile for tile in self.layout.tiles if reaches(grid, tile, px_per_net=self.px_per_net, level=level)
        ]

    def _core(self, tile: Tile) -> tuple[slice, slice]:
        region, cell = self.layout.region, self.cell_px
        rows = slice(
            (tile.y.core_start - region.y_start) // cell, (tile.y.core_stop - region.y_start) // cell
        )
        columns = slice(
            (tile.x.core_start - region.x_start) // cell, (tile.x.core_stop - region.x_start) // cell
        )
        return rows, columns


def make_plan(info: PictureInfo, pixel_size: PixelSize, parameters: Parameters) -> Plan:
    """Lays map cells and tiles over the picture or its region of interest.

    Raises:
        PictureError: the region of interest lies outside the picture.
        ValueError: scales or tile sizes that do not fit one another.
    """
    rect = _region_in(info, parameters.roi)
    scale = parameters.net_mpp / pixel_size.mpp
    cell = round(parameters.map_mpp / parameters.net_mpp)
    if cell < 1 or not math.isclose(cell * parameters.net_mpp, parameters.map_mpp) or 16 % cell:
        raise ValueError(f"a map of {parameters.map_mpp} µm cannot be made of {parameters.net_mpp} µm pixels")
    region = Region(
        x_start=int(rect.x / scale) // cell * cell,
        x_stop=_up((rect.x + rect.width) / scale, cell),
        y_start=int(rect.y / scale) // cell * cell,
        y_stop=_up((rect.y + rect.height) / scale, cell),
    )
    layout = lay_tiles(
        region,
        _up(info.width_px / scale, 1),
        _up(info.height_px / scale, 1),
        tile_px=parameters.tile_px,
        overlap_px=parameters.overlap_px,
    )
    return Plan(rect, scale, cell, layout)


def _region_in(info: PictureInfo, roi: Rect | None) -> Rect:
    """The part of the picture to score, in full-resolution pixels."""
    if roi is None:
        return Rect(0, 0, info.width_px, info.height_px)
    left, top = max(roi.x, 0), max(roi.y, 0)
    right, bottom = min(roi.x + roi.width, info.width_px), min(roi.y + roi.height, info.height_px)
    if right <= left or bottom <= top:
        raise PictureError(
            f"The region {roi.x},{roi.y},{roi.width},{roi.height} lies outside the picture of "
            f"{info.width_px} × {info.height_px} px; choose one inside."
        )
    return Rect(left, top, right - left, bottom - top)


def _up(value: float, multiple: int) -> int:
    """Rounded up to a multiple; a billionth too much is rounding."""
    return math.ceil(value / multiple - 1e-9) * multiple
