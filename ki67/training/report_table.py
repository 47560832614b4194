"""The report as text for a terminal: a line for each source and way of counting, then what step 1 does."""

from __future__ import annotations

from collections.abc import Iterator

from ki67.training.figures import STEPS, Step
from ki67.training.report import BothWays, Figures, Report
from ki67.training.report_intervals import Change, Limits
from ki67.training.report_others import OtherShare

_HEADS = (
    ("n", 4),
    ("F1 4 µm (95 %)", 20),
    ("5 px", 7),
    ("10 px", 7),
    ("any", 7),
    ("inner", 7),
    ("prec.", 7),
    ("recall", 8),
    ("MAE", 7),
    ("bias", 7),
)
_WORD: dict[Step, str] = {"with_step_1": "with", "without_step_1": "without"}


def table_lines(report: Report) -> Iterator[str]:
    """The lines of the table; figures of pictures unseen in training, those trained on apart."""
    if report.headline_reason:
        yield f"No headline: {report.headline_reason}."
    yield f"{'source':<16}{'step 1':<9}" + "".join(f"{head:>{width}}" for head, width in _HEADS)
    yield from _rows("all", report.headline)
    for row in report.by_source:
        yield from _rows(row.source, row.figures)
    yield from _rows("(trained on)", report.on_training_pictures)
    yield from _notes(report)


def _rows(name: str, figures: BothWays) -> Iterator[str]:
    for step in STEPS:
        own = figures.of(step)
        if own is not None:
            yield f"{name:<16}{_WORD[step]:<9}" + _cells(own)


def _cells(figures: Figures) -> str:
    summary = figures.summary
    f1 = _number(summary.f1, 3) + _limits(figures.intervals.f1, 2)
    numbers = (
        summary.f1_within_5_px,
        summary.f1_within_10_px,
        summary.f1_any_class,
        summary.f1_without_border,
        summary.precision,
        summary.recall,
    )
    cells = [f"{summary.fields}{'' if figures.enough else '*'}", f1]
    cells += [_number(value, 3) for value in numbers]
    cells += [_number(summary.index.mean_absolute, 1), _number(summary.index.bias, 1, sign=True)]
    return "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, _HEADS, strict=True))


def _notes(report: Report) -> Iterator[str]:
    everything = [report.headline, *(row.figures for row in report.by_source), report.on_training_pictures]
    shown = [own for both in everything for step in STEPS if (own := both.of(step))]
    if any(not own.enough for own in shown):
        yield "* fewer than five patients or fields: no interval and no verdict."
    if any(not own.summary.patients_known for own in shown):
        yield "Some pictures name no patient: there the picture stands for the patient."
    yield "any: without classes; inner: without a border of 4 µm; MAE, bias: of the index, percentage points,"
    drawn = f"{report.draws} draws of patients, seed {report.seed}"
    yield f"fields of 50 tumor nuclei or more; 95 % limits: {drawn}."
    yield from _agreement(report.headline)
    if report.difference:
        change = report.difference
        yield (
            f"Step 1 changes F1 by {_change(change.f1, 3)}, the index error (mean absolute) by "
            f"{_change(change.index_mean_absolute, 1)} and its bias by {_change(change.index_bias, 1)} "
            "points."
        )
    own = report.headline.with_step_1
    if own is not None and own.summary.lost_share is not None:
        yield (
            f"Tumor nuclei lost to the mask: {own.summary.lost_to_mask} of {own.summary.found_anyhow} found "
            f"({100 * own.summary.lost_share:.1f} %)."
        )
    for share in report.others:
        yield _others(share)
        yield "  " + ", ".join(f"{row.image} {row.counted} of {row.other}" for row in share.fields)
    if report.tumor_dice is not None:
        limits = _limits(report.tumor_dice_limits, 3)
        yield f"Tumor Dice {report.tumor_dice:.3f}{limits} where masks were drawn."
    if report.worst:
        yield "Worst fields:"
        yield from (f"  {row.image}: F1 {row.f1:.3f}. {row.reason}" for row in report.worst)


def _agreement(headline: BothWays) -> Iterator[str]:
    for step in STEPS:
        own = headline.of(step)
        agreement = own.agreement if own else None
        if agreement and agreement.lower is not None and agreement.upper is not None:
            yield (
                f"Limits of agreement of the index, step 1 {_WORD[step]}: {agreement.lower:+.1f} to "
                f"{agreement.upper:+.1f} points ({len(agreement.pairs)} fields)."
            )


def _others(share: OtherShare) -> str:
    text = (
        f"Nuclei that are not tumor but counted, step 1 {_WORD[share.step]}: {share.counted} of {share.other}"
    )
    text += f" ({100 * (share.share or 0):.0f} %)"
    if share.share_without_largest is None:
        return f"{text}, all of patient {share.largest_patient}."
    return (
        f"{text}; without patient {share.largest_patient} {share.counted_without_largest} of "
        f"{share.other_without_largest} ({100 * share.share_without_largest:.0f} %)."
    )


def _change(change: Change, digits: int) -> str:
    return _number(change.value, digits, sign=True) + _limits(change.limits, digits, sign=True)


def _number(value: float | None, digits: int, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _limits(limits: Limits | None, digits: int, *, sign: bool = False) -> str:
    if limits is None:
        return ""
    low, high = (_number(value, digits, sign=sign) for value in (limits.low, limits.high))
    return f" ({low} to {high})" if sign else f" ({low}–{high})"
