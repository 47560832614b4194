"""`evaluate`: figures of a model set on an annotated folder, every figure with and without step 1.

Each picture goes through the pipeline that `score` runs. Step 2 is run on the whole tissue, so that
both ways of counting come from one run: with step 1 a nucleus counts where the tumor map says
tumor, without it everywhere.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from dataclasses import fields as columns_of
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ki67 import __version__
from ki67.atomic import write_whole_file
from ki67.errors import DataError
from ki67.pipeline.backends import Backend
from ki67.pipeline.cards import ModelSet
from ki67.pipeline.images import Picture, open_picture, sha256_of
from ki67.pipeline.measure import measure
from ki67.pipeline.run import cover_more, score_picture
from ki67.training.counting import Found, MatchRow, count_field
from ki67.training.figures import STEPS, FieldFigures, MaskOverlap, Step, StepCounts, pooled_dice, summarize
from ki67.training.folder import AnnotatedField, Kind, Nuclei, read_folder, read_nuclei, read_tumor_mask
from ki67.types import (
    GridMap,
    IsCancelled,
    Parameters,
    PixelSize,
    Progress,
    ReportProgress,
    RunRecord,
    never_cancelled,
    no_progress,
)

EVERY_PICTURE_TRAINED = "every picture was used in training, so nothing is left for a fair figure"


@dataclass(frozen=True)
class Evaluated:
    """One field with its figures and the rows behind them, each row with the way of counting."""

    figures: FieldFigures
    rows: tuple[tuple[Step, MatchRow], ...]


@dataclass(frozen=True)
class Evaluation:
    """The figures of a model set on a set of fields."""

    model_set: str
    models: dict[str, dict[str, str] | None]
    backend: str
    fields: tuple[Evaluated, ...]

    @property
    def figures(self) -> tuple[FieldFigures, ...]:
        """The figures of every field, in their order."""
        return tuple(field.figures for field in self.fields)


def evaluate_folder(
    data: Path,
    *,
    models: ModelSet,
    backend: Backend,
    patients: Collection[str] | None = None,
    seed: int = 0,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> Evaluation:
    """Evaluate on the annotated pictures of a folder, or on those of `patients` alone.

    Raises DataError when a patient is not in the folder or no picture can be measured against.
    """
    fields = read_folder(data)
    if patients is not None:
        known = {field.patient for field in fields}
        strangers = sorted(set(patients) - known)
        if strangers:
            raise DataError(f"{data} has no patient {strangers[0]}: correct the list of patients.")
        fields = tuple(field for field in fields if field.patient in set(patients))
    return evaluate_fields(
        fields, models=models, backend=backend, seed=seed, report=report, cancelled=cancelled
    )


def evaluate_fields(
    fields: Sequence[AnnotatedField],
    *,
    models: ModelSet,
    backend: Backend,
    seed: int = 0,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> Evaluation:
    """Evaluate on these pictures; those with neither labelled nuclei nor a drawn mask are left out."""
    usable = [field for field in fields if field.labelled or (models.tumor and field.tumor_file)]
    if not usable:
        raise DataError(
            "No picture has nuclei labelled positive or negative, or a drawn tumor mask: "
            "there is nothing to measure against."
        )
    done: list[Evaluated] = []
    for number, field in enumerate(usable):
        report(Progress("evaluate", number, len(usable)))
        done.append(_evaluate(field, models=models, backend=backend, seed=seed, cancelled=cancelled))
    report(Progress("evaluate", len(usable), len(usable)))
    refs = {"tumor": models.tumor.ref if models.tumor else None, "cells": models.cells.ref}
    return Evaluation(
        model_set=models.name,
        models={task: asdict(ref) if ref else None for task, ref in refs.items()},
        backend=f"{backend.name} {backend.device} {backend.precision}",
        fields=tuple(done),
    )


def read_patients(path: Path) -> tuple[str, ...]:
    """Patients of a text file, one a line; empty lines are skipped."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(
            f"{path} cannot be read: give a text file (UTF-8) with one patient a line."
        ) from fault
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{path} names no patient: write one a line.")
    return names


