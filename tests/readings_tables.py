"""Published case × reader tables, and readings simulated from known components."""

from __future__ import annotations

import numpy as np

from ki67.stats.anova import Matrix
from ki67.stats.forms import Ratings
from ki67.stats.layout import Cube

# P. E. Shrout & J. L. Fleiss, Psychol Bull 86 (1979), table 2: six targets, four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], np.float64
)
COMPONENTS = ("case", "reader", "case_reader", "session", "case_reader_session", "replicate")


def names(number: int, letter: str) -> tuple[str, ...]:
    return tuple(f"{letter}{index + 1}" for index in range(number))


def matrix(values: np.ndarray) -> Matrix:
    """Readings (cases, readers) with names."""
    return Matrix(names(values.shape[0], "T"), names(values.shape[1], "R"), np.asarray(values, np.float64))


def cube(values: np.ndarray) -> Cube:
    """Readings (cases, readers, sessions, repeats) with names."""
    cases, readers, sessions = values.shape[:3]
    return Cube(names(cases, "T"), names(readers, "R"), names(sessions, "S"), np.asarray(values, np.float64))


def long(values: np.ndarray, *, session: str = "", reader: str = "") -> Ratings:
    """Readings (cases, readers) as rows, missing ones left out, all in one session where it is named."""
    case, column = np.nonzero(np.isfinite(values))
    readers = [reader or f"R{index + 1}" for index in column.tolist()]
    cases = tuple(f"T{index + 1}" for index in case.tolist())
    return Ratings(cases, tuple(readers), values[case, column], (session,) * len(cases) if session else ())


def simulated(shape: tuple[int, int, int, int], *, seed: int, **sds: float) -> np.ndarray:
    """Normal readings (cases, readers, sessions, repeats) with the SDs of the components named."""
    random = np.random.default_rng(seed)
    a, b, s, m = shape
    sizes = dict(
        zip(
            COMPONENTS,
            [(a, 1, 1, 1), (1, b, 1, 1), (a, b, 1, 1), (1, b, s, 1), (a, b, s, 1), (a, b, s, m)],
            strict=True,
        )
    )
    total = np.full(shape, 20.0)
    for name, sd in sds.items():
        total = total + random.normal(0, sd, sizes[name])
    return np.asarray(total)


def thinned(values: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """The same with a share of readings missing."""
    missing = np.random.default_rng(seed).random(values.shape) < share
    return np.where(missing, np.nan, values)
