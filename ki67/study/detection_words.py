"""An evaluation in words and rows. Bold is Markdown's; figures without value are "–", never 0."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ki67 import numbers
from ki67.study.detection import DetectionView
from ki67.training.figures import STEPS, FieldFigures, Step
from ki67.training.report import BothWays, Figures
from ki67.training.report_worst import WorstField, worst_fields

if TYPE_CHECKING:
    from ki67.training.report_intervals import Change

NONE = "–"
WAYS: dict[Step, str] = {"with_step_1": "With step 1", "without_step_1": "Without step 1"}
PROTOCOL = (
    ("Radius", "4.0 µm between the marked and the found centre"),
    ("Matching", "one to one and optimal, within each class; counts pooled over fields and classes (micro)"),
    ("Not tumor", "a nucleus found on one that is not tumor is an error"),
    ("Unknown", "a nucleus found on one of unknown kind is left out"),
    ("Border", "nothing excluded; the figure without a border of one radius stands beside it"),
    ("5 px, 10 px", "pixels of 0.25 µm, as others publish: 1.25 µm and 2.5 µm"),
    ("Index", "fields with at least 50 tumor nuclei counted; found minus counted, in points"),
    ("Intervals", "95 %, bootstrap over patients (percentiles), the same draws for both ways of counting"),
    ("Few", "with fewer than five patients or fields: figures with n, no interval, no verdict"),
    ("Training", "pictures that the card of a net lists as training are left out of the figures"),
)


class Limited(Protocol):
    """Limits of a figure, as `ki67.training.report_intervals.Limits`."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Answer:
    """The sentence that leads, and the one more."""

    first: str
    second: str


@dataclass(frozen=True)
class WayRow:
    """A row of the table with and without step 1; None and "–" where undefined. F1 to recall 0-1.

    `index_error` and `bias` in points; a `difference` shows its numbers with their sign.
    """

    name: str
    fields: int
    f1: float | None
    f1_interval: str
    precision: float | None
    recall: float | None
    not_tumor: str
    lost: str
    index_error: float | None
    bias: float | None
    bias_interval: str
    difference: bool = False


def best(ways: BothWays) -> tuple[Step, Figures] | None:
    """The way of counting that leads: with step 1 where there are figures, else without."""
    for step in STEPS:
        figures = ways.of(step)
        if figures is not None:
            return step, figures
    return None


def ratio(value: float | None) -> str:
    """A figure of 0-1: "0.78"."""
    return NONE if value is None else numbers.decimal(value, decimals=2)


def ratio_interval(limits: Limited | None) -> str:
    """Limits of a figure of 0-1: "0.74–0.82"."""
    return NONE if limits is None else f"{ratio(limits.low)}–{ratio(limits.high)}"


def in_points(value: float | None) -> str:
    """A difference in points without the unit: "−1.2"."""
    return NONE if value is None or math.isnan(value) else numbers.decimal(value, decimals=1)


def points_interval(limits: Limited | None) -> str:
    """ "−2.9 to 0.7"."""
    return NONE if limits is None else numbers.points_interval(limits.low, limits.high)


def answer(view: DetectionView) -> Answer:
    """ "The nets find nuclei and their class with F1 **0.78** (0.74–0.82)." and what that stands on."""
    leading = best(view.report.headline)
    if leading is None:
        reason = view.report.headline_reason or "nothing could be counted"
        return Answer(f"**No fair figure**: {_app_words(reason)}.", _protocol_sentence())
    step, figures = leading
    summary = figures.summary
    limits = "" if figures.intervals.f1 is None else f" ({ratio_interval(figures.intervals.f1)})"
    way = "" if step == "with_step_1" else ", step 1 left out"
    first = f"The nets find nuclei and their class with F1 **{ratio(summary.f1)}**{limits}{way}."
    if not figures.enough:
        first = (
            f"F1 **{ratio(summary.f1)}** on {_of_patients(summary.fields, summary.patients)}: too few for an "
            "interval or a verdict."
        )
    unknown = "" if summary.patients_known else " Some pictures name no patient and stand for their own."
    size = _of_patients(summary.fields, summary.patients)
    return Answer(first, f"{size}, none seen in training.{unknown} {_protocol_sentence()}")