def write_evaluation(out: Path, evaluation: Evaluation) -> None:
    """Write `evaluation.json`, `fields.csv` (a row per field), `matches.csv` (per truth or detection)."""
    text = json.dumps(evaluation_json(evaluation), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole_file(out / "fields.csv", fields_csv(evaluation.figures).encode())
    write_whole_file(out / "matches.csv", matches_csv(evaluation.fields).encode())
    write_whole_file(out / "evaluation.json", text.encode())


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of `evaluation.json`: headline, by source, on training pictures, and every field."""
    return {
        "research_use_only": True,
        "model_set": evaluation.model_set,
        "models": evaluation.models,
        "backend": evaluation.backend,
        "software_version": __version__,
        **summaries_json(evaluation.figures),
        "fields": [asdict(field) for field in evaluation.figures],
    }


def summaries_json(figures: Sequence[FieldFigures]) -> dict[str, Any]:
    """Headline (pictures unseen in training), the same by source, and the figures on training pictures."""
    unseen = {step: [field for field in figures if field.unseen(step)] for step in STEPS}
    seen = {step: [field for field in figures if not field.unseen(step)] for step in STEPS}
    sources = sorted({field.source for field in figures})
    result: dict[str, Any] = {
        "headline": {step: _summary(unseen[step], step) for step in STEPS},
        "headline_reason": None if any(unseen.values()) else EVERY_PICTURE_TRAINED,
        "by_source": {
            source: {
                step: _summary([field for field in unseen[step] if field.source == source], step)
                for step in STEPS
            }
            for source in sources
        },
        "on_training_pictures": {step: _summary(seen[step], step) for step in STEPS},
        "tumor_dice": pooled_dice([field for field in figures if not field.trained_tumor]),
        "tumor_dice_on_training_pictures": pooled_dice([field for field in figures if field.trained_tumor]),
    }
    return result


def fields_csv(figures: Sequence[FieldFigures]) -> str:
    """A row per field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["image", "source", "patient", "patient_known", "trained_cells", "trained_tumor"]
    head += ["truth_positive", "truth_negative", "truth_other", "tumor_dice"]
    per_step = ["positive", "negative", "tp", "fp", "fn", "f1", "other_counted", "index_error_points"]
    writer.writerow(head + [f"{name}_{step}" for step in STEPS for name in per_step])
    for field in figures:
        row: list[object] = [field.image, field.source, field.patient, int(field.patient_known)]
        row += [int(field.trained_cells), int(field.trained_tumor)]
        row += [field.truth_positive, field.truth_negative, field.truth_other, _rounded(pooled_dice([field]))]
        for step in STEPS:
            row += _step_columns(field, step)
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
            values = [getattr(row, name) for name in names]
            rounded = [round(value, 3) if isinstance(value, float) else value for value in values]
            writer.writerow([field.figures.image, step, *rounded])
    return stream.getvalue()


def _evaluate(
    field: AnnotatedField, *, models: ModelSet, backend: Backend, seed: int, cancelled: IsCancelled
) -> Evaluated:
    nuclei = read_nuclei(field) if field.labelled else None
    with open_picture(field.image, name=field.name) as picture:
        record = _run(picture, field.mpp, models=models, backend=backend, seed=seed, cancelled=cancelled)
    digest = sha256_of(field.image)
    counts: dict[Step, StepCounts] = {}
    rows: list[tuple[Step, MatchRow]] = []
    if nuclei is not None:
        for step, found in _found(record).items():
            counts[step], own = count_field(
                nuclei, found, mpp=field.mpp, width_px=record.width_px, height_px=record.height_px
            )
            rows += [(step, row) for row in own]
    figures = FieldFigures(
        image=field.name,
        source=field.source,
        patient=field.patient,
        patient_known=field.patient_known,
        trained_cells=digest in models.cells.training_images,
        trained_tumor=models.tumor is not None and digest in models.tumor.training_images,
        truth_positive=_count(nuclei, Kind.POSITIVE),
        truth_negative=_count(nuclei, Kind.NEGATIVE),
        truth_other=_count(nuclei, Kind.OTHER),
        without_step_1=counts.get("without_step_1"),
        with_step_1=counts.get("with_step_1"),
        tumor=_overlap(field, record),
    )
    return Evaluated(figures, tuple(rows))


def _run(
    picture: Picture, mpp: float, *, models: ModelSet, backend: Backend, seed: int, cancelled: IsCancelled
) -> RunRecord:
    """Both steps, then step 2 on all the tissue that it has not covered."""
    record = score_picture(
        picture,
        pixel_size=PixelSize(mpp, "given"),
        models=models,
        backend=backend,
        parameters=Parameters(use_tumor_mask=models.tumor is not None),
        seed=seed,
        cancelled=cancelled,
    )
    everywhere = GridMap(
        np.full_like(record.tissue_map.values, 255),
        record.tissue_map.px_per_cell,
        record.tissue_map.origin_x_px,
        record.tissue_map.origin_y_px,
    )
    return cover_more(picture, record, everywhere, models=models, backend=backend, cancelled=cancelled)


def _found(record: RunRecord) -> dict[Step, Found]:
    measured = measure(record)
    candidates = record.candidates
    xy = np.column_stack((candidates.x_px, candidates.y_px)).astype(np.float64)

    def those(chosen: Any) -> Found:
        return Found(xy[chosen], candidates.is_positive[chosen], candidates.score[chosen].astype(np.float64))

    found: dict[Step, Found] = {"without_step_1": those(measured.found)}
    if record.tumor_map is not None:
        found["with_step_1"] = those(measured.counted)
    return found


def _overlap(field: AnnotatedField, record: RunRecord) -> MaskOverlap | None:
    """Step 1's map against the drawn mask, on the mask's pixels; 128 (not annotated) is left out."""
    if field.tumor_file is None or record.tumor_map is None:
        return None
    drawn = read_tumor_mask(field)
    step_one = record.tumor_map
    height, width = drawn.shape
    reach = (
        round(step_one.values.shape[1] * step_one.px_per_cell),
        round(step_one.values.shape[0] * step_one.px_per_cell),
    )
    called = cv2.resize(step_one.values, reach, interpolation=cv2.INTER_NEAREST)[:height, :width]
    tumor = called >= np.ceil(255 * record.parameters.tumor_border)
    known = drawn[: tumor.shape[0], : tumor.shape[1]]
    truth = known == 255
    tumor = tumor & (known != 128)
    return MaskOverlap(int((tumor & truth).sum()), int(tumor.sum()) + int(truth.sum()))


def _count(nuclei: Nuclei | None, kind: Kind) -> int:
    return 0 if nuclei is None else len(nuclei.of(kind))


def _summary(fields: Sequence[FieldFigures], step: Step) -> dict[str, Any] | None:
    summary = summarize(fields, step)
    return asdict(summary) if summary else None


def _step_columns(field: FieldFigures, step: Step) -> list[object]:
    counts = field.counts(step)
    if counts is None:
        return [""] * 8
    both = counts.both
    error = field.index_error_points(step)
    return [
        counts.found_positive,
        counts.found_negative,
        both.tp,
        both.fp,
        both.fn,
        _rounded(both.f1),
        counts.other_counted,
        _rounded(error),
    ]


def _rounded(value: float | None) -> object:
    return "" if value is None else round(value, 4)
