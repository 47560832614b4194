"""Pixels of a TIFF by region: one tile or strip decoded at a time, a bounded number of them kept."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from ki67.pipeline.formats import DECODED_WHOLE_PX, Level, damaged, truncated, unreadable
from ki67.types import ByteArray, Rect

TILE_CACHE_BYTES = 128 << 20
JPEG_COMPRESSION = 7
ASSOCIATED_ALPHA = 1
UNASSOCIATED_ALPHA = 2

# what tifffile and imagecodecs raise on files that break the rules
BROKEN_TIFF = (
    tifffile.TiffFileError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Directory:
    """One stored resolution of a TIFF: where its tiles or strips ("segments") lie and how to decode them."""

    index: int
    width_px: int
    height_px: int
    segment_width: int
    segment_height: int
    is_tiled: bool
    planes: int
    compression: int
    photometric: int
    alpha: int | None
    palette: ByteArray | None
    jpegtables: bytes | None
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    decode: Callable[..., Any]

    @property
    def columns(self) -> int:
        return -(-self.width_px // self.segment_width)

    @property
    def rows(self) -> int:
        return -(-self.height_px // self.segment_height)


class TiffSource:
    """Pixels of a TIFF by region; decoded tiles are kept up to a bound. Safe to read from several threads."""

    def __init__(self, path: Path, directories: tuple[Directory, ...], *, name: str) -> None:
        full = directories[0]
        self.levels = tuple(
            Level(
                each.width_px,
                each.height_px,
                full.width_px / each.width_px,
                full.height_px / each.height_px,
            )
            for each in directories
        )
        self._directories = directories
        self._name = name
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise unreadable(name, error) from error
        self._file_lock = threading.Lock()
        self._tiles: OrderedDict[tuple[int, int], ByteArray] = OrderedDict()
        self._tiles_lock = threading.Lock()
        self._kept_bytes = 0
        # a stripped picture is small (else it was converted): all of it may stay
        self._limit_bytes = TILE_CACHE_BYTES if full.is_tiled else 4 * DECODED_WHOLE_PX

    def read_level(self, level: int, rect: Rect) -> ByteArray:
        """H×W×3 RGB of a rectangle within a level."""
        directory = self._directories[level]
        tile_w, tile_h = directory.segment_width, directory.segment_height
        out = np.empty((rect.height, rect.width, 3), np.uint8)
        for row in range(rect.y // tile_h, (rect.y + rect.height - 1) // tile_h + 1):
            top, bottom = max(rect.y, row * tile_h), min(rect.y + rect.height, (row + 1) * tile_h)
            for column in range(rect.x // tile_w, (rect.x + rect.width - 1) // tile_w + 1):
                left, right = max(rect.x, column * tile_w), min(rect.x + rect.width, (column + 1) * tile_w)
                tile = self._tile(level, row * directory.columns + column)
                out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x] = tile[
                    top - row * tile_h : bottom - row * tile_h,
                    left - column * tile_w : right - column * tile_w,
                ]
        return out

    def close(self) -> None:
        """Closes the file and lets go of the kept tiles."""
        self._file.close()
        self._tiles.clear()

    def _tile(self, level: int, index: int) -> ByteArray:
        key = (level, index)
        with self._tiles_lock:
            kept = self._tiles.get(key)
            if kept is not None:
                self._tiles.move_to_end(key)
                return kept
        tile = read_segment(self._directories[level], index, read=self._read_bytes, name=self._name)
        with self._tiles_lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._kept_bytes += tile.nbytes
            while self._kept_bytes > self._limit_bytes and len(self._tiles) > 1:
                _, oldest = self._tiles.popitem(last=False)
                self._kept_bytes -= oldest.nbytes
        return tile

    def _read_bytes(self, offset: int, count: int) -> bytes:
        with self._file_lock:
            self._file.seek(offset)
            return self._file.read(count)


def read_segment(
    directory: Directory, index: int, *, read: Callable[[int, int], bytes], name: str
) -> ByteArray:
    """One tile or strip as H×W×3 RGB (alpha on white; a tile the file leaves out is white).

    `read(offset, count)` gives the bytes of the file. Raises `PictureError` when they are not there or
    cannot be decoded.
    """
    segments = directory.columns * directory.rows
    planes = []
    for plane in range(directory.planes):
        position = plane * segments + index
        try:
            offset, count = directory.offsets[position], directory.counts[position]
            if not count:
                return np.full((directory.segment_height, directory.segment_width, 3), 255, np.uint8)
            data = read(offset, count)
            if len(data) != count or (
                directory.compression == JPEG_COMPRESSION and b"\xff\xd9" not in data[-256:]
            ):
                raise truncated(name)
            tables = {"jpegtables": directory.jpegtables} if directory.compression == JPEG_COMPRESSION else {}
            pixels, _, _ = directory.decode(data, position, **tables)
        except BROKEN_TIFF as error:
            raise damaged(name) from error
        except OSError as error:
            raise unreadable(name, error) from error
        planes.append(pixels[0])
    return _to_rgb(planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2), directory, name=name)


def _to_rgb(samples: npt.NDArray[np.uint8], directory: Directory, *, name: str) -> ByteArray:
    height, width = samples.shape[:2]
    if width != directory.segment_width or height > directory.segment_height:
        raise damaged(name)
    if directory.palette is not None:
        return np.ascontiguousarray(directory.palette[samples[..., 0]])
    rgb = samples[..., :3]
    if directory.alpha is None or samples.shape[2] < 4:
        return np.ascontiguousarray(rgb)
    return on_white(rgb, samples[..., 3], premultiplied=directory.alpha == ASSOCIATED_ALPHA)


def on_white(rgb: ByteArray, alpha: ByteArray, *, premultiplied: bool) -> ByteArray:
    """RGB with its alpha laid on white."""
    if (alpha == 255).all():
        return np.ascontiguousarray(rgb)
    opacity = alpha[..., None].astype(np.float32) / 255
    color = rgb.astype(np.float32)
    mixed = (color if premultiplied else color * opacity) + 255 * (1 - opacity)
    return np.minimum(mixed + 0.5, 255).astype(np.uint8)
