"""Two model sets on the same stored pictures: the paired difference of the index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from db import queries
from db.rows import ResultRow
from ki67.errors import StoreError
from ki67.index import ki67_index
from ki67.stats.bland_altman import ba_bias, ba_loa
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs
from ki67.study import codec
from ki67.study.jobs import JobView
from ki67.study.people import Person, require
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.stored import case_of
from ki67.study.workplace import Workplace, reading
from ki67.types import Site

__all__ = [
    "Estimate",
    "IndexPair",
    "ModelComparison",
    "compare_model_sets",
    "largest_differences",
    "score_missing",
]


@dataclass(frozen=True)
class IndexPair:
    """A picture scored by both sets the same way: results, positive and negative nuclei, global index."""

    picture_code: str
    case_code: str
    patient_code: str
    first_result: str
    second_result: str
    first_counts: tuple[int, int]
    second_counts: tuple[int, int]
    first_percent: float
    second_percent: float

    @property
    def difference_points(self) -> float:
        """Second minus first."""
        return self.second_percent - self.first_percent


@dataclass(frozen=True)
class ModelComparison:
    """Second set minus first, in points.

    `difference` takes the mean of each patient's pictures, so that its interval is over patients;
    `lower` and `upper` are the limits of agreement over pictures. `missing` counts pictures that one of
    the two has not scored yet, `not_assessable` those without an index in either.
    """

    first: str
    second: str
    pairs: tuple[IndexPair, ...]
    patients: int
    difference: Estimate
    mean: Estimate
    lower: Estimate
    upper: Estimate
    missing: int
    not_assessable: int


def compare_model_sets(workplace: Workplace, person: Person, *, first: str, second: str) -> ModelComparison:
    """Compares the newest results of two sets on pictures that both scored with the same settings.

    Raises StoreError when the two names are one.
    """
    require(person, "coordinator", "analyst", doing="compare model sets")
    ours, theirs = _scored(workplace, first, second)
    both = [key for key in ours if key in theirs]
    pairs = [pair for key in both if (pair := _pair(ours[key], theirs[key])) is not None]
    by_patient: dict[str, list[IndexPair]] = {}
    for pair in pairs:
        by_patient.setdefault(pair.patient_code, []).append(pair)
    of_patients = Pairs(
        tuple(by_patient),
        np.array([np.mean([pair.first_percent for pair in own]) for own in by_patient.values()], np.float64),
        np.array([np.mean([pair.second_percent for pair in own]) for own in by_patient.values()], np.float64),
    )
    of_pictures = Pairs(
        tuple(pair.picture_code for pair in pairs),
        np.array([pair.first_percent for pair in pairs], np.float64),
        np.array([pair.second_percent for pair in pairs], np.float64),
    )
    return ModelComparison(
        first=first,
        second=second,
        pairs=tuple(pairs),
        patients=len(by_patient),
        difference=ba_bias(of_patients),
        mean=ba_bias(of_pictures),
        lower=ba_loa(of_pictures, side="lower"),
        upper=ba_loa(of_pictures, side="upper"),
        missing=len(set(ours) ^ set(theirs)),
        not_assessable=len(both) - len(pairs),
    )


def score_missing(workplace: Workplace, person: Person, *, first: str, second: str) -> list[JobView]:
    """Puts the pictures that one of two sets has not scored into the queue, with the other's settings.

    Raises StoreError: nothing is missing; ModelError: a set cannot be used or has no net for step 1.
    """
    ours, theirs = _scored(workplace, first, second)
    requests = [_request(ours[key], second) for key in ours if key not in theirs]
    requests += [_request(theirs[key], first) for key in theirs if key not in ours]
    if not requests:
        raise StoreError("Both sets have scored the same pictures: there is nothing left to score.")
    return submit(workplace, person, requests)


def _scored(
    workplace: Workplace, first: str, second: str
) -> tuple[dict[str, ResultRow], dict[str, ResultRow]]:
    """The newest result of each set by picture and settings, newest last."""
    if first == second:
        raise StoreError("Both names are of one model set: choose two.")
    with reading(workplace) as session:
        rows = [queries.newest_results(session, model_set=name) for name in (first, second)]
    ours, theirs = ({_key(row): row for row in reversed(each)} for each in rows)
    return ours, theirs


def _key(row: ResultRow) -> str:
    """What two results have to share to be compared: picture, settings, outline, threshold."""
    settings: dict[str, Any] = codec.settings_to_json(codec.settings_from_json(row.run.settings))
    parts = [row.picture.id, settings, row.outline_id, row.use_outline, row.score_threshold]
    return json.dumps(parts, sort_keys=True)


def _pair(first: ResultRow, second: ResultRow) -> IndexPair | None:
    indices = [ki67_index(row.positive, row.negative) for row in (first, second)]
    if indices[0] is None or indices[1] is None:
        return None
    case = case_of(first)
    return IndexPair(
        picture_code=first.picture.code,
        case_code=case.code,
        patient_code=case.patient_code,
        first_result=first.code,
        second_result=second.code,
        first_counts=(first.positive, first.negative),
        second_counts=(second.positive, second.negative),
        first_percent=100 * indices[0],
        second_percent=100 * indices[1],
    )


def _request(row: ResultRow, model_set: str) -> ScoreRequest:
    settings = codec.settings_from_json(row.run.settings)
    case = case_of(row)
    given = settings.pixel_size.source == "given"
    return ScoreRequest(
        picture_code=row.picture.code,
        case_code=case.code,
        site=cast(Site, case.site),
        patient_code=case.patient_code,
        mpp=settings.pixel_size.mpp if given else None,
        roi=settings.parameters.roi,
        outline_geojson=row.outline.geojson.encode("utf-8") if row.outline else None,
        use_outline=row.use_outline,
        use_tumor_mask=settings.parameters.use_tumor_mask,
        model_set=model_set,
        seed=settings.seed,
    )


def largest_differences(comparison: ModelComparison) -> Sequence[IndexPair]:
    """The pairs, the largest difference first."""
    return sorted(comparison.pairs, key=lambda pair: -abs(pair.difference_points))
