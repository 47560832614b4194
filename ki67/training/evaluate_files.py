"""The files of an evaluation: `evaluation.json`, `fields.csv` (a row per field), `matches.csv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import fields as columns_of
from pathlib import Path
from typing import Any

from ki67 import __version__
from ki67.atomic import write_whole_file
from ki67.training.counting import FIVE_PX_UM, RADIUS_UM, TEN_PX_UM, MatchRow
from ki67.training.evaluate import Evaluated, Evaluation
from ki67.training.figures import (
    FEWEST_FOR_INDEX,
    STEPS,
    Faults,
    FieldFigures,
    MaskOverlap,
    ScoreBins,
    Step,
    StepCounts,
    Tally,
    pooled_dice,
)
from ki67.training.report import BothWays, Figures, Report
from ki67.training.report_intervals import FEWEST

PROTOCOL: dict[str, Any] = {
    "radius_um": RADIUS_UM,
    "within_5_px_um": FIVE_PX_UM,
    "within_10_px_um": TEN_PX_UM,
    "matching": "optimal, one to one, within each class; pooled over fields and classes",
    "other": "a detection on a nucleus that is not tumor is a false positive",
    "unknown": "a detection that falls to a nucleus of unknown kind is ignored",
    "border": "nothing excluded; without_border leaves out what lies within one radius of it",
    "index": f"fields with at least {FEWEST_FOR_INDEX} tumor nuclei counted, percentage points",
    "intervals": "95 %, bootstrap over patients, percentiles; the same draws for both ways of counting",
    "fewest": FEWEST,
}


def write_evaluation(out: Path, evaluation: Evaluation, report: Report) -> None:
    """Write `evaluation.json`, `fields.csv`, `matches.csv` of an evaluation and its report into `out`."""
    text = json.dumps(evaluation_json(evaluation, report), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole_file(out / "fields.csv", fields_csv(evaluation.figures).encode())
    write_whole_file(out / "matches.csv", matches_csv(evaluation.fields).encode())
    write_whole_file(out / "evaluation.json", text.encode())


def evaluation_json(evaluation: Evaluation, report: Report) -> dict[str, Any]:
    """The content of `evaluation.json`: protocol, report, and every field with its counts."""
    return {
        "research_use_only": True,
        "model_set": evaluation.model_set,
        "models": evaluation.models,
        "backend": evaluation.backend,
        "software_version": __version__,
        **report_json(report),
        "fields": [asdict(field) for field in evaluation.figures],
    }


def report_json(report: Report) -> dict[str, Any]:
    """A report as plain values; `headline.<step>.f1` is a number, its limits are in `…intervals.f1`."""
    return {
        "protocol": PROTOCOL,
        "seed": report.seed,
        "draws": report.draws,
        "headline": _both_ways(report.headline),
        "headline_reason": report.headline_reason,
        "difference": asdict(report.difference) if report.difference else None,
        "by_source": {row.source: _both_ways(row.figures) for row in report.by_source},
        "difference_by_source": {
            row.source: asdict(row.difference) if row.difference else None for row in report.by_source
        },
        "on_training_pictures": _both_ways(report.on_training_pictures),
        "others": {share.step: asdict(share) for share in report.others},
        "reliability": {diagram.step: asdict(diagram) for diagram in report.reliability},
        "worst_fields": [asdict(row) for row in report.worst],
        "tumor_dice": report.tumor_dice,
        "tumor_dice_limits": asdict(report.tumor_dice_limits) if report.tumor_dice_limits else None,
        "tumor_dice_on_training_pictures": report.tumor_dice_on_training_pictures,
    }


def fields_csv(figures: Sequence[FieldFigures]) -> str:
    """A row per field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["image", "source", "patient", "patient_known", "trained_cells", "trained_tumor"]
    head += ["truth_positive", "truth_negative", "truth_other", "tumor_dice"]
    head += ["found_anyhow", "lost_to_mask", "outside_mask"]
    per_step = ["positive", "negative", "tp", "fp", "fn", "f1", "f1_any_class", "other_counted"]
    per_step += [column.name for column in columns_of(Faults)] + ["index_error_points"]
    writer.writerow(head + [f"{name}_{step}" for step in STEPS for name in per_step])
    for field in figures:
        row: list[object] = [field.image, field.source, field.patient, int(field.patient_known)]
        row += [int(field.trained_cells), int(field.trained_tumor)]
        row += [field.truth_positive, field.truth_negative, field.truth_other, _rounded(pooled_dice([field]))]
        lost = (field.found_anyhow, field.lost_to_mask, field.outside_mask)
        row += ["" if value is None else value for value in lost]
        for step in STEPS:
            row += _step_columns(field, step, width=len(per_step))
        writer.writerow(row)
    return stream.getvalue()


def matches_csv(fields: Sequence[Evaluated]) -> str:
    """A row per truth or detection and way of counting."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [column.name for column in columns_of(MatchRow)]
    writer.writerow(["image", "counted", *names])
    for field in fields:
        for step, row in field.rows:
            writer.writerow([field.figures.image, step, *(_plain(getattr(row, name)) for name in names)])
    return stream.getvalue()


def read_figures(path: Path) -> tuple[FieldFigures, ...]:
    """The fields of an `evaluation.json`, to pool them again."""
    return tuple(_field_figures(raw) for raw in json.loads(path.read_text("utf-8"))["fields"])


def _both_ways(figures: BothWays) -> dict[str, Any]:
    return {step: _figures(own) if (own := figures.of(step)) else None for step in STEPS}


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        **asdict(figures.summary),
        "enough": figures.enough,
        "reason": figures.reason,
        "intervals": asdict(figures.intervals),
        "agreement": asdict(figures.agreement) if figures.agreement else None,
    }


def _step_columns(field: FieldFigures, step: Step, *, width: int) -> list[object]:
    counts = field.counts(step)
    if counts is None:
        return [""] * width
    both = counts.both
    return [
        counts.found_positive,
        counts.found_negative,
        both.tp,
        both.fp,
        both.fn,
        _rounded(both.f1),
        _rounded(counts.any.f1),
        counts.other_counted,
        *asdict(counts.faults).values(),
        _rounded(field.index_error_points(step)),
    ]


def _rounded(value: float | None) -> object:
    return "" if value is None else round(value, 4)


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return round(value, 3) if isinstance(value, float) else value


def _field_figures(raw: dict[str, Any]) -> FieldFigures:
    steps = {name: _counts(raw[name]) for name in ("without_step_1", "with_step_1")}
    tumor = MaskOverlap(**raw["tumor"]) if raw["tumor"] else None
    return FieldFigures(**{**raw, **steps, "tumor": tumor})


def _counts(raw: dict[str, Any] | None) -> StepCounts | None:
    if raw is None:
        return None
    values = dict(raw)
    faults, bins = values.pop("faults", None), values.pop("bins", None)
    tallies = {name: Tally(**value) for name, value in values.items() if isinstance(value, dict)}
    read = {**values, **tallies}
    if faults is not None:
        read["faults"] = Faults(**faults)
    if bins is not None:
        read["bins"] = ScoreBins(**{name: tuple(numbers) for name, numbers in bins.items()})
    return StepCounts(**read)
