"""Everything that can be estimated from one level of readings: readers, algorithm, sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np
from scipy import stats

from ki67.stats.analysis_core import (
    AnalysisSettings,
    ClassBorders,
    Exclusion,
    GroupAnalysis,
    Readers,
    evaluate,
    find,
    keys_of,
)
from ki67.stats.analysis_pairs import compare, compare_repeats
from ki67.stats.analysis_readers import (
    algorithm_repeats,
    among_classes,
    among_readers,
    between_sessions,
    components,
    within_sessions,
)
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs, Reals
from ki67.stats.grid import PANEL, ReadingGrid, grid_of
from ki67.stats.panel_table import tabulate
from ki67.stats.readings import Readings
from ki67.stats.undefined import Undefined
from ki67.stats.verdict import ikwg_verdict
from ki67.types import Progress, ReportProgress, no_progress

__all__ = ["AnalysisSettings", "ClassBorders", "Exclusion", "GroupAnalysis", "analyse", "find"]


def analyse(
    readings: Readings, settings: AnalysisSettings, *, report: ReportProgress = no_progress
) -> GroupAnalysis:
    """Every estimate of one level of readings, the readers together first, then pair by pair.

    1. the readers: agreement, variance components, classes; 2. the algorithm against the panel (the median
    of the readers), then against the readers as a group; 3. each pair of algorithm and reader, reader and
    reader; 4. each reader's sessions and repeats. The algorithm is never a reader.
    """
    grid = grid_of(readings, algorithm=settings.algorithm)
    parts = _parts(grid, settings)
    estimates: list[Estimate] = []
    for done, part in enumerate(parts):
        report(Progress("statistics", done, len(parts)))
        estimates += part()
    return GroupAnalysis(
        n_cases=len(grid.cases),
        n_readers=len(grid.readers),
        estimates=tuple(estimates),
        verdict=ikwg_verdict(grid.ratings(), criterion=settings.criterion),
        warnings=tuple(_warnings(grid, settings)),
        exclusions=tuple(_exclusions(grid, readings)),
    )


def against_panel(grid: ReadingGrid, settings: AnalysisSettings) -> list[Estimate]:
    """The algorithm (y) against the median of the readers' first readings (x), where both are there."""
    pairs = grid.pairs(grid.panel(), grid.algorithm_first())
    noted = {"reference": "median"}
    readers = (PANEL, grid.algorithm_name)
    return compare(pairs, settings, patients=grid.patients, readers=readers, noted=noted)


def against_readers(grid: ReadingGrid, settings: AnalysisSettings) -> list[Estimate]:
    """Every statistic of the algorithm and the readers as a group; the unit of resampling is the patient."""
    patients = dict(zip(grid.cases, grid.patients, strict=True))
    try:
        table = tabulate(grid.algorithm_and_readers(), transform=settings.transform, patients=patients)
    except Undefined:
        return []
    noted = {"transform": settings.transform}
    return evaluate(keys_of("algorithm_and_readers"), table, settings, noted=noted)


Part = Callable[[], list[Estimate]]


def _parts(grid: ReadingGrid, settings: AnalysisSettings) -> list[Part]:
    """The analysis in the order of its result; what the readings do not hold is not there."""
    readers = range(len(grid.readers))
    parts: list[Part] = []
    if len(grid.readers) > 1:
        parts += [partial(step, grid, settings) for step in (among_readers, components, among_classes)]
    if grid.has_algorithm and grid.readers:
        parts += [partial(step, grid, settings) for step in (against_panel, against_readers)]
        parts += [partial(_algorithm_and_reader, grid, settings, reader) for reader in readers]
    parts += [partial(_two_readers, grid, settings, *two) for two in combinations(readers, 2)]
    if len(grid.sessions) > 1:
        parts += [partial(between_sessions, grid, settings, reader) for reader in readers]
    if len(grid.replicates) > 1:
        parts += [partial(within_sessions, grid, settings, reader) for reader in readers]
    if grid.has_algorithm:
        parts.append(partial(algorithm_repeats, grid, settings))
    return parts


