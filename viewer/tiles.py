"""Tiles of stored pictures, made on demand by OpenSlide, with bounded caches."""

from __future__ import annotations

from dataclasses import dataclass

from viewer.sources import ViewedPicture

TILE_PX = 510
OVERLAP_PX = 1


@dataclass(frozen=True)
class TileAddress:
    """One tile of a picture's DeepZoom pyramid: level 0 is 1 x 1 px, the last level is full resolution."""

    level: int
    column: int
    row: int


class TileServer:
    """Opens slides and makes JPEG tiles; keeps at most `max_slides` slides and `max_bytes` of tiles."""

    def __init__(self, *, max_slides: int = 8, max_bytes: int = 64 << 20) -> None:
        raise NotImplementedError

    def tile(self, code: str, picture: ViewedPicture, address: TileAddress) -> bytes:
        """A JPEG tile; raises `UnknownCode` for a tile outside the picture."""
        raise NotImplementedError
