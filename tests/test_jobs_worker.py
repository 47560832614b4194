"""Leases and the worker as a process: killed, stopped, started twice, it leaves nothing half-written."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from db import job_queries
from ki67.settings import Settings
from ki67.study import jobs, leases, results, worker
from ki67.study.jobs import JobView, list_jobs
from ki67.study.pictures import add_upload
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.worker import WorkerHandle, start_worker
from ki67.study.workplace import Workplace, open_workplace, reading, transaction
from ki67.types import Progress
from tests.picture_files import colors
from tests.stores import LOCAL, FakeScorer, files_below, png, wait_for, work_off


def submitted(workplace: Workplace) -> JobView:
    code = add_upload(workplace, LOCAL, io.BytesIO(png(colors(400, 300))), "a.png").code
    return submit(workplace, LOCAL, [ScoreRequest(code, "B-0", "breast", mpp=0.5)])[0]


def one(workplace: Workplace, code: str) -> JobView:
    return jobs.get_job(workplace, LOCAL, code)


def test_an_expired_lease_is_seen_as_interrupted_and_its_run_folder_goes(workplace: Workplace) -> None:
    job = submitted(workplace)
    with transaction(workplace) as session:
        row = job_queries.claim_job(session, worker="w1", run_code="n1", lease_seconds=-1)
    assert row is not None
    (workplace.home / "runs" / "n1").mkdir(parents=True)
    (seen,) = list_jobs(workplace, LOCAL)
    assert (seen.code, seen.state) == (job.code, "interrupted")
    assert "Start it again" in seen.message
    assert not (workplace.home / "runs" / "n1").exists()


def test_a_worker_that_lost_its_lease_cannot_finish_the_job(workplace: Workplace) -> None:
    job = submitted(workplace)
    with transaction(workplace) as session:
        row = job_queries.claim_job(session, worker="w1", run_code="n1", lease_seconds=-1)
    assert row is not None
    list_jobs(workplace, LOCAL)
    before = files_below(workplace.home)
    worker.carry_out(workplace, row, FakeScorer(), worker="w1", stop=threading.Event())
    assert one(workplace, job.code).state == "interrupted"
    assert results.list_results(workplace, LOCAL) == []
    assert files_below(workplace.home) == before


def test_a_lease_is_renewed_until_the_work_ends(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    job = submitted(workplace)
    with transaction(workplace) as session:
        row = job_queries.claim_job(session, worker="w1", run_code="n1", lease_seconds=5)
    assert row is not None
    assert row.lease_until is not None
    with leases.Lease(workplace, job.code, worker="w1", stop=threading.Event()) as lease:
        lease.progress(Progress("tumor", 3, 9))
        wait_for(lambda: one(workplace, job.code).done == 3, "a beat")
        lease.progress(Progress("cells", 1, 7))
        wait_for(lambda: one(workplace, job.code).stage == "cells", "a beat")
        assert not lease.cancelled()
    with reading(workplace) as session:
        later = job_queries.job_by_code(session, job.code)
    assert later is not None
    assert later.lease_until is not None
    assert later.lease_until > row.lease_until + timedelta(seconds=10)
    assert list(later.stage_seconds) == ["tumor", "cells"]


@pytest.fixture
def handles() -> Iterator[list[WorkerHandle]]:
    started: list[WorkerHandle] = []
    yield started
    for handle in started:
        handle.stop()


def fake_worker(step_seconds: float, steps: int) -> list[str]:
    return [sys.executable, "-m", "tests.fake_worker", str(step_seconds), str(steps)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_killed_worker_leaves_nothing_its_job_is_interrupted_and_can_be_started_again(
    workplace: Workplace, handles: list[WorkerHandle]
) -> None:
    job = submitted(workplace)
    before = files_below(workplace.home)
    handles.append(start_worker(workplace.settings, command=fake_worker(0.05, 100_000)))
    wait_for(lambda: one(workplace, job.code).done > 0, "the worker's first progress")
    killed = handles[0].process_id
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_for(
        lambda: one(workplace, job.code).state == "interrupted",
        "the end of the lease",
        seconds=leases.LEASE_SECONDS + 15,
    )
    left = {name: content for name, content in files_below(workplace.home).items() if ".lock" not in name}
    assert left == before
    wait_for(lambda: handles[0].process_id not in (None, killed), "another worker")
    handles.pop().stop()
    jobs.restart(workplace, LOCAL, job.code)
    work_off(workplace, FakeScorer())
    assert one(workplace, job.code).state == "done"


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_job_is_interrupted_when_the_app_ends_and_one_worker_serves_two_apps(
    settings: Settings, handles: list[WorkerHandle]
) -> None:
    workplace = open_workplace(settings)
    job = submitted(workplace)
    command = fake_worker(0.05, 100_000)
    handles.append(start_worker(settings, command=command))
    wait_for(lambda: one(workplace, job.code).done > 0, "the worker's first progress")
    handles.append(start_worker(settings, command=command))
    assert handles[0].process_id is not None
    assert handles[1].process_id is None
    handles[0].stop()
    stopped = one(workplace, job.code)
    assert (stopped.state, stopped.message) == ("interrupted", worker.CLOSED)
    wait_for(lambda: handles[1].process_id is not None, "the other app's worker")
    handles[1].stop()
    handles[1].stop()


def test_the_worker_of_the_product_starts_without_the_nets_and_ends_with_its_input(
    tmp_path: Path, model_folder: Path, handles: list[WorkerHandle]
) -> None:
    settings = Settings(home=tmp_path / "home", models=model_folder)
    handles.append(start_worker(settings))
    wait_for(lambda: (tmp_path / "home" / "ki67.sqlite").exists(), "the worker's start")
    pid = handles[0].process_id
    assert pid is not None
    handles[0].stop()
    assert not Path(f"/proc/{pid}").exists()
