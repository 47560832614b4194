"""TIFF (plain, tiled, BigTIFF, OME; 8-bit RGB, RGBA or palette): header, checks, pixels by tile.

The largest directory is the picture (the first of several equally large ones: the first plane of a
stack); reduced directories and SubIFDs of the same shape are its levels. Description, OME free text and
every other text tag stay in the file; of OME-XML only the pixel size is read.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from ki67.errors import PictureError
from ki67.pipeline.formats import (
    DECODED_WHOLE_PX,
    Header,
    damaged,
    grayscale,
    not_rgb,
    too_deep,
    truncated,
    unreadable,
)
from ki67.pipeline.formats_tiff_pixels import (
    ASSOCIATED_ALPHA,
    BROKEN_TIFF,
    JPEG_COMPRESSION,
    UNASSOCIATED_ALPHA,
    Directory,
    read_segment,
)
from ki67.pipeline.pixel_size import UM_PER_CM, UM_PER_INCH, metadata_mpp, um_per_unit
from ki67.types import ByteArray, PictureInfo

LARGEST_SEGMENT_PX = 16_000_000
"""A tile larger than this is no tile: the picture is converted before it is read by region."""
LARGEST_TRIED_SEGMENT_PX = 4_000_000
LARGEST_OME_XML_BYTES = 16 << 20

_PALETTE, _SEPARATED, _YCBCR, _RGB = 3, 5, 6, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_SEPARATE_PLANES = 2
_LARGEST_REDUCTION_ERROR_PX = 2


def read_tiff_header(path: Path, *, name: str) -> tuple[Header, tuple[Directory, ...]]:
    """A TIFF's header and the directories its pixels are read from, largest first.

    Parses and checks the file without decoding more than its first and last tile.

    Raises `PictureError` for what cannot be scored (16-bit, grayscale, CMYK), cannot be decoded, or is
    cut off: every tile and every directory must lie within the file.
    """
    try:
        with open_tiff(path) as tif:
            check_within_file(tif, name=name)
            page = _largest_page(tif, name=name)
            _check_color(page, name=name)
            directories = (_directory(page), *(_directory(each) for each in _reduced_pages(tif, page)))
            mpp = metadata_mpp(*_pixel_size_um(tif, page), name=name)
            file_format = "OME-TIFF" if tif.is_ome else "BigTIFF" if tif.is_bigtiff else "TIFF"
        first = directories[0]
        info = PictureInfo(first.width_px, first.height_px, file_format, mpp, len(directories))
        _try_segments(path, first, name=name)
    except BROKEN_TIFF as error:
        raise damaged(name) from error
    except OSError as error:
        raise unreadable(name, error) from error
    return Header(info, decoded_first=_decoded_first(first)), directories


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Opens a TIFF with tifffile, whose remarks on broken files stay off standard error."""
    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return tifffile.TiffFile(path)


def check_within_file(tif: tifffile.TiffFile, *, name: str) -> None:
    """Refuses a TIFF of which a directory, tile or strip lies beyond the end of the file."""
    size = tif.filehandle.size
    pages = list(_all_pages(tif, name=name))
    if not pages or _next_directory(tif):  # a directory that is announced, but cannot be read
        raise truncated(name)
    for page in pages:
        offsets = np.asarray(page.dataoffsets, np.int64)
        counts = np.asarray(page.databytecounts, np.int64)
        if len(offsets) != len(counts) or (offsets < 0).any() or (counts < 0).any():
            raise damaged(name)
        if (offsets + counts > size).any():
            raise truncated(name)


def _next_directory(tif: tifffile.TiffFile) -> int:
    """The offset that the last readable directory gives for the next one; 0 at the end of the chain."""
    position = tif.pages.next_page_offset
    if not position:
        return 0
    tif.filehandle.seek(position)
    return int.from_bytes(
        tif.filehandle.read(tif.tiff.offsetsize), "little" if tif.byteorder == "<" else "big"
    )


def _all_pages(tif: tifffile.TiffFile, *, name: str) -> Iterator[tifffile.TiffPage]:
    for page in tif.pages:
        if not isinstance(page, tifffile.TiffPage):
            raise damaged(name)
        yield page
        yield from _sub_pages(page, name=name)


def _sub_pages(page: tifffile.TiffPage, *, name: str) -> list[tifffile.TiffPage]:
    if not page.subifds or page.pages is None:
        return []
    found = [each for each in page.pages if isinstance(each, tifffile.TiffPage)]
    if len(found) < len(page.subifds):
        raise truncated(name)
    return found


def _largest_page(tif: tifffile.TiffFile, *, name: str) -> tifffile.TiffPage:
    pages = [page for page in tif.pages if isinstance(page, tifffile.TiffPage)]
    largest = max(pages, key=lambda page: page.imagewidth * page.imagelength)
    if not largest.imagewidth or not largest.imagelength or largest.imagedepth != 1:
        raise damaged(name)
    return largest


def _check_color(page: tifffile.TiffPage, *, name: str) -> None:
    photometric, compression = int(page.photometric), int(page.compression)
    bits = page.bitspersample
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        raise grayscale(name)
    if photometric == _SEPARATED:
        raise not_rgb(name, "CMYK")
    if bits != 8 or int(page.sampleformat) != 1:
        raise too_deep(name, bits)
    if photometric not in (_RGB, _PALETTE) and not (
        photometric == _YCBCR and compression == JPEG_COMPRESSION
    ):
        raise not_rgb(name, str(getattr(page.photometric, "name", photometric)))
    if page.samplesperpixel < (1 if photometric == _PALETTE else 3):
        raise grayscale(name)
    if compression != 1 and compression not in tifffile.TIFF.DECOMPRESSORS:
        raise PictureError(
            f"“{name}” uses a TIFF compression that is not read here ({compression}): "
            "save it with JPEG, LZW or Deflate compression, or none."
        )


