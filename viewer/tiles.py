"""Tiles of stored pictures, made on demand by OpenSlide, with bounded caches.

The pyramid is DeepZoom's: the last level is full resolution, each level before it half of it, level 0
is 1 x 1 px. Tiles are TILE_PX wide and overlap their neighbours by OVERLAP_PX on each inner side.
"""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import openslide
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image

from ki67.errors import PictureError
from viewer.sources import UnknownCode, ViewedPicture

TILE_PX = 510
OVERLAP_PX = 1
JPEG_QUALITY = 85
DECODED_CACHE_BYTES = 64 << 20
LARGEST_READ_PX = 64_000_000
OVERVIEW_PX = 1024
STRIP_PX = 1024

Value = TypeVar("Value")


@dataclass(frozen=True)
class TileAddress:
    """One tile of a picture's DeepZoom pyramid: level 0 is 1 x 1 px, the last level is full resolution."""

    level: int
    column: int
    row: int


class BoundedCache(Generic[Value]):
    """Keeps the most recently used values while their sizes add up to at most `limit`. Thread-safe."""

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self._limit = limit
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, key: Hashable) -> Value | None:
        """The value kept under `key`, or None."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Keep `value`; the values used longest ago make room."""
        with self._lock:
            if key in self._values:
                self.size -= self._size_of(self._values.pop(key))
            self._values[key] = value
            self.size += self._size_of(value)
            while self.size > self._limit and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self.size -= self._size_of(oldest)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class OpenSlide:
    """An open slide and its tile maker. It is closed when the last reader lets go of it.

    `overview` stands in for levels that the file lacks at its small end (None: it has them).
    """

    slide: openslide.OpenSlide
    deep_zoom: DeepZoomGenerator
    overview: Image.Image | None

    def tile(self, address: TileAddress) -> Image.Image:
        """The pixels of one tile; raises `PictureError` when too much would have to be read for it."""
        deep_zoom, level, position = self.deep_zoom, address.level, (address.column, address.row)
        level_width, level_height = deep_zoom.level_dimensions[level]
        if self.overview is not None and level_width <= self.overview.width:
            left, top = (max(0, at * TILE_PX - OVERLAP_PX) for at in position)
            width, height = deep_zoom.get_tile_dimensions(level, position)
            across, down = self.overview.width / level_width, self.overview.height / level_height
            box = (left * across, top * down, (left + width) * across, (top + height) * down)
            return self.overview.resize((width, height), Image.Resampling.LANCZOS, box)
        _, _, (width, height) = deep_zoom.get_tile_coordinates(level, position)
        if width * height > LARGEST_READ_PX:
            raise PictureError("The stored picture has no small version to show; import it again.")
        return deep_zoom.get_tile(level, position)


class TileServer:
    """Opens slides and makes JPEG tiles; keeps at most `max_slides` slides and `max_bytes` of tiles."""

    def __init__(self, *, max_slides: int = 8, max_bytes: int = 64 << 20) -> None:
        self.slides: BoundedCache[OpenSlide] = BoundedCache(max_slides, lambda _: 1)
        self.tiles: BoundedCache[bytes] = BoundedCache(max_bytes, len)
        self._decoded = openslide.OpenSlideCache(DECODED_CACHE_BYTES)

    def tile(self, code: str, picture: ViewedPicture, address: TileAddress) -> bytes:
        """A JPEG tile; raises `UnknownCode` outside the picture, `PictureError` where it cannot be read."""
        kept = self.tiles.get((code, address))
        if kept is not None:
            return kept
        try:
            opened = self._open(code, picture)
            check_address(opened.deep_zoom, address)
            image = opened.tile(address)
        except openslide.OpenSlideError as error:
            raise PictureError(
                f"This part of the picture cannot be read ({error}); import it again."
            ) from error
        data = to_jpeg(image)
        self.tiles.put((code, address), data)
        return data

    def level_count(self, code: str, picture: ViewedPicture) -> int:
        """Number of levels of the picture's tile pyramid; raises `PictureError` when it cannot be read."""
        try:
            return int(self._open(code, picture).deep_zoom.level_count)
        except openslide.OpenSlideError as error:
            raise PictureError("The stored picture cannot be read; import it again.") from error

    def _open(self, code: str, picture: ViewedPicture) -> OpenSlide:
        kept = self.slides.get(code)
        if kept is not None:
            return kept
        slide = open_slide(picture)
        slide.set_cache(self._decoded)
        deep_zoom = DeepZoomGenerator(slide, TILE_PX, OVERLAP_PX, limit_bounds=False)
        opened = OpenSlide(slide, deep_zoom, make_overview(slide))
        self.slides.put(code, opened)
        return opened


def open_slide(picture: ViewedPicture) -> openslide.OpenSlide:
    """The picture's file in OpenSlide; raises `PictureError`."""
    try:
        return openslide.OpenSlide(picture.path)
    except (openslide.OpenSlideError, OSError) as error:
        raise PictureError("The stored picture cannot be opened; import it again.") from error


def check_address(deep_zoom: DeepZoomGenerator, address: TileAddress) -> None:
    """Raise `UnknownCode` for a tile that the picture does not have."""
    if not 0 <= address.level < deep_zoom.level_count:
        raise UnknownCode("The picture has no such level.")
    columns, rows = deep_zoom.level_tiles[address.level]
    if not (0 <= address.column < columns and 0 <= address.row < rows):
        raise UnknownCode("The picture has no such tile.")


def make_overview(slide: openslide.OpenSlide) -> Image.Image | None:
    """The smallest stored level reduced to at most OVERVIEW_PX a side, read strip by strip.

    None when that level is small enough to be read for every tile, or too large to be read at all.
    """
    level = slide.level_count - 1
    width, height = slide.level_dimensions[level]
    if max(width, height) <= OVERVIEW_PX or width * height > LARGEST_READ_PX:
        return None
    factor = 2 ** math.ceil(math.log2(max(width, height) / OVERVIEW_PX))
    overview = Image.new("RGB", (-(-width // factor), -(-height // factor)), "white")
    for top in range(0, height, STRIP_PX):
        strip_size = (width, min(STRIP_PX, height - top))
        location = (0, round(top * slide.level_downsamples[level]))
        strip = slide.read_region(location, level, strip_size).reduce(factor)
        overview.paste(strip, (0, top // factor), strip)
    return overview


def to_jpeg(image: Image.Image) -> bytes:
    """JPEG bytes of an RGB picture, with no metadata and no color profile."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, icc_profile=None)
    return buffer.getvalue()
