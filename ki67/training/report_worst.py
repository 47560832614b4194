"""The fields that go worst, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ki67.index import ki67_index
from ki67.training.figures import Faults, FieldFigures, Step, StepCounts

WORST = 10


@dataclass(frozen=True)
class WorstField:
    """A field with its class-aware F1 (4 µm), its errors by kind, and one sentence that explains them.

    `lost_to_mask` are those missed nuclei that are found where the mask is not asked.
    """

    image: str
    source: str
    patient: str
    f1: float
    faults: Faults
    lost_to_mask: int
    index_error_points: float | None
    reason: str


def worst_fields(figures: Sequence[FieldFigures], step: Step, *, most: int = WORST) -> tuple[WorstField, ...]:
    """The `most` fields with the lowest F1, worst first; among equals the one with more errors."""
    rated: list[WorstField] = []
    for field in figures:
        counts = field.counts(step)
        if counts is None or counts.both.f1 is None or counts.both.f1 == 1:
            continue
        lost = (field.lost_to_mask or 0) if step == "with_step_1" else 0
        rated.append(
            WorstField(
                image=field.image,
                source=field.source,
                patient=field.patient,
                f1=counts.both.f1,
                faults=counts.faults,
                lost_to_mask=lost,
                index_error_points=field.index_error_points(step),
                reason=_reason(field, counts, lost),
            )
        )
    rated.sort(key=lambda row: (row.f1, -_errors(row.faults), row.image))
    return tuple(rated[:most])


def _errors(faults: Faults) -> int:
    return faults.missed + faults.wrong_class + faults.on_other + faults.doubled + faults.invented


def _reason(field: FieldFigures, counts: StepCounts, lost: int) -> str:
    """The kinds of error, most frequent first, and what they do to the index."""
    faults = counts.faults
    kinds = [
        (faults.missed - lost, "missed"),
        (lost, "lost to the tumor mask"),
        (faults.wrong_class, "in the wrong class"),
        (faults.on_other, "counted though not tumor"),
        (faults.invented, "invented where no nucleus is marked"),
        (faults.doubled, "counted twice"),
    ]
    shown = [f"{number} {words}" for number, words in sorted(kinds, key=lambda kind: -kind[0]) if number > 0]
    return f"{_few(field)}{', '.join(shown)} of {_tumor(field)} tumor nuclei; {_index(field, counts)}."


def _tumor(field: FieldFigures) -> int:
    return field.truth_positive + field.truth_negative


def _few(field: FieldFigures) -> str:
    return "Hardly any tumor: " if _tumor(field) < 10 else ""


def _index(field: FieldFigures, counts: StepCounts) -> str:
    truth = ki67_index(field.truth_positive, field.truth_negative)
    found = ki67_index(counts.found_positive, counts.found_negative)
    if truth is None:
        return "no tumor nucleus is marked, so there is no index to compare"
    if found is None:
        return f"nothing found, counted index {100 * truth:.1f} %"
    return f"index {100 * found:.1f} %, counted {100 * truth:.1f} %"
