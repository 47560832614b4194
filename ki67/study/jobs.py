"""Jobs: rows of a table, not the memory of a process. What pages show and what a person does to them.

A worker takes a waiting job by a lease and renews it; a job whose lease ran out is *interrupted* and
can be started again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Literal, cast

from db import job_queries, queries
from db.rows import JobRow
from ki67.errors import StoreError
from ki67.study import files
from ki67.study.people import Person, require
from ki67.study.records import machine_code
from ki67.study.workplace import UnknownCode, Workplace, reading, transaction
from ki67.types import Site

JobState = Literal["waiting", "running", "done", "failed", "interrupted", "cancelled"]

DIED = "The program that scores stopped in the middle; nothing was half-written. Start it again."
SPEEDS = 10
LOAD = "load"
# The stages in order, and under which name a run keeps the seconds of each.
STAGES = (("read", "read"), ("tissue", None), ("tumor", "tumor"), ("cells", "cells"), ("index", "post"))


@dataclass(frozen=True)
class JobView:
    """A job as a page shows it.

    `stage` is that of `ki67.types.Progress` (read, tissue, tumor, cells, index), "load" while the nets
    are loaded, or "" before that; `stage_seconds` holds the seconds of each stage so far, in order.
    `seconds_left` is None when nothing is known. `message` is the sentence of a failure or interruption,
    else "". `recognised`: the same picture was scored with the same models and settings before, and the
    job was done at once. `cancelling`: the worker of a running job was asked to stop.
    """

    code: str
    picture_code: str
    case_code: str
    site: Site
    megapixels: float
    state: JobState
    stage: str
    done: int
    total: int
    stage_seconds: dict[str, float]
    seconds_left: float | None
    message: str
    result_code: str | None
    recognised: bool
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancelling: bool = False


def list_jobs(workplace: Workplace, person: Person, *, open_only: bool = False) -> list[JobView]:
    """The jobs, newest first; `open_only`: waiting or running ones. Marks those whose lease ran out."""
    require(person, "coordinator", "analyst", doing="see the jobs")
    mark_interrupted(workplace)
    with reading(workplace) as session:
        rows = job_queries.list_jobs(session, open_only=open_only)
    return views_of(workplace, rows)


def get_job(workplace: Workplace, person: Person, code: str) -> JobView:
    """One job. Raises UnknownCode when there is none."""
    require(person, "coordinator", "analyst", doing="see the jobs")
    mark_interrupted(workplace)
    return views_of(workplace, [_find(workplace, code)])[0]


def cancel(workplace: Workplace, person: Person, code: str) -> JobView:
    """Cancels a waiting job at once; asks the worker to stop a running one. Others stay as they are."""
    require(person, "coordinator", doing="cancel jobs")
    with transaction(workplace) as session:
        job_queries.request_cancel(session, code)
    return get_job(workplace, person, code)


def restart(workplace: Workplace, person: Person, code: str) -> JobView:
    """Puts an interrupted, failed or cancelled job back into the queue.

    Raises:
        StoreError: the job is waiting, running or done.
    """
    require(person, "coordinator", doing="start jobs again")
    job = get_job(workplace, person, code)
    with transaction(workplace) as session:
        if not job_queries.put_back(session, code):
            raise StoreError(f"Case {job.case_code} is {job.state}: there is nothing to start again.")
    return get_job(workplace, person, code)


def remove(workplace: Workplace, person: Person, code: str) -> None:
    """Takes a job that is not running off the list; pictures and results stay.

    Raises:
        StoreError: the job is running; cancel it first.
    """
    require(person, "coordinator", doing="remove jobs")
    job = get_job(workplace, person, code)
    with transaction(workplace) as session:
        if not job_queries.remove_job(session, code):
            raise StoreError(f"Case {job.case_code} is running: cancel it first.")


def mark_interrupted(workplace: Workplace) -> None:
    """Marks running jobs whose lease ran out, and takes away what their worker had begun to write."""
    with reading(workplace) as session:
        if not job_queries.expired_jobs(session, at=queries.now()):
            return
    with transaction(workplace) as session:
        expired = job_queries.expired_jobs(session, at=queries.now())
        for job in expired:
            job_queries.close_job(session, job.code, state="interrupted", message=DIED)
        stored = queries.run_codes(session)
    for job in expired:
        if job.run_code and job.run_code not in stored:
            files.remove(files.run_folder(workplace.home, job.run_code))


def _find(workplace: Workplace, code: str) -> JobRow:
    with reading(workplace) as session:
        row = job_queries.job_by_code(session, code)
    if row is None:
        raise UnknownCode("There is no job with this code: choose one from the list.")
    return row


def views_of(workplace: Workplace, rows: Sequence[JobRow]) -> list[JobView]:
    """The jobs as pages show them, with the time that is left."""
    with reading(workplace) as session:
        speeds = queries.recent_speeds(session, machine=machine_code(), limit=SPEEDS)
    rates = _rates(speeds)
    moment = queries.now()
    return [_view(row, rates, moment) for row in rows]


def _view(row: JobRow, rates: Mapping[str, float], moment: datetime) -> JobView:
    return JobView(
        code=row.code,
        picture_code=row.picture.code,
        case_code=row.case.code,
        site=cast(Site, row.case.site),
        megapixels=row.megapixels,
        state=cast(JobState, row.state),
        stage=row.stage,
        done=row.done,
        total=row.total,
        stage_seconds=dict(row.stage_seconds),
        seconds_left=_seconds_left(row, rates, moment),
        message=row.message,
        result_code=row.result_code,
        recognised=row.recognised,
        attempts=row.attempts,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancelling=row.cancel_requested,
    )


def _rates(speeds: Sequence[tuple[float, dict[str, float]]]) -> dict[str, float]:
    """Median seconds per megapixel of earlier runs, by the names under which runs keep them."""
    names = {name for _, seconds in speeds for name in seconds}
    return {
        name: median(seconds[name] / megapixels for megapixels, seconds in speeds if name in seconds)
        for name in names
    }


def _seconds_left(row: JobRow, rates: Mapping[str, float], moment: datetime) -> float | None:
    """From the pace of the running stage and, for the stages after it, from earlier runs."""
    if row.state == "waiting":
        return rates["total"] * row.megapixels if "total" in rates else None
    if row.state != "running" or row.started_at is None:
        return None
    if row.stage in ("", LOAD):
        return rates["total"] * row.megapixels if "total" in rates else None
    elapsed = (moment - row.started_at).total_seconds() - row.stage_seconds.get(LOAD, 0.0)
    names = [stage for stage, _ in STAGES]
    if row.stage not in names or not row.done or not row.total:
        return max(0.0, rates["total"] * row.megapixels - elapsed) if "total" in rates else None
    before = sum(seconds for stage, seconds in row.stage_seconds.items() if stage not in (LOAD, row.stage))
    in_stage = max(0.0, elapsed - before)
    left = in_stage / row.done * max(0, row.total - row.done)
    later = (key for _, key in STAGES[names.index(row.stage) + 1 :] if key is not None)
    return left + sum(rates.get(key, 0.0) * row.megapixels for key in later)
