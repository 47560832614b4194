"""Readings with sessions and repeats laid out for a variance-components model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ki67.stats.anova import Matrix, Transform, check_keys, first_seen, transformed
from ki67.stats.forms import Ratings, Reals
from ki67.stats.mixed import Component, Layout
from ki67.stats.undefined import Undefined


@dataclass(frozen=True)
class Cube:
    """Readings as (cases, readers, sessions, repeats within a session), NaN where one is missing."""

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    sessions: tuple[str, ...]
    values: Reals


Cells = Ratings | Matrix | Cube


@dataclass(frozen=True)
class Design:
    """A layout and what it was made from: cases, readers and sessions read, readings missing."""

    layout: Layout
    cases: int
    readers: int
    sessions: int
    missing: int


def cube_of(data: Cells) -> Cube:
    """Any case × reader form as a cube; Undefined (duplicate_key) where a key comes twice."""
    if isinstance(data, Cube):
        return data
    if isinstance(data, Matrix):
        return Cube(data.cases, data.readers, ("1",), data.values[:, :, None, None])
    check_keys(data, with_session=True)
    once = ("1",) * len(data.cases)
    named = (data.cases, data.readers, data.sessions or once, data.replicates or once)
    codes = [first_seen(names) for names in named]
    place = tuple(
        np.array([code[name] for name in names], np.intp) for code, names in zip(codes, named, strict=True)
    )
    values = np.full([len(code) for code in codes], np.nan)
    values[place] = data.values
    return Cube(tuple(codes[0]), tuple(codes[1]), tuple(codes[2]), values)


def design_of(data: Cells, *, transform: Transform, with_sessions: bool) -> Design:
    """The layout of every reading, with the components that this design can tell apart.

    Without sessions every further reading of a cell is a repeat, whatever its session. Undefined: no_pairs
    (no reading), too_few (the cases cannot be told from the readers), nonpositive_value, duplicate_key,
    not_measured (with sessions, but there is one).
    """
    cube = cube_of(data)
    there = np.isfinite(cube.values)
    if not there.any():
        raise Undefined("no_pairs", "There is no reading.")
    values = np.where(there, cube.values, 0.0)
    values[there] = transformed(values[there], transform)
    used = [np.flatnonzero(there.any(axis=axes)) for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 3))]
    values, there = values[np.ix_(*used)], there[np.ix_(*used)]
    sessions = len(used[2])
    if with_sessions and sessions < 2:
        raise Undefined("not_measured", "There is one session, so nothing differs between sessions.")
    if not with_sessions:
        a, b = values.shape[:2]
        values, there = values.reshape(a, b, 1, -1), there.reshape(a, b, 1, -1)
    counts = there.sum(axis=3).astype(np.float64)
    means = np.divide((values * there).sum(axis=3), counts, out=np.zeros(counts.shape), where=counts > 0)
    within = float((np.square(values - means[..., None]) * there).sum())
    layout = Layout(counts, means, _floored(within, values, counts), _components(counts))
    a, b = counts.shape[:2]
    return Design(layout, a, b, sessions, int((~np.isfinite(data.values)).sum()))


def one_way(data: Matrix) -> Layout:
    """Cases with their readings as repeats, whoever read: the model of ICC(1,1)."""
    there = np.isfinite(data.values)
    there = there[there.any(axis=1)]
    values = np.where(np.isfinite(data.values), data.values, 0.0)[np.isfinite(data.values).any(axis=1)]
    counts = there.sum(axis=1).astype(np.float64)
    means = values.sum(axis=1) / counts
    within = float((np.square(values - means[:, None]) * there).sum())
    if len(counts) < 2 or counts.max() < 2:
        raise Undefined("too_few", "A one-way ICC needs two cases, and a case with two readings.")
    within = _floored(within, values, counts)
    return Layout(counts[:, None, None], means[:, None, None], within, ("case", "residual"))


def _components(counts: Reals) -> tuple[Component, ...]:
    """The effects that readings in this pattern can tell apart, the residual last."""
    there = counts > 0
    cells = there.any(axis=2)
    a, b = cells.shape
    found: list[Component] = []
    repeated, again = bool((counts > 1).any()), bool((there.sum(axis=2) > 1).any())
    if a > 1:
        found.append("case")
    if b > 1:
        found.append("reader")
    if a > 1 and b > 1 and (repeated or again):
        found.append("case_reader")
    if again:
        found.append("session")
    if again and repeated:
        found.append("case_reader_session")
    units = int(there.sum())
    alone = units == int(cells.sum()) and not repeated and int(cells.sum()) <= max(a, b)
    if int(counts.sum()) < 2 or alone:
        raise Undefined("too_few", "Cases and readers cannot be told apart: a case needs several readings.")
    return (*found, "residual")


def _floored(within: float, values: Reals, counts: Reals) -> float:
    """A sum of squares at rounding level is 0."""
    floor = float(np.square(16 * np.finfo(np.float64).eps * np.abs(values).max()) * counts.sum())
    return within if within > floor else 0.0
