"""A worker's hold on one job: a thread renews the lease, writes progress, and hears of a cancel."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Protocol, Self

from db import job_queries
from db.engine import Session
from ki67.errors import StoreError
from ki67.study.workplace import Workplace, transaction
from ki67.types import Progress

LEASE_SECONDS = 20.0
BEAT_SECONDS = 1.0


class Renew(Protocol):
    """Renews a lease and writes how far the work is; see `db.queue.renew_lease`."""

    def __call__(
        self,
        session: Session,
        code: str,
        *,
        worker: str,
        lease_seconds: float,
        stage: str,
        done: int,
        total: int,
        stage_seconds: dict[str, float],
    ) -> bool | None: ...


class Lease:
    """While the block runs, the job is this worker's. `progress` and `cancelled` go to the pipeline.

    When the lease cannot be renewed in time (the database is away, another worker took over) the job
    counts as lost: `cancelled` becomes true, and `lost` says why.
    """

    def __init__(
        self,
        workplace: Workplace,
        code: str,
        *,
        worker: str,
        stop: threading.Event,
        renew: Renew = job_queries.renew_lease,
    ) -> None:
        self._workplace = workplace
        self._code = code
        self._worker = worker
        self._write = renew
        self._stop = stop
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._step = Progress("", 0, 0)
        self._since = time.monotonic()
        self._seconds: dict[str, float] = {}
        self._valid_until = time.monotonic() + LEASE_SECONDS
        self.cancel_asked = False
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, step: Progress) -> None:
        """Takes down where the run is; the thread writes it."""
        with self._lock:
            if step.stage != self._step.stage:
                self._close_stage()
            self._step = step

    def cancelled(self) -> bool:
        """Whether the run is to stop: the person asked, the worker ends, or the job was lost."""
        return self.cancel_asked or self.lost or self._stop.is_set()

    def stage_seconds(self) -> dict[str, float]:
        """Seconds of each stage so far, the running one included."""
        with self._lock:
            seconds = dict(self._seconds)
            if self._step.stage:
                running = time.monotonic() - self._since
                seconds[self._step.stage] = round(seconds.get(self._step.stage, 0.0) + running, 2)
            return seconds

    def _close_stage(self) -> None:
        moment = time.monotonic()
        if self._step.stage:
            spent = self._seconds.get(self._step.stage, 0.0) + moment - self._since
            self._seconds[self._step.stage] = round(spent, 2)
        self._since = moment

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            asked = time.monotonic()
            try:
                answer = self._renew()
            except StoreError:
                self.lost = time.monotonic() > self._valid_until
                continue
            if answer is None:
                self.lost = True
                return
            self._valid_until = asked + LEASE_SECONDS
            self.cancel_asked = self.cancel_asked or answer

    def _renew(self) -> bool | None:
        with self._lock:
            step = self._step
        seconds = self.stage_seconds()
        with transaction(self._workplace) as session:
            return self._write(
                session,
                self._code,
                worker=self._worker,
                lease_seconds=LEASE_SECONDS,
                stage=step.stage,
                done=step.done,
                total=step.total,
                stage_seconds=seconds,
            )
