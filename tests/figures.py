"""Figures of fields made up by hand: what a report is made from, without any picture."""

from __future__ import annotations

from ki67.training.figures import Faults, FieldFigures, StepCounts, Tally


def counts(
    tp: int, fp: int, fn: int, *, found: tuple[int, int], other: int = 0, faults: Faults | None = None
) -> StepCounts:
    """All errors in the negative class, but for the positive nuclei found."""
    positive = Tally(min(tp, found[0]), 0, 0)
    negative = Tally(tp - positive.tp, fp, fn)
    both = positive + negative
    smaller = Tally(tp // 2, fp + tp - tp // 2, fn + tp - tp // 2)
    return StepCounts(
        positive, negative, both, both, smaller, both, other, *found, faults or Faults(missed=fn, invented=fp)
    )


def field(
    name: str,
    *,
    truth: tuple[int, int],
    with_mask: StepCounts | None = None,
    without: StepCounts | None = None,
    other: int = 0,
    source: str = "one",
    patient: str = "",
    lost: int | None = None,
    trained: bool = False,
) -> FieldFigures:
    """A field of its own patient unless one is named."""
    return FieldFigures(
        image=name,
        source=source,
        patient=patient or name,
        patient_known=True,
        trained_cells=trained,
        trained_tumor=False,
        truth_positive=truth[0],
        truth_negative=truth[1],
        truth_other=other,
        without_step_1=without,
        with_step_1=with_mask,
        tumor=None,
        found_anyhow=without.any.tp if without and lost is not None else None,
        lost_to_mask=lost,
        outside_mask=lost,
    )