def _algorithm_and_reader(grid: ReadingGrid, settings: AnalysisSettings, reader: int) -> list[Estimate]:
    """The algorithm (y) against one reader (x)."""
    names = (grid.readers[reader], grid.algorithm_name)
    pairs = grid.pairs(grid.first()[:, reader], grid.algorithm_first())
    repeats = (grid.values[:, reader, 0, :], grid.algorithm[:, 0, :])
    return _compared(grid, pairs, repeats, settings, names)


def _two_readers(grid: ReadingGrid, settings: AnalysisSettings, first: int, second: int) -> list[Estimate]:
    """The second reader (y) against the first (x)."""
    readings = grid.first()
    pairs = grid.pairs(readings[:, first], readings[:, second])
    repeats = (grid.values[:, first, 0, :], grid.values[:, second, 0, :])
    names = (grid.readers[first], grid.readers[second])
    return _compared(grid, pairs, repeats, settings, names)


def _compared(
    grid: ReadingGrid,
    pairs: Pairs,
    repeats: tuple[Reals, Reals],
    settings: AnalysisSettings,
    readers: Readers,
) -> list[Estimate]:
    found = compare(
        pairs,
        settings,
        patients=grid.patients,
        readers=readers,
        is_reference=readers[1] == grid.algorithm_name,
    )
    if any((np.isfinite(values).sum(axis=1) > 1).any() for values in repeats):
        found += compare_repeats(*repeats, pairs.cases, settings, readers=readers)
    return found


def _warnings(grid: ReadingGrid, settings: AnalysisSettings) -> Iterator[str]:
    """What a reader of the figures must know: a raw scale that misleads, readers without readings."""
    if not grid.readers:
        yield "There is no reader besides the algorithm: nothing to compare it with."
    elif len(grid.readers) == 1:
        yield "There is one reader: agreement between readers needs at least two."
    if len(set(grid.patients)) < len(grid.cases):
        yield (
            f"{len(grid.cases)} cases are of {len(set(grid.patients))} patients: intervals that resample "
            "keep a patient's cases together, those by formula take cases as independent: too narrow."
        )
    if settings.log2:
        return
    rho = spread_with_mean(grid)
    if rho is not None:
        yield (
            f"The spread of a case's readings grows with the index (rank correlation {rho:.2f}): on the raw "
            "scale intervals cover less than they say; log2(x + 0.1) is the recommended scale."
        )


def spread_with_mean(grid: ReadingGrid, *, alpha: float = 0.05) -> float | None:
    """Spearman's correlation of a case's SD with its mean over readers and algorithm, where it is above 0.

    None when it is not (one-sided p ≥ alpha), or fewer than five cases have two readings.
    """
    together = np.column_stack([grid.first(), grid.algorithm_first()])
    used = together[np.isfinite(together).sum(axis=1) > 1]
    if len(used) < 5:
        return None
    means, spreads = np.nanmean(used, axis=1), np.nanstd(used, axis=1, ddof=1)
    if np.ptp(means) == 0 or np.ptp(spreads) == 0:
        return None
    found = stats.spearmanr(means, spreads, alternative="greater")
    return float(found.statistic) if found.pvalue < alpha else None


def _exclusions(grid: ReadingGrid, readings: Readings) -> Iterator[Exclusion]:
    """Who took no part in what, with its count."""
    if readings.empty:
        yield Exclusion("rows", readings.empty, "The value cell is empty: a missing reading.")
    complete = np.isfinite(grid.first()).all(axis=1)
    if grid.readers and not complete.all():
        why = "Not read by every reader: in pairs and variance components only."
        yield Exclusion("cases", int((~complete).sum()), why)
    without = ~np.isfinite(grid.algorithm_first())
    if grid.has_algorithm and without.any():
        why = "Without a value of the algorithm: not in comparisons with it."
        yield Exclusion("cases", int(without.sum()), why)
