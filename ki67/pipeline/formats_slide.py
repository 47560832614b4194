"""Slides by OpenSlide (SVS, NDPI, MRXS, SCN, BIF, CZI, DICOM …): header, checks, pixels by region.

Only dimensions, levels and µm/px are read; label and macro images, patient tags and free text never.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import openslide
import pydicom
from pydicom.errors import InvalidDicomError

from ki67.pipeline.formats import Header, Level, damaged, first_bytes, part_of_a_slide, unreadable
from ki67.pipeline.formats_tiff import check_within_file, open_tiff
from ki67.pipeline.formats_tiff_pixels import BROKEN_TIFF, on_white
from ki67.pipeline.pixel_size import metadata_mpp
from ki67.types import ByteArray, PictureInfo, Rect

DECODED_CACHE_BYTES = 96 << 20
LEVEL_BLOCK_PX = 1024
LEVEL_BLOCKS_KEPT = 12

_FORMAT_NAMES = {
    "aperio": "SVS",
    "dicom": "DICOM",
    "hamamatsu": "NDPI",
    "leica": "SCN",
    "mirax": "MRXS",
    "philips-tiff": "Philips TIFF",
    "sakura": "SVSLIDE",
    "trestle": "Trestle TIFF",
    "ventana": "BIF",
    "zeiss": "CZI",
}
_TIFF_VENDORS = frozenset({"aperio", "hamamatsu", "leica", "philips-tiff", "trestle", "ventana"})
_TIFF_FIRST_BYTES = (b"II", b"MM")
_HAMAMATSU_INDEXES = (".vms", ".vmu")
_SERIES_INSTANCE_UID = "SeriesInstanceUID"


def vendor_of(path: Path) -> str | None:
    """OpenSlide's name of a file's format; None for files that it does not know."""
    try:
        vendor = openslide.OpenSlide.detect_format(str(path))
    except openslide.OpenSlideError:
        return None
    return None if vendor is None else str(vendor)


def read_slide_header(path: Path, *, vendor: str, name: str) -> Header:
    """Header of a slide; reads a few pixels of every level, so that what cannot be decoded is found here."""
    if vendor in _TIFF_VENDORS and first_bytes(path, 2, name=name) in _TIFF_FIRST_BYTES:
        _check_tiff(path, name=name)
    try:
        with openslide.OpenSlide(path) as slide:
            if vendor == "dicom":
                _check_whole_series(slide, path, name=name)
            width, height = slide.dimensions
            mpp = metadata_mpp(
                _number(slide.properties.get(openslide.PROPERTY_NAME_MPP_X)),
                _number(slide.properties.get(openslide.PROPERTY_NAME_MPP_Y)),
                name=name,
            )
            _try_levels(slide)
            levels = slide.level_count
    except openslide.OpenSlideError as error:
        raise damaged(name) from error
    except OSError as error:
        raise unreadable(name, error) from error
    info = PictureInfo(width, height, _FORMAT_NAMES.get(vendor, vendor), mpp, levels)
    return Header(info, decoded_first=False)


def _check_tiff(path: Path, *, name: str) -> None:
    try:
        with open_tiff(path) as tif:
            check_within_file(tif, name=name)
    except BROKEN_TIFF as error:
        raise damaged(name) from error
    except OSError as error:
        raise unreadable(name, error) from error


def _check_whole_series(slide: openslide.OpenSlide, path: Path, *, name: str) -> None:
    resampled = slide.properties.get("dicom.ImageType[3]") == "RESAMPLED"
    if resampled and len(dicom_series(path)) == 1:
        raise part_of_a_slide(name)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _try_levels(slide: openslide.OpenSlide) -> None:
    width, height = slide.dimensions
    for level in range(slide.level_count):
        scale = slide.level_downsamples[level]
        last = (max(0, width - 1 - int(scale)), max(0, height - 1 - int(scale)))
        for position in ((0, 0), (width // 2, height // 2), last) if level == 0 else (last,):
            slide.read_region(position, level, (1, 1))


def slide_files(path: Path, *, vendor: str) -> list[Path]:
    """Every file that a slide consists of, the one that names it included."""
    if vendor == "dicom":
        return dicom_series(path)
    if vendor == "mirax":
        return [path, *sorted(each for each in path.with_suffix("").rglob("*") if each.is_file())]
    if path.suffix.lower() in _HAMAMATSU_INDEXES:
        return [path, *_named_in(path)]
    return [path]


def dicom_series(path: Path) -> list[Path]:
    """The files beside a DICOM file (itself included) that belong to the same series: one slide."""
    series = _series_of(path)
    others = (each for each in path.parent.iterdir() if each != path and each.is_file())
    return sorted([path, *(each for each in others if series and _series_of(each) == series)])


def _named_in(index: Path) -> list[Path]:
    """The files beside an INI-like index that its values name."""
    lines = index.read_text(errors="replace").splitlines()
    values = {line.partition("=")[2].strip() for line in lines}
    return sorted(each for each in index.parent.iterdir() if each.name in values and each != index)


def _series_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
            file.seek(0)
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[_SERIES_INSTANCE_UID])
    except (InvalidDicomError, OSError, ValueError, KeyError, EOFError):
        return None
    series = header.get(_SERIES_INSTANCE_UID)
    return None if series is None else str(series)


class SlideSource:
    """Pixels of a slide by region. Safe to read from several threads."""

    def __init__(self, path: Path, *, name: str) -> None:
        self._name = name
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise damaged(name) from error
        except OSError as error:
            raise unreadable(name, error) from error
        self._slide.set_cache(openslide.OpenSlideCache(DECODED_CACHE_BYTES))
        width, height = self._slide.dimensions
        self.levels = tuple(
            Level(level_width, level_height, width / level_width, height / level_height)
            for level_width, level_height in self._slide.level_dimensions
        )
        self._blocks: OrderedDict[tuple[int, int, int], ByteArray] = OrderedDict()
        self._blocks_lock = threading.Lock()

    def read_level(self, level: int, rect: Rect) -> ByteArray:
        """H×W×3 RGB of a rectangle within a level; what the scanner left out is white.

        Positions in a reduced level are not whole full-resolution pixels, and OpenSlide shifts by the
        fraction; so reduced levels are read in fixed blocks: a pixel has one value, whoever asks.
        """
        if level == 0:
            return self._region(0, rect)
        size = LEVEL_BLOCK_PX
        out = np.empty((rect.height, rect.width, 3), np.uint8)
        for row in range(rect.y // size, (rect.y + rect.height - 1) // size + 1):
            top, bottom = max(rect.y, row * size), min(rect.y + rect.height, (row + 1) * size)
            for column in range(rect.x // size, (rect.x + rect.width - 1) // size + 1):
                left, right = max(rect.x, column * size), min(rect.x + rect.width, (column + 1) * size)
                block = self._block(level, column, row)
                out[top - rect.y : bottom - rect.y, left - rect.x : right - rect.x] = block[
                    top - row * size : bottom - row * size, left - column * size : right - column * size
                ]
        return out

    def close(self) -> None:
        """Closes the slide and lets go of the kept blocks."""
        self._slide.close()
        self._blocks.clear()

    def _block(self, level: int, column: int, row: int) -> ByteArray:
        key = (level, column, row)
        with self._blocks_lock:
            kept = self._blocks.get(key)
        if kept is not None:
            return kept
        size = LEVEL_BLOCK_PX
        stored = self.levels[level]
        width = min(size, stored.width_px - column * size)
        height = min(size, stored.height_px - row * size)
        block = self._region(level, Rect(column * size, row * size, width, height))
        with self._blocks_lock:
            self._blocks[key] = block
            while len(self._blocks) > LEVEL_BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return block

    def _region(self, level: int, rect: Rect) -> ByteArray:
        scale = self._slide.level_downsamples[level]
        position = (round(rect.x * scale), round(rect.y * scale))
        try:
            region = self._slide.read_region(position, level, (rect.width, rect.height))
        except openslide.OpenSlideError as error:
            raise damaged(self._name) from error
        rgba = np.asarray(region)
        return on_white(rgba[..., :3], rgba[..., 3], premultiplied=False)
