"""Reading pictures: what is known of one, and its pixels by region, in bounded memory whatever its size.

`probe` is cheap and refuses what cannot be scored; `open_picture` reads. Pixels are RGB, 8 bits;
parts outside the picture are white. Label and macro images, patient tags and free text are never read.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from ki67.errors import PictureError
from ki67.pipeline.formats import (
    DECODED_WHOLE_PX,
    Family,
    Header,
    PixelSource,
    check_size,
    family_of,
    unreadable,
)
from ki67.pipeline.formats_flat import (
    ArraySource,
    convert_to_tiles,
    decode_whole,
    read_jpeg_header,
    read_png_header,
)
from ki67.pipeline.formats_slide import SlideSource, read_slide_header, slide_files, vendor_of
from ki67.pipeline.formats_tiff import read_tiff_header
from ki67.pipeline.formats_tiff_pixels import Directory, TiffSource
from ki67.pipeline.resample import WHITE, apply_taps, area_taps, bilinear_taps, block_mean
from ki67.types import ByteArray, PictureInfo, Rect

LEVELS_SERVE_FROM = 4.0
"""From this many full-resolution pixels per output pixel on, a stored level may stand in for them."""
BLOCK_SIDE_PX = 2560
"""Side of the square of source pixels that is scaled at a time."""


class Picture(Protocol):
    """An open picture; use as a context manager. Reading is safe from several threads."""

    @property
    def info(self) -> PictureInfo:
        """Size, format, pixel size and levels."""
        ...

    def read(self, rect: Rect) -> ByteArray:
        """H×W×3 RGB uint8 at full resolution; parts outside the picture are white."""
        ...

    def read_scaled(self, x: int, y: int, width: int, height: int, *, px_per_out: float) -> ByteArray:
        """H×W×3 RGB uint8 of output pixels that are `px_per_out` full-resolution pixels wide.

        Output pixel (column j, row i) covers full-resolution x in [(x + j) * px_per_out,
        (x + j + 1) * px_per_out), y likewise, in edge coordinates from the picture's corner; its value
        does not depend on the rectangle asked for. Area average for px_per_out >= 1 (of full-resolution
        pixels below 4; beyond, a stored level that is fine enough may serve), bilinear below 1.
        """
        ...

    def thumbnail(self, max_side: int) -> ByteArray:
        """The whole picture with its longest side at most `max_side` px (never enlarged)."""
        ...

    def close(self) -> None:
        """Lets go of the file and of temporary copies."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class Found:
    """A file's header with what is needed to open it. `directories`: of a TIFF, else empty."""

    family: Family
    header: Header
    directories: tuple[Directory, ...] = ()


def probe(path: Path, *, name: str | None = None, max_pixels: int | None = None) -> PictureInfo:
    """What the picture's header says; cheap. `name` is what errors call it (default: its file name).

    Raises `PictureError` with a sentence for a file that is missing, empty, cut off, damaged, no
    picture, grayscale, CMYK, deeper than 8 bits, with pixels that are not square, smaller than
    32 px a side, or larger than `max_pixels` (default 2^32; 500 million for PNG, JPEG and large
    stripped TIFF, which must be unpacked first). A picture whose pixel size is unknown passes.
    """
    return examine(path, name=name or path.name, max_pixels=max_pixels).header.info


def open_picture(
    path: Path,
    *,
    name: str | None = None,
    max_pixels: int | None = None,
    scratch: Path | None = None,
    pixels_from: Path | None = None,
) -> OpenedPicture:
    """Opens a picture for reading; raises as `probe`, also for pixels that cannot be decoded.

    A large picture that cannot be read by region is unpacked once into a tiled TIFF of the same pixels:
    in `scratch`, where it stays and is found again, or in a temporary folder that goes with `close`.
    `pixels_from` names the pyramid made of the same picture (`make_pyramid`): where it was made without
    loss, because the picture had to be unpacked, the pixels are read from it.
    """
    name = name or path.name
    found = examine(path, name=name, max_pixels=max_pixels)
    info = found.header.info
    if found.family == "slide":
        return OpenedPicture(SlideSource(path, name=name), info)
    if not found.header.decoded_first:
        return OpenedPicture(TiffSource(path, found.directories, name=name), info)
    if not found.directories and info.width_px * info.height_px <= DECODED_WHOLE_PX:
        return OpenedPicture(ArraySource(decode_whole(path, name=name)), info)
    if pixels_from is not None:
        return OpenedPicture(_same_pixels(pixels_from, info, name=name), info)
    return _open_converted(path, found, scratch=scratch, name=name)


def is_multi_file(path: Path) -> bool:
    """Whether the picture is a slide of several files, of which this one alone is a part."""
    return len(files_of(path)) > 1


