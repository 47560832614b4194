"""Which pixel size holds for a picture: from its metadata, from the person, or unknown. Never guessed."""

from __future__ import annotations

import math

from ki67.errors import PictureError, UnknownPixelSize
from ki67.types import PictureInfo, PixelSize

SMALLEST_MPP = 0.05
LARGEST_MPP = 4.0
COARSEST_SCORABLE_MPP = 1.0
LARGEST_ANISOTROPY = 0.01

UM_PER_INCH = 25_400.0
UM_PER_CM = 10_000.0
_UM_PER_UNIT = {
    "pm": 1e-6,
    "Å": 1e-4,
    "angstrom": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": UM_PER_CM,
    "centimeter": UM_PER_CM,
    "dm": 1e5,
    "m": 1e6,
    "in": UM_PER_INCH,
    "inch": UM_PER_INCH,
}


def usable_mpp(value: float) -> bool:
    """Whether a pixel side of `value` µm can be a microscope's: within 0.05-4 µm/px.

    A bare 72, 96 or 300 dpi is 352.78, 264.58 or 84.67 µm/px, so this range also turns away the
    resolutions that programs write when they know none.
    """
    return math.isfinite(value) and SMALLEST_MPP <= value <= LARGEST_MPP


def um_per_unit(unit: str) -> float | None:
    """Micrometres in a unit of length as OME-XML and ImageJ spell it ("nm", "µm", "inch"), or None."""
    # µ exists twice in Unicode (micro sign, Greek mu); ImageJ also writes it as an escape
    plain = unit.strip().replace("\\u00b5", "µ").replace("\\u00B5", "µ").replace("μ", "µ")
    is_word = len(plain) > 2  # abbreviations keep their case: Mm is no mm
    return _UM_PER_UNIT.get(plain.lower() if is_word else plain)


def metadata_mpp(x_um: float | None, y_um: float | None, *, name: str) -> float | None:
    """One pixel size from the two a file states (µm); None when they are missing or unusable.

    Raises `PictureError` when a usable size differs between x and y by more than 1 %: such pixels
    are not square, and no single scale holds for the picture.
    """
    if x_um is None or y_um is None or not (math.isfinite(x_um) and math.isfinite(y_um)):
        return None
    if min(x_um, y_um) <= 0 or not (usable_mpp(x_um) or usable_mpp(y_um)):
        return None
    if abs(x_um - y_um) > LARGEST_ANISOTROPY * min(x_um, y_um):
        raise PictureError(
            f"“{name}” has pixels that are not square ({x_um:.4g} × {y_um:.4g} µm): "
            "export it again with the same scale in x and y."
        )
    mpp = (x_um + y_um) / 2
    return mpp if usable_mpp(mpp) else None


def choose_pixel_size(info: PictureInfo, given: float | None, *, name: str) -> PixelSize:
    """The pixel size to score with: `given` (µm/px) if there is one, else the picture's own.

    Raises `UnknownPixelSize` when there is neither, `PictureError` when the size is no length,
    outside 0.05-4 µm/px, or coarser than 1 µm/px (nuclei cannot be told apart).
    """
    if given is not None:
        _check_given(given, name=name)
        return PixelSize(_fine_enough(given, name=name), "given")
    if info.metadata_mpp is None:
        raise UnknownPixelSize(
            f"“{name}” does not say how large its pixels are: enter the pixel size in µm/px "
            "(for example 0.25 for most 40× scanners, 0.5 for 20×)."
        )
    return PixelSize(_fine_enough(info.metadata_mpp, name=name), "metadata")


def parse_mpp(text: str) -> float:
    """A pixel size typed by a person ("0.25", "0,25"), in µm/px. Raises `PictureError` with a sentence."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise PictureError(
            f"The pixel size “{text}” is not a number: enter µm per pixel, for example 0.25."
        ) from None
    _check_given(value, name=None)
    return value


def _check_given(value: float, *, name: str | None) -> None:
    where = f" for “{name}”" if name else ""
    if not math.isfinite(value) or value <= 0:
        raise PictureError(
            f"The pixel size{where} is {value:g}, but must be above 0: enter µm per pixel, for example 0.25."
        )
    if not usable_mpp(value):
        raise PictureError(
            f"The pixel size{where} is {value:g} µm/px, outside {SMALLEST_MPP:g}–{LARGEST_MPP:g}: "
            "enter µm per pixel, for example 0.25."
        )


def _fine_enough(mpp: float, *, name: str) -> float:
    if mpp > COARSEST_SCORABLE_MPP:
        raise PictureError(
            f"“{name}” is too coarse to score ({mpp:.3g} µm/px; at most {COARSEST_SCORABLE_MPP:g} is needed "
            "to tell nuclei apart): export it at 20× or 40×."
        )
    return mpp
