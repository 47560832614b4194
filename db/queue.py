"""Work in a queue, of whatever kind: leases, progress, cancelling. One set of rules for every table of it.

A worker takes waiting work with a lease and renews it; a lease that ran out makes the work *interrupted*.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.tables import Queued

OPEN_STATES = ("waiting", "running")
CLOSED_STATES = ("failed", "interrupted", "cancelled")
QueuedRow = TypeVar("QueuedRow", bound=Queued)


def fresh() -> dict[str, Any]:
    """The columns of new work that waits."""
    return {
        "state": "waiting",
        "stage": "",
        "done": 0,
        "total": 0,
        "stage_seconds": {},
        "message": "",
        "attempts": 0,
        "cancel_requested": False,
        "created_at": datetime.now(UTC),
    }


def find(table: type[QueuedRow], session: Session, code: str) -> QueuedRow | None:
    """The work of this code."""
    return session.scalar(select(table).where(table.code == code))


def any_waiting(table: type[Queued], session: Session) -> bool:
    """Whether work waits for a worker."""
    return bool(session.scalar(select(func.count(table.id)).where(table.state == "waiting")))


def expired(table: type[QueuedRow], session: Session, *, at: datetime) -> Sequence[QueuedRow]:
    """Running work whose lease ran out before `at`."""
    return session.scalars(select(table).where(table.state == "running", table.lease_until < at)).all()


def claim(table: type[QueuedRow], session: Session, *, worker: str, lease_seconds: float) -> QueuedRow | None:
    """Gives the oldest waiting work to a worker, with a lease; None when none waits."""
    work = session.scalar(select(table).where(table.state == "waiting").order_by(table.id).limit(1))
    if work is None:
        return None
    moment = datetime.now(UTC)
    work.state, work.worker = "running", worker
    work.heartbeat, work.lease_until = moment, moment + timedelta(seconds=lease_seconds)
    work.attempts += 1
    work.started_at, work.finished_at = moment, None
    work.stage, work.done, work.total, work.stage_seconds, work.message = "", 0, 0, {}, ""
    work.cancel_requested = False
    session.flush()
    return work


def renew_lease(
    table: type[Queued],
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
    """Renews a worker's lease and writes how far the work is.

    Returns whether it is to be cancelled; None when it is no longer this worker's.
    """
    work = find(table, session, code)
    if work is None or work.state != "running" or work.worker != worker:
        return None
    work.heartbeat = datetime.now(UTC)
    work.lease_until = work.heartbeat + timedelta(seconds=lease_seconds)
    work.stage, work.done, work.total, work.stage_seconds = stage, done, total, stage_seconds
    return work.cancel_requested


def request_cancel(table: type[Queued], session: Session, code: str) -> None:
    """Waiting work is cancelled at once; running work is marked for its worker."""
    work = find(table, session, code)
    if work is None:
        return
    if work.state == "waiting":
        close(work, "cancelled", "")
    elif work.state == "running":
        work.cancel_requested = True


def put_back(table: type[Queued], session: Session, code: str) -> bool:
    """Puts failed, interrupted or cancelled work back into the queue; False when it is in another state."""
    work = find(table, session, code)
    if work is None or work.state not in CLOSED_STATES:
        return False
    work.state, work.message, work.worker, work.finished_at = "waiting", "", None, None
    work.stage, work.done, work.total, work.stage_seconds = "", 0, 0, {}
    work.cancel_requested = False
    return True


def close_running(
    table: type[Queued], session: Session, code: str, *, state: str, message: str, worker: str | None = None
) -> bool:
    """Ends running work as failed, interrupted or cancelled; with `worker` only if it is that worker's."""
    work = find(table, session, code)
    if work is None or work.state != "running" or (worker is not None and work.worker != worker):
        return False
    close(work, state, message)
    return True


def remove(table: type[Queued], session: Session, code: str) -> bool:
    """Deletes work that is not running; False when it runs or is not there."""
    work = find(table, session, code)
    if work is None or work.state == "running":
        return False
    session.delete(work)
    return True


def close(work: Queued, state: str, message: str) -> None:
    """Writes how work ended."""
    work.state, work.message, work.finished_at = state, message, datetime.now(UTC)
    work.lease_until, work.worker, work.cancel_requested = None, None, False
