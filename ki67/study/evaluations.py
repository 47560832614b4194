"""Asking for an evaluation of a model set, and following it: a job of its own kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from db import evaluation_queries, queries
from db.rows import EvaluationRow, NewEvaluation
from ki67.errors import DataError, StoreError
from ki67.pipeline.pixel_size import choose_pixel_size
from ki67.study import files
from ki67.study.annotated import (
    annotated_folder,
    count_of,
    evaluation_folder,
    field_code,
    read_in_words,
    unpack,
)
from ki67.study.annotations import annotation_csv, read_annotation
from ki67.study.cases import check_case_code
from ki67.study.jobs import JobState
from ki67.study.model_sets import find_model_set
from ki67.study.people import Person, require
from ki67.study.pictures import find_picture, info_of
from ki67.study.workplace import UnknownCode, Workplace, disk_faults, reading, transaction

DIED = "The program that measures stopped in the middle; nothing was half-written. Start it again."
SUGGESTED = re.compile(r"Set (\d{1,6})")


@dataclass(frozen=True)
class EvaluationView:
    """An evaluation as pages show it.

    `kind` is folder, upload or stored. `stage` is read (pictures taken in), load, or evaluate, with
    `done` of `total` fields.
    """

    code: str
    name: str
    model_set: str
    kind: str
    state: JobState
    stage: str
    done: int
    total: int
    seconds_left: float | None
    message: str
    cancelling: bool
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class StoredAnnotation:
    """Marks for a stored picture: the bytes of a GeoJSON or CSV file, and `file_name` for sentences only.

    `mpp` None: the pixel size of the picture's file.
    """

    picture_code: str
    content: bytes
    file_name: str
    mpp: float | None = None


def suggest_name(workplace: Workplace, person: Person) -> str:
    """The next free name of the form "Set 1"."""
    numbers = [
        int(found[1])
        for view in list_evaluations(workplace, person)
        if (found := SUGGESTED.fullmatch(view.name))
    ]
    return f"Set {max(numbers, default=0) + 1}"


def evaluate_folder(
    workplace: Workplace,
    person: Person,
    *,
    root: str,
    relative: str,
    name: str,
    model_set: str | None = None,
) -> EvaluationView:
    """Puts the evaluation of an annotated folder of a slide root into the queue.

    Raises DataError, StoreError: the folder is no annotated one, lies outside, or holds nothing to measure
    against; ModelError: the set cannot be used; NotAllowed.
    """
    require(person, "coordinator", doing="measure models")
    fields = read_in_words(annotated_folder(workplace, root=root, relative=relative))
    _check_any(count_of(fields))
    request = {"kind": "folder", "root": root, "relative": relative}
    return _submit(workplace, person, request, name=name, model_set=model_set, code=files.new_code("e"))


def evaluate_upload(
    workplace: Workplace, person: Person, *, stream: BinaryIO, name: str, model_set: str | None = None
) -> EvaluationView:
    """Puts the evaluation of an annotated folder that comes as a ZIP into the queue; errors as above."""
    require(person, "coordinator", doing="measure models")
    code = files.new_code("e")
    folder = evaluation_folder(workplace.home, code)
    kept = False
    try:
        unpack(stream, folder / "data")
        _check_any(count_of(read_in_words(folder / "data")))
        view = _submit(workplace, person, {"kind": "upload"}, name=name, model_set=model_set, code=code)
        kept = True
    finally:
        if not kept:
            files.remove(folder)
    return view


def evaluate_stored(
    workplace: Workplace,
    person: Person,
    *,
    annotations: Sequence[StoredAnnotation],
    name: str,
    model_set: str | None = None,
) -> EvaluationView:
    """Puts the evaluation on stored pictures, with the marks that people made on them, into the queue.

    Raises DataError: marks that cannot be used, no marks, a picture twice; PictureError: no pixel size.
    """
    require(person, "coordinator", doing="measure models")
    if not annotations:
        raise DataError("There are no marks to measure against: add a GeoJSON or CSV file.")
    codes = [each.picture_code for each in annotations]
    if len(set(codes)) < len(codes):
        raise DataError("Two files belong to one picture: choose one file for each picture.")
    checked = [_checked(workplace, each) for each in annotations]
    code = files.new_code("e")
    folder = evaluation_folder(workplace.home, code)
    kept = False
    try:
        _write(folder / "data", [content for _, content in checked])
        request = {"kind": "stored", "fields": [entry for entry, _ in checked]}
        view = _submit(workplace, person, request, name=name, model_set=model_set, code=code)
        kept = True
    finally:
        if not kept:
            files.remove(folder)
    return view


def _checked(workplace: Workplace, each: StoredAnnotation) -> tuple[dict[str, Any], bytes]:
    row = find_picture(workplace, each.picture_code)
    shown = files.shown_name(each.file_name)
    annotation = read_annotation(each.content, name=shown, width_px=row.width_px, height_px=row.height_px)
    mpp = choose_pixel_size(info_of(row), each.mpp, name=shown).mpp
    patient = row.case.patient_code if row.case else ""
    return {"picture": row.code, "mpp": mpp, "patient": patient}, annotation_csv(annotation)


def _write(data: Path, contents: Sequence[bytes]) -> None:
    with disk_faults():
        data.mkdir(parents=True)
        for number, content in enumerate(contents, start=1):
            (data / f"{field_code(number)}.csv").write_bytes(content)


def _check_any(count: int) -> None:
    if not count:
        raise DataError(
            "No picture has nuclei labelled positive or negative, or a drawn tumor mask: there is nothing to "
            "measure against."
        )


def _submit(
    workplace: Workplace,
    person: Person,
    request: dict[str, Any],
    *,
    name: str,
    model_set: str | None,
    code: str,
) -> EvaluationView:
    models = find_model_set(workplace, model_set)
    new = NewEvaluation(code=code, name=check_case_code(name), model_set=models.name, request=request)
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        row = evaluation_queries.add_evaluation(session, new, person=author)
    return view_of(row)


def list_evaluations(workplace: Workplace, person: Person) -> list[EvaluationView]:
    """Every evaluation, newest first. Marks those whose lease ran out."""
    require(person, "coordinator", "analyst", doing="see how good the models are")
    mark_interrupted(workplace)
    with reading(workplace) as session:
        return [view_of(row) for row in evaluation_queries.list_evaluations(session)]


def get_evaluation(workplace: Workplace, person: Person, code: str) -> EvaluationView:
    """One evaluation. Raises UnknownCode when there is none."""
    require(person, "coordinator", "analyst", doing="see how good the models are")
    mark_interrupted(workplace)
    return view_of(find_evaluation(workplace, code))


def find_evaluation(workplace: Workplace, code: str) -> EvaluationRow:
    """The row of an evaluation. Raises UnknownCode when there is none."""
    with reading(workplace) as session:
        row = evaluation_queries.evaluation_by_code(session, code)
    if row is None:
        raise UnknownCode("There is no evaluation with this code: choose one from the list.")
    return row


def cancel_evaluation(workplace: Workplace, person: Person, code: str) -> None:
    """Cancels a waiting evaluation at once; asks the worker to stop a running one."""
    require(person, "coordinator", doing="cancel jobs")
    with transaction(workplace) as session:
        evaluation_queries.request_cancel(session, code)


def restart_evaluation(workplace: Workplace, person: Person, code: str) -> None:
    """Puts an interrupted, failed or cancelled evaluation back into the queue; else raises StoreError."""
    require(person, "coordinator", doing="start jobs again")
    view = get_evaluation(workplace, person, code)
    with transaction(workplace) as session:
        if not evaluation_queries.put_back(session, code):
            raise StoreError(f"{view.name} is {view.state}: there is nothing to start again.")


def remove_evaluation(workplace: Workplace, person: Person, code: str) -> None:
    """Takes an evaluation away with its files; pictures stay. Raises StoreError while it runs."""
    require(person, "coordinator", doing="remove evaluations")
    view = get_evaluation(workplace, person, code)
    with transaction(workplace) as session:
        if not evaluation_queries.remove_evaluation(session, code):
            raise StoreError(f"{view.name} is running: cancel it first.")
    files.remove(evaluation_folder(workplace.home, code))


def mark_interrupted(workplace: Workplace) -> None:
    """Marks running evaluations whose lease ran out."""
    with reading(workplace) as session:
        if not evaluation_queries.expired_evaluations(session, at=queries.now()):
            return
    with transaction(workplace) as session:
        for row in evaluation_queries.expired_evaluations(session, at=queries.now()):
            evaluation_queries.close_evaluation(session, row.code, state="interrupted", message=DIED)


def view_of(row: EvaluationRow) -> EvaluationView:
    """The evaluation as pages show it."""
    return EvaluationView(
        code=row.code,
        name=row.name,
        model_set=row.model_set,
        kind=row.request["kind"],
        state=cast(JobState, row.state),
        stage=row.stage,
        done=row.done,
        total=row.total,
        seconds_left=_seconds_left(row),
        message=row.message,
        cancelling=row.cancel_requested,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _seconds_left(row: EvaluationRow) -> float | None:
    """From the pace of the fields so far; None before the first is done."""
    spent = row.stage_seconds.get(row.stage)
    if row.state != "running" or not row.done or spent is None:
        return None
    return float(spent / row.done * (row.total - row.done))
