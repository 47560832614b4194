"""The algorithm and the readers as one table of cases, and the mean differences between them.

The scale is part of the table: percentages ("none"), "log2(x+0.1)" (IKWG), "log2(x+1)" or "ln". The log is
the recommended scale where the spread grows with the mean: on the raw scale intervals that assume an equal
spread cover less than they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ki67.errors import DataError
from ki67.stats.forms import AlgorithmAndReaders, Reals
from ki67.stats.undefined import Undefined

OFFSETS = {"ln": 0.0, "log2(x+0.1)": 0.1, "log2(x+1)": 1.0}
RAW = "none"
TRANSFORMS = (RAW, *OFFSETS)


@dataclass(frozen=True)
class PanelTable:
    """Cases that the algorithm read: `algorithm` (n,), `readings` (n, k) with NaN where missing.

    `units`: the number of the patient of each case, the unit of resampling; `excluded` counts the cases
    left out; `transform` is the scale. Names stand in the order of their first appearance. `computed` keeps
    what several statistics of one table share.
    """

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    algorithm: Reals
    readings: Reals
    units: np.ndarray
    excluded: int = 0
    transform: str = RAW
    computed: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def differences(self) -> Reals:
        """Algorithm − reader, (n, k)."""
        return np.asarray(self.algorithm[:, None] - self.readings)

    def complete(self) -> PanelTable:
        """Only the cases that the algorithm and every reader read."""
        return self.only(np.asarray(np.isfinite(self.readings).all(axis=1)))

    def without(self, reader: int) -> PanelTable:
        """The panel without one reader; cases that only this one read stay, with no reading."""
        names = tuple(name for place, name in enumerate(self.readers) if place != reader)
        return replace(self, readers=names, readings=np.delete(self.readings, reader, axis=1), computed={})

    def panel(self, reference: str) -> Reals:
        """The readers' "median" or "mean" per case, (n,); NaN for a case that nobody read."""
        if reference not in ("median", "mean"):
            raise DataError(f"The reference {reference!r} is not known: choose median or mean.")
        if np.isfinite(self.readings).all() and self.readers:
            return np.asarray((np.median if reference == "median" else np.mean)(self.readings, axis=1))
        found = np.isfinite(self.readings).any(axis=1)
        value = np.full(len(self.cases), np.nan)
        if found.any():
            middle = np.nanmedian if reference == "median" else np.nanmean
            value[found] = middle(self.readings[found], axis=1)
        return value

    def panel_without(self, reader: int, reference: str) -> Reals:
        """`panel` of the others; medians of a full table from its order, which is made once."""
        if reference != "median" or len(self.readers) < 2:
            return self.without(reader).panel(reference)
        if "ordered" not in self.computed:
            self.computed["ordered"] = _ordered(self.readings)
        if self.computed["ordered"] is None:
            return self.without(reader).panel(reference)
        ordered, place = self.computed["ordered"]
        rest, rows = len(self.readers) - 1, np.arange(len(self.cases))
        own = place[:, reader]
        low, high = (ordered[rows, middle + (middle >= own)] for middle in ((rest - 1) // 2, rest // 2))
        return np.asarray((low + high) / 2)

    def only(self, keep: np.ndarray) -> PanelTable:
        """The cases where `keep` (n,) is true; the others count as excluded."""
        return replace(
            self,
            cases=tuple(name for name, kept in zip(self.cases, keep.tolist(), strict=True) if kept),
            algorithm=self.algorithm[keep],
            readings=self.readings[keep],
            units=self.units[keep],
            excluded=self.excluded + int((~keep).sum()),
            computed={},
        )


def _ordered(readings: Reals) -> tuple[Reals, np.ndarray] | None:
    """The readings of each case in order, and the place of each reader's; None where one is missing."""
    if not np.isfinite(readings).all():
        return None
    order = np.argsort(readings, axis=1, kind="stable")
    return np.take_along_axis(readings, order, axis=1), np.argsort(order, axis=1)


def tabulate(
    data: AlgorithmAndReaders | PanelTable, *, transform: str = RAW, patients: Mapping[str, str] | None = None
) -> PanelTable:
    """Lay long readings out (a table passes through as it is).

    `patients` names the patient of each case (default: the case itself).
    Cases without a value of the algorithm or without any reader are left out and counted. Raises Undefined:
    duplicate_key for a case read twice by the same reader, nonpositive_value where the logarithm does
    not exist, no_pairs when nothing is left.
    """
    if isinstance(data, PanelTable):
        return data
    rows = [
        row for row in zip(data.cases, data.readers, data.values.tolist(), strict=True) if row[2] == row[2]
    ]
    cases = tuple(dict.fromkeys(data.cases))
    readers = tuple(dict.fromkeys(name for name in data.readers if name != data.algorithm))
    case_at = {name: place for place, name in enumerate(cases)}
    reader_at = {name: place for place, name in enumerate((*readers, data.algorithm))}
    cells = np.full((len(cases), len(readers) + 1), np.nan)
    for case, reader, value in rows:
        cell = case_at[case], reader_at[reader]
        if not math.isnan(cells[cell]):
            raise Undefined("duplicate_key", f"{reader} has two readings of case {case}: keep one of them.")
        cells[cell] = value
    cells = on_scale(cells, transform)
    who = {name: place for place, name in enumerate(dict.fromkeys((patients or {}).values()))}
    units = [who[patients[name]] for name in cases] if patients else list(range(len(cases)))
    table = PanelTable(cases, readers, cells[:, -1], cells[:, :-1], np.array(units, int), 0, transform)
    used = table.only(np.isfinite(table.algorithm) & np.isfinite(table.readings).any(axis=1))
    if not used.cases:
        raise Undefined("no_pairs", "No case has both a value of the algorithm and a reading.")
    return used


def on_scale(cells: Reals, transform: str) -> Reals:
    """Percentages on the scale named; NaN stays. Raises Undefined (nonpositive_value), DataError."""
    if transform == RAW:
        return cells
    if transform not in OFFSETS:
        raise DataError(f"The scale {transform!r} is not known: choose one of {', '.join(TRANSFORMS)}.")
    shifted = cells + OFFSETS[transform]
    if (shifted <= 0).any():
        raise Undefined(
            "nonpositive_value", "A logarithm needs readings above 0: use the log2(x + 0.1) scale."
        )
    return np.asarray(np.log(shifted) if transform == "ln" else np.log2(shifted))


@dataclass(frozen=True)
class Disagreement:
    """Mean differences for each set of weights (draws,): algorithm–reader (ai), reader–reader (rr).

    `md`: mean of algorithm − reader; `msd`: mean squared, `mad`: mean absolute difference. Every reading
    weighs the same, whatever is missing. NaN where a set of weights leaves no difference.
    """

    md_ai: Reals
    msd_ai: Reals
    mad_ai: Reals
    msd_rr: Reals
    mad_rr: Reals


@dataclass(frozen=True)
class PairSums:
    """Sums over cases for each set of case weights: algorithm–reader (draws, k), reader pairs (draws, k, k).

    The diagonal is 0: a reader is never paired with itself.
    """

    ai_count: Reals
    ai_sum: Reals
    ai_square: Reals
    ai_absolute: Reals
    rr_count: Reals
    rr_square: Reals
    rr_absolute: Reals


def weighted_sum(case_weights: Reals) -> Callable[[Reals], Reals]:
    """Sums over cases, (n, …) → (draws, …), with weights (draws, n); each case left out in turn goes fast."""
    n = case_weights.shape[1]
    if case_weights.shape == (n, n) and np.array_equal(case_weights, 1 - np.eye(n)):
        return lambda values: np.asarray(values.sum(axis=0) - values)
    return lambda values: np.asarray(case_weights @ values)


def pair_sums(table: PanelTable, case_weights: Reals) -> PairSums:
    """Sums of the differences with case weights (draws, n)."""
    d = table.differences
    there = np.isfinite(d)
    d = np.where(there, d, 0.0)
    k = d.shape[1]
    total = weighted_sum(case_weights)
    count, square, absolute = (np.zeros((len(case_weights), k, k)) for _ in range(3))
    for first in range(k):
        both = (there & there[:, first : first + 1]).astype(float)
        both[:, first] = 0.0
        between = (d - d[:, first : first + 1]) * both
        count[:, first] = total(both)
        square[:, first] = total(between**2)
        absolute[:, first] = total(np.abs(between))
    return PairSums(
        total(there.astype(float)),
        total(d),
        total(d**2),
        total(np.abs(d)),
        count,
        square,
        absolute,
    )


def disagreement(table: PanelTable, case_weights: Reals, reader_weights: Reals) -> Disagreement:
    """Weighted mean differences, weights (draws, n) and (draws, k)."""
    sums = pair_sums(table, case_weights)

    def ai(values: Reals) -> Reals:
        return np.asarray((values * reader_weights).sum(axis=1))

    def rr(values: Reals) -> Reals:
        return np.asarray(np.einsum("bj,bjk,bk->b", reader_weights, values, reader_weights, optimize=True))

    with np.errstate(invalid="ignore", divide="ignore"):
        read, pairs = ai(sums.ai_count), rr(sums.rr_count)
        return Disagreement(
            ai(sums.ai_sum) / read,
            ai(sums.ai_square) / read,
            ai(sums.ai_absolute) / read,
            rr(sums.rr_square) / pairs,
            rr(sums.rr_absolute) / pairs,
        )


def once_per_weights(table: PanelTable) -> Callable[[Reals, Reals], Disagreement]:
    """`disagreement` of one table, kept in `computed`: statistics share left-out and drawn tables."""

    def means(case_weights: Reals, reader_weights: Reals) -> Disagreement:
        key = (case_weights.shape, hash(case_weights.tobytes()), hash(reader_weights.tobytes()))
        if key not in table.computed:
            table.computed[key] = disagreement(table, case_weights, reader_weights)
        found: Disagreement = table.computed[key]
        return found

    return means
