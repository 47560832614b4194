"""`evaluate`: figures of a model set on an annotated folder, every figure with and without step 1.

Each picture goes through the pipeline that `score` runs. Step 2 is run on the whole tissue, so that
both ways of counting come from one run: with step 1 a nucleus counts where the tumor map says
tumor, without it everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ki67.errors import DataError
from ki67.pipeline.backends import Backend
from ki67.pipeline.cards import ModelSet
from ki67.pipeline.images import open_picture, sha256_of
from ki67.pipeline.regions import region_of, tumor_area
from ki67.pipeline.run import cover_more, score_picture
from ki67.training.counting import Found, MatchRow, count_field, found_tumor
from ki67.training.figures import FieldFigures, MaskOverlap, Step, StepCounts
from ki67.training.folder import AnnotatedField, Kind, Nuclei, read_folder, read_nuclei, read_tumor_mask
from ki67.training.reliability import bins_of
from ki67.types import (
    ByteArray,
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


@dataclass(frozen=True)
class Truth:
    """What a picture is held against: its labelled nuclei, a drawn tumor mask (255, 0, 128 unknown), or both.

    Positions are full-resolution pixels. `trained_*`: the card of that net lists the picture as training.
    """

    image: str
    source: str
    patient: str
    patient_known: bool
    nuclei: Nuclei | None
    tumor_mask: ByteArray | None = None
    trained_cells: bool = False
    trained_tumor: bool = False


@dataclass(frozen=True)
class Evaluated:
    """One field with its figures and the rows behind them, each row with the way of counting."""

    figures: FieldFigures
    rows: tuple[tuple[Step, MatchRow], ...]

    def rows_of(self, step: Step) -> tuple[MatchRow, ...]:
        """A row for each truth and each detection, counted one way."""
        return tuple(row for counted, row in self.rows if counted == step)

    def errors(self, step: Step) -> tuple[MatchRow, ...]:
        """The rows that are errors: `outcome` missed (draw at the truth) or false (draw at the detection)."""
        return tuple(row for row in self.rows_of(step) if row.fault)

    def removed_by_mask(self) -> tuple[MatchRow, ...]:
        """The detections that step 1 takes away, with what they lie on.

        `outcome` matched: a tumor nucleus is lost; `fault` on other: rightly removed.
        """
        return tuple(row for row in self.rows_of("without_step_1") if row.in_tumor is False)


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
        record = run_everywhere(field, models=models, backend=backend, seed=seed, cancelled=cancelled)
        done.append(evaluate_record(record, _truth(field, models=models)))
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


def evaluate_record(record: RunRecord, truth: Truth) -> Evaluated:
    """Hold a run against the truth of its picture.

    Without step 1 every nucleus of the region counts that reaches the run's score threshold, so that
    figure is right only where step 2 was run on all the tissue (`evaluate_fields` sees to it).
    """
    candidates = candidates_of(record)
    counts: dict[Step, StepCounts] = {}
    rows: list[tuple[Step, MatchRow]] = []
    found = _counted(record, candidates)
    if truth.nuclei is not None:
        for step, own in found.items():
            counts[step], matched = count_field(
                truth.nuclei,
                own,
                mpp=record.pixel_size.mpp,
                width_px=record.width_px,
                height_px=record.height_px,
            )
            bins = bins_of(truth.nuclei, candidates[step], mpp=record.pixel_size.mpp)
            counts[step] = replace(counts[step], bins=bins)
            rows += [(step, row) for row in matched]
    figures = FieldFigures(
        image=truth.image,
        source=truth.source,
        patient=truth.patient,
        patient_known=truth.patient_known,
        trained_cells=truth.trained_cells,
        trained_tumor=truth.trained_tumor,
        truth_positive=_count(truth.nuclei, Kind.POSITIVE),
        truth_negative=_count(truth.nuclei, Kind.NEGATIVE),
        truth_other=_count(truth.nuclei, Kind.OTHER),
        without_step_1=counts.get("without_step_1"),
        with_step_1=counts.get("with_step_1"),
        tumor=_overlap(truth.tumor_mask, record),
    )
    return Evaluated(_with_losses(figures, record, truth, found), tuple(rows))


def run_everywhere(
    field: AnnotatedField,
    *,
    models: ModelSet,
    backend: Backend,
    parameters: Parameters | None = None,
    seed: int = 0,
    cancelled: IsCancelled = never_cancelled,
) -> RunRecord:
    """Both steps on a picture, then step 2 on all the tissue that it has not covered.

    `parameters` None: those of the cards, with the tumor mask where the set has step 1.
    """
    asked = parameters or Parameters(use_tumor_mask=models.tumor is not None)
    with open_picture(field.image, name=field.name) as picture:
        record = score_picture(
            picture,
            pixel_size=PixelSize(field.mpp, "given"),
            models=models,
            backend=backend,
            parameters=asked,
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


def candidates_of(record: RunRecord) -> dict[Step, Found]:
    """Every candidate of the region, and those of them in the tumor, whatever their score."""
    candidates = record.candidates
    xy = np.column_stack((candidates.x_px, candidates.y_px)).astype(np.float64)
    inside = region_of(record).contains(candidates.x_px, candidates.y_px)
    in_tumor: npt.NDArray[np.bool_] | None = None
    if record.tumor_map is not None:
        area = tumor_area(record, outline=None, use_outline=False)
        in_tumor = area.contains(candidates.x_px, candidates.y_px)
    everything = Found(xy, candidates.is_positive, candidates.score.astype(np.float64), in_tumor)
    found: dict[Step, Found] = {"without_step_1": everything.those(inside)}
    if in_tumor is not None:
        found["with_step_1"] = everything.those(inside & in_tumor)
    return found


def _truth(field: AnnotatedField, *, models: ModelSet) -> Truth:
    digest = sha256_of(field.image)
    return Truth(
        image=field.name,
        source=field.source,
        patient=field.patient,
        patient_known=field.patient_known,
        nuclei=read_nuclei(field) if field.labelled else None,
        tumor_mask=read_tumor_mask(field) if field.tumor_file is not None else None,
        trained_cells=digest in models.cells.training_images,
        trained_tumor=models.tumor is not None and digest in models.tumor.training_images,
    )


def _counted(record: RunRecord, candidates: Mapping[Step, Found]) -> dict[Step, Found]:
    """The candidates that reach the run's score threshold."""
    threshold = record.parameters.score_threshold
    if threshold is None:
        raise ValueError("a stored run holds the score threshold that was used")
    return {step: found.those(found.score >= np.float32(threshold)) for step, found in candidates.items()}


def _with_losses(
    figures: FieldFigures, record: RunRecord, truth: Truth, found: Mapping[Step, Found]
) -> FieldFigures:
    """What the mask takes away of the true tumor nuclei; unchanged without step 1."""
    if truth.nuclei is None or "with_step_1" not in found:
        return figures
    mpp = record.pixel_size.mpp
    anyhow = found_tumor(truth.nuclei, found["without_step_1"].xy_px, mpp=mpp)
    still = found_tumor(truth.nuclei, found["with_step_1"].xy_px, mpp=mpp)
    xy = truth.nuclei.of(Kind.POSITIVE, Kind.NEGATIVE).astype(np.float32)
    inside = tumor_area(record, outline=None, use_outline=False).contains(xy[:, 0], xy[:, 1])
    return replace(
        figures,
        found_anyhow=int(anyhow.sum()),
        lost_to_mask=int((anyhow & ~still).sum()),
        outside_mask=int((~inside).sum()),
    )


def _overlap(drawn: ByteArray | None, record: RunRecord) -> MaskOverlap | None:
    """Step 1's map against the drawn mask, on the mask's pixels; 128 (not annotated) is left out."""
    if drawn is None or record.tumor_map is None:
        return None
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
