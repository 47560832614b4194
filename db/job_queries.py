"""Queries about jobs: the queue, leases, progress. A lease that ran out makes a job *interrupted*."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from db import queue
from db.queries import case_row, now, outline_row, picture_row
from db.rows import JobRow, NewJob
from db.tables import Job, Result

any_waiting = partial(queue.any_waiting, Job)
renew_lease = partial(queue.renew_lease, Job)
request_cancel = partial(queue.request_cancel, Job)
put_back = partial(queue.put_back, Job)
close_job = partial(queue.close_running, Job)
remove_job = partial(queue.remove, Job)


def add_job(session: Session, new: NewJob, *, person: int) -> JobRow:
    """A waiting job, or with `result_id` one that is done at once."""
    recognised = new.result_id is not None
    job = Job(
        **vars(new),
        **{**queue.fresh(), "state": "done" if recognised else "waiting"},
        recognised=recognised,
        person_id=person,
        finished_at=now() if recognised else None,
    )
    session.add(job)
    session.flush()
    return job_row(job)


def job_by_code(session: Session, code: str) -> JobRow | None:
    job = _find(session, code)
    return None if job is None else job_row(job)


def open_job_by_key(session: Session, key: str) -> JobRow | None:
    """The waiting or running job that would give the same result."""
    job = session.scalar(_whole_jobs().where(Job.key == key, Job.state.in_(queue.OPEN_STATES)).limit(1))
    return None if job is None else job_row(job)


def list_jobs(session: Session, *, open_only: bool) -> list[JobRow]:
    """Jobs, newest first."""
    query = _whole_jobs().order_by(Job.id.desc())
    if open_only:
        query = query.where(Job.state.in_(queue.OPEN_STATES))
    return [job_row(each) for each in session.scalars(query)]


def expired_jobs(session: Session, *, at: datetime) -> list[JobRow]:
    """Running jobs whose lease ran out before `at`."""
    return [job_row(each) for each in queue.expired(Job, session, at=at)]


def claim_job(session: Session, *, worker: str, run_code: str, lease_seconds: float) -> JobRow | None:
    """Gives the oldest waiting job to a worker, with a lease; None when none waits."""
    job = queue.claim(Job, session, worker=worker, lease_seconds=lease_seconds)
    if job is None:
        return None
    job.run_code = run_code
    session.flush()
    return job_row(job)


def finish_job(
    session: Session, code: str, *, worker: str, result_code: str, stage_seconds: dict[str, float]
) -> bool:
    """Marks a worker's job as done with its result; False when the job is no longer the worker's."""
    job = _find(session, code)
    if job is None or job.state != "running" or job.worker != worker:
        return False
    job.stage = "index"
    job.result_id = session.scalars(select(Result.id).where(Result.code == result_code)).one()
    job.stage_seconds = stage_seconds
    job.done = job.total
    queue.close(job, "done", "")
    return True


def _find(session: Session, code: str) -> Job | None:
    return session.scalar(_whole_jobs().where(Job.code == code))


def _whole_jobs() -> Select[Job]:
    return select(Job).options(
        joinedload(Job.picture),
        joinedload(Job.case),
        joinedload(Job.outline),
        joinedload(Job.result),
        joinedload(Job.person),
    )


def job_row(job: Job) -> JobRow:
    plain = (
        "id code key request megapixels state stage done total stage_seconds message attempts recognised "
        "cancel_requested worker lease_until run_code created_at started_at finished_at"
    )
    return JobRow(
        **{name: getattr(job, name) for name in plain.split()},
        picture=picture_row(job.picture),
        case=case_row(job.case),
        outline=outline_row(job.outline),
        result_code=None if job.result is None else job.result.code,
        person_code=job.person.code,
    )
