"""Detection figures: counts per field, and what they come to over many fields.

Counts are pooled over fields and classes before a ratio is formed (micro). A ratio without anything
in its denominator is None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ki67.index import ki67_index

Step = Literal["with_step_1", "without_step_1"]
STEPS: tuple[Step, ...] = ("with_step_1", "without_step_1")
FEWEST_FOR_INDEX = 50


@dataclass(frozen=True)
class Tally:
    """True positives, false positives, false negatives."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def f1(self) -> float | None:
        """2·tp / (2·tp + fp + fn)."""
        below = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / below if below else None

    @property
    def precision(self) -> float | None:
        """tp / (tp + fp)."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """tp / (tp + fn)."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None


@dataclass(frozen=True)
class StepCounts:
    """One field counted one way. `inner` leaves out a border of one radius; `within_*` use a smaller radius.

    `any` matches without regard to class. `other_counted`: detections on nuclei that are not tumor.
    """

    positive: Tally
    negative: Tally
    any: Tally
    inner: Tally
    within_1_25_um: Tally
    within_2_5_um: Tally
    other_counted: int
    found_positive: int
    found_negative: int

    @property
    def both(self) -> Tally:
        """Both classes pooled: the class-aware count."""
        return self.positive + self.negative


@dataclass(frozen=True)
class MaskOverlap:
    """Tumor pixels in map and drawn mask: common ones, and the sum of both areas."""

    both: int
    either: int


@dataclass(frozen=True)
class FieldFigures:
    """Everything counted in one field. `trained_*`: the card of that net lists the picture as training."""

    image: str
    source: str
    patient: str
    patient_known: bool
    trained_cells: bool
    trained_tumor: bool
    truth_positive: int
    truth_negative: int
    truth_other: int
    without_step_1: StepCounts | None
    with_step_1: StepCounts | None
    tumor: MaskOverlap | None

    def counts(self, step: Step) -> StepCounts | None:
        """The counts with or without step 1."""
        return self.with_step_1 if step == "with_step_1" else self.without_step_1

    def unseen(self, step: Step) -> bool:
        """Whether none of the nets that this way of counting uses was trained on the picture."""
        return not self.trained_cells and not (step == "with_step_1" and self.trained_tumor)

    def index_error_points(self, step: Step) -> float | None:
        """Found minus true index in percentage points; None where either is not assessable."""
        counts = self.counts(step)
        truth = ki67_index(self.truth_positive, self.truth_negative)
        found = ki67_index(counts.found_positive, counts.found_negative) if counts else None
        return None if truth is None or found is None else 100 * (found - truth)


@dataclass(frozen=True)
class IndexErrors:
    """Errors of the index in percentage points over fields with at least 50 tumor nuclei.

    `not_assessable` counts such fields in which nothing was found: they have no error.
    """

    fields: int
    mean_absolute: float | None
    root_mean_square: float | None
    bias: float | None
    not_assessable: int


@dataclass(frozen=True)
class Summary:
    """What a set of fields comes to. `patients_known` False: some pictures stand for their own patient."""

    fields: int
    patients: int
    patients_known: bool
    f1: float | None
    precision: float | None
    recall: float | None
    f1_positive: float | None
    f1_negative: float | None
    f1_any_class: float | None
    f1_without_border: float | None
    f1_within_5_px: float | None
    f1_within_10_px: float | None
    positive: Tally
    negative: Tally
    any: Tally
    other_counted: int
    other: int
    index: IndexErrors


def summarize(fields: Sequence[FieldFigures], step: Step) -> Summary | None:
    """Pool the fields counted this way; None when there is none."""
    counted = [(field, counts) for field in fields if (counts := field.counts(step)) is not None]
    if not counted:
        return None

    def total(pick: Callable[[StepCounts], Tally]) -> Tally:
        return sum((pick(counts) for _, counts in counted), Tally())

    both = total(lambda counts: counts.both)
    positive, negative = total(lambda counts: counts.positive), total(lambda counts: counts.negative)
    any_class = total(lambda counts: counts.any)
    return Summary(
        fields=len(counted),
        patients=len({field.patient for field, _ in counted}),
        patients_known=all(field.patient_known for field, _ in counted),
        f1=both.f1,
        precision=both.precision,
        recall=both.recall,
        f1_positive=positive.f1,
        f1_negative=negative.f1,
        f1_any_class=any_class.f1,
        f1_without_border=total(lambda counts: counts.inner).f1,
        f1_within_5_px=total(lambda counts: counts.within_1_25_um).f1,
        f1_within_10_px=total(lambda counts: counts.within_2_5_um).f1,
        positive=positive,
        negative=negative,
        any=any_class,
        other_counted=sum(counts.other_counted for _, counts in counted),
        other=sum(field.truth_other for field, _ in counted),
        index=_index_errors((field for field, _ in counted), step),
    )


def pooled_dice(fields: Sequence[FieldFigures]) -> float | None:
    """Dice of step 1 with the drawn masks, pixels pooled over fields; None without a drawn mask."""
    overlaps = [field.tumor for field in fields if field.tumor is not None]
    either = sum(overlap.either for overlap in overlaps)
    return 2 * sum(overlap.both for overlap in overlaps) / either if either else None


def _index_errors(fields: Iterable[FieldFigures], step: Step) -> IndexErrors:
    large = [field for field in fields if field.truth_positive + field.truth_negative >= FEWEST_FOR_INDEX]
    errors = np.array([error for field in large if (error := field.index_error_points(step)) is not None])
    if not errors.size:
        return IndexErrors(0, None, None, None, len(large))
    return IndexErrors(
        fields=len(errors),
        mean_absolute=float(np.abs(errors).mean()),
        root_mean_square=float(np.sqrt((errors**2).mean())),
        bias=float(errors.mean()),
        not_assessable=len(large) - len(errors),
    )
