"""What the viewer needs from whoever owns the pictures: values and one small protocol.

The viewer addresses pictures and runs by opaque codes only. Whoever implements `ViewerSource`
(the store in the app, a folder in a test) answers a code, or raises `UnknownCode`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from ki67.errors import Ki67Error
from ki67.types import FloatArray, GridMap

Ring = tuple[tuple[float, float], ...]
NucleusKinds = npt.NDArray[np.uint8]

POSITIVE, NEGATIVE, NOT_COUNTED_POSITIVE, NOT_COUNTED_NEGATIVE = 0, 1, 2, 3
MISSED_POSITIVE, MISSED_NEGATIVE, INVENTED_POSITIVE, INVENTED_NEGATIVE = 4, 5, 6, 7
WRONG_POSITIVE, WRONG_NEGATIVE, REMOVED_POSITIVE, REMOVED_NEGATIVE = 8, 9, 10, 11


class UnknownCode(Ki67Error):
    """No picture or run has this code."""


@dataclass(frozen=True)
class ViewedPicture:
    """A stored picture: `path` is a file that OpenSlide opens (a slide, or the pyramid made at import)."""

    path: Path
    width_px: int
    height_px: int
    mpp: float | None


@dataclass(frozen=True)
class Nuclei:
    """Nuclei to draw, one entry each: centre in full-resolution pixels, kind, number within the run.

    `kind` is POSITIVE or NEGATIVE for nuclei that count, NOT_COUNTED_* for the others. Over an evaluation
    they are the right ones, and errors have kinds of their own: MISSED_*, INVENTED_*, WRONG_* (of that
    class, found in the other), REMOVED_* (by step 1).
    """

    x_px: FloatArray
    y_px: FloatArray
    kind: NucleusKinds
    number: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Circle:
    """The hot spot: centre and radius in full-resolution pixels, and its label for people."""

    x_px: float
    y_px: float
    radius_px: float
    label: str


@dataclass(frozen=True)
class RunOverlay:
    """Everything drawn over a picture for one run. Rings are closed paths of pixel-centre coordinates."""

    mpp: float
    tumor_map: GridMap | None
    tumor_border: tuple[Ring, ...] = ()
    outline: tuple[Ring, ...] = ()
    outline_excluded: tuple[Ring, ...] = ()
    hot_spot: Circle | None = None
    nuclei: Nuclei | None = field(default=None)


class ViewerSource(Protocol):
    """Answers codes; called from several threads at once."""

    def picture(self, code: str) -> ViewedPicture:
        """The stored picture of this code; raises `UnknownCode`."""

    def overlay(self, code: str) -> RunOverlay:
        """What to draw for the run of this code; raises `UnknownCode`."""

    def add_upload(self, stream: BinaryIO, original_name: str) -> str:
        """Stores a picture read from `stream` to its end and returns its code; raises `Ki67Error`."""
