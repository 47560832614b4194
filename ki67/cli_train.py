"""`train`, `evaluate` and `crossval`: from parsed options to the training package, and a table for people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from ki67.pipeline.cards import Task, default_model_set, read_model_set
from ki67.pipeline.images import probe
from ki67.settings import load_settings
from ki67.training.folder import read_folder
from ki67.types import Progress, ReportProgress


def run_train(chosen: argparse.Namespace) -> int:
    """Train one net into a model folder."""
    settings = load_settings()
    _check_pictures(*chosen.data)
    from ki67.training.finish import finish_model, tunable
    from ki67.training.loop import Plan
    from ki67.training.train import Material, Naming, Start, train_model

    fields = [field for folder in chosen.data for field in read_folder(folder)]
    if chosen.tune:
        tunable(chosen.task, chosen.out, fields)
    plan = Plan(
        chosen.task,
        chosen.patches,
        seed=chosen.seed,
        batch=chosen.batch,
        learning_rate=chosen.rate,
        redrawn_share=chosen.redrawn_share,
        device=settings.device,
    )
    with _bar(f"train {chosen.task}") as report:
        card = train_model(
            chosen.task,
            data=chosen.data,
            out=chosen.out,
            plan=plan,
            start=Start(encoder_weights=chosen.encoder_weights, init=tuple(chosen.init)),
            naming=Naming(name=chosen.model_name or chosen.out.resolve().name),
            material=Material(base_only=chosen.base),
            resume=chosen.resume,
            report=report,
        )
        if chosen.tune:
            card = finish_model(
                chosen.task,
                chosen.out,
                fields,
                device=settings.device,
                backend=settings.backend,
                seed=chosen.seed,
                report=report,
            )
    print(f"{chosen.out}: {card.name} {card.version}, encoder from {card.encoder_init}, {card.figures}")
    return 0


def run_evaluate(chosen: argparse.Namespace) -> int:
    """Print the figures of a model set on an annotated folder; write them with `--out`."""
    settings = load_settings()
    models = read_model_set(chosen.models or settings.models or default_model_set())
    _check_pictures(chosen.data)
    from ki67.pipeline.backends import choose_backend
    from ki67.training.evaluate import evaluate_folder, read_patients
    from ki67.training.evaluate_files import write_evaluation
    from ki67.training.report import report_of
    from ki67.training.report_table import table_lines

    patients = read_patients(chosen.patients) if chosen.patients else None
    backend = choose_backend(
        models.folder,
        device=settings.device,
        backend=settings.backend,
        with_tumor=models.tumor is not None,
        cache=settings.net_cache,
    )
    with _bar("evaluate") as report:
        evaluation = evaluate_folder(
            chosen.data, models=models, backend=backend, patients=patients, report=report
        )
    report_made = report_of(evaluation.figures)
    if chosen.out:
        write_evaluation(chosen.out, evaluation, report_made)
    print("\n".join(table_lines(report_made)))
    return 0


def run_crossval(chosen: argparse.Namespace) -> int:
    """Train and evaluate fold by fold; print the pooled figures."""
    settings = load_settings()
    _check_pictures(chosen.data, *chosen.also)
    from ki67.training.crossval import Scheme, Trial, cross_validate
    from ki67.training.loop import Plan
    from ki67.training.report_table import table_lines

    tasks: tuple[Task, ...] = ("tumor", "cells") if chosen.task == "both" else (chosen.task,)
    plans = tuple(
        Plan(
            task,
            chosen.patches,
            seed=chosen.seed,
            batch=chosen.batch,
            learning_rate=chosen.rate,
            redrawn_share=chosen.redrawn_share,
            device=settings.device,
        )
        for task in tasks
    )
    leave_out = tuple(tuple(entry.split(",")) for entry in chosen.leave_out or ())
    with _bar("crossval") as report:
        pooled = cross_validate(
            chosen.data,
            also=chosen.also,
            scheme=Scheme(folds=chosen.folds, leave_out=leave_out),
            trial=Trial(plans=plans, init=chosen.init, device=settings.device, backend=settings.backend),
            seed=chosen.seed,
            out=chosen.out,
            report=report,
        )
    print("\n".join(table_lines(pooled)))
    return 0


def _check_pictures(*folders: Path) -> None:
    """Refuse an unreadable folder or picture before the nets are loaded; pixels are not decoded."""
    limit = load_settings().max_pixels
    for folder in folders:
        for field in read_folder(folder):
            probe(field.image, max_pixels=limit)


@contextmanager
def _bar(name: str) -> Iterator[ReportProgress]:
    """A progress bar on a terminal, nothing into a pipe."""
    with tqdm(desc=name, disable=not sys.stderr.isatty(), leave=False) as bar:

        def report(step: Progress) -> None:
            bar.set_description(f"{name}: {step.stage}", refresh=False)
            bar.total, bar.n = step.total, step.done
            bar.refresh()

        yield report
