"""The index and a cut-off: on which side the true index lies, and whether more nuclei would settle it.

"True" is the index that annotators of this laboratory's pictures would give. The probability of a side
comes from the total interval: the level at which that interval just touches the cut-off. So a cut-off on
the upper 95 % limit has 2.5 % above it, and text, ruler and probability never contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from scipy import optimize, special

from ki67.errors import DataError
from ki67.index import ki67_index, wilson
from ki67.stats.classes import Border, Cutoffs
from ki67.stats.estimate import Reason
from ki67.types import Interval

Scale = Literal["arcsine", "points"]
_NO_MODEL = (
    "The model card holds no error model, so how likely each side of the cut-off is cannot be said: "
    "the interval of the counting alone would promise too much."
)
_NO_NUCLEI = "No tumor nuclei were found: not assessable."
_LEAST_TAIL = 1e-12


@dataclass(frozen=True)
class ModelSpread:
    """How far a model's index lies from the annotated one, as standard deviations on `scale`.

    `scale`: "arcsine" (asin of the square root of the index, radians) or "points" (the index, 0-1).
    `laboratory_sd`: of laboratories about zero, estimated from `laboratories` of them (2 or more);
    `field_sd`: of a field of `field_nuclei` tumor nuclei within a laboratory, which shrinks with the
    square root of the nuclei counted. Raises DataError for numbers that make no sense.
    """

    scale: Scale
    laboratory_sd: float
    field_sd: float
    laboratories: int
    field_nuclei: float

    def __post_init__(self) -> None:
        sds = (self.laboratory_sd, self.field_sd)
        sound = all(math.isfinite(sd) and sd >= 0 for sd in sds)
        sound = sound and math.isfinite(self.field_nuclei) and self.field_nuclei > 0
        if self.scale not in get_args(Scale) or not sound or self.laboratories < 2:
            raise DataError("The error model makes no sense: restore the model card.")


@dataclass(frozen=True)
class CutoffAnswer:
    """One cut-off: `below` and `above` are probabilities that sum to 1, `above` that of the upper class.

    `settled`: the total interval at `confidence` lies on one side. `nuclei_needed`: how many nuclei more,
    of the same tumor, would settle it if the index stayed where it is; 0 when settled, None with
    `by_counting` False when the model's own error straddles the cut-off and no counting settles it.
    Undefined (None) with a `reason` and a `message` when there is no error model or no nucleus.
    """

    border: Border
    below: float | None
    above: float | None
    settled: bool | None
    nuclei_needed: int | None
    by_counting: bool | None
    confidence: float
    reason: Reason | None = None
    message: str = ""


def cutoff_answer(
    positive: int,
    negative: int,
    *,
    border: Border,
    spread: ModelSpread | None,
    sampling: Interval | None = None,
    confidence: float = 0.95,
) -> CutoffAnswer:
    """Which side of `border` the true index of a tumor with these counts lies on.

    `sampling`: the interval of the counting at `confidence` (fractions 0-1), the wider of Wilson and block
    bootstrap; Wilson's when None. `spread`: the model's error at this index; without it the answer is
    withheld (not_measured), without nuclei as well (too_few). Nuclei needed: the squared distances of
    the sampling limit and of the field part fall as 1 / n, so that clustering stays in; the laboratory
    part does not fall.
    """
    index = ki67_index(positive, negative)
    if index is None:
        return _withheld(border, confidence, "too_few", _NO_NUCLEI)
    if spread is None:
        return _withheld(border, confidence, "not_measured", _NO_MODEL)
    limits = sampling or wilson(positive, negative, confidence=confidence)
    if limits is None:
        return _withheld(border, confidence, "too_few", _NO_NUCLEI)
    cut = float(border.percent) / 100
    centre, place = _on_scale(index, spread.scale), _on_scale(cut, spread.scale)
    upward = place > centre
    counted = abs(_on_scale(limits.high if upward else limits.low, spread.scale) - centre)
    parts = _Parts(counted, positive + negative, spread, confidence)
    above = _share_above(abs(place - centre), parts, upward=upward)
    needed = _nuclei_needed(abs(place - centre), parts)
    return CutoffAnswer(
        border=border,
        below=1 - above,
        above=above,
        settled=needed == 0,
        nuclei_needed=needed,
        by_counting=needed is not None,
        confidence=confidence,
        message=_message(needed, border),
    )


def class_probabilities(
    positive: int,
    negative: int,
    *,
    cutoffs: Cutoffs,
    spread: ModelSpread | None,
    sampling: Interval | None = None,
) -> tuple[float, ...] | None:
    """The probability of every class, lowest first, summing to 1; None when `cutoff_answer` withholds it."""
    above = [1.0]
    for border in cutoffs.borders:
        answer = cutoff_answer(positive, negative, border=border, spread=spread, sampling=sampling)
        if answer.above is None:
            return None
        above.append(min(answer.above, above[-1]))
    return tuple(high - low for high, low in zip(above, [*above[1:], 0.0], strict=True))


@dataclass(frozen=True)
class _Parts:
    """The parts of the total interval on the scale: each as a distance at a tail probability."""

    counted: float
    nuclei: int
    spread: ModelSpread
    confidence: float

    def laboratory(self, tail: float) -> float:
        """Distance that a laboratory not among those seen may be off by; no counting shortens it."""
        return -float(special.stdtrit(self.spread.laboratories, tail)) * self.spread.laboratory_sd

    def shrinking(self, tail: float) -> float:
        """Distance of what falls with the square root of the nuclei: the counting and the fields."""
        z = -float(special.ndtri(tail))
        field = z * self.spread.field_sd * math.sqrt(self.spread.field_nuclei / self.nuclei)
        return math.hypot(z / -float(special.ndtri((1 - self.confidence) / 2)) * self.counted, field)

    def total(self, tail: float) -> float:
        """Distances of single parts squared and added (Zou & Donner, Stat Med 27 (2008) 1693-1702), as
        the total interval of a result does.
        """
        return math.hypot(self.shrinking(tail), self.laboratory(tail))


def _share_above(distance: float, parts: _Parts, *, upward: bool) -> float:
    """Probability that the true index lies above a cut-off `distance` from the index, on the scale."""
    tail = _tail_at(distance, parts.total)
    return tail if upward else 1 - tail


def _tail_at(distance: float, total: Callable[[float], float]) -> float:
    """The tail probability at which `total`, 0 at a half and growing outwards, reaches `distance`."""
    if distance == 0:
        return 0.5
    if total(_LEAST_TAIL) <= distance:
        return 0.0
    return float(optimize.brentq(lambda tail: total(tail) - distance, _LEAST_TAIL, 0.5, xtol=1e-12))


def _nuclei_needed(distance: float, parts: _Parts) -> int | None:
    """More nuclei until the total interval leaves the cut-off; None when a laboratory's error reaches it."""
    tail = (1 - parts.confidence) / 2
    room = distance**2 - parts.laboratory(tail) ** 2
    if room <= 0:
        return None
    wanted = parts.nuclei * parts.shrinking(tail) ** 2 / room
    return max(0, math.ceil(wanted * (1 - 1e-12)) - parts.nuclei)


def _message(needed: int | None, border: Border) -> str:
    if needed is None:
        return (
            f"The cut-off {border.percent} % cannot be settled by counting: the model's own error spans it."
        )
    if needed == 0:
        return f"The cut-off {border.percent} % is settled."
    return f"About {needed:,} more nuclei would settle the cut-off {border.percent} %."


def _withheld(border: Border, confidence: float, reason: Reason, message: str) -> CutoffAnswer:
    return CutoffAnswer(border, None, None, None, None, None, confidence, reason=reason, message=message)


def _on_scale(fraction: float, scale: Scale) -> float:
    return math.asin(math.sqrt(fraction)) if scale == "arcsine" else fraction
