"""PNG and JPEG: headers read and checked for truncation without decoding; pixels decoded by libvips.

Neither can be read by region. Up to `DECODED_WHOLE_PX` they are decoded into memory, above once into a
tiled TIFF, row by row in bounded memory, so that the nets see the original pixels. ICC profiles,
orientation tags and text are ignored; transparency is laid on white.
"""

from __future__ import annotations

import mmap
import secrets
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyvips

from ki67.errors import PictureError
from ki67.pipeline.formats import (
    DECODED_WHOLE_PX,
    Header,
    Level,
    damaged,
    first_bytes,
    grayscale,
    not_rgb,
    too_deep,
    truncated,
    unreadable,
)
from ki67.pipeline.pixel_size import UM_PER_CM, UM_PER_INCH, metadata_mpp
from ki67.types import ByteArray, PictureInfo, Rect

CONVERTED_TILE_PX = 512
LARGEST_INTERLACED_PX = 2 * DECODED_WHOLE_PX
"""Interlaced PNG and progressive JPEG are held whole by their decoders (about 6 bytes a pixel)."""

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class ArraySource:
    """A picture that lies decoded in memory."""

    pixels: ByteArray

    @property
    def levels(self) -> tuple[Level, ...]:
        height, width = self.pixels.shape[:2]
        return (Level(width, height, 1.0, 1.0),)

    def read_level(self, level: int, rect: Rect) -> ByteArray:
        """A rectangle within the picture, as a copy."""
        return self.pixels[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width].copy()

    def close(self) -> None:
        """Nothing to let go of."""


def read_png_header(path: Path, *, name: str) -> Header:
    """Header of a PNG; walks its chunks to the end, so that a truncated file is found without decoding."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(8)
            return _walk_png(file, size, name=name)
    except OSError as error:
        raise unreadable(name, error) from error


def _walk_png(file: BinaryIO, size: int, *, name: str) -> Header:
    header = b""
    x_um: float | None = None
    y_um: float | None = None
    while True:
        start = file.read(8)
        if len(start) < 8:
            raise truncated(name)
        length, kind = struct.unpack(">I4s", start)
        end = file.tell() + length + 4
        if end > size:
            raise truncated(name)
        if kind == b"IHDR":
            header = file.read(13)
        elif kind == b"pHYs" and length == 9:
            x_per_m, y_per_m, unit = struct.unpack(">IIB", file.read(9))
            if unit == 1 and x_per_m and y_per_m:
                x_um, y_um = 1e6 / x_per_m, 1e6 / y_per_m
        elif kind == b"IEND":
            break
        file.seek(end)
    if len(header) < 13:
        raise damaged(name)
    width, height, bits, color, _, _, interlace = struct.unpack(">IIBBBBB", header)
    _check_png_color(bits, color, name=name)
    _check_interlaced(width * height, interlaced=interlace != 0, name=name, kind="interlaced PNG")
    mpp = metadata_mpp(x_um, y_um, name=name)
    return Header(PictureInfo(width, height, "PNG", mpp, 1), decoded_first=True)


def _check_png_color(bits: int, color: int, *, name: str) -> None:
    if color in (0, 4):
        raise grayscale(name)
    if color not in (2, 3, 6):
        raise damaged(name)
    if bits > 8:
        raise too_deep(name, bits)


def _check_interlaced(pixels: int, *, interlaced: bool, name: str, kind: str) -> None:
    if interlaced and pixels > LARGEST_INTERLACED_PX:
        raise PictureError(
            f"“{name}” is a large {kind} ({pixels / 1e6:,.0f} megapixels), "
            "which cannot be read piece by piece: save it as a tiled TIFF."
        )


def read_jpeg_header(path: Path, *, name: str) -> Header:
    """Header of a JPEG; looks for the end marker behind the scans, so that a truncated file is found."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _walk_jpeg(data, name=name)
    except OSError as error:
        raise unreadable(name, error) from error


