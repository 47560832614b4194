"""The error model of the index: how far a laboratory never seen, and a field, lie from the annotated index.

Scale: e = asin √found − asin √counted, of each field of a laboratory that took no part in training. On
this scale the spread of a share does not depend on its level (F. J. Anscombe, Biometrika 35 (1948)
246-254), so that one standard deviation serves an index of 2 % and one of 40 %, and limits made on it
stay within 0 and 100 %. A logarithm or a logit has no value at 0 %, where many tumors lie.

Model: e of field j of laboratory i = a_i + f_ij. The laboratory part a_i has mean square σ_L² about
*zero*: no mean error is taken off an index, so a bias common to all belongs to what a new one may be
off by. The field part has variance σ_F² · m / n_ij for n_ij tumor nuclei, σ_F that of a field of m
nuclei: it shrinks as nuclei are added, the laboratory part does not. What the fields of one patient
have in common cannot be told apart here and is in the field part, so where many fields of one slide are
pooled the total interval is somewhat narrow.

Moments: σ_F² from the weighted squares within laboratories, σ_L² from the mean square of the laboratories'
weighted means less what their fields explain (never below 0), as W. G. Cochran, Biometrics 10 (1954) 101-129.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ki67.errors import DataError
from ki67.index import ki67_index
from ki67.pipeline.cards import ModelCard, read_card, rewrite_card
from ki67.training.figures import FEWEST_FOR_INDEX, FieldFigures, Step

FEWEST_LABORATORIES = 2
LEVEL_BORDERS_PERCENT = (0.0, 10.0, 30.0)
FEWEST_LABORATORIES_OF_A_LEVEL = 3
FEWEST_FIELDS_OF_A_LEVEL = 10

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Error:
    """One field: its error on the arcsine scale, its tumor nuclei, the mean of index found and counted.

    The mean, as in a Bland–Altman plot: by the index found alone, fields that read too high would gather
    above each border.
    """

    laboratory: str
    error: float
    nuclei: int
    level_percent: float


def estimate_error_model(figures: Sequence[FieldFigures]) -> dict[str, Any] | None:
    """The error model as a card holds it, from laboratories left out of training; each source is one.

    Counted with step 1 where every field was, else without. Used are fields with at least 50 tumor
    nuclei counted and an index found. Levels of the index (below 10 %, 10-30 %, above) get parts
    of their own where at least three laboratories and ten fields lie in each of two neighbours; else
    they are pooled. None with fewer than two laboratories, or without two fields of one laboratory.

    Keys: `scale` ("arcsine"), `laboratories`, `fields`, `field_nuclei` (m), `levels` (list of
    `from_percent`, `laboratory_sd`, `field_sd`, `laboratories`, `fields`), `laboratory_errors` (each
    laboratory's fields and mean error on the scale), `counted` (with or without step 1).
    """
    step: Step = "with_step_1" if all(field.with_step_1 for field in figures) else "without_step_1"
    errors = [error for field in figures if (error := _error(field, step)) is not None]
    if _parts(errors, field_nuclei=1.0) is None:
        return None
    field_nuclei = float(np.median([error.nuclei for error in errors]))
    levels = []
    for start, own in _levels(errors):
        parts = _parts(own, field_nuclei=field_nuclei)
        if parts is None:
            raise ValueError("a level holds fields of several laboratories by construction")
        levels.append(
            {
                "from_percent": start,
                "laboratory_sd": parts[0],
                "field_sd": parts[1],
                "laboratories": len({error.laboratory for error in own}),
                "fields": len(own),
            }
        )
    return {
        "scale": "arcsine",
        "laboratories": min(level["laboratories"] for level in levels),
        "fields": len(errors),
        "field_nuclei": field_nuclei,
        "levels": levels,
        "laboratory_errors": [
            {"laboratory": name, "fields": len(own), "mean_error": _mean(own)}
            for name, own in sorted(_by_laboratory(errors).items())
        ],
        "counted": step,
    }


def store_error_model(cells: Path, crossval: Path) -> ModelCard:
    """Put the error model of a `crossval.json` on the card of a cell net; the weights stay as they are.

    Raises DataError when the cross-validation left out fewer than two laboratories, ModelError.
    """
    values = json.loads(crossval.read_text("utf-8")).get("error_model")
    if not values:
        raise DataError(
            f"{crossval} holds no error model: run crossval with --leave-out for two laboratories or more."
        )
    return rewrite_card(cells, dataclasses.replace(read_card(cells), error_model=values))


def _error(field: FieldFigures, step: Step) -> _Error | None:
    counts = field.counts(step)
    nuclei = field.truth_positive + field.truth_negative
    truth = ki67_index(field.truth_positive, field.truth_negative)
    found = ki67_index(counts.found_positive, counts.found_negative) if counts else None
    if nuclei < FEWEST_FOR_INDEX or truth is None or found is None:
        return None
    error = math.asin(math.sqrt(found)) - math.asin(math.sqrt(truth))
    return _Error(field.source, error, nuclei, 50 * (found + truth))


def _by_laboratory(errors: Sequence[_Error]) -> dict[str, list[_Error]]:
    groups: dict[str, list[_Error]] = defaultdict(list)
    for error in errors:
        groups[error.laboratory].append(error)
    return dict(groups)


def _mean(errors: Sequence[_Error]) -> float:
    """Weighted by nuclei, as the variances say."""
    weights = np.array([error.nuclei for error in errors], np.float64)
    return float(np.average([error.error for error in errors], weights=weights))


def _parts(errors: Sequence[_Error], *, field_nuclei: float) -> tuple[float, float] | None:
    """Laboratory and field standard deviation; None with fewer than two laboratories or no pair of fields."""
    groups = _by_laboratory(errors)
    free = len(errors) - len(groups)
    if len(groups) < FEWEST_LABORATORIES or free < 1:
        return None
    within = sum(
        error.nuclei / field_nuclei * (error.error - _mean(own)) ** 2
        for own in groups.values()
        for error in own
    )
    field_variance = within / free
    between = [
        _mean(own) ** 2 - field_variance * field_nuclei / sum(error.nuclei for error in own)
        for own in groups.values()
    ]
    return math.sqrt(max(0.0, float(np.mean(between)))), math.sqrt(field_variance)


def _levels(errors: Sequence[_Error]) -> list[tuple[float, list[_Error]]]:
    """Fields by level of the index found; a level that holds too little joins the one below it."""
    levels: list[tuple[float, list[_Error]]] = []
    borders = (*LEVEL_BORDERS_PERCENT, math.inf)
    for start, stop in pairwise(borders):
        own = [error for error in errors if start <= error.level_percent < stop]
        if levels and not (_holds(own) and _holds(levels[-1][1])):
            levels[-1] = (levels[-1][0], levels[-1][1] + own)
        else:
            levels.append((start, own))
    return levels


def _holds(errors: Sequence[_Error]) -> bool:
    groups = _by_laboratory(errors)
    return (
        len(errors) >= FEWEST_FIELDS_OF_A_LEVEL
        and len(groups) >= FEWEST_LABORATORIES_OF_A_LEVEL
        and len(errors) > len(groups)
    )