def _protocol_sentence() -> str:
    return "Matched one to one within 4 µm, class by class; no border is excluded."


def _of_patients(fields: int, patients: int) -> str:
    field = "field" if fields == 1 else "fields"
    patient = "patient" if patients == 1 else "patients"
    return f"{numbers.count(fields)} {field} of {numbers.count(patients)} {patient}"


def size_line(view: DetectionView) -> str:
    """ "40 fields · 37 patients · 2 left out" """
    fields = view.figures
    patients = len({field.patient for field in fields})
    return (
        f"{_counted(len(fields), 'field')} · {_counted(patients, 'patient')} · "
        f"{view.left_out} left out (training)"
    )


def _counted(number: int, word: str) -> str:
    return f"{numbers.count(number)} {word}{'' if number == 1 else 's'}"


def way_rows(view: DetectionView) -> list[WayRow]:
    """With step 1, without it, and the difference, paired over the same fields."""
    rows = [
        way_row(WAYS[step], figures)
        for step in STEPS
        if (figures := view.report.headline.of(step)) is not None
    ]
    if view.report.difference is not None and len(rows) > 1:
        rows.append(_difference_row(view))
    return rows


def way_row(name: str, figures: Figures) -> WayRow:
    """One way of counting, or one source, as a row."""
    summary, limits = figures.summary, figures.intervals
    return WayRow(
        name=name,
        fields=summary.fields,
        f1=summary.f1,
        f1_interval=ratio_interval(limits.f1),
        precision=summary.precision,
        recall=summary.recall,
        not_tumor=_share(summary.other_counted, summary.other),
        lost=NONE if not summary.found_anyhow else _share(summary.lost_to_mask or 0, summary.found_anyhow),
        index_error=summary.index.mean_absolute,
        bias=summary.index.bias,
        bias_interval=points_interval(limits.index_bias),
    )


def _share(part: int, whole: int) -> str:
    """ "12 of 138" """
    return f"{numbers.count(part)} of {numbers.count(whole)}" if whole else NONE


def _difference_row(view: DetectionView) -> WayRow:
    change = view.report.difference
    if change is None:
        raise ValueError("asked for a difference that there is none of")
    return WayRow(
        name="Difference",
        fields=change.fields,
        f1=change.f1.value,
        f1_interval=_change_interval(change.f1),
        precision=change.precision.value,
        recall=change.recall.value,
        not_tumor=NONE
        if change.other_share.value is None
        else f"{signed(100 * change.other_share.value, decimals=0)} points",
        lost=NONE,
        index_error=change.index_mean_absolute.value,
        bias=change.index_bias.value,
        bias_interval=points_interval(change.index_bias.limits),
        difference=True,
    )


def _change_interval(change: Change) -> str:
    if change.limits is None:
        return NONE
    low, high = (numbers.decimal(value, decimals=2) for value in (change.limits.low, change.limits.high))
    return f"{low} to {high}"


def signed(value: float | None, *, decimals: int) -> str:
    """A difference with its sign: "+0.02", "−1.3", "0.00"."""
    if value is None:
        return NONE
    text = numbers.decimal(value, decimals=decimals)
    return text if text.startswith("−") or not text.strip("0.") else f"+{text}"


def mask_sentence(view: DetectionView) -> str:
    """What step 1 changes, in one sentence; "" without it."""
    change, figures = view.report.difference, view.report.headline.with_step_1
    if change is None or figures is None:
        return ""
    summary = figures.summary
    parts = [f"Step 1 moves F1 by {signed(change.f1.value, decimals=2)}"]
    if change.f1.limits is not None:
        parts[0] += f" ({_change_interval(change.f1)})"
    if summary.found_anyhow:
        lost = summary.lost_to_mask or 0
        parts.append(
            f"costs {numbers.count(lost)} of {numbers.count(summary.found_anyhow)} tumor nuclei found "
            f"({numbers.percent_of(lost / summary.found_anyhow)})"
        )
    without = view.report.headline.without_step_1
    if summary.other and without is not None:
        removed = without.summary.other_counted - summary.other_counted
        parts.append(
            f"removes {numbers.count(removed)} of {numbers.count(without.summary.other_counted)} counted "
            "nuclei that are not tumor"
        )
    return f"{', '.join(parts)}."


