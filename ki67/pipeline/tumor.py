"""Step 1: the tumor probability of overlapping tiles as one 8-bit map without seams."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ki67.pipeline.tiling import Region, Tile, blend_weights
from ki67.types import ByteArray, FloatArray, GridMap


class MapBuilder:
    """Gathers tiles row by row into a map of `cell_px` net pixels a cell.

    A cell is the exact mean of the net's output on its pixels, blended where tiles overlap. Only the
    rows still open are held in floating point. Cells that no tile reached are 0.
    """

    def __init__(self, region: Region, cell_px: int) -> None:
        self._region = region
        self._cell_px = cell_px
        rows = -(-(region.y_stop - region.y_start) // cell_px)
        columns = -(-(region.x_stop - region.x_start) // cell_px)
        self._values = np.zeros((rows, columns), np.uint8)
        self._top = 0
        self._sum = np.zeros((0, columns), np.float32)
        self._weight = np.zeros((0, columns), np.float32)

    def add(self, tile: Tile, probability: FloatArray) -> None:
        """Adds a tile's output, H×W of 0-1. Tiles come in the order of their layout."""
        cell = self._cell_px
        height, width = probability.shape[0] // cell, probability.shape[1] // cell
        means = probability.reshape(height, cell, width, cell).mean(axis=(1, 3), dtype=np.float32)
        weights = np.outer(blend_weights(tile.y, cell), blend_weights(tile.x, cell))
        row, column = (
            (tile.y.start - self._region.y_start) // cell,
            (tile.x.start - self._region.x_start) // cell,
        )
        rows = slice(max(row, 0), min(row + height, self._values.shape[0]))
        columns = slice(max(column, 0), min(column + width, self._values.shape[1]))
        self._open(rows)
        part = (
            slice(rows.start - row, rows.stop - row),
            slice(columns.start - column, columns.stop - column),
        )
        held = (slice(rows.start - self._top, rows.stop - self._top), columns)
        self._sum[held] += (means * weights)[part]
        self._weight[held] += weights[part]

    def finish(self) -> ByteArray:
        """The whole map, 0-255."""
        self._close(self._values.shape[0])
        return self._values

    def _open(self, rows: slice) -> None:
        """Closes the rows above a tile and makes room for its own."""
        if rows.start > self._top:
            self._close(rows.start)
        missing = rows.stop - self._top - len(self._sum)
        if missing > 0:
            more = ((0, missing), (0, 0))
            self._sum, self._weight = np.pad(self._sum, more), np.pad(self._weight, more)

    def _close(self, top: int) -> None:
        done = min(top - self._top, len(self._sum))
        mean = np.divide(
            self._sum[:done],
            self._weight[:done],
            out=np.zeros_like(self._sum[:done]),
            where=self._weight[:done] > 0,
        )
        self._values[self._top : self._top + done] = np.rint(np.clip(mean, 0, 1) * 255).astype(np.uint8)
        self._sum, self._weight = self._sum[done:].copy(), self._weight[done:].copy()
        self._top = top


def on_grid_of(target: GridMap, source: GridMap) -> npt.NDArray[np.bool_]:
    """Where `source` is above 0 at the centres of the cells of `target`."""
    rows = _cells_at(target.values.shape[0], target.px_per_cell, target.origin_y_px, source, axis=0)
    columns = _cells_at(target.values.shape[1], target.px_per_cell, target.origin_x_px, source, axis=1)
    height, width = source.values.shape
    inside = np.outer((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    picked = source.values[np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))]
    return np.asarray((picked > 0) & inside)


def reaches(grid: GridMap, tile: Tile, *, px_per_net: float, level: int) -> bool:
    """Whether any cell of `grid` that touches the tile's core is at least `level` (0-255)."""
    height, width = grid.values.shape
    rows = _cells_of(
        tile.y.core_start, tile.y.core_stop, px_per_net, grid.origin_y_px, grid.px_per_cell, height
    )
    columns = _cells_of(
        tile.x.core_start, tile.x.core_stop, px_per_net, grid.origin_x_px, grid.px_per_cell, width
    )
    part = grid.values[rows, columns]
    return bool(part.size and part.max() >= level)


def _cells_at(
    count: int, px_per_cell: float, origin_px: float, source: GridMap, *, axis: int
) -> npt.NDArray[np.intp]:
    source_origin = (source.origin_y_px, source.origin_x_px)[axis]
    centres = origin_px + (np.arange(count) + 0.5) * px_per_cell
    return np.asarray(np.floor((centres - source_origin) / source.px_per_cell), np.intp)


def _cells_of(
    start: int, stop: int, px_per_net: float, origin_px: float, px_per_cell: float, count: int
) -> slice:
    """Cells that touch [start, stop) net pixels; a thousandth of a cell of contact is rounding."""
    first = int(np.floor((start * px_per_net - origin_px) / px_per_cell + 1e-3))
    last = int(np.ceil((stop * px_per_net - origin_px) / px_per_cell - 1e-3))
    return slice(max(first, 0), max(min(last, count), 0))
