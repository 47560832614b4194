"""Tuning of the post-processing: score threshold and smallest distance of the nuclei, on training pictures.

The nets run once on each picture, with every peak kept; the candidates are then thinned and counted
again for each setting. F1 hardly moves over a wide range of thresholds while the bias of the index
does, so among the settings whose F1 is as good as the best within `F1_MARGIN`, the one with the
smallest mean error of the index is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ki67.errors import DataError
from ki67.index import ki67_index
from ki67.pipeline.backends import Backend
from ki67.pipeline.cards import ModelCard, ModelSet, read_card, rewrite_card
from ki67.pipeline.cells import strongest
from ki67.training.counting import Found, class_aware
from ki67.training.evaluate import candidates_of, run_everywhere
from ki67.training.figures import FEWEST_FOR_INDEX, Step, Tally
from ki67.training.folder import AnnotatedField, Kind, Nuclei, read_nuclei
from ki67.types import (
    IsCancelled,
    Parameters,
    Progress,
    ReportProgress,
    never_cancelled,
    no_progress,
)

THRESHOLDS = tuple(round(0.20 + 0.05 * step, 2) for step in range(13))
DISTANCES_UM = (2.5, 3.0, 3.5, 4.0)  # closer counts large nuclei twice, farther loses small ones that touch
F1_MARGIN = 0.003
EVERY_PEAK_UM = 0.5
TUNED = "tuned_on_training_pictures"


@dataclass(frozen=True)
class Grid:
    """The settings tried, in the order in which ties are settled (first wins)."""

    thresholds: tuple[float, ...] = THRESHOLDS
    distances_um: tuple[float, ...] = DISTANCES_UM


@dataclass(frozen=True)
class Setting:
    """One setting and what the training pictures say to it.

    `f1`: class-aware, 4 µm, pooled. `index_mean_absolute` and `index_bias`: points, over the fields
    with at least 50 tumor nuclei; None where there is none.
    """

    score_threshold: float
    min_distance_um: float
    f1: float
    index_mean_absolute: float | None
    index_bias: float | None


@dataclass(frozen=True)
class Tuning:
    """The setting chosen, everything tried, and on how many pictures, counted which way."""

    chosen: Setting
    tried: tuple[Setting, ...]
    fields: int
    step: Step


@dataclass(frozen=True)
class _Scored:
    """A picture with its truth and every candidate that may count, however low its score."""

    nuclei: Nuclei
    candidates: Found
    mpp: float


DEFAULT_GRID = Grid()


def tune_post_processing(
    fields: Sequence[AnnotatedField],
    *,
    models: ModelSet,
    backend: Backend,
    grid: Grid = DEFAULT_GRID,
    seed: int = 0,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> Tuning:
    """Choose threshold and distance on the labelled pictures among `fields`, all of them training's own.

    Counted with step 1 where the set has it. Raises DataError without a labelled picture, Cancelled.
    """
    labelled = [field for field in fields if field.labelled]
    if not labelled:
        raise DataError("No picture has nuclei labelled positive or negative: there is nothing to tune on.")
    step: Step = "with_step_1" if models.tumor else "without_step_1"
    scored: list[_Scored] = []
    for number, field in enumerate(labelled):
        report(Progress("tune", number, len(labelled)))
        scored.append(_score(field, step, models=models, backend=backend, seed=seed, cancelled=cancelled))
    report(Progress("tune", len(labelled), len(labelled)))
    tried = tuple(
        _setting(thinned, threshold, distance)
        for distance in grid.distances_um
        for thinned in ([_thinned(each, distance) for each in scored],)
        for threshold in grid.thresholds
    )
    return Tuning(best_setting(tried), tried, len(labelled), step)


def store_tuning(cells: Path, tuning: Tuning) -> ModelCard:
    """Write the chosen setting, and how it was found, on the card of a cell net; its weights stay."""
    card = read_card(cells)
    chosen = tuning.chosen
    note = {**dataclasses.asdict(chosen), "fields": tuning.fields, "counted": tuning.step}
    return rewrite_card(
        cells,
        dataclasses.replace(
            card,
            score_threshold=chosen.score_threshold,
            min_distance_um=chosen.min_distance_um,
            figures={**card.figures, TUNED: note},
        ),
    )


def _score(
    field: AnnotatedField,
    step: Step,
    *,
    models: ModelSet,
    backend: Backend,
    seed: int,
    cancelled: IsCancelled,
) -> _Scored:
    nuclei = read_nuclei(field)
    if nuclei is None:
        raise DataError(f"{field.name} has no nuclei to tune on: add {field.image.stem}.csv.")
    record = run_everywhere(
        field,
        models=models,
        backend=backend,
        parameters=Parameters(use_tumor_mask=models.tumor is not None, min_distance_um=EVERY_PEAK_UM),
        seed=seed,
        cancelled=cancelled,
    )
    return _Scored(nuclei, candidates_of(record)[step], field.mpp)


def _thinned(scored: _Scored, distance_um: float) -> _Scored:
    """Only the strongest candidate within each distance."""
    xy = scored.candidates.xy_px.astype(np.float32)
    keep = strongest(
        xy[:, 0],
        xy[:, 1],
        scored.candidates.score.astype(np.float32),
        min_distance=distance_um / scored.mpp,
    )
    return dataclasses.replace(scored, candidates=scored.candidates.those(keep))


def _setting(scored: Sequence[_Scored], threshold: float, distance_um: float) -> Setting:
    pooled = Tally()
    errors: list[float] = []
    for each in scored:
        found = each.candidates.those(each.candidates.score >= np.float32(threshold))
        pooled += class_aware(each.nuclei, found, mpp=each.mpp)
        error = _index_error_points(each.nuclei, found)
        if error is not None:
            errors.append(error)
    return Setting(
        score_threshold=threshold,
        min_distance_um=distance_um,
        f1=pooled.f1 or 0.0,
        index_mean_absolute=float(np.mean(np.abs(errors))) if errors else None,
        index_bias=float(np.mean(errors)) if errors else None,
    )


def _index_error_points(nuclei: Nuclei, found: Found) -> float | None:
    positive, negative = len(nuclei.of(Kind.POSITIVE)), len(nuclei.of(Kind.NEGATIVE))
    truth = ki67_index(positive, negative)
    called = ki67_index(int(found.positive.sum()), int((~found.positive).sum()))
    if positive + negative < FEWEST_FOR_INDEX or truth is None or called is None:
        return None
    return 100 * (called - truth)


def best_setting(tried: Sequence[Setting]) -> Setting:
    """Smallest mean error of the index among the settings with about the best F1; without one, best F1."""
    highest = max(setting.f1 for setting in tried)
    good = [setting for setting in tried if setting.f1 >= highest - F1_MARGIN]
    if all(setting.index_mean_absolute is not None for setting in good):
        return min(good, key=lambda setting: (setting.index_mean_absolute, -setting.f1))
    return max(good, key=lambda setting: setting.f1)
