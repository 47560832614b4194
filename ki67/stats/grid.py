"""Readings of one level as a grid: case × reader × session × replicate, the algorithm apart.

Names stand in natural order (R2 before R10), so that the order of the rows changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67.errors import DataError
from ki67.stats.blank import LOG2_OFFSET
from ki67.stats.forms import AlgorithmAndReaders, Pairs, Ratings, Reals
from ki67.stats.readings import Readings, natural_order

ALGORITHM = "algorithm"
PANEL = "panel"
RAW, LOG2 = "none", "log2(x+0.1)"
_MOST_CELLS = 50_000_000


@dataclass(frozen=True)
class ReadingGrid:
    """Percentages 0-100, NaN where there is no reading.

    `values`: (cases, readers, sessions, replicates), the algorithm not among the readers; `algorithm`:
    (cases, its own sessions, replicates), all NaN without one; `patients`: the patient of each case.
    `sessions` are those of the readers.
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    readers: tuple[str, ...]
    sessions: tuple[str, ...]
    replicates: tuple[str, ...]
    values: Reals
    algorithm: Reals
    algorithm_name: str = ALGORITHM

    @property
    def has_algorithm(self) -> bool:
        return bool(np.isfinite(self.algorithm).any())

    def first(self) -> Reals:
        """One reading per case and reader, (cases, readers): first session, its first replicate there."""
        return _first_there(self.values[:, :, 0, :])

    def session(self, number: int) -> Reals:
        """One reading per case and reader of the `number`-th session (from 0)."""
        return _first_there(self.values[:, :, number, :])

    def algorithm_first(self) -> Reals:
        """The algorithm's value per case: its first session and replicate there."""
        return _first_there(self.algorithm_images())

    def algorithm_images(self) -> Reals:
        """Every value of the algorithm of a case, (cases, its sessions × replicates)."""
        cases, sessions, replicates = self.algorithm.shape
        return self.algorithm.reshape(cases, sessions * replicates)

    def panel(self, *, without: int | None = None) -> Reals:
        """The median of the readers' first readings per case, NaN without any; `without` leaves one out."""
        readings = self.first()
        if without is not None:
            readings = np.delete(readings, without, axis=1)
        found = np.isfinite(readings).any(axis=1)
        medians = np.full(len(self.cases), np.nan)
        if found.any():
            medians[found] = np.nanmedian(readings[found], axis=1)
        return medians

    def pairs(self, x: Reals, y: Reals) -> Pairs:
        """Two values per case as pairs; NaN is missing."""
        return Pairs(self.cases, x, y)

    def ratings(self) -> Ratings:
        """The readers' first readings, missing cells absent, one session."""
        return long_ratings(self.first(), self.cases, self.readers)

    def all_ratings(self) -> Ratings:
        """Every reading of the readers with its session and replicate."""
        case, reader, session, replicate = np.nonzero(np.isfinite(self.values))
        return Ratings(
            _names(self.cases, case),
            _names(self.readers, reader),
            self.values[case, reader, session, replicate],
            _names(self.sessions, session),
            _names(self.replicates, replicate),
        )

    def algorithm_and_readers(self) -> AlgorithmAndReaders:
        """The first readings with the algorithm's value per case."""
        together = np.column_stack([self.algorithm_first(), self.first()])
        long = long_ratings(together, self.cases, (self.algorithm_name, *self.readers))
        return AlgorithmAndReaders(long.cases, long.readers, long.values, self.algorithm_name)


def grid_of(readings: Readings, *, algorithm: str = ALGORITHM) -> ReadingGrid:
    """Lay the readings of one level out; the reader named `algorithm` is the algorithm.

    Raises DataError where sessions and replicates are so many that they cannot be meant.
    """
    cases, case = _codes(readings.cases)
    names, _ = _codes(tuple(name for name in readings.readers if name != algorithm))
    place = {name: number for number, name in enumerate((*names, algorithm))}
    reader = np.array([place[name] for name in readings.readers], int)
    sessions, session = _codes(readings.sessions)
    replicates, replicate = _codes(readings.replicates)
    shape = (len(cases), len(names) + 1, max(1, len(sessions)), max(1, len(replicates)))
    if math.prod(shape) > _MOST_CELLS:
        raise DataError(
            f"There are {len(sessions)} sessions and {len(replicates)} replicates: name the right columns."
        )
    values = np.full(shape, np.nan)
    values[case, reader, session, replicate] = readings.values
    patient = dict(zip(readings.cases, readings.patients, strict=True))
    held = _held(values[:, :-1])
    return ReadingGrid(
        cases,
        tuple(patient[name] for name in cases),
        names,
        tuple(np.array(sessions or ("1",), object)[held]),
        replicates or ("1",),
        values[:, :-1, held],
        values[:, -1][:, _held(values[:, -1:])],
        algorithm,
    )


def on_scale(values: Reals, transform: str) -> Reals:
    """Percentages 0-100 as they are ("none") or as log2(x + 0.1)."""
    return np.asarray(np.log2(values + LOG2_OFFSET)) if transform == LOG2 else values


def long_ratings(matrix: Reals, cases: Sequence[str], readers: Sequence[str]) -> Ratings:
    """A (cases, readers) matrix in long form, NaN cells left out."""
    case, reader = np.nonzero(np.isfinite(matrix))
    return Ratings(_names(cases, case), _names(readers, reader), matrix[case, reader])


def _held(values: Reals) -> np.ndarray:
    """The sessions (axis 2) with a reading, as indices; the first one where there is none at all."""
    found = np.flatnonzero(np.isfinite(values).any(axis=(0, 1, 3)))
    return found if found.size else np.array([0])


def _first_there(values: Reals) -> Reals:
    """Along the last axis the first that is not NaN."""
    there = np.isfinite(values)
    first = there.argmax(axis=-1)
    return np.take_along_axis(values, first[..., None], axis=-1)[..., 0]


def _codes(names: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    ordered = tuple(natural_order(names))
    place = {name: number for number, name in enumerate(ordered)}
    return ordered, np.array([place[name] for name in names], int)


def _names(names: Sequence[str], codes: np.ndarray) -> tuple[str, ...]:
    return tuple(names[code] for code in codes.tolist())
