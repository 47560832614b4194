"""The error model of a card: how far a model's index has been seen to lie from the annotated one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ki67.errors import ModelError


@dataclass(frozen=True)
class ErrorModel:
    """Standard deviations of the index on a stated scale, between laboratories and between fields.

    `scale` is "arcsine" (asin of the square root of the index: about the same spread at every level)
    or "points" (the index itself, 0-1). `levels` are (from_percent, laboratory_sd, field_sd), ascending,
    the first from 0: the entry with the largest `from_percent` not above the index holds.
    `laboratory_sd` is the root mean square of the laboratories' errors about zero, as no mean error is
    taken off an index; `laboratories` is how many it was estimated from. `field_sd` is that of a field
    of `field_nuclei` tumor nuclei and shrinks with the square root of their number.
    """

    scale: str
    laboratories: int
    field_nuclei: float
    levels: tuple[tuple[float, float, float], ...]


def parse_error_model(values: Mapping[str, Any]) -> ErrorModel:
    """The error model in JSON: `{"scale", "laboratories", "field_nuclei", "levels": [{"from_percent",
    "laboratory_sd", "field_sd"}, …]}`; other keys are notes. Raises ValueError saying what is wrong.
    """
    try:
        levels = tuple(
            (float(level["from_percent"]), float(level["laboratory_sd"]), float(level["field_sd"]))
            for level in values["levels"]
        )
        model = ErrorModel(
            str(values["scale"]), int(values["laboratories"]), float(values["field_nuclei"]), levels
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise ValueError(f"error_model is incomplete: {fault}") from fault
    starts = [start for start, _, _ in levels]
    checks = {
        "scale is neither arcsine nor points": model.scale in ("arcsine", "points"),
        "laboratories are fewer than 2": model.laboratories >= 2,
        "field_nuclei is not positive": math.isfinite(model.field_nuclei) and model.field_nuclei > 0,
        "levels do not ascend from 0": bool(levels) and starts[0] == 0 and starts == sorted(set(starts)),
        "a number is negative or not finite": all(
            math.isfinite(value) and value >= 0 for level in levels for value in level
        ),
    }
    for fault_words, sound in checks.items():
        if not sound:
            raise ValueError(f"error_model: {fault_words}")
    return model


def read_error_model(values: Mapping[str, Any]) -> ErrorModel:
    """The error model of a model card. Raises ModelError when a part is missing or makes no sense."""
    try:
        return parse_error_model(values)
    except ValueError as fault:
        raise ModelError(f"The model card is at fault ({fault}): restore the card.") from fault
