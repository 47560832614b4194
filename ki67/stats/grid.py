"""Readings of one level as a grid: case × reader × session × replicate, the algorithm apart.

Names stand in natural order (R2 before R10), so that the order of the rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67.stats.estimate import ParamValue
from ki67.stats.forms import AlgorithmAndReaders, Pairs, Ratings, Reals
from ki67.stats.readings import Readings, natural_order

ALGORITHM = "algorithm"
PANEL = "panel"
RAW, LOG2 = "none", "log2(x+0.1)"


@dataclass(frozen=True)
class ReadingGrid:
    """Percentages 0-100 (or their transform), NaN where there is no reading.

    `values`: (cases, readers, sessions, replicates), the algorithm not among the readers; `algorithm`:
    (cases, sessions, replicates), all NaN without one; `patients`: the patient of each case;
    `transform`: what was done to the percentages ("none" or "log2(x+0.1)").
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    readers: tuple[str, ...]
    sessions: tuple[str, ...]
    replicates: tuple[str, ...]
    values: Reals
    algorithm: Reals
    algorithm_name: str = ALGORITHM
    transform: str = RAW

    @property
    def has_algorithm(self) -> bool:
        return bool(np.isfinite(self.algorithm).any())

    def params(self) -> dict[str, ParamValue]:
        """The transform as an estimate's params name it."""
        return {"transform": self.transform}

    def first(self) -> Reals:
        """One reading per case and reader, (cases, readers): first session, its first replicate there."""
        return _first_there(self.values[:, :, 0, :])

    def session(self, number: int) -> Reals:
        """One reading per case and reader of the `number`-th session (from 0)."""
        return _first_there(self.values[:, :, number, :])

    def algorithm_first(self) -> Reals:
        """The algorithm's value per case: its first session and replicate there."""
        return _first_there(self.algorithm.reshape(len(self.cases), -1))

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

    def on_log2(self) -> ReadingGrid:
        """The same readings as log2(x + 0.1) of the percentage (IKWG)."""
        if self.transform == LOG2:
            return self
        return self._with(np.log2(self.values + 0.1), np.log2(self.algorithm + 0.1))

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

    def _with(self, values: Reals, algorithm: Reals) -> ReadingGrid:
        return ReadingGrid(
            self.cases,
            self.patients,
            self.readers,
            self.sessions,
            self.replicates,
            values,
            algorithm,
            self.algorithm_name,
            LOG2,
        )


def grid_of(readings: Readings, *, algorithm: str = ALGORITHM) -> ReadingGrid:
    """Lay the readings of one level out; the reader named `algorithm` is the algorithm."""
    cases, case = _codes(readings.cases)
    names, _ = _codes(tuple(name for name in readings.readers if name != algorithm))
    place = {name: number for number, name in enumerate((*names, algorithm))}
    reader = np.array([place[name] for name in readings.readers], int)
    sessions, session = _codes(readings.sessions)
    replicates, replicate = _codes(readings.replicates)
    shape = (len(cases), len(names) + 1, max(1, len(sessions)), max(1, len(replicates)))
    values = np.full(shape, np.nan)
    values[case, reader, session, replicate] = readings.values
    patient = dict(zip(readings.cases, readings.patients, strict=True))
    return ReadingGrid(
        cases,
        tuple(patient[name] for name in cases),
        names,
        sessions or ("1",),
        replicates or ("1",),
        values[:, :-1],
        values[:, -1],
        algorithm,
    )


def long_ratings(matrix: Reals, cases: Sequence[str], readers: Sequence[str]) -> Ratings:
    """A (cases, readers) matrix in long form, NaN cells left out."""
    case, reader = np.nonzero(np.isfinite(matrix))
    return Ratings(_names(cases, case), _names(readers, reader), matrix[case, reader])


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
