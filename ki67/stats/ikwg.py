"""IKWG scores of a case from the counts of its fields: unweighted global, weighted global, hot spot.

S. C. Y. Leung et al., npj Breast Cancer 2 (2016) 16014. Indices are fractions 0-1 here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ki67.errors import DataError
from ki67.index import ki67_index

AreaLevel = Literal["high", "medium", "low", "negligible"]
AREA_LEVELS: tuple[AreaLevel, ...] = ("high", "medium", "low", "negligible")
HOT_SPOT = "hot-spot"
_ROUNDING_PERCENT = 0.5
_NAMES: Mapping[str, str] = {"negative": "negligible", "hot spot": HOT_SPOT, "hot_spot": HOT_SPOT}


@dataclass(frozen=True)
class FieldCount:
    """One counted field: its level of staining (high, medium, low, negligible, or hot-spot) and its nuclei.

    `level` also takes "negative" for negligible. `positive` of `total` nuclei.
    """

    level: str
    positive: int
    total: int


@dataclass(frozen=True)
class IkwgScores:
    """The three scores of one reading of one case, fractions 0-1; None where nothing was counted.

    `nuclei` were counted in the global fields, `hot_spot_nuclei` in the hot spot. `notes` say which level was
    left out and why.
    """

    unweighted_global: float | None
    weighted_global: float | None
    hot_spot: float | None
    nuclei: int
    hot_spot_nuclei: int
    notes: tuple[str, ...]


def ikwg_scores(fields: Sequence[FieldCount], area_percent: Mapping[AreaLevel, float]) -> IkwgScores:
    """The scores of one reading: its fields and the share of the tumor area at each level, in percent.

    Unweighted: all global fields pooled. Weighted: the pooled index of each level by its area; a level with
    area but no field is left out with a note, and the rest counts as the whole. Areas that add up to less
    than 100 % leave the rest without staining, as the working group's own scores do. Hot spot: the hot-spot
    field, pooled where there are several. Raises DataError for counts or areas that cannot be.
    """
    pooled = _pooled(fields)
    _check_areas(area_percent)
    hot_positive, hot_total = pooled.pop(HOT_SPOT, (0, 0))
    positive = sum(found for found, _ in pooled.values())
    total = sum(counted for _, counted in pooled.values())
    weighted, notes = _weighted(pooled, area_percent)
    return IkwgScores(
        ki67_index(positive, total - positive),
        weighted,
        ki67_index(hot_positive, hot_total - hot_positive),
        total,
        hot_total,
        notes,
    )


def _weighted(
    pooled: Mapping[str, tuple[int, int]], area_percent: Mapping[AreaLevel, float]
) -> tuple[float | None, tuple[str, ...]]:
    """Area-weighted index and the notes."""
    notes = []
    whole = sum(area_percent.values())
    weighted_sum, weight = 0.0, max(100.0, whole)
    counted = False
    for level in AREA_LEVELS:
        area = area_percent.get(level, 0.0)
        positive, total = pooled.get(level, (0, 0))
        index = ki67_index(positive, total - positive)
        if index is not None:
            counted = counted or area > 0
            weighted_sum += area * index
            if area == 0:
                notes.append(f"A field is {level}, but the area at this level is 0 %: it has no weight.")
        elif area > 0:
            weight -= area
            notes.append(f"{area:g} % of the area is {level}, but no field was counted there: left out.")
    if not counted:
        return None, tuple(notes)
    if whole < 100 - _ROUNDING_PERCENT:
        notes.append(f"The areas add up to {whole:g} %: the rest counts as 0 % positive.")
    elif whole > 100 + _ROUNDING_PERCENT:
        notes.append(f"The areas add up to {whole:g} %: their shares were used.")
    return weighted_sum / weight, tuple(notes)


def _pooled(fields: Iterable[FieldCount]) -> dict[str, tuple[int, int]]:
    """Positive and all nuclei of each level."""
    pooled: dict[str, tuple[int, int]] = {}
    for field in fields:
        level = _NAMES.get(field.level, field.level)
        if level not in AREA_LEVELS and level != HOT_SPOT:
            raise DataError(
                f"A field's level is {field.level!r}: use high, medium, low, negligible or hot-spot."
            )
        if not 0 <= field.positive <= field.total:
            raise DataError(
                f"A {level} field counts {field.positive} positive of {field.total} nuclei: mend the counts."
            )
        positive, total = pooled.get(level, (0, 0))
        pooled[level] = (positive + field.positive, total + field.total)
    return pooled


def _check_areas(area_percent: Mapping[AreaLevel, float]) -> None:
    for level, area in area_percent.items():
        if level not in AREA_LEVELS:
            raise DataError(f"An area's level is {level!r}: use high, medium, low or negligible.")
        if not 0 <= area <= 100:
            raise DataError(f"The {level} area is {area:g} %: areas are percentages 0-100.")
