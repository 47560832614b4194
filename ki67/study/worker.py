"""The worker: a process of its own that takes jobs one at a time and keeps the nets loaded.

`python -m ki67.study.worker` runs until its standard input closes. A lock in the data folder makes it
the only one for its device, however many apps start one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from db import evaluation_queries, job_queries, queries
from db.engine import Session
from db.rows import EvaluationRow, JobRow
from ki67.errors import Cancelled, Ki67Error, StoreError
from ki67.settings import Settings, as_environment, load_settings
from ki67.study import evaluations, files
from ki67.study.evaluating import FieldRunner, evaluate
from ki67.study.execute import NetScorer, Scorer, execute
from ki67.study.jobs import mark_interrupted
from ki67.study.leases import LEASE_SECONDS, Lease
from ki67.study.people import ROLES, Person
from ki67.study.workplace import Workplace, open_workplace, reading, transaction

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.5
LOOK_AFTER_SECONDS = 5.0
RESTART_SECONDS = 2.0
STOP_SECONDS = 10.0
CLOSED = "The app was closed during this run; nothing was half-written. Start it again."


class _LostLease(Exception):
    """The job is no longer this worker's; what it found is thrown away."""


def work(
    workplace: Workplace, scorer: Scorer, *, stop: threading.Event, runner: FieldRunner | None = None
) -> None:
    """Takes jobs until `stop` is set. On the way, marks jobs of dead workers as interrupted.

    Pictures to score go before evaluations, which are taken only with a `runner`.
    """
    worker = files.new_code("w")
    sweep(workplace)
    waited = LOOK_AFTER_SECONDS
    while not stop.is_set():
        if waited >= LOOK_AFTER_SECONDS:
            mark_interrupted(workplace)
            evaluations.mark_interrupted(workplace)
            waited = 0.0
        job = _claim(workplace, worker)
        evaluation = None if job or runner is None else _claim_evaluation(workplace, worker)
        if job is not None:
            carry_out(workplace, job, scorer, worker=worker, stop=stop)
        elif evaluation is not None and runner is not None:
            carry_out_evaluation(workplace, evaluation, runner, worker=worker, stop=stop)
        else:
            stop.wait(POLL_SECONDS)
            waited += POLL_SECONDS


def _claim(workplace: Workplace, worker: str) -> JobRow | None:
    """The next waiting job, with a lease; the queue is looked at without keeping writers out."""
    with reading(workplace) as session:
        if not job_queries.any_waiting(session):
            return None
    with transaction(workplace) as session:
        return job_queries.claim_job(
            session, worker=worker, run_code=files.new_code("n"), lease_seconds=LEASE_SECONDS
        )


def _claim_evaluation(workplace: Workplace, worker: str) -> EvaluationRow | None:
    with reading(workplace) as session:
        if not evaluation_queries.any_waiting(session):
            return None
    with transaction(workplace) as session:
        return evaluation_queries.claim_evaluation(session, worker=worker, lease_seconds=LEASE_SECONDS)


def carry_out(
    workplace: Workplace, job: JobRow, scorer: Scorer, *, worker: str, stop: threading.Event
) -> None:
    """Does one job and writes how it ended: done, cancelled, interrupted or failed with its sentence."""
    person = Person(code=job.person_code, roles=frozenset(ROLES))
    with Lease(workplace, job.code, worker=worker, stop=stop) as lease:

        def confirm(session: Session, result_code: str) -> None:
            seconds = lease.stage_seconds()
            if lease.cancelled() or not job_queries.finish_job(
                session, job.code, worker=worker, result_code=result_code, stage_seconds=seconds
            ):
                raise _LostLease

        try:
            execute(
                workplace,
                person,
                job,
                scorer=scorer,
                run_code=job.run_code or files.new_code("n"),
                progress=lease.progress,
                cancelled=lease.cancelled,
                confirm=confirm,
            )
            return
        except Exception as error:  # noqa: BLE001  # one job of many: its traceback is kept, the others go on
            state, message = _ending(error, lease)
    with transaction(workplace) as session:
        job_queries.close_job(session, job.code, state=state, message=message, worker=worker)