def _directory(page: tifffile.TiffPage) -> Directory:
    tiled = bool(page.is_tiled)
    separate = page.samplesperpixel > 1 and int(page.planarconfig) == _SEPARATE_PLANES
    extra = tuple(int(value) for value in page.extrasamples)
    alpha = extra[0] if extra and extra[0] in (ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA) else None
    return Directory(
        index=page.index,
        width_px=page.imagewidth,
        height_px=page.imagelength,
        segment_width=page.tilewidth if tiled else page.imagewidth,
        segment_height=page.tilelength if tiled else min(page.rowsperstrip, page.imagelength),
        is_tiled=tiled,
        planes=page.samplesperpixel if separate else 1,
        compression=int(page.compression),
        photometric=int(page.photometric),
        alpha=alpha,
        palette=_palette(page),
        jpegtables=page.jpegtables,
        offsets=tuple(page.dataoffsets),
        counts=tuple(page.databytecounts),
        decode=page.decode,
    )


def _palette(page: tifffile.TiffPage) -> ByteArray | None:
    if int(page.photometric) != _PALETTE:
        return None
    colors = np.asarray(page.colormap).T  # 256 × 3; 16 bits by the specification, 8 in some files
    return np.asarray(colors >> 8 if colors.max() > 255 else colors, np.uint8)


def _reduced_pages(tif: tifffile.TiffFile, full: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    candidates = [page for page in tif.pages if isinstance(page, tifffile.TiffPage) and page.is_reduced]
    candidates += [page for page in full.pages or () if isinstance(page, tifffile.TiffPage)]
    chosen: list[tifffile.TiffPage] = []
    previous = full
    for page in sorted(candidates, key=lambda each: -each.imagewidth * each.imagelength):
        if _is_reduction(page, previous, full):
            chosen.append(page)
            previous = page
    return chosen


def _is_reduction(page: tifffile.TiffPage, previous: tifffile.TiffPage, full: tifffile.TiffPage) -> bool:
    same_kind = (
        page.photometric == full.photometric
        and page.samplesperpixel == full.samplesperpixel
        and page.bitspersample == full.bitspersample
        and page.extrasamples == full.extrasamples
    )
    if not same_kind or not page.imagewidth or not page.imagelength:
        return False
    factor = full.imagewidth / page.imagewidth
    shape_error = abs(full.imagelength / factor - page.imagelength)
    small_segments = page.is_tiled or page.imagewidth * page.imagelength <= LARGEST_SEGMENT_PX
    return (
        small_segments
        and page.imagewidth * 1.5 <= previous.imagewidth
        and shape_error <= _LARGEST_REDUCTION_ERROR_PX
    )


def _decoded_first(directory: Directory) -> bool:
    if directory.width_px * directory.height_px <= DECODED_WHOLE_PX:
        return False
    return not directory.is_tiled or directory.segment_width * directory.segment_height > LARGEST_SEGMENT_PX


def _pixel_size_um(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float | None, float | None]:
    """The sides of a pixel in µm by OME-XML, ImageJ's unit, or the resolution tags; the first that speaks."""
    if tif.is_ome and tif.ome_metadata and len(tif.ome_metadata) <= LARGEST_OME_XML_BYTES:
        x_um, y_um = ome_pixel_size_um(tif.ome_metadata, width_px=page.imagewidth, height_px=page.imagelength)
        if x_um is not None and y_um is not None:
            return x_um, y_um
    x_per_unit, y_per_unit = _resolution(page, 282), _resolution(page, 283)
    if x_per_unit is None or y_per_unit is None:
        return None, None
    unit = _resolution_unit_um(tif, page)
    return (None, None) if unit is None else (unit / x_per_unit, unit / y_per_unit)


def _resolution(page: tifffile.TiffPage, code: int) -> float | None:
    value = page.tags.valueof(code)
    if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
        return None
    return float(value[0]) / float(value[1])


def _resolution_unit_um(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> float | None:
    unit = int(page.tags.valueof(296, 2))  # inch when the tag is missing, by the specification
    if unit == 2:
        return UM_PER_INCH
    if unit == 3:
        return UM_PER_CM
    if tif.is_imagej and tif.imagej_metadata:
        return um_per_unit(str(tif.imagej_metadata.get("unit", "")))
    return None


def ome_pixel_size_um(xml: str, *, width_px: int, height_px: int) -> tuple[float | None, float | None]:
    """PhysicalSizeX and -Y of the OME image of this size, in µm (the default unit), or None."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None, None
    images = [element for element in root.iter() if element.tag.rsplit("}", 1)[-1] == "Pixels"]
    size = (str(width_px), str(height_px))
    matching = [each for each in images if (each.get("SizeX"), each.get("SizeY")) == size]
    if not matching:
        return None, None
    pixels = matching[0]
    return _ome_length_um(pixels, "PhysicalSizeX"), _ome_length_um(pixels, "PhysicalSizeY")


def _ome_length_um(pixels: ElementTree.Element, attribute: str) -> float | None:
    unit = um_per_unit(pixels.get(attribute + "Unit", "µm"))
    try:
        value = float(pixels.get(attribute, ""))
    except ValueError:
        return None
    return None if unit is None else value * unit


def _try_segments(path: Path, directory: Directory, *, name: str) -> None:
    """Decodes the first and last tile, so that a codec or a file that fails is found before a run."""
    if directory.segment_width * directory.segment_height > LARGEST_TRIED_SEGMENT_PX:
        return
    with path.open("rb") as file:

        def read(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        for index in {0, directory.columns * directory.rows - 1}:
            read_segment(directory, index, read=read, name=name)