def sha256_of(path: Path) -> str:
    """SHA-256 of the file, in hex; for a slide of several files that of their sorted hashes, one a line.

    Raises `PictureError` when a file cannot be read.
    """
    files = files_of(path)
    if len(files) == 1:
        return _file_sha256(path, name=path.name)
    hashes = sorted(_file_sha256(file, name=path.name) for file in files)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _file_sha256(path: Path, *, name: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(name, error) from error


def files_of(path: Path) -> list[Path]:
    """Every file of the picture: itself, and those that it is read together with.

    Raises `PictureError` when its folder cannot be read.
    """
    vendor = vendor_of(path)
    try:
        return [path] if vendor is None else slide_files(path, vendor=vendor)
    except OSError as error:
        raise unreadable(path.name, error) from error


def examine(path: Path, *, name: str, max_pixels: int | None) -> Found:
    """A picture's header and how to open it; raises as `probe`."""
    vendor = vendor_of(path) if os.path.isfile(path) else None
    family = family_of(path, vendor=vendor, name=name)
    directories: tuple[Directory, ...] = ()
    if family == "slide" and vendor is not None:
        header = read_slide_header(path, vendor=vendor, name=name)
    elif family == "tiff":
        header, directories = read_tiff_header(path, name=name)
    elif family == "png":
        header = read_png_header(path, name=name)
    else:
        header = read_jpeg_header(path, name=name)
    check_size(header, name=name, max_pixels=max_pixels)
    return Found(family, header, directories)


def _same_pixels(pixels: Path, info: PictureInfo, *, name: str) -> PixelSource:
    header, directories = read_tiff_header(pixels, name=name)
    if (header.info.width_px, header.info.height_px) != (info.width_px, info.height_px):
        raise PictureError(f"The prepared pixels of “{name}” are not those of the picture: import it again.")
    return TiffSource(pixels, directories, name=name)


def _open_converted(path: Path, found: Found, *, scratch: Path | None, name: str) -> OpenedPicture:
    page = found.directories[0].index if found.directories else None
    if scratch is None:
        folder = tempfile.TemporaryDirectory(prefix="ki67-", ignore_cleanup_errors=True)
        target, on_close = Path(folder.name) / "picture.tif", folder.cleanup
    else:
        scratch.mkdir(parents=True, exist_ok=True)
        state = path.stat()
        key = f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}"
        target, on_close = scratch / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.tif", _nothing
    try:
        if not target.exists():
            convert_to_tiles(path, target, page=page, name=name)
        source = _same_pixels(target, found.header.info, name=name)
    except BaseException:
        on_close()
        raise
    return OpenedPicture(source, found.header.info, on_close=on_close)


def _nothing() -> None:
    """What is left to do on closing a picture without temporary copies."""


class OpenedPicture:
    """A `Picture` over the pixels of any format."""

    def __init__(
        self, source: PixelSource, info: PictureInfo, *, on_close: Callable[[], None] = _nothing
    ) -> None:
        self.info = info
        self._source = source
        self._on_close = on_close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file and of temporary copies."""
        self._source.close()
        self._on_close()

    def read(self, rect: Rect) -> ByteArray:
        """H×W×3 RGB uint8 at full resolution; parts outside the picture are white."""
        return self._read_level(0, rect)

    def read_scaled(self, x: int, y: int, width: int, height: int, *, px_per_out: float) -> ByteArray:
        """Output pixels of `px_per_out` full-resolution pixels; see `Picture.read_scaled`."""
        if px_per_out == 1:
            return self.read(Rect(x, y, width, height))
        out = np.empty((height, width, 3), np.uint8)
        step_x = max(1, min(width, int(BLOCK_SIDE_PX / px_per_out)))
        step_y = max(1, int(BLOCK_SIDE_PX**2 / (step_x * px_per_out**2)))
        for top in range(0, height, step_y):
            for left in range(0, width, step_x):
                block = Rect(x + left, y + top, min(step_x, width - left), min(step_y, height - top))
                out[top : top + block.height, left : left + block.width] = self._scaled(block, px_per_out)
        return out

    def thumbnail(self, max_side: int) -> ByteArray:
        """The whole picture with its longest side at most `max_side` px (never enlarged)."""
        width, height = self.info.width_px, self.info.height_px
        px_per_out = max(1.0, max(width, height) / max_side)
        return self.read_scaled(
            0,
            0,
            max(1, round(width / px_per_out)),
            max(1, round(height / px_per_out)),
            px_per_out=px_per_out,
        )

    def _scaled(self, block: Rect, px_per_out: float) -> ByteArray:
        if px_per_out < 1:
            return self._interpolated(block, px_per_out)
        number = self._level_for(px_per_out)
        level = self._source.levels[number]
        px_x, px_y = px_per_out / level.scale_x, px_per_out / level.scale_y
        if px_x == px_y and px_x.is_integer():
            factor = int(px_x)
            rect = Rect(block.x * factor, block.y * factor, block.width * factor, block.height * factor)
            return block_mean(self._read_level(number, rect), factor)
        columns = area_taps(block.x, block.width, px_per_out=px_x)
        rows = area_taps(block.y, block.height, px_per_out=px_y)
        pixels = self._read_level(number, Rect(columns.first, rows.first, columns.length, rows.length))
        return apply_taps(pixels, rows, columns)

    def _interpolated(self, block: Rect, px_per_out: float) -> ByteArray:
        columns = bilinear_taps(block.x, block.width, px_per_out=px_per_out, size=self.info.width_px)
        rows = bilinear_taps(block.y, block.height, px_per_out=px_per_out, size=self.info.height_px)
        pixels = self._read_level(0, Rect(columns.first, rows.first, columns.length, rows.length))
        return apply_taps(pixels, rows, columns)

    def _level_for(self, px_per_out: float) -> int:
        """The coarsest level that is as fine as the output, or full resolution."""
        if px_per_out < LEVELS_SERVE_FROM:
            return 0
        scales = [max(level.scale_x, level.scale_y) for level in self._source.levels]
        return max(
            (number for number, scale in enumerate(scales) if scale <= px_per_out),
            key=lambda number: scales[number],
        )

    def _read_level(self, number: int, rect: Rect) -> ByteArray:
        level = self._source.levels[number]
        left, top = max(0, rect.x), max(0, rect.y)
        right = min(level.width_px, rect.x + rect.width)
        bottom = min(level.height_px, rect.y + rect.height)
        if left >= right or top >= bottom:
            return np.full((rect.height, rect.width, 3), WHITE, np.uint8)
        inside = Rect(left, top, right - left, bottom - top)
        pixels = self._source.read_level(number, inside)
        if inside == rect:
            return pixels
        out = np.full((rect.height, rect.width, 3), WHITE, np.uint8)
        out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x] = pixels
        return out