def carry_out_evaluation(
    workplace: Workplace, row: EvaluationRow, runner: FieldRunner, *, worker: str, stop: threading.Event
) -> None:
    """Does one evaluation and writes how it ended, as `carry_out` does."""
    person = Person(code=row.person_code, roles=frozenset(ROLES))
    renew = evaluation_queries.renew_lease
    with Lease(workplace, row.code, worker=worker, stop=stop, renew=renew) as lease:

        def confirm(session: Session, figures: dict[str, Any]) -> None:
            if lease.cancelled() or not evaluation_queries.finish_evaluation(
                session, row.code, worker=worker, figures=figures
            ):
                raise _LostLease

        try:
            evaluate(
                workplace,
                person,
                row,
                runner=runner,
                progress=lease.progress,
                cancelled=lease.cancelled,
                confirm=confirm,
            )
            return
        except Exception as error:  # noqa: BLE001  # one of many: its traceback is kept, the others go on
            state, message = _ending(error, lease)
    with transaction(workplace) as session:
        evaluation_queries.close_evaluation(session, row.code, state=state, message=message, worker=worker)


def _ending(error: Exception, lease: Lease) -> tuple[str, str]:
    """How a job ends that an error ended: its state, and the sentence for people."""
    if isinstance(error, Cancelled | _LostLease):
        return ("cancelled", "") if lease.cancel_asked else ("interrupted", CLOSED)
    if isinstance(error, Ki67Error):
        return "failed", str(error)
    traceback.print_exception(error)
    return "failed", f"The software made a mistake ({type(error).__name__}): report it with the app's log."


def sweep(workplace: Workplace) -> None:
    """Removes what killed processes left behind; see `files.sweep`."""
    with reading(workplace) as session:
        known = queries.codes_of_files(session)
    files.sweep(
        workplace.home,
        pictures=known.pictures,
        runs=known.runs,
        results=known.results,
        evaluations=known.evaluations,
    )


def lock_path(settings: Settings) -> Path:
    """The lock that the worker of a device holds while it lives."""
    return settings.home / f"worker-{settings.device}.lock"


def main() -> int:
    """The process of the product."""
    try:
        settings = load_settings()
    except Ki67Error as error:
        print(f"ki67 worker: {error}", file=sys.stderr)
        return 1
    nets = NetScorer(settings)
    return serve(settings, nets, runner=nets.everywhere)


def serve(settings: Settings, scorer: Scorer, *, runner: FieldRunner | None = None) -> int:
    """Works until standard input closes, which it does when the app ends in whatever way.

    Returns the exit code: 0 also when another worker has the device.
    """
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop,), name="parent", daemon=True).start()
    try:
        workplace = open_workplace(settings)
        with FileLock(lock_path(settings), timeout=0):
            _work_through_faults(workplace, scorer, stop, runner)
    except Timeout:
        return 0
    except Ki67Error as error:
        print(f"ki67 worker: {error}", file=sys.stderr)
        return 1
    return 0


def _work_through_faults(
    workplace: Workplace, scorer: Scorer, stop: threading.Event, runner: FieldRunner | None
) -> None:
    """`work`, begun anew after the database was away or the disk full for a while."""
    while not stop.is_set():
        try:
            work(workplace, scorer, stop=stop, runner=runner)
        except StoreError as error:
            print(f"ki67 worker: {error}", file=sys.stderr)
            stop.wait(LOOK_AFTER_SECONDS)


def _wait_for_end(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()


class WorkerHandle:
    """Keeps a worker running while the app lives: starts it anew when it dies, ends it with `stop`."""

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._settings = settings
        self._command = list(command)
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._look_after, name="worker", daemon=True)
        self._thread.start()

    @property
    def process_id(self) -> int | None:
        """The worker's process, None while another app's worker serves this data folder."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def stop(self) -> None:
        """Ends the worker; a running job becomes *interrupted*. A second call does nothing."""
        self._stop.set()
        self._thread.join()
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _look_after(self) -> None:
        while not self._stop.is_set():
            if self.process_id is None and self._free():
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    cwd=ROOT,
                    env={**os.environ, **as_environment(self._settings)},
                    start_new_session=True,
                )
            self._stop.wait(RESTART_SECONDS)

    def _free(self) -> bool:
        """Whether no worker holds the lock."""
        try:
            with FileLock(lock_path(self._settings), timeout=0):
                return True
        except (Timeout, OSError):
            return False


def start_worker(settings: Settings, *, command: Sequence[str] | None = None) -> WorkerHandle:
    """Sees to it that a worker runs for this data folder and returns the handle that ends it.

    Several app processes may each call it: one worker runs, and another app's takes over when it ends.
    `command` replaces the program that is run, for tests.
    """
    return WorkerHandle(settings, command or [sys.executable, "-m", "ki67.study.worker"])


if __name__ == "__main__":
    sys.exit(main())
