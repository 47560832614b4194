"""Parts of the numbers of the page Agreement: the differences that are drawn, proportional bias."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ki67.stats.bland_altman_more import ProportionalBias, proportional_bias
from ki67.stats.forms import Pairs, Reals
from ki67.stats.grid import ReadingGrid, on_scale
from ki67.stats.panel_table import PanelTable

DRAWN_AT_MOST = 1500


@dataclass(frozen=True)
class Dots:
    """Pairs to draw: case and who it was (a reader, two readers, the panel), x and y in percent.

    `total` counts all pairs; where there are more than `DRAWN_AT_MOST` a random part is here.
    """

    cases: tuple[str, ...]
    who: tuple[str, ...]
    x: Reals
    y: Reals
    total: int

    @property
    def mean(self) -> Reals:
        return np.asarray((self.x + self.y) / 2)

    @property
    def difference(self) -> Reals:
        return np.asarray(self.y - self.x)


def pair_dots(pairs: Pairs, who: str) -> Dots:
    """Every pair of two columns that has both."""
    used = pairs.complete()
    return Dots(used.cases, (who,) * used.x.size, used.x, used.y, used.x.size)


def drawn_single_readers(table: PanelTable, *, seed: int, at_most: int = DRAWN_AT_MOST) -> Dots:
    """x a reader, y the algorithm on the same case; a random part of many."""
    case, reader = np.nonzero(np.isfinite(table.differences))
    chosen = _some(case.size, at_most, seed)
    case, reader = case[chosen], reader[chosen]
    return Dots(
        tuple(table.cases[number] for number in case.tolist()),
        tuple(table.readers[number] for number in reader.tolist()),
        table.readings[case, reader],
        table.algorithm[case],
        int(np.isfinite(table.differences).sum()),
    )


def drawn_reader_pairs(table: PanelTable, *, seed: int, at_most: int = DRAWN_AT_MOST) -> Dots:
    """Two readers of the same case, which of them comes first by chance; a random part of many."""
    first, second = np.triu_indices(len(table.readers), 1)
    there = np.isfinite(table.readings)
    case, pair = np.nonzero(there[:, first] & there[:, second])
    total = case.size
    chosen = _some(total, at_most, seed)
    case, pair = case[chosen], pair[chosen]
    turned = np.random.default_rng(seed + 1).random(case.size) < 0.5
    x_reader = np.where(turned, second[pair], first[pair])
    y_reader = np.where(turned, first[pair], second[pair])
    names = zip(y_reader.tolist(), x_reader.tolist(), strict=True)
    return Dots(
        tuple(table.cases[number] for number in case.tolist()),
        tuple(f"{table.readers[y]} − {table.readers[x]}" for y, x in names),
        table.readings[case, x_reader],
        table.readings[case, y_reader],
        total,
    )


def proportional(grid: ReadingGrid, scaled: PanelTable, *, reference: str) -> ProportionalBias:
    """Proportional bias of the algorithm against the panel, on the scale of the table.

    Corrected for the panel's own error where the algorithm's is known from repeats of its own: the panel's
    is the readers' spread within a case over their number (times π/2 for a median of three or more).
    """
    pairs = Pairs(scaled.cases, scaled.panel(reference), scaled.algorithm)
    return proportional_bias(pairs, error_ratio=_error_ratio(grid, scaled, reference=reference))


def _error_ratio(grid: ReadingGrid, scaled: PanelTable, *, reference: str) -> float | None:
    """Var(error of the panel)/Var(error of the algorithm); None where one of them is not known."""
    repeats = on_scale(grid.algorithm.reshape(len(grid.cases), -1), scaled.transform)
    algorithm, readers = _pooled_variance(repeats), _pooled_variance(scaled.readings)
    if not algorithm or not readers:
        return None
    size = float(np.mean(np.isfinite(scaled.readings).sum(axis=1)))
    of_median = math.pi / 2 if reference == "median" and size >= 3 else 1.0
    return of_median * readers / size / algorithm


def _pooled_variance(values: Reals) -> float | None:
    """The variance within rows (n, k), NaN missing, over rows with two or more; None with fewer than 3."""
    used = values[np.isfinite(values).sum(axis=1) > 1]
    if len(used) < 3:
        return None
    counts = np.isfinite(used).sum(axis=1)
    return float((np.nanvar(used, axis=1, ddof=1) * (counts - 1)).sum() / (counts - 1).sum())


def _some(size: int, at_most: int, seed: int) -> np.ndarray:
    """Indices of all, or of a random part in order."""
    if size <= at_most:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).choice(size, at_most, replace=False))
