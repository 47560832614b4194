"""Carrying out an evaluation: every field through both steps, held against its marks, written as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from db.engine import Session
from db.rows import EvaluationRow
from ki67.atomic import whole_folder
from ki67.errors import Cancelled, DataError
from ki67.pipeline.cards import ModelSet
from ki67.study import files
from ki67.study.annotated import Prepared, evaluation_folder, prepare
from ki67.study.error_marks import marks_of, marks_to_bytes
from ki67.study.model_sets import find_model_set
from ki67.study.people import Person
from ki67.study.workplace import Workplace, disk_faults, transaction
from ki67.training.folder import AnnotatedField, read_nuclei, read_tumor_mask
from ki67.types import GridMap, IsCancelled, Progress, ReportProgress, RunRecord

if TYPE_CHECKING:
    from ki67.training.evaluate import Evaluated, Evaluation

FIGURES_NAME, PICTURES_NAME = "figures.json", "pictures.json"


class FieldRunner(Protocol):
    """Runs both steps on an annotated picture, step 2 on all its tissue."""

    def __call__(self, field: AnnotatedField, *, models: ModelSet, cancelled: IsCancelled) -> RunRecord: ...


@dataclass(frozen=True)
class _Measured:
    """One field: its figures and rows, and what the viewer draws below the marks."""

    evaluated: Evaluated
    tumor_map: GridMap | None
    computed_with: str


def marks_file(result: Path, field: str) -> Path:
    """The marks of one field of an evaluation's result."""
    return result / "marks" / f"{field}.npz"


def evaluate(
    workplace: Workplace,
    person: Person,
    row: EvaluationRow,
    *,
    runner: FieldRunner,
    progress: ReportProgress,
    cancelled: IsCancelled,
    confirm: Callable[[Session, dict[str, Any]], None],
) -> None:
    """Measures a model set on every field of an evaluation and keeps what came out.

    `confirm` is called within a transaction with the summary; what it raises undoes everything.

    Raises:
        Ki67Error: with the sentence for the person; nothing was kept.
    """
    models = find_model_set(workplace, row.model_set)
    prepared = prepare(
        workplace, person, row.request, code=row.code, name=row.name, progress=progress, cancelled=cancelled
    )
    usable = [each for each in prepared if each.field.labelled or (models.tumor and each.field.tumor_file)]
    if not usable:
        raise DataError(
            "No picture has nuclei labelled positive or negative: there is nothing to measure against."
        )
    measured: list[_Measured] = []
    progress(Progress("load", 0, len(usable)))
    for number, each in enumerate(usable):
        if cancelled():
            raise Cancelled("Cancelled: nothing was stored.")
        measured.append(_measure(each, models=models, runner=runner, cancelled=cancelled))
        progress(Progress("evaluate", number + 1, len(usable)))
    folder = evaluation_folder(workplace.home, row.code)
    with disk_faults(), whole_folder(folder / "result") as out:
        summary = _write(out, usable, measured, models)
    with transaction(workplace) as session:
        confirm(session, summary)
    files.remove(folder / "data")


def _measure(
    prepared: Prepared, *, models: ModelSet, runner: FieldRunner, cancelled: IsCancelled
) -> _Measured:
    from ki67.training.evaluate import Truth, evaluate_record

    field = prepared.field
    record = runner(field, models=models, cancelled=cancelled)
    truth = Truth(
        image=field.name,
        source=field.source,
        patient=field.patient,
        patient_known=field.patient_known,
        nuclei=read_nuclei(field) if field.labelled else None,
        tumor_mask=read_tumor_mask(field) if field.tumor_file is not None else None,
        trained_cells=prepared.sha256 in models.cells.training_images,
        trained_tumor=models.tumor is not None and prepared.sha256 in models.tumor.training_images,
    )
    computed_with = f"{record.backend} {record.device} {record.precision}"
    return _Measured(evaluate_record(record, truth), record.tumor_map, computed_with)


def _write(
    out: Path, prepared: Sequence[Prepared], measured: Sequence[_Measured], models: ModelSet
) -> dict[str, Any]:
    """Writes the contract's three files, the figures, the marks; returns the summary for lists."""
    from ki67.training.evaluate_files import write_evaluation
    from ki67.training.report import report_of

    evaluation = _evaluation(measured, models)
    report = report_of(evaluation.figures)
    write_evaluation(out, evaluation, report)
    figures = [asdict(each.evaluated.figures) for each in measured]
    (out / FIGURES_NAME).write_text(json.dumps(figures, allow_nan=False), "utf-8")
    pictures = {each.field.name: {"picture": each.picture_code, "mpp": each.field.mpp} for each in prepared}
    (out / PICTURES_NAME).write_text(json.dumps(pictures), "utf-8")
    (out / "marks").mkdir()
    for each in measured:
        layers = {step: marks_of(each.evaluated, step) for step in ("with_step_1", "without_step_1")}
        marks_file(out, each.evaluated.figures.image).write_bytes(marks_to_bytes(layers, each.tumor_map))
    best = report.headline.with_step_1 or report.headline.without_step_1
    limits = best.intervals.f1 if best else None
    return {
        "fields": len(measured),
        "f1": best.summary.f1 if best else None,
        "f1_limits": [limits.low, limits.high] if limits else None,
        "models": {task: ref.sha256 if ref else None for task, ref in _refs(models).items()},
    }


def _refs(models: ModelSet) -> dict[str, Any]:
    return {"tumor": models.tumor.ref if models.tumor else None, "cells": models.cells.ref}


def _evaluation(measured: Sequence[_Measured], models: ModelSet) -> Evaluation:
    from ki67.training.evaluate import Evaluation

    return Evaluation(
        model_set=models.name,
        models={task: asdict(ref) if ref else None for task, ref in _refs(models).items()},
        backend=measured[0].computed_with,
        fields=tuple(each.evaluated for each in measured),
    )
