"""How far a picture looks from those a model learned from: stain color, and size and texture of nuclei.

The reference is that of the model card: mean and covariance of a few numbers over the training fields.
The distance is Mahalanobis' (On the generalised distance in statistics, Proc Natl Inst Sci India
1936;2:49-55), given as a multiple of the largest that a training field has from all the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ki67.errors import DataError, ModelError

# Per part of a look: its numbers, each with the scatter (SD) that is granted to any laboratory.
# Shares of the density are compared as they are, the others by their logarithm.
PARTS: dict[str, dict[str, float]] = {
    "color": {"red_share": 0.02, "blue_share": 0.02, "stain_density": 0.1},
    "texture": {"nucleus_width_um": 0.1, "texture_um": 0.1, "sharpness_fine": 0.1, "sharpness_medium": 0.1},
}
FEWEST_FIELDS = 10

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """Mean and covariance of the numbers of a part, and the distance that a training field may have."""

    mean: Doubles
    covariance: Doubles
    limit: float

    def distance(self, values: Doubles) -> float:
        away = values - self.mean
        return math.sqrt(max(0.0, float(away @ np.linalg.solve(self.covariance, away))))


def look_reference(fields: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The reference for a model card from the quality inputs of its training fields, as plain JSON.

    `fields`: one mapping per field, as `samples.measure_picture` or a run gives them; fields that lack a
    number of a part are left out of that part. The limit is the largest distance of a field from the
    others (leave one out). Raises DataError with fewer than 10 complete fields.
    """
    reference: dict[str, Any] = {}
    for name, scatter in PARTS.items():
        rows = [row for row in (_values(name, field) for field in fields) if row is not None]
        if len(rows) < FEWEST_FIELDS:
            raise DataError(
                f"Only {len(rows)} training fields can be measured for the look of a model: "
                f"give at least {FEWEST_FIELDS}."
            )
        values, own = np.array(rows), np.diag(np.square(list(scatter.values())))
        distances = [
            _fit(np.delete(values, leave, axis=0), own).distance(values[leave])
            for leave in range(len(values))
        ]
        fitted = _fit(values, own)
        reference[name] = {
            "numbers": list(scatter),
            "fields": len(rows),
            "mean": fitted.mean.tolist(),
            "covariance": fitted.covariance.tolist(),
            "limit": max(distances),
        }
    return reference


def look_distances(inputs: Mapping[str, float], reference: Mapping[str, Any]) -> dict[str, float]:
    """`unlike_color` and `unlike_texture` of a picture: 0 at the mean, 1 at the farthest training field.

    `inputs` are the picture's quality inputs; a part that cannot be measured is absent.
    Raises ModelError for a reference that is not one of `look_reference`.
    """
    found: dict[str, float] = {}
    for name in PARTS:
        part, values = _read(name, reference), _values(name, inputs)
        if values is not None:
            found[f"unlike_{name}"] = part.distance(values) / part.limit
    return found


def check_look_reference(reference: Mapping[str, Any]) -> None:
    """Raises ModelError for a reference that no distance can be measured with."""
    for name in PARTS:
        _read(name, reference)


def _values(name: str, inputs: Mapping[str, float]) -> Doubles | None:
    """The numbers of a part as they are compared; None where one is missing."""
    if any(inputs.get(key, 0.0) <= 0 for key in PARTS[name]):
        return None
    return np.array([inputs[key] if key.endswith("_share") else math.log(inputs[key]) for key in PARTS[name]])


def _fit(values: Doubles, own: Doubles) -> _Part:
    return _Part(values.mean(axis=0), np.cov(values.T) + own, 1.0)


def _read(name: str, reference: Mapping[str, Any]) -> _Part:
    size = len(PARTS[name])
    try:
        raw = reference[name]
        mean, covariance = np.array(raw["mean"], np.float64), np.array(raw["covariance"], np.float64)
        limit, numbers = float(raw["limit"]), list(raw["numbers"])
    except (KeyError, TypeError, ValueError) as fault:
        raise ModelError(
            f"The look reference of the model card is incomplete ({fault}): restore the card."
        ) from fault
    sound = numbers == list(PARTS[name]) and mean.shape == (size,) and covariance.shape == (size, size)
    if not (sound and limit > 0 and np.isfinite(mean).all() and _is_covariance(covariance)):
        raise ModelError("The look reference of the model card makes no sense: restore the card.")
    return _Part(mean, covariance, limit)


def _is_covariance(matrix: Doubles) -> bool:
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        return False
    return bool(np.linalg.eigvalsh(matrix).min() > 0)
