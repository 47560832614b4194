"""The numbers of the page Agreement: the algorithm beside one reader, one reader beside another, the panel.

Limits speak about a new reader of the reader population where they are told of one reader (`two_way`); about
these readers where they are told of their panel. The scale is the plan's; without a plan, the one on which
the spread does not change with the index (`scale_advice`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ki67.sites import class_systems
from ki67.stats.analysis import against_panel, against_readers, spread_with_mean
from ki67.stats.analysis_core import AnalysisSettings
from ki67.stats.analysis_pairs import compare
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Reals
from ki67.stats.grid import ReadingGrid, grid_of
from ki67.stats.panel_table import PanelTable, on_scale
from ki67.stats.regression_limits import scale_advice
from ki67.study.agreement_rows import (
    LOG2,
    Comparison,
    Rows,
    Scale,
    Scatter,
    class_borders,
    left_out_means,
)
from ki67.study.material import StudyMaterial
from ki67.types import Site

LEVEL = 20.0
STEPS = 81


@dataclass(frozen=True)
class Question:
    """What the page was asked: the index (percent) at which limits are told, the scale, a reader compared.

    None: the default level, the plan's or advised scale, no reader.
    """

    level: float | None = None
    scale: Scale | None = None
    reader: str | None = None


@dataclass(frozen=True)
class AgreementView:
    """Everything that the page shows. `levels` run from 0 to a little above the highest reading.

    `reader_names`: who can be compared; `scale_why`: why this scale; `first_session`: the session that the
    readings are of, where there are several; a part is None where the study lacks what it needs.
    """

    n_cases: int
    reader_names: tuple[str, ...]
    has_algorithm: bool
    level: float
    levels: Reals
    scale: Scale
    scale_why: str
    first_session: str | None
    one_reader: Comparison | None
    readers: Comparison | None
    panel: Comparison | None
    left_out: tuple[Comparison, ...]
    scatter: Scatter | None
    warnings: tuple[str, ...]


def agreement(material: StudyMaterial, question: Question | None = None) -> AgreementView:
    """The page's numbers; about a second for 1,000 cases × 30 readers."""
    asked = question or Question()
    grid = grid_of(material.readings)
    scale, why = _scale(material, grid, asked)
    table = _table(grid)
    level = asked.level if asked.level is not None else default_level(grid, material.study.site)
    levels = np.linspace(0.0, _right_end(grid, level), STEPS)
    make = Rows(material, grid, table, _on(table, scale), scale, level, levels)
    with_panel = grid.has_algorithm and len(table.cases) > 0
    several = len(grid.readers) > 1
    return AgreementView(
        n_cases=len(table.cases),
        reader_names=grid.readers,
        has_algorithm=grid.has_algorithm,
        level=level,
        levels=levels,
        scale=scale,
        scale_why=why,
        first_session=grid.sessions[0] if len(grid.sessions) > 1 else None,
        one_reader=make.one_reader() if with_panel else None,
        readers=make.two_readers() if several else None,
        panel=make.panel() if with_panel and several else None,
        left_out=make.left_out(asked.reader) if with_panel and several and asked.reader else (),
        scatter=make.scatter() if with_panel else None,
        warnings=tuple(_warnings(grid, scale)),
    )


def closeness_to_panel(material: StudyMaterial) -> tuple[tuple[str, Estimate], ...]:
    """Mean absolute difference from the panel of the other readers: a reader, the algorithm, both.

    Empty without an algorithm or with one reader.
    """
    grid = grid_of(material.readings)
    if not grid.has_algorithm or len(grid.readers) < 2:
        return ()
    return left_out_means(_table(grid), material.plan.reference)


