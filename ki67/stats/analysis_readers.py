"""Many readers: every statistic of their first readings, of their classes, and of all sessions together."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from ki67.stats import variance
from ki67.stats.algorithm_images import algorithm_image_coefficient, algorithm_image_sd
from ki67.stats.analysis_core import AnalysisSettings, Params, evaluate, keys_of
from ki67.stats.analysis_pairs import compare, is_in_percent, needs_two
from ki67.stats.anova import as_transform
from ki67.stats.classes import categories_of
from ki67.stats.coding import code
from ki67.stats.estimate import Estimate, ParamValue
from ki67.stats.forms import Categories, Ratings, Reals
from ki67.stats.grid import RAW, ReadingGrid, long_ratings, on_scale
from ki67.stats.krippendorff_alpha import LEVELS, krippendorff_alpha
from ki67.stats.registry import Key
from ki67.stats.variance import variance_components

# Of repeats by one reader: the readings are exchangeable, so only one-way statistics speak about them.
OF_REPEATS = frozenset(("ICC(1,1)", "within_subject_sd", "within_subject_cv", "repeatability_coefficient"))


def among_readers(grid: ReadingGrid, settings: AnalysisSettings) -> list[Estimate]:
    """Every statistic of many readers: first session, one reading a case and reader."""
    raw = grid.ratings()
    scaled = Ratings(raw.cases, raw.readers, on_scale(raw.values, settings.transform))
    found = []
    for key in keys_of("ratings", among=lambda key: key not in variance.STATISTICS and not _is_alpha(key)):
        data, unit = (raw, RAW) if is_in_percent(key) else (scaled, settings.transform)
        found += evaluate([key], data, settings, noted={"transform": unit})
    return found + _alphas(scaled, grid, settings, {"transform": settings.transform})


def components(grid: ReadingGrid, settings: AnalysisSettings) -> list[Estimate]:
    """Variance components and what follows from them: every session and replicate, missing cells allowed."""
    data = grid.all_ratings()
    found: list[Estimate] = []
    for with_sessions in (False, True) if len(grid.sessions) > 1 else (False,):
        found += variance_components(
            data,
            transform=as_transform(settings.transform),
            with_sessions=with_sessions,
            alpha=settings.alpha,
            coverage=settings.coverage,
        )
    return found


def among_classes(grid: ReadingGrid, settings: AnalysisSettings) -> list[Estimate]:
    """Every statistic of many readers' classes: first session, in percent, a patient's cases together."""
    patients = dict(zip(grid.cases, grid.patients, strict=True))
    found = []
    for borders in settings.classes:
        classes, noted = categories_of(grid.ratings(), borders.cutoffs), {"classes": borders.name}
        keys = keys_of("categories", among=lambda key: not needs_two(key) and not _is_alpha(key))
        found += evaluate(keys, code(classes, patients=patients), settings, noted=noted)
        found += _alphas(classes, grid, settings, noted)
    return found


def between_sessions(grid: ReadingGrid, settings: AnalysisSettings, reader: int) -> list[Estimate]:
    """A reader's later sessions (y) against the earlier ones (x), as two methods."""
    name = grid.readers[reader]
    found = []
    for first, second in combinations(range(len(grid.sessions)), 2):
        pairs = grid.pairs(grid.session(first)[:, reader], grid.session(second)[:, reader])
        if np.isfinite(pairs.x + pairs.y).any():
            noted = {"sessions": (grid.sessions[first], grid.sessions[second])}
            found += compare(
                pairs, settings, patients=grid.patients, readers=(name, name), noted=noted, is_reference=False
            )
    return found


def within_sessions(grid: ReadingGrid, settings: AnalysisSettings, reader: int) -> list[Estimate]:
    """How far a reader's own repeats of a session lie apart, session by session."""
    found = []
    for session, name in enumerate(grid.sessions):
        repeats = grid.values[:, reader, session, :]
        if (np.isfinite(repeats).sum(axis=1) > 1).any():
            found += _repeats(repeats, grid, settings, grid.readers[reader], session=name)
    return found


def algorithm_repeats(grid: ReadingGrid, settings: AnalysisSettings) -> list[Estimate]:
    """The algorithm's own variability over replicate pictures of a case; not measured without them.

    Repeats that are all the same are the same picture read again: they measure nothing.
    """
    images = grid.algorithm_images()
    several = images[np.isfinite(images).sum(axis=1) > 1]
    varies = bool(several.size) and bool((np.nanmax(several, axis=1) > np.nanmin(several, axis=1)).any())
    measured = images if varies else None
    found = (
        algorithm_image_sd(measured, alpha=settings.alpha, transform=settings.transform),
        algorithm_image_coefficient(
            measured, alpha=settings.alpha, coverage=settings.coverage, transform=settings.transform
        ),
    )
    names = (grid.algorithm_name, grid.algorithm_name)
    return [replace(one, readers=names) for one in found]


def _repeats(
    repeats: Reals, grid: ReadingGrid, settings: AnalysisSettings, reader: str, *, session: str | None
) -> list[Estimate]:
    """One-way statistics of (cases, repeats) in percent by one reader; the cases with every repeat count."""
    used = repeats[:, np.isfinite(repeats).any(axis=0)]
    names = tuple(str(number + 1) for number in range(used.shape[1]))
    found = []
    for key in keys_of("ratings", among=lambda key: key[1] in OF_REPEATS):
        unit = RAW if is_in_percent(key) else settings.transform
        data = long_ratings(on_scale(used, unit), grid.cases, names)
        noted: dict[str, ParamValue] = {"transform": unit, "repeats": len(names)}
        noted |= {} if session is None else {"session": session}
        found += evaluate([key], data, settings, noted=noted, readers=(reader, reader))
    return found


def _alphas(
    data: Ratings | Categories, grid: ReadingGrid, settings: AnalysisSettings, noted: Params
) -> list[Estimate]:
    """Krippendorff's alpha at each level of measurement, patients drawn again."""
    patients = dict(zip(grid.cases, grid.patients, strict=True))
    has_gaps = isinstance(data, Ratings) and not np.isfinite(grid.first()).all()
    found = (
        krippendorff_alpha(
            data,
            level,
            alpha=settings.alpha,
            draws=settings.bootstrap,
            seed=settings.seed,
            patients=patients,
            every_reading=every_reading,
        )
        for every_reading in ((False, True) if has_gaps else (False,))
        for level in LEVELS
    )
    return [replace(one, params={**one.params, **noted}) for one in found]


def _is_alpha(key: Key) -> bool:
    return key[1] == "krippendorff_alpha"
