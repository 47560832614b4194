"""An uploaded picture as the store keeps it: its pixels in a tiled TIFF, and nothing else.

Labels, macro images, patient tags and free text stay behind because they are never copied. JPEG tiles
are copied as they are; everything else is written without loss from the pixels that the nets would
read, so that both copies give the same pixels as the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ki67.pipeline.images import Picture
from ki67.study.workplace import disk_faults
from ki67.types import ByteArray, Rect

TILE_PX = 512
DEFLATE_LEVEL = 3
STRIP_BYTES = 256 << 20
UM_PER_CM = 10_000.0
JPEG = 7
JPEG_PHOTOMETRIC = (2, 6)  # RGB, YCbCr


def write_clean(picture: Picture, source: Path, out: Path) -> None:
    """Writes the pixels of `picture`, which is open on the file `source`, to the new file `out`.

    Raises:
        StoreError: the disk is full or read-only; `out` may then be there in part.
    """
    levels = _jpeg_levels(source, picture.info.width_px, picture.info.height_px)
    with disk_faults():
        if levels:
            _copy_tiles(source, levels, out, picture.info.metadata_mpp)
        else:
            _write_lossless(picture, out)


def _jpeg_levels(source: Path, width_px: int, height_px: int) -> list[int]:
    """Page numbers of the levels whose JPEG tiles can be copied, finest first; empty when they cannot."""
    try:
        with tifffile.TiffFile(source) as tiff:
            if tiff.is_scn or tiff.is_ndpi or tiff.is_bif or tiff.is_philips or not tiff.series:
                return []
            pages: list[Any] = [
                level.pages[0] for level in tiff.series[0].levels if len(level.pages) == 1 and level.pages[0]
            ]
            if not pages or (pages[0].imagelength, pages[0].imagewidth) != (height_px, width_px):
                return []
            copied = [page.index for page in pages if _is_plain_jpeg(tiff, page)]
            return copied if copied[:1] == [pages[0].index] else []
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, OSError):
        return []


def _is_plain_jpeg(tiff: tifffile.TiffFile, page: Any) -> bool:
    """Whether a page is tiles of 8-bit RGB or YCbCr JPEG, all present, none with text in its header."""
    form = (page.compression, page.samplesperpixel, page.bitspersample, page.planarconfig)
    if not page.is_tiled or form != (JPEG, 3, 8, 1) or page.photometric not in JPEG_PHOTOMETRIC:
        return False
    if not all(page.databytecounts) or _has_text(page.jpegtables or b""):
        return False
    return not any(_has_text(tile) for tile in _tiles(tiff, page))


def _tiles(tiff: tifffile.TiffFile, page: Any) -> Iterator[bytes]:
    """The compressed tiles of a page, as they lie in the file."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        tiff.filehandle.seek(offset)
        yield tiff.filehandle.read(count)


def _has_text(tile: bytes) -> bool:
    """Whether a JPEG stream has a comment or an application segment other than JFIF and Adobe."""
    position = 2
    while position + 4 <= len(tile) and tile[position] == 0xFF:
        marker = tile[position + 1]
        if marker == 0xDA:
            return False
        if marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE):
            return True
        position += 2 + int.from_bytes(tile[position + 2 : position + 4], "big")
    return False


def _copy_tiles(source: Path, levels: list[int], out: Path, mpp: float | None) -> None:
    with tifffile.TiffFile(source) as tiff, tifffile.TiffWriter(out, bigtiff=True) as writer:
        for number, index in enumerate(levels):
            page: Any = tiff.pages[index]
            writer.write(
                _tiles(tiff, page),
                shape=(page.imagelength, page.imagewidth, 3),
                dtype=np.uint8,
                tile=(page.tilelength, page.tilewidth),
                photometric=page.photometric,
                compression=JPEG,
                subsampling=page.subsampling,
                jpegtables=page.jpegtables,
                subfiletype=1 if number else 0,
                **_resolution(mpp if number == 0 else None),
            )


def _write_lossless(picture: Picture, out: Path) -> None:
    """Full resolution only: the nets then see the same pixels as in the original at every scale."""
    info = picture.info
    tifffile.imwrite(
        out,
        _pixel_tiles(picture),
        shape=(info.height_px, info.width_px, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        bigtiff=True,
        compression="zlib",
        compressionargs={"level": DEFLATE_LEVEL},
        predictor=True,
        **_resolution(info.metadata_mpp),
    )


def _pixel_tiles(picture: Picture) -> Iterator[ByteArray]:
    """The picture's tiles row by row, read in blocks of bounded size; beyond its border white."""
    info = picture.info
    columns = -(-info.width_px // TILE_PX)
    block = max(1, STRIP_BYTES // (TILE_PX * TILE_PX * 3))
    for y in range(0, info.height_px, TILE_PX):
        for first in range(0, columns, block):
            count = min(block, columns - first)
            strip = picture.read(Rect(first * TILE_PX, y, count * TILE_PX, TILE_PX))
            for number in range(count):
                yield np.ascontiguousarray(strip[:, number * TILE_PX : (number + 1) * TILE_PX])


def _resolution(mpp: float | None) -> dict[str, Any]:
    """No text in the file, and the pixel size where there is one."""
    silent: dict[str, Any] = {"metadata": None, "software": False}
    if mpp is None:
        return silent
    return {**silent, "resolution": (UM_PER_CM / mpp, UM_PER_CM / mpp), "resolutionunit": "CENTIMETER"}
