"""`crossval`: train and evaluate fold by fold; each picture is tested by nets that never saw its patient.

A fold: train → calibrate a tumor net that was handed in, tune score threshold and distance, both on the
fold's training pictures → test.
A fold lies in `OUT/<fold>/`: `models/` (a model set), `evaluation.json`, `fields.csv`, `matches.csv`.
`OUT/assignment.csv` says which picture is tested in which fold, `OUT/plan.json` with which settings,
`OUT/crossval.json` and `OUT/fields.csv` pool the folds. Started again, it goes on where it stopped.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from ki67.atomic import write_whole_file
from ki67.errors import DataError, TrainingError
from ki67.pipeline.backends import BackendName, Device, choose_backend
from ki67.pipeline.cards import (
    CARD_NAME,
    TASKS,
    WEIGHTS_NAME,
    read_card,
    read_model_set,
    verify_weights,
    write_model_folder,
)
from ki67.training.calibrate import CALIBRATED, calibrate_tumor
from ki67.training.error_model import estimate_error_model
from ki67.training.evaluate import evaluate_fields
from ki67.training.evaluate_files import fields_csv, read_figures, report_json, write_evaluation
from ki67.training.evaluate_tuning import TUNED, store_tuning, tune_post_processing
from ki67.training.figures import FieldFigures
from ki67.training.folder import AnnotatedField, read_folder, split_by_patient
from ki67.training.loop import CHECKPOINT_NAME, Plan
from ki67.training.report import Report, report_of
from ki67.training.train import Material, Naming, Start, train_on, work_folder
from ki67.types import IsCancelled, ReportProgress, never_cancelled, no_progress


@dataclass(frozen=True)
class Fold:
    """One round: what is tested and what may train. They share no patient."""

    name: str
    test: tuple[AnnotatedField, ...]
    train: tuple[AnnotatedField, ...]


@dataclass(frozen=True)
class Scheme:
    """How folds are made: `folds` by patient, or one fold for each entry (sources) of `leave_out`."""

    folds: int | None = None
    leave_out: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Trial:
    """How each fold is trained and run: one plan for each net to train; `init` is a model set.

    A tumor net that is not trained is taken over from `init`, where there is one. `tune`: its border,
    and threshold and distance, are set on the fold's training pictures, else those of the cards hold.
    """

    plans: tuple[Plan, ...]
    material: Material = dataclasses.field(default_factory=Material)
    encoder_weights: str = "none"
    init: Path | None = None
    device: Device = "auto"
    backend: BackendName = "auto"
    tune: bool = True


def make_folds(
    fields: Sequence[AnnotatedField], also: Sequence[AnnotatedField], scheme: Scheme, *, seed: int
) -> tuple[Fold, ...]:
    """Divide the pictures; those of `also`, and sources never left out, only train.

    A picture of a patient who is tested in a fold never trains in it, whatever folder it lies in.
    Raises DataError for a source that does not exist or is left out twice, or too few patients.
    """
    if scheme.folds is not None:
        if scheme.folds < 2:
            raise DataError("One fold leaves nothing to train on: ask for at least 2.")
        tests = split_by_patient(fields, folds=scheme.folds, seed=seed)
    else:
        tests = _by_source(fields, scheme.leave_out)
    folds = []
    for number, test in enumerate(tests, start=1):
        tested = {field.patient for field in test}
        train = tuple(field for field in (*fields, *also) if field.patient not in tested)
        folds.append(Fold(f"fold-{number}", tuple(test), train))
    return tuple(folds)


def cross_validate(
    data: Path,
    *,
    also: Sequence[Path] = (),
    scheme: Scheme,
    trial: Trial,
    seed: int,
    out: Path,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> Report:
    """Run every fold that is not finished, pool the figures, write `crossval.json`; returns its report.

    The steps: divide → write the assignment (the same as before, if started again) → for each fold
    train, tune, evaluate → pool the counts of all folds; where laboratories were left out, estimate
    the error model of the index from them.
    Raises DataError, TrainingError (another division or other settings in `out`), Cancelled.
    """
    fields = read_folder(data)
    others = tuple(field for folder in also for field in read_folder(folder))
    folds = make_folds(fields, others, scheme, seed=seed)
    _same_as_before(out / "assignment.csv", assignment_csv(folds), "division into folds")
    _same_as_before(out / "plan.json", _settings(trial, seed=seed), "training plan")
    for fold in folds:
        if not (out / fold.name / "evaluation.json").is_file():
            _run_fold(fold, trial, folder=out / fold.name, seed=seed, report=report, cancelled=cancelled)
    by_fold = {fold.name: read_figures(out / fold.name / "evaluation.json") for fold in folds}
    figures = [figure for own in by_fold.values() for figure in own]
    result = report_of(figures, seed=seed)
    pooled = {
        "research_use_only": True,
        "folds": {name: _brief(own, seed=seed) for name, own in by_fold.items()},
        **report_json(result),
        "error_model": estimate_error_model(figures) if scheme.leave_out else None,
    }
    write_whole_file(out / "fields.csv", fields_csv(figures).encode())
    write_whole_file(
        out / "crossval.json", json.dumps(pooled, indent=1, ensure_ascii=False, allow_nan=False).encode()
    )
    return result


def assignment_csv(folds: Sequence[Fold]) -> str:
    """`fold,image,source,patient,patient_known,role`: a row for each picture and fold it has a part in."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["fold", "image", "source", "patient", "patient_known", "role"])
    for fold in folds:
        for role, members in (("test", fold.test), ("train", fold.train)):
            for field in members:
                writer.writerow(
                    [fold.name, field.name, field.source, field.patient, int(field.patient_known), role]
                )
    return stream.getvalue()