def worst(view: DetectionView) -> tuple[WorstField, ...]:
    """The ten worst fields; where every picture was used in training, the worst of those."""
    if view.report.worst:
        return view.report.worst
    step: Step = "with_step_1" if any(field.with_step_1 for field in view.figures) else "without_step_1"
    return worst_fields(view.figures, step)


def reason_in_words(field: WorstField) -> str:
    """Why a field is among the worst, as a sentence."""
    return field.reason[:1].upper() + field.reason[1:]


def field_order(view: DetectionView) -> list[str]:
    """Field codes, the worst first, then the others in their order."""
    first = [field.image for field in worst(view)]
    return [*first, *(field.image for field in view.figures if field.image not in first)]


def field_label(field: FieldFigures) -> str:
    """ "F-03 · breast-lab · F1 0.61" """
    counts = field.with_step_1 or field.without_step_1
    return f"{field.image} · {field.source} · F1 {ratio(counts.both.f1 if counts else None)}"


def field_caption(field: FieldFigures, step: Step, *, removed: int) -> str:
    """What the marks over a field come to, counted one way."""
    counts = field.counts(step)
    if counts is None:
        return "Not counted this way."
    faults = counts.faults
    invented = faults.invented + faults.doubled + faults.on_other
    parts = [
        f"F1 {ratio(counts.both.f1)}",
        f"{faults.missed} missed",
        f"{invented} invented ({faults.on_other} on nuclei that are not tumor)",
        f"{faults.wrong_class} in the wrong class",
    ]
    if step == "with_step_1":
        parts.append(f"{removed} removed by step 1")
    return " · ".join(parts)


def statistics_rows(view: DetectionView) -> Iterator[tuple[str, str, str, str]]:
    """Every figure: name, way of counting, value, interval."""
    for step in STEPS:
        figures = view.report.headline.of(step)
        if figures is None:
            continue
        for label, name in RATIOS:
            value, limits = getattr(figures.summary, name), getattr(figures.intervals, name)
            yield label, WAYS[step], ratio(value), ratio_interval(limits)
        index, limits = figures.summary.index, figures.intervals
        yield (
            f"Index, mean absolute error, points (n = {index.fields})",
            WAYS[step],
            in_points(index.mean_absolute),
            points_interval(limits.index_mean_absolute),
        )
        yield (
            "Index, root mean square error, points",
            WAYS[step],
            in_points(index.root_mean_square),
            points_interval(limits.index_root_mean_square),
        )
        yield "Index, bias, points", WAYS[step], in_points(index.bias), points_interval(limits.index_bias)
    dice = view.report.tumor_dice
    if dice is not None:
        yield "Tumor area, Dice", "Step 1", ratio(dice), ratio_interval(view.report.tumor_dice_limits)


RATIOS: Sequence[tuple[str, str]] = (
    ("F1, both classes", "f1"),
    ("Precision, both classes", "precision"),
    ("Recall, both classes", "recall"),
    ("F1, positive", "f1_positive"),
    ("Precision, positive", "precision_positive"),
    ("Recall, positive", "recall_positive"),
    ("F1, negative", "f1_negative"),
    ("Precision, negative", "precision_negative"),
    ("Recall, negative", "recall_negative"),
    ("F1 whatever the class", "f1_any_class"),
    ("F1 without a border of one radius", "f1_without_border"),
    ("F1 within 5 px (1.25 µm)", "f1_within_5_px"),
    ("F1 within 10 px (2.5 µm)", "f1_within_10_px"),
    ("Nuclei that are not tumor, share counted", "other_share"),
    ("Tumor nuclei lost to step 1, share", "lost_share"),
)


def _app_words(text: str) -> str:
    return text.replace("images", "pictures").replace("image", "picture")
