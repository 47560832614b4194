"""How many nuclei that are not tumor are counted: pooled, per field, and without the largest contributor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ki67.training.figures import FieldFigures, Step


@dataclass(frozen=True)
class OtherInField:
    """One field: nuclei marked as not tumor, and how many of them are counted."""

    image: str
    patient: str
    counted: int
    other: int


@dataclass(frozen=True)
class OtherShare:
    """Nuclei that are not tumor and are counted (have a detection of their own within 4 µm), of all marked.

    `largest_patient` marks the most of them; `*_without_largest` leave that patient out.
    """

    step: Step
    counted: int
    other: int
    share: float | None
    largest_patient: str
    counted_without_largest: int
    other_without_largest: int
    share_without_largest: float | None
    fields: tuple[OtherInField, ...]


def other_share(figures: Sequence[FieldFigures], step: Step) -> OtherShare | None:
    """Over the fields that mark such nuclei; None where none does."""
    fields = tuple(
        OtherInField(field.image, field.patient, counts.other_counted, field.truth_other)
        for field in figures
        if field.truth_other and (counts := field.counts(step)) is not None
    )
    if not fields:
        return None
    marked: Counter[str] = Counter()
    for field in fields:
        marked[field.patient] += field.other
    largest = min(marked, key=lambda patient: (-marked[patient], patient))
    rest = [field for field in fields if field.patient != largest]
    counted, other = sum(field.counted for field in fields), sum(field.other for field in fields)
    counted_rest, other_rest = sum(field.counted for field in rest), sum(field.other for field in rest)
    return OtherShare(
        step=step,
        counted=counted,
        other=other,
        share=counted / other,
        largest_patient=largest,
        counted_without_largest=counted_rest,
        other_without_largest=other_rest,
        share_without_largest=counted_rest / other_rest if other_rest else None,
        fields=fields,
    )