def _run_fold(
    fold: Fold,
    trial: Trial,
    *,
    folder: Path,
    seed: int,
    report: ReportProgress,
    cancelled: IsCancelled,
) -> None:
    models = folder / "models"
    for plan in trial.plans:
        _train_fold(fold, trial, plan, models=models, report=report, cancelled=cancelled)
    _take_over_tumor(trial, models, fold)
    model_set = read_model_set(models)
    backend = choose_backend(
        models, device=trial.device, backend=trial.backend, with_tumor=model_set.tumor is not None
    )
    if trial.tune and TUNED not in model_set.cells.figures:
        tuning = tune_post_processing(
            fold.train, models=model_set, backend=backend, seed=seed, report=report, cancelled=cancelled
        )
        store_tuning(models / "cells", tuning)
        model_set = read_model_set(models)
    evaluation = evaluate_fields(
        fold.test, models=model_set, backend=backend, seed=seed, report=report, cancelled=cancelled
    )
    write_evaluation(folder, evaluation, report_of(evaluation.figures, seed=seed))


def _take_over_tumor(trial: Trial, models: Path, fold: Fold) -> None:
    """The tumor net of `init`, where the fold trains none of its own; calibrated on the fold's training
    pictures if it is to be tuned."""
    trained = {plan.task for plan in trial.plans}
    if trial.init is None or "tumor" in trained or not (trial.init / "tumor" / CARD_NAME).is_file():
        return
    if not (models / "tumor" / CARD_NAME).is_file():
        card = verify_weights(trial.init / "tumor")
        write_model_folder(models / "tumor", card, load_file(trial.init / "tumor" / WEIGHTS_NAME))
    if trial.tune and CALIBRATED not in read_card(models / "tumor").figures:
        calibrate_tumor(models / "tumor", [field for field in fold.train if field.labelled])


def _brief(figures: Sequence[FieldFigures], *, seed: int) -> dict[str, Any]:
    """The report of one fold without what its own `evaluation.json` holds in full."""
    full = report_json(report_of(figures, seed=seed))
    return {name: full[name] for name in ("headline", "headline_reason", "difference", "by_source")}


def _train_fold(
    fold: Fold,
    trial: Trial,
    plan: Plan,
    *,
    models: Path,
    report: ReportProgress,
    cancelled: IsCancelled,
) -> None:
    out = models / plan.task
    if _finished(out, plan):
        return
    train_on(
        plan.task,
        fields=fold.train,
        held_out=[field for field in fold.test if field.tumor_file] if plan.task == "tumor" else (),
        out=out,
        plan=plan,
        start=Start(trial.encoder_weights, (trial.init / plan.task,) if trial.init else ()),
        naming=Naming(name=f"{fold.name} {plan.task}"),
        material=trial.material,
        resume=(work_folder(out) / CHECKPOINT_NAME).is_file(),
        report=report,
        cancelled=cancelled,
    )


def _finished(out: Path, plan: Plan) -> bool:
    if not (out / CARD_NAME).is_file():
        return False
    return int(read_card(out).figures.get("patches", 0)) >= plan.patches


def _by_source(
    fields: Sequence[AnnotatedField], leave_out: Sequence[Sequence[str]]
) -> tuple[tuple[AnnotatedField, ...], ...]:
    known = sorted({field.source for field in fields})
    named = [source for sources in leave_out for source in sources]
    for source in named:
        if source not in known:
            raise DataError(f"No picture has the source {source}: the sources are {', '.join(known)}.")
        if named.count(source) > 1:
            raise DataError(f"The source {source} is left out twice: name it once.")
    if not named:
        raise DataError("No source is named: give --leave-out SOURCE, or --by patient --folds K.")
    return tuple(tuple(field for field in fields if field.source in sources) for sources in leave_out)


def _same_as_before(path: Path, text: str, what: str) -> None:
    if path.is_file() and path.read_text("utf-8") != text:
        raise TrainingError(
            f"{path} holds another {what}: give another --out, or the data and options of that run."
        )
    write_whole_file(path, text.encode())


def _settings(trial: Trial, *, seed: int) -> str:
    init = {}
    if trial.init is not None:
        used = sorted({plan.task for plan in trial.plans} | ({"tumor"} & set(_nets_of(trial.init))))
        init = {task: read_card(trial.init / task).sha256 for task in used}
    settings = {
        "seed": seed,
        "plans": [dataclasses.asdict(plan) for plan in trial.plans],
        "material": dataclasses.asdict(trial.material),
        "encoder_weights": trial.encoder_weights,
        "init": init,
        "tune": trial.tune,
    }
    return json.dumps(settings, indent=1)


def _nets_of(model_set: Path) -> tuple[str, ...]:
    return tuple(task for task in TASKS if (model_set / task / CARD_NAME).is_file())