def every_statistic(material: StudyMaterial, question: Question | None = None) -> tuple[Estimate, ...]:
    """All that the library has on the algorithm against panel and readers, and against the reader compared.

    On the log scale where the page is; what means something in percent only stays there and says so.
    """
    asked = question or Question()
    grid = grid_of(material.readings)
    scale, _ = _scale(material, grid, asked)
    settings = AnalysisSettings(
        log2=scale != "raw",
        classes=class_borders(material),
        criterion=material.plan.criterion,
        seed=material.plan.seed,
        bootstrap=material.plan.bootstrap,
    )
    if not grid.has_algorithm or not grid.readers:
        return ()
    found = [*against_panel(grid, settings), *against_readers(grid, settings)]
    if asked.reader in grid.readers:
        place = grid.readers.index(asked.reader)
        pairs = grid.pairs(grid.first()[:, place], grid.algorithm_first())
        names = (asked.reader, grid.algorithm_name)
        found += compare(pairs, settings, patients=grid.patients, readers=names)
    return tuple(found)


def default_level(grid: ReadingGrid, site: Site) -> float:
    """20 %, where a reading reaches it; else the highest cut-off of the site below the highest reading."""
    highest = _highest(grid)
    cutoffs = {float(cutoff.percent) for system in class_systems(site) for cutoff in system.cutoffs}
    inside = [level for level in (LEVEL, *sorted(cutoffs, reverse=True)) if level <= highest]
    if inside:
        return inside[0]
    return max(0.1, round(highest / 2, 1))


def _highest(grid: ReadingGrid) -> float:
    values = np.concatenate([grid.first().ravel(), grid.algorithm_first().ravel()])
    return float(np.nanmax(values)) if np.isfinite(values).any() else LEVEL


def _right_end(grid: ReadingGrid, level: float) -> float:
    return min(100.0, max(5.0, 1.05 * max(_highest(grid), level)))


def _scale(material: StudyMaterial, grid: ReadingGrid, asked: Question) -> tuple[Scale, str]:
    if asked.scale is not None:
        return asked.scale, "Chosen on this page."
    if material.plan_written:
        return cast(Scale, material.plan.scale), "As planned."
    reference = grid.panel()
    test = grid.algorithm_first()
    if not grid.has_algorithm and len(grid.readers) > 1:
        reference, test = grid.first()[:, 0], grid.first()[:, 1]
    advice = scale_advice(grid.pairs(reference, test))
    if advice.scale == "raw" and spread_with_mean(grid) is not None:
        return LOG2, "The readers' spread grows with the index: limits are made on the log scale."
    return cast(Scale, advice.scale), advice.sentence


def _table(grid: ReadingGrid) -> PanelTable:
    """The cases that the algorithm and a reader read; without an algorithm the panel stands in its place,
    for what is told of readers only."""
    algorithm = grid.algorithm_first() if grid.has_algorithm else grid.panel()
    places = {name: number for number, name in enumerate(dict.fromkeys(grid.patients))}
    units = np.array([places[name] for name in grid.patients], int)
    table = PanelTable(grid.cases, grid.readers, algorithm, grid.first(), units)
    return table.only(np.isfinite(algorithm) & np.isfinite(table.readings).any(axis=1))


def _on(table: PanelTable, scale: Scale) -> PanelTable:
    """The table on the scale of the limits; regression's single-reader limits are made on the log scale."""
    if scale == "raw":
        return table
    return replace(
        table,
        algorithm=on_scale(table.algorithm, LOG2),
        readings=on_scale(table.readings, LOG2),
        transform=LOG2,
    )


def _warnings(grid: ReadingGrid, scale: Scale) -> list[str]:
    found = []
    if scale == "raw" and spread_with_mean(grid) is not None:
        found.append(
            "The spread grows with the index: on the raw scale intervals cover less than they say; the log "
            "scale is the recommended one."
        )
    if len(set(grid.patients)) < len(grid.cases):
        found.append(
            f"{len(grid.cases)} cases are of {len(set(grid.patients))} patients: intervals by formula take "
            "cases as independent and are too narrow."
        )
    return found
