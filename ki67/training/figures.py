"""Detection figures: counts per field, and what they come to over many fields.

Counts are pooled over fields and classes before a ratio is formed (micro). A ratio without anything
in its denominator is None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ki67.index import ki67_index

Step = Literal["with_step_1", "without_step_1"]
STEPS: tuple[Step, ...] = ("with_step_1", "without_step_1")
FEWEST_FOR_INDEX = 50
BINS = 10


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
class Faults:
    """The errors of a class-aware count by their kind.

    `missed`: tumor nuclei without a detection; `wrong_class`: found, but in the other class (a false
    positive and a false negative at once); `on_other`: detections on nuclei that are not tumor;
    `doubled`: a further detection on a tumor nucleus; `invented`: where no nucleus is marked.
    """

    missed: int = 0
    wrong_class: int = 0
    on_other: int = 0
    doubled: int = 0
    invented: int = 0

    def __add__(self, other: Faults) -> Faults:
        return Faults(
            self.missed + other.missed,
            self.wrong_class + other.wrong_class,
            self.on_other + other.on_other,
            self.doubled + other.doubled,
            self.invented + other.invented,
        )


@dataclass(frozen=True)
class ScoreBins:
    """Candidates by score in `BINS` equal bins: how many, how many on a tumor nucleus, sum of scores."""

    candidates: tuple[int, ...]
    true: tuple[int, ...]
    score_sum: tuple[float, ...]

    def __add__(self, other: ScoreBins) -> ScoreBins:
        return ScoreBins(
            tuple(a + b for a, b in zip(self.candidates, other.candidates, strict=True)),
            tuple(a + b for a, b in zip(self.true, other.true, strict=True)),
            tuple(a + b for a, b in zip(self.score_sum, other.score_sum, strict=True)),
        )


@dataclass(frozen=True)
class StepCounts:
    """One field counted one way. `inner` leaves out a border of one radius; `within_*` use a smaller radius.

    `any` matches without regard to class. `other_counted`: nuclei that are not tumor and have a
    detection of their own within the radius. `bins` hold every candidate, also those below the score
    threshold; None where only the nuclei that count are known.
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
    faults: Faults = field(default_factory=Faults)
    bins: ScoreBins | None = None

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
    """Everything counted in one field. `trained_*`: the card of that net lists the picture as training.

    `found_anyhow`: true tumor nuclei with a detection of either class where the mask is not asked,
    `lost_to_mask`: those of them without one once it is; `outside_mask`: true tumor nuclei whose
    centre the mask calls not tumor, found or not. All None without step 1.
    """

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
    found_anyhow: int | None = None
    lost_to_mask: int | None = None
    outside_mask: int | None = None

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
    """What a set of fields comes to. `patients_known` False: some pictures stand for their own patient.

    `*_positive`, `*_negative`: one class; `*_any_class`: without classes; F1, precision and recall
    alone: both classes pooled, class-aware, within 4 µm. `lost_share` is that of the tumor nuclei
    found anyhow that the mask takes away (None without step 1).
    """

    fields: int
    patients: int
    patients_known: bool
    f1: float | None
    precision: float | None
    recall: float | None
    f1_positive: float | None
    precision_positive: float | None
    recall_positive: float | None
    f1_negative: float | None
    precision_negative: float | None
    recall_negative: float | None
    f1_any_class: float | None
    precision_any_class: float | None
    recall_any_class: float | None
    f1_without_border: float | None
    f1_within_5_px: float | None
    f1_within_10_px: float | None
    positive: Tally
    negative: Tally
    any: Tally
    faults: Faults
    other_counted: int
    other: int
    other_share: float | None
    found_anyhow: int | None
    lost_to_mask: int | None
    lost_share: float | None
    outside_mask: int | None
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
    other = sum(field.truth_other for field, _ in counted)
    other_counted = sum(counts.other_counted for _, counts in counted)
    own = [field for field, _ in counted] if step == "with_step_1" else []
    anyhow, lost, outside = (
        _total([getattr(field, name) for field in own])
        for name in ("found_anyhow", "lost_to_mask", "outside_mask")
    )
    return Summary(
        fields=len(counted),
        patients=len({field.patient for field, _ in counted}),
        patients_known=all(field.patient_known for field, _ in counted),
        f1=both.f1,
        precision=both.precision,
        recall=both.recall,
        f1_positive=positive.f1,
        precision_positive=positive.precision,
        recall_positive=positive.recall,
        f1_negative=negative.f1,
        precision_negative=negative.precision,
        recall_negative=negative.recall,
        f1_any_class=any_class.f1,
        precision_any_class=any_class.precision,
        recall_any_class=any_class.recall,
        f1_without_border=total(lambda counts: counts.inner).f1,
        f1_within_5_px=total(lambda counts: counts.within_1_25_um).f1,
        f1_within_10_px=total(lambda counts: counts.within_2_5_um).f1,
        positive=positive,
        negative=negative,
        any=any_class,
        faults=sum((counts.faults for _, counts in counted), Faults()),
        other_counted=other_counted,
        other=other,
        other_share=other_counted / other if other else None,
        found_anyhow=anyhow,
        lost_to_mask=lost,
        lost_share=lost / anyhow if anyhow and lost is not None else None,
        outside_mask=outside,
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


def _total(values: Sequence[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