def _walk_jpeg(data: mmap.mmap, *, name: str) -> Header:
    frame: tuple[int, int, int, int, int] | None = None
    x_um: float | None = None
    y_um: float | None = None
    position = 2
    while True:
        if position + 4 > len(data):
            raise truncated(name)
        if data[position] != 0xFF:
            raise damaged(name)
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _MARKERS_WITHOUT_LENGTH:
            position += 2
            continue
        (length,) = struct.unpack(">H", data[position + 2 : position + 4])
        body = data[position + 4 : position + 2 + length]
        if marker in _FRAME_MARKERS and len(body) >= 6:
            bits, height, width, components = struct.unpack(">BHHB", body[:6])
            frame = (marker, bits, height, width, components)
        elif marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 12:
            x_um, y_um = _jfif_density(body)
        elif marker in (0xDA, 0xD9):
            break
        position += 2 + length
    if frame is None or marker == 0xD9:
        raise damaged(name)
    # within a scan 0xFF is always followed by 0 or a restart marker: this end marker is a real one
    if data.find(b"\xff\xd9", position) < 0:
        raise truncated(name)
    return _jpeg_header(frame, metadata_mpp(x_um, y_um, name=name), name=name)


def _jfif_density(body: bytes) -> tuple[float | None, float | None]:
    unit, x_density, y_density = struct.unpack(">BHH", body[7:12])
    if unit not in (1, 2) or not x_density or not y_density:
        return None, None
    um = UM_PER_INCH if unit == 1 else UM_PER_CM
    return um / x_density, um / y_density


def _jpeg_header(frame: tuple[int, int, int, int, int], mpp: float | None, *, name: str) -> Header:
    marker, bits, height, width, components = frame
    if bits != 8:
        raise too_deep(name, bits)
    if components == 1:
        raise grayscale(name)
    if components == 4:
        raise not_rgb(name, "CMYK")
    if components != 3 or not width or not height:
        raise damaged(name)
    _check_interlaced(width * height, interlaced=marker in _PROGRESSIVE, name=name, kind="progressive JPEG")
    return Header(PictureInfo(width, height, "JPEG", mpp, 1), decoded_first=True)


def decode_whole(path: Path, *, name: str) -> ByteArray:
    """H×W×3 RGB of a PNG or JPEG of at most `DECODED_WHOLE_PX` pixels."""
    try:
        pixels = open_rgb(path, page=None, name=name).numpy()
    except pyvips.Error as error:
        raise damaged(name) from error
    return np.ascontiguousarray(pixels)


def convert_to_tiles(path: Path, out: Path, *, page: int | None, name: str) -> None:
    """Writes a picture of any size as an uncompressed tiled TIFF of the same pixels, in bounded memory.

    `page` is the directory of a TIFF, None for other files. `out` appears only when it is complete.
    Raises `PictureError` for a damaged picture or too little disk space.
    """
    part = out.with_name(f"{out.name}.{secrets.token_hex(4)}.part")
    try:
        image = open_rgb(path, page=page, name=name)
        check_space(out.parent, image.width * image.height * 3, name=name)
        image.tiffsave(
            str(part),
            tile=True,
            tile_width=CONVERTED_TILE_PX,
            tile_height=CONVERTED_TILE_PX,
            bigtiff=True,
            keep="none",
        )
        part.replace(out)
    except pyvips.Error as error:
        if "space left" in str(error):
            raise no_space(name) from error
        raise damaged(name) from error
    except OSError as error:
        raise PictureError(
            f"“{name}” cannot be unpacked ({error.strerror}): free disk space or allow writing there."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def open_rgb(path: Path, *, page: int | None, name: str) -> pyvips.Image:
    """A lazy 3-band 8-bit image, alpha laid on white, its colors as stored (no profile applied)."""
    options = {} if page is None else {"page": page}
    # libjpeg only warns of damaged data and paints them gray; libpng also warns of harmless color profiles
    fail_on = "warning" if first_bytes(path, 2, name=name) == b"\xff\xd8" else "truncated"
    # by a source: libvips takes [...] in a file's name for options, and remembers files by name
    source = pyvips.Source.new_from_file(str(path))
    image = pyvips.Image.new_from_source(source, "", access="sequential", fail_on=fail_on, **options)
    if image.hasalpha():
        image = image.flatten(background=255)
    if image.bands != 3 or image.format != "uchar":
        raise damaged(name)
    return image


def check_space(folder: Path, needed: int, *, name: str) -> None:
    """Raises `PictureError` when a folder's disk has no room for a temporary copy of `needed` bytes."""
    if shutil.disk_usage(folder).free < needed * 1.05:
        raise no_space(name, needed=needed)


def no_space(name: str, *, needed: int | None = None) -> PictureError:
    """The disk is full."""
    size = f" of {needed / 1e9:.1f} GB" if needed else ""
    return PictureError(
        f"“{name}” needs a temporary copy{size}, and the disk has no room for it: "
        "free some space, or save the picture as a tiled TIFF."
    )
