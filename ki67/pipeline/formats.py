"""What every picture format gives: its header, its levels, its pixels by region; and how it is refused.

One module for each family: `formats_flat` (PNG, JPEG), `formats_tiff`, `formats_slide` (OpenSlide).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ki67.errors import PictureError
from ki67.types import ByteArray, PictureInfo, Rect

Family = Literal["png", "jpeg", "tiff", "slide"]

SMALLEST_SIDE_PX = 32
DECODED_WHOLE_PX = 64_000_000
"""Up to here a picture that can only be decoded as a whole is kept in memory; above it is converted once."""
LARGEST_BY_REGION_PX = 2**32
LARGEST_DECODED_FIRST_PX = 500_000_000
SUPPORTED = "PNG, JPEG, TIFF (8-bit RGB) or a slide that OpenSlide reads"

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_INDEX_SUFFIXES = (".mrxs", ".vms", ".vmu")


@dataclass(frozen=True)
class Header:
    """What a file's header says. `decoded_first`: its pixels cannot be read by region as they lie."""

    info: PictureInfo
    decoded_first: bool


@dataclass(frozen=True)
class Level:
    """A stored resolution; one of its pixels covers `scale_x` × `scale_y` full-resolution pixels."""

    width_px: int
    height_px: int
    scale_x: float
    scale_y: float


class PixelSource(Protocol):
    """Pixels by region from every stored level; level 0 is full resolution."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Full resolution first, then coarser ones."""
        ...

    def read_level(self, level: int, rect: Rect) -> ByteArray:
        """H×W×3 RGB of a rectangle that lies wholly within the level. Raises `PictureError`."""
        ...

    def close(self) -> None:
        """Lets go of the file."""
        ...


def family_of(path: Path, *, vendor: str | None, name: str) -> Family:
    """How to read a file, by its first bytes and OpenSlide's `vendor`; its suffix does not count.

    Raises `PictureError` for files that are missing, empty, or none of the formats read here.
    """
    first = first_bytes(path, 132, name=name)
    if not first:
        raise PictureError(f"“{name}” is empty (0 bytes): copy or export the picture again.")
    if vendor is not None and vendor != "generic-tiff":
        return "slide"
    if Path(name).suffix.lower() in _INDEX_SUFFIXES or path.suffix.lower() in _INDEX_SUFFIXES:
        raise part_of_a_slide(name)
    if first.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if first.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if first.startswith(_TIFF_MAGIC):
        return "tiff"
    if first[128:] == b"DICM":
        raise PictureError(
            f"“{name}” is a DICOM file, but not a whole-slide picture that OpenSlide can open: "
            "export the slide's VOLUME instance, or save the region as PNG or TIFF."
        )
    raise PictureError(f"“{name}” is not a picture that can be read here: use {SUPPORTED}.")


def first_bytes(path: Path, count: int, *, name: str) -> bytes:
    """The beginning of a file; a missing or unreadable one is a `PictureError`."""
    if os.path.isdir(path):
        raise PictureError(f"“{name}” is a folder, not a picture: name the picture file itself.")
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise unreadable(name, error) from error


def check_size(header: Header, *, name: str, max_pixels: int | None) -> None:
    """Refuses pictures that are too small to score or larger than the limit (`KI67_MAX_PIXELS`)."""
    width, height = header.info.width_px, header.info.height_px
    if min(width, height) < SMALLEST_SIDE_PX:
        raise PictureError(
            f"“{name}” is too small to score ({width:,} × {height:,} px; each side needs "
            f"{SMALLEST_SIDE_PX}): export a larger region."
        )
    default = LARGEST_DECODED_FIRST_PX if header.decoded_first else LARGEST_BY_REGION_PX
    limit = default if max_pixels is None else max_pixels
    if width * height > limit:
        remedy = "save it as a tiled TIFF, crop it" if header.decoded_first else "crop it"
        raise PictureError(
            f"“{name}” is too large ({width:,} × {height:,} px = {width * height / 1e6:,.0f} megapixels; "
            f"the limit is {limit / 1e6:,.0f}): {remedy}, or raise KI67_MAX_PIXELS."
        )


def unreadable(name: str, error: OSError) -> PictureError:
    """A file that the system does not give: missing, no permission, a network folder that went away."""
    if isinstance(error, FileNotFoundError):
        return PictureError(f"“{name}” is not there: check the path, or whether its folder is still mounted.")
    if isinstance(error, PermissionError):
        return PictureError(f"“{name}” may not be read: ask for permission to read the file.")
    reason = error.strerror or "input/output error"
    return PictureError(f"“{name}” cannot be read ({reason}): check the disk or the network folder.")


def truncated(name: str) -> PictureError:
    """A file whose end is missing."""
    return PictureError(f"“{name}” is cut off (its end is missing): copy or export the picture again.")


def damaged(name: str) -> PictureError:
    """A file whose pixels cannot be decoded."""
    return PictureError(
        f"“{name}” is damaged (its pixels cannot be decoded): copy or export the picture again."
    )


def grayscale(name: str) -> PictureError:
    """A picture without color: brown cannot be told from blue."""
    return PictureError(
        f"“{name}” is a grayscale picture, and brown cannot be told from blue in it: "
        "export it in color (8-bit RGB)."
    )


def too_deep(name: str, bits: int) -> PictureError:
    """More than 8 bits: which part of the range was used is not known, so it is not converted."""
    return PictureError(
        f"“{name}” has {bits} bits per channel, and the range they use is not known: save it as 8-bit RGB."
    )


def not_rgb(name: str, space: str) -> PictureError:
    """A color space whose conversion needs a profile."""
    return PictureError(f"“{name}” is a {space} picture: save it as 8-bit RGB.")


def part_of_a_slide(name: str) -> PictureError:
    """One file of a slide that consists of several."""
    return PictureError(
        f"“{name}” is one part of a slide of several files, and the others are missing: "
        "put the whole slide into the slide folder (KI67_SLIDES) and pick it there."
    )
