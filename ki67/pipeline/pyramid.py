"""A tiled pyramid for the viewer, for pictures that have no levels of their own; made once, by strips.

JPEG tiles, for looking at. Only a picture whose pixels cannot be read by region and are too many to
unpack each time (large PNG, JPEG, stripped TIFF) gets one without loss, from which the nets read too
(`open_picture(..., pixels_from=...)`). OpenSlide reads both. Pixels and pixel size are all it holds.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import tifffile

from ki67.pipeline.formats import DECODED_WHOLE_PX, damaged
from ki67.pipeline.formats_flat import check_space, no_space, open_rgb
from ki67.pipeline.images import OpenedPicture, examine, open_picture
from ki67.types import ByteArray, PictureInfo, Rect

TILE_PX = 512
JPEG_QUALITY = 90
DEFLATE_LEVEL = 3
READ_AT_ONCE_PX = 16 * TILE_PX


def make_pyramid(path: Path, out: Path, *, name: str | None = None, max_pixels: int | None = None) -> None:
    """Writes the tiled pyramid of a picture; `out` appears only when it is complete.

    Raises `PictureError` as `open_picture` does, and when the disk has no room.
    """
    name = name or path.name
    found = examine(path, name=name, max_pixels=max_pixels)
    info = found.header.info
    unique = f"{out.name}.{secrets.token_hex(4)}"
    part, flat = out.with_name(unique + ".part"), out.with_name(unique + ".flat")
    try:
        if found.header.decoded_first:
            page = found.directories[0].index if found.directories else None
            image = open_rgb(path, page=page, name=name)
            _save(image, part, info, lossless=info.width_px * info.height_px > DECODED_WHOLE_PX, name=name)
        else:
            check_space(out.parent, info.width_px * info.height_px * 3, name=name)
            with open_picture(path, name=name, max_pixels=max_pixels) as picture:
                _write_flat(picture, flat)
            image = open_rgb(flat, page=0, name=name)
            _save(image, part, info, lossless=False, name=name)
        _flush(part)
        part.replace(out)
    except pyvips.Error as error:
        raise (no_space(name) if "space left" in str(error) else damaged(name)) from error
    finally:
        part.unlink(missing_ok=True)
        flat.unlink(missing_ok=True)


def _write_flat(picture: OpenedPicture, out: Path) -> None:
    """Full resolution as uncompressed tiles: libvips makes pyramids of files only."""
    info = picture.info
    tifffile.imwrite(
        out,
        _tiles(picture),
        shape=(info.height_px, info.width_px, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        bigtiff=True,
        metadata=None,
        software=False,
    )


def _tiles(picture: OpenedPicture) -> Iterator[ByteArray]:
    """The picture's tiles row by row, read several at a time; beyond its border white."""
    info = picture.info
    for y in range(0, info.height_px, TILE_PX):
        for x in range(0, info.width_px, READ_AT_ONCE_PX):
            width = min(READ_AT_ONCE_PX, -(-(info.width_px - x) // TILE_PX) * TILE_PX)
            strip = picture.read(Rect(x, y, width, TILE_PX))
            for left in range(0, width, TILE_PX):
                yield np.ascontiguousarray(strip[:, left : left + TILE_PX])


def _save(image: pyvips.Image, out: Path, info: PictureInfo, *, lossless: bool, name: str) -> None:
    check_space(out.parent, info.width_px * info.height_px * (4 if lossless else 1), name=name)
    px_per_mm = 1.0 if info.metadata_mpp is None else 1000 / info.metadata_mpp  # 1: too coarse to be a scale
    image = image.copy(xres=px_per_mm, yres=px_per_mm)
    coding: dict[str, Any] = (
        {"compression": "deflate", "predictor": "horizontal", "level": DEFLATE_LEVEL}
        if lossless
        else {"compression": "jpeg", "Q": JPEG_QUALITY}
    )
    image.tiffsave(
        str(out),
        tile=True,
        tile_width=TILE_PX,
        tile_height=TILE_PX,
        pyramid=True,
        bigtiff=True,
        resunit="cm",
        keep="none",
        **coding,
    )


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
