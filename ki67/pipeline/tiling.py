"""Where the nets look: tiles on the grid of net pixels, as pure arithmetic.

The grid of net pixels is anchored at the picture's corner. A tile is what a net sees at once; its
*core* (half-open) is what it decides. The cores of a layout share the region out without gap or
overlap. Three properties keep results the same whatever the tile size:

- every tile starts at a multiple of 32 net pixels, the step of the nets' deepest level, so that a
  picture point falls on the same phase of every level in every tile;
- at least `overlap_px` net pixels of real picture lie between a core and the border of its tile,
  except at the picture's own border, where tiles of every size end at the same place;
- tiles are no larger than `tile_px` but as small as their number allows, all of one shape, so that
  a small region costs little and a compiled net serves the whole picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ki67.types import FloatArray

STEP_PX = 32  # five halvings in the encoders


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in net pixels: seen [start, stop), decided [core_start, core_stop).

    `fade_in` and `fade_out` are the lengths shared with the tile before and after.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int
    fade_in: int
    fade_out: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Tile:
    """A tile of a layout."""

    x: Span
    y: Span


@dataclass(frozen=True)
class Region:
    """What a run decides, in net pixels, half-open; the edges lie on the grid of map cells."""

    x_start: int
    x_stop: int
    y_start: int
    y_stop: int


@dataclass(frozen=True)
class Layout:
    """Tiles of one shape, row by row, whose cores share out the region."""

    region: Region
    tile_width: int
    tile_height: int
    tiles: tuple[Tile, ...]


def lay_tiles(
    region: Region, picture_width: int, picture_height: int, *, tile_px: int, overlap_px: int
) -> Layout:
    """Lays tiles over a region of a picture of `picture_width` × `picture_height` net pixels."""
    columns = spans(region.x_start, region.x_stop, picture_width, tile_px=tile_px, overlap_px=overlap_px)
    rows = spans(region.y_start, region.y_stop, picture_height, tile_px=tile_px, overlap_px=overlap_px)
    tiles = tuple(Tile(x=column, y=row) for row in rows for column in columns)
    return Layout(region, columns[0].size, rows[0].size, tiles)


def spans(start: int, stop: int, picture_size: int, *, tile_px: int, overlap_px: int) -> tuple[Span, ...]:
    """Shares [start, stop) of one axis out among as few equal tiles as possible.

    Args:
        start, stop: the part to decide, in net pixels, not empty.
        picture_size: the picture's length on this axis; beyond it there is nothing to see.
        tile_px: the largest tile, a multiple of 32.
        overlap_px: picture seen on each side of a core, a multiple of 16, less than a quarter tile.
    """
    if tile_px % STEP_PX or overlap_px % (STEP_PX // 2) or not 0 <= 4 * overlap_px < tile_px:
        raise ValueError(f"tiles of {tile_px} px with an overlap of {overlap_px} px cannot be laid")
    if not 0 <= start < stop:
        raise ValueError(f"nothing to decide between {start} and {stop}")
    seen_start = _floor(max(0, start - overlap_px))
    seen_stop = _ceil(max(stop, min(picture_size, stop + overlap_px)))
    seen = seen_stop - seen_start
    shared = 2 * overlap_px
    count = 1 if seen <= tile_px else math.ceil((seen - shared) / (tile_px - shared))
    size = _ceil(math.ceil((seen + (count - 1) * shared) / count))
    starts = [seen_start + _floor(i * (seen - size) // max(count - 1, 1)) for i in range(count)]
    fades = [starts[i] + size - starts[i + 1] for i in range(count - 1)]
    cuts = [start, *(starts[i + 1] + fades[i] // 2 for i in range(count - 1)), stop]
    return tuple(
        Span(
            start=starts[i],
            stop=starts[i] + size,
            core_start=cuts[i],
            core_stop=cuts[i + 1],
            fade_in=fades[i - 1] if i else 0,
            fade_out=fades[i] if i + 1 < count else 0,
        )
        for i in range(count)
    )


def blend_weights(span: Span, cell_px: int) -> FloatArray:
    """Weight of a tile at each of its map cells along one axis, so that maps join without a seam.

    Within the part shared with a neighbour the outer quarter, which lacks context, has weight 0, the
    inner quarter 1, and the half between rises linearly; the weights of two neighbours sum to 1.
    """
    centre = (np.arange(span.size // cell_px, dtype=np.float32) + np.float32(0.5)) * cell_px
    weight = np.ones_like(centre)
    if span.fade_in:
        weight = np.minimum(weight, 2 * centre / span.fade_in - np.float32(0.5))
    if span.fade_out:
        weight = np.minimum(weight, 2 * (span.size - centre) / span.fade_out - np.float32(0.5))
    return np.clip(weight, 0, 1).astype(np.float32)


def _floor(value: int) -> int:
    return value // STEP_PX * STEP_PX


def _ceil(value: int) -> int:
    return -(-value // STEP_PX) * STEP_PX
