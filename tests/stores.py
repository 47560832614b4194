"""Workplaces for the tests of the store, on SQLite and a private PostgreSQL server; runs without nets."""

from __future__ import annotations

import io
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from PIL import Image

from ki67.errors import Cancelled
from ki67.pipeline.cards import ModelCard, ModelSet, default_spec, write_model_folder
from ki67.pipeline.images import probe
from ki67.pipeline.outlines import Outline
from ki67.settings import Settings
from ki67.study.codec import RunSettings
from ki67.study.execute import Scorer
from ki67.study.jobs import list_jobs
from ki67.study.people import Person, local_person
from ki67.study.worker import work
from ki67.study.workplace import Workplace, open_workplace
from ki67.types import ByteArray, IsCancelled, Progress, ReportProgress, RunRecord
from tests.records import make_record, scattered

LOCAL = local_person()
READER = Person(code="reader-1", roles=frozenset({"reader"}))
ANALYST = Person(code="analyst-1", roles=frozenset({"analyst"}))


def server_programs() -> Path | None:
    """The folder of PostgreSQL's server programs, newest first; None where there is none."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(found).parent if found else (folders[-1] if folders else None)


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """A private server without network, in a folder of its own; gives the folder of its socket."""
    programs = server_programs()
    if programs is None:
        pytest.skip("needs a PostgreSQL server program")
    folder = Path(tempfile.mkdtemp(prefix="ki67-pg-"))
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data = folder / "data"
    command = [programs / "initdb", "-D", data, "-A", "trust", "-U", "ki67", "--no-sync", "-E", "UTF8"]
    subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=400", "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, user=user, cwd=folder
        )
    try:
        wait_for(lambda: can_connect(folder), "the PostgreSQL server")
        yield str(folder)
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def can_connect(folder: Path) -> bool:
    try:
        psycopg.connect(f"host={folder} user=ki67 dbname=postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database: "" for the default one, or a new schema of the PostgreSQL server."""
    if request.param == "sqlite":
        return ""
    folder = request.getfixturevalue("postgres_socket")
    name = f"t{uuid4().hex}"
    with psycopg.connect(f"host={folder} user=ki67 dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"postgresql+psycopg://ki67@/postgres?host={folder}&options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model set whose cards are good and whose weights are next to nothing."""
    folder = tmp_path_factory.mktemp("models") / "set-a"
    for task in ("tumor", "cells"):
        spec = default_spec(task)
        card = ModelCard(
            task=task,
            name=f"{task}-net",
            version="1.0",
            classes=spec.classes,
            encoder=spec.encoder,
            encoder_init="none",
            created_at="2026-11-24T09:00:00Z",
            software_version="0.1.0",
        )
        write_model_folder(folder / task, card, {"weight": np.zeros((2, 2), np.float32)})
    return folder


@pytest.fixture
def settings(tmp_path: Path, database_url: str, model_folder: Path) -> Settings:
    return Settings(home=tmp_path / "home", database_url=database_url, models=model_folder)


@pytest.fixture
def workplace(settings: Settings) -> Iterator[Workplace]:
    opened = open_workplace(settings)
    yield opened
    opened.engine.dispose()


@dataclass
class FakeScorer:
    """Runs no nets: nuclei scattered from the picture's size. Counts its calls; may be slow or fail."""

    nuclei: int = 600
    positive: int = 120
    steps: int = 2
    step_seconds: float = 0.0
    fault: Exception | None = None
    calls: list[str] = field(default_factory=list)
    outlines: list[Outline | None] = field(default_factory=list)

    def __call__(
        self,
        path: Path,
        *,
        name: str,
        models: ModelSet,
        settings: RunSettings,
        outline: Outline | None,
        progress: ReportProgress,
        cancelled: IsCancelled,
    ) -> RunRecord:
        self.calls.append(name)
        self.outlines.append(outline)
        info = probe(path, name=name)
        for step in range(self.steps):
            progress(Progress("cells", step, self.steps))
            time.sleep(self.step_seconds)
            if cancelled():
                raise Cancelled("Cancelled: nothing was stored.")
        if self.fault is not None:
            raise self.fault
        x, y = scattered(self.nuclei, width_px=info.width_px, height_px=info.height_px, seed=settings.seed)
        record = make_record(
            x,
            y,
            np.arange(self.nuclei) < self.positive,
            width_px=info.width_px,
            height_px=info.height_px,
            mpp=settings.pixel_size.mpp,
            source=settings.pixel_size.source,
            parameters=settings.parameters,
            seed=settings.seed,
        )
        tumor = models.tumor.ref if models.tumor and settings.parameters.use_tumor_mask else None
        return replace(record, models={"tumor": tumor, "cells": models.cells.ref})


def work_off(workplace: Workplace, scorer: Scorer) -> None:
    """Lets a worker in this process do everything that waits."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(workplace, scorer), kwargs={"stop": stop})
    thread.start()
    try:
        wait_for(lambda: not list_jobs(workplace, LOCAL, open_only=True), "the jobs")
    finally:
        stop.set()
        thread.join()


def png(pixels: ByteArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file of a data folder by its path, without the database's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("ki67.sqlite")
    }


def holds(folder: Path, text: bytes) -> list[str]:
    """The files below a folder that contain the bytes or have them in their name."""
    return [
        str(path)
        for path in folder.rglob("*")
        if text in os.fsencode(path) or (path.is_file() and text in path.read_bytes())
    ]


def wait_for(true: object, what: str, *, seconds: float = 60.0) -> None:
    """Waits until the callable gives something true; fails naming what was waited for."""
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)
