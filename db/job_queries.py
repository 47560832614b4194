"""Queries about jobs: the queue, leases, progress. A lease that ran out makes a job *interrupted*."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from db.queries import case_row, now, outline_row, picture_row
from db.rows import JobRow, NewJob
from db.tables import Job, Result

OPEN_STATES = ("waiting", "running")
CLOSED_STATES = ("failed", "interrupted", "cancelled")


def add_job(session: Session, new: NewJob, *, person: int) -> JobRow:
    """A waiting job, or with `result_id` one that is done at once."""
    moment = now()
    recognised = new.result_id is not None
    job = Job(
        **vars(new),
        state="done" if recognised else "waiting",
        recognised=recognised,
        stage="",
        done=0,
        total=0,
        stage_seconds={},
        message="",
        attempts=0,
        cancel_requested=False,
        person_id=person,
        created_at=moment,
        finished_at=moment if recognised else None,
    )
    session.add(job)
    session.flush()
    return job_row(job)


def job_by_code(session: Session, code: str) -> JobRow | None:
    job = _find(session, code)
    return None if job is None else job_row(job)


def open_job_by_key(session: Session, key: str) -> JobRow | None:
    """The waiting or running job that would give the same result."""
    job = session.scalar(_whole_jobs().where(Job.key == key, Job.state.in_(OPEN_STATES)).limit(1))
    return None if job is None else job_row(job)


def list_jobs(session: Session, *, open_only: bool) -> list[JobRow]:
    """Jobs, newest first."""
    query = _whole_jobs().order_by(Job.id.desc())
    if open_only:
        query = query.where(Job.state.in_(OPEN_STATES))
    return [job_row(each) for each in session.scalars(query)]


def any_waiting(session: Session) -> bool:
    """Whether a job waits for a worker."""
    return bool(session.scalar(select(func.count()).where(Job.state == "waiting")))


def expired_jobs(session: Session, *, at: datetime) -> list[JobRow]:
    """Running jobs whose lease ran out before `at`."""
    query = _whole_jobs().where(Job.state == "running", Job.lease_until < at)
    return [job_row(each) for each in session.scalars(query)]


def claim_job(session: Session, *, worker: str, run_code: str, lease_seconds: float) -> JobRow | None:
    """Gives the oldest waiting job to a worker, with a lease; None when none waits."""
    job = session.scalar(_whole_jobs().where(Job.state == "waiting").order_by(Job.id).limit(1))
    if job is None:
        return None
    moment = now()
    job.state, job.worker, job.run_code = "running", worker, run_code
    job.heartbeat, job.lease_until = moment, moment + timedelta(seconds=lease_seconds)
    job.attempts += 1
    job.started_at, job.finished_at = moment, None
    job.stage, job.done, job.total, job.stage_seconds, job.message = "", 0, 0, {}, ""
    job.cancel_requested = False
    session.flush()
    return job_row(job)


def renew_lease(
    session: Session,
    code: str,
    *,
    worker: str,
    lease_seconds: float,
    stage: str,
    done: int,
    total: int,
    stage_seconds: dict[str, float],
) -> bool | None:
    """Renews a worker's lease and writes how far the job is.

    Returns whether the job is to be cancelled; None when it is no longer this worker's.
    """
    job = _find(session, code)
    if job is None or job.state != "running" or job.worker != worker:
        return None
    job.heartbeat = now()
    job.lease_until = job.heartbeat + timedelta(seconds=lease_seconds)
    job.stage, job.done, job.total, job.stage_seconds = stage, done, total, stage_seconds
    return job.cancel_requested


def request_cancel(session: Session, code: str) -> None:
    """A waiting job is cancelled at once; a running one is marked for its worker."""
    job = _find(session, code)
    if job is None:
        return
    if job.state == "waiting":
        _close(job, "cancelled", "")
    elif job.state == "running":
        job.cancel_requested = True


def put_back(session: Session, code: str) -> bool:
    """Puts a failed, interrupted or cancelled job back into the queue; False when it is in another state."""
    job = _find(session, code)
    if job is None or job.state not in CLOSED_STATES:
        return False
    job.state, job.message, job.worker, job.finished_at = "waiting", "", None, None
    job.stage, job.done, job.total, job.stage_seconds = "", 0, 0, {}
    job.cancel_requested = False
    return True


def close_job(session: Session, code: str, *, state: str, message: str, worker: str | None = None) -> bool:
    """Ends a running job as failed, interrupted or cancelled; with `worker` only if it is that worker's."""
    job = _find(session, code)
    if job is None or job.state != "running" or (worker is not None and job.worker != worker):
        return False
    _close(job, state, message)
    return True


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
    _close(job, "done", "")
    return True


def remove_job(session: Session, code: str) -> bool:
    """Deletes a job that is not running; False when it runs or is not there."""
    job = _find(session, code)
    if job is None or job.state == "running":
        return False
    session.delete(job)
    return True


def _close(job: Job, state: str, message: str) -> None:
    job.state, job.message, job.finished_at = state, message, now()
    job.lease_until, job.worker, job.cancel_requested = None, None, False


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
