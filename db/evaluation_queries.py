"""Queries about evaluations of model sets; the queue's rules are those of `db.queue`."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import queue
from db.rows import EvaluationRow, NewEvaluation
from db.tables import Evaluation

any_waiting = partial(queue.any_waiting, Evaluation)
renew_lease = partial(queue.renew_lease, Evaluation)
request_cancel = partial(queue.request_cancel, Evaluation)
put_back = partial(queue.put_back, Evaluation)
close_evaluation = partial(queue.close_running, Evaluation)
remove_evaluation = partial(queue.remove, Evaluation)


def add_evaluation(session: Session, new: NewEvaluation, *, person: int) -> EvaluationRow:
    """An evaluation that waits for a worker."""
    evaluation = Evaluation(**vars(new), **queue.fresh(), person_id=person)
    session.add(evaluation)
    session.flush()
    return evaluation_row(evaluation)


def evaluation_by_code(session: Session, code: str) -> EvaluationRow | None:
    evaluation = queue.find(Evaluation, session, code)
    return None if evaluation is None else evaluation_row(evaluation)


def list_evaluations(session: Session) -> list[EvaluationRow]:
    """Every evaluation, newest first."""
    return [
        evaluation_row(each) for each in session.scalars(select(Evaluation).order_by(Evaluation.id.desc()))
    ]


def expired_evaluations(session: Session, *, at: datetime) -> list[EvaluationRow]:
    """Running evaluations whose lease ran out before `at`."""
    return [evaluation_row(each) for each in queue.expired(Evaluation, session, at=at)]


def claim_evaluation(session: Session, *, worker: str, lease_seconds: float) -> EvaluationRow | None:
    """Gives the oldest waiting evaluation to a worker, with a lease; None when none waits."""
    evaluation = queue.claim(Evaluation, session, worker=worker, lease_seconds=lease_seconds)
    return None if evaluation is None else evaluation_row(evaluation)


def finish_evaluation(session: Session, code: str, *, worker: str, figures: dict[str, Any]) -> bool:
    """Marks a worker's evaluation as done; False when it is no longer the worker's."""
    evaluation = queue.find(Evaluation, session, code)
    if evaluation is None or evaluation.state != "running" or evaluation.worker != worker:
        return False
    evaluation.figures = figures
    evaluation.done = evaluation.total
    queue.close(evaluation, "done", "")
    return True


def evaluation_row(evaluation: Evaluation) -> EvaluationRow:
    plain = (
        "id code name model_set request figures state stage done total stage_seconds message attempts "
        "cancel_requested worker created_at started_at finished_at"
    )
    return EvaluationRow(
        **{name: getattr(evaluation, name) for name in plain.split()}, person_code=evaluation.person.code
    )
