"""The errors of one field as marks over its picture, and the file that keeps them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ki67.errors import StoreError
from ki67.types import FloatArray, GridMap

if TYPE_CHECKING:
    from ki67.training.counting import MatchRow
    from ki67.training.evaluate import Evaluated
    from ki67.training.figures import Step

MarkKind = Literal["right", "missed", "invented", "wrong class", "removed"]
KINDS: tuple[MarkKind, ...] = ("right", "missed", "invented", "wrong class", "removed")


@dataclass(frozen=True)
class ErrorMarks:
    """Marks of one field and one way of counting, one array entry each; full-resolution pixels.

    `kind` indexes `KINDS`. `positive` is the class whose color a mark has: that of the nucleus found for
    right, invented and removed ones, that of the marked nucleus for missed ones and for those of the
    wrong class, which were found in the other.
    """

    x_px: FloatArray
    y_px: FloatArray
    kind: npt.NDArray[np.uint8]
    positive: npt.NDArray[np.bool_]

    def count(self, kind: MarkKind) -> int:
        """How many marks are of this kind."""
        return int((self.kind == KINDS.index(kind)).sum())


def marks_of(evaluated: Evaluated, step: Step) -> ErrorMarks:
    """The marks of a field counted this way; those that step 1 removed are only on the count with it."""
    drawn: list[tuple[float, float, MarkKind, bool]] = []
    for row in evaluated.rows_of(step):
        kind = _kind_of(row)
        if kind in ("missed", "wrong class"):
            if row.outcome == "missed" and row.truth_x_px is not None and row.truth_y_px is not None:
                drawn.append((row.truth_x_px, row.truth_y_px, kind, row.truth_label == "positive"))
        elif kind is not None and row.found_x_px is not None and row.found_y_px is not None:
            drawn.append((row.found_x_px, row.found_y_px, kind, row.found_label == "positive"))
    if step == "with_step_1":
        for row in evaluated.removed_by_mask():
            if row.found_x_px is not None and row.found_y_px is not None:
                drawn.append((row.found_x_px, row.found_y_px, "removed", row.found_label == "positive"))
    return ErrorMarks(
        x_px=np.array([mark[0] for mark in drawn], np.float32),
        y_px=np.array([mark[1] for mark in drawn], np.float32),
        kind=np.array([KINDS.index(mark[2]) for mark in drawn], np.uint8),
        positive=np.array([mark[3] for mark in drawn], bool),
    )


def _kind_of(row: MatchRow) -> MarkKind | None:
    if row.outcome == "matched":
        return "right"
    if row.fault == "missed":
        return "missed"
    if row.fault == "wrong class":
        return "wrong class"
    return "invented" if row.outcome == "false" else None


def marks_to_bytes(layers: Mapping[str, ErrorMarks], tumor_map: GridMap | None) -> bytes:
    """Marks by way of counting and the tumor map, as the content of an npz file."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for step, marks in layers.items():
        for name in ("x_px", "y_px", "kind", "positive"):
            arrays[f"{step}.{name}"] = getattr(marks, name)
    if tumor_map is not None:
        arrays["map"] = tumor_map.values
        place = (tumor_map.px_per_cell, tumor_map.origin_x_px, tumor_map.origin_y_px)
        arrays["place"] = np.array(place, np.float64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load_marks(path: Path, step: Step) -> tuple[ErrorMarks, GridMap | None]:
    """The marks of one way of counting and the tumor map. Raises StoreError: missing or broken."""
    try:
        with np.load(path) as stored:
            marks = ErrorMarks(*(stored[f"{step}.{name}"] for name in ("x_px", "y_px", "kind", "positive")))
            if "map" not in stored:
                return marks, None
            return marks, GridMap(stored["map"], *(float(value) for value in stored["place"]))
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            "An evaluation is missing from the data folder (KI67_HOME), or broken: measure again."
        ) from error
