"""Jobs: rows of a table, not the memory of a process. What pages show and what a person does to them.

A worker takes a waiting job by a lease and renews it; a job whose lease ran out is *interrupted* and
can be started again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ki67.study.people import Person
from ki67.study.workplace import Workplace
from ki67.types import Site

JobState = Literal["waiting", "running", "done", "failed", "interrupted", "cancelled"]


@dataclass(frozen=True)
class JobView:
    """A job as a page shows it.

    `stage` is that of `ki67.types.Progress` (read, tissue, tumor, cells, index), or "" before the first;
    `stage_seconds` holds the seconds of each stage so far, in order. `seconds_left` is None when nothing
    is known. `message` is the sentence of a failure or interruption, else "". `recognised` means that
    the same picture was scored with the same models and settings before: done at once.
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


def list_jobs(workplace: Workplace, person: Person, *, open_only: bool = False) -> list[JobView]:
    """The jobs, newest first; `open_only`: waiting or running ones. Jobs whose lease ran out are marked here."""
    raise NotImplementedError


def get_job(workplace: Workplace, person: Person, code: str) -> JobView:
    """One job. Raises StoreError when there is none."""
    raise NotImplementedError


def cancel(workplace: Workplace, person: Person, code: str) -> JobView:
    """Cancels a waiting job at once; asks the worker to stop a running one. Others stay as they are."""
    raise NotImplementedError


def restart(workplace: Workplace, person: Person, code: str) -> JobView:
    """Puts an interrupted, failed or cancelled job back into the queue.

    Raises:
        StoreError: the job is waiting, running or done.
    """
    raise NotImplementedError


def remove(workplace: Workplace, person: Person, code: str) -> None:
    """Takes a job that is not running off the list; pictures and results stay.

    Raises:
        StoreError: the job is running; cancel it first.
    """
    raise NotImplementedError
