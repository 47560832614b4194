"""The database: engine, transactions, migration. SQLite set up to survive concurrency, or PostgreSQL.

One writer at a time on both: a writing transaction begins with `BEGIN IMMEDIATE` on SQLite and takes
an advisory lock on PostgreSQL, so that "look, then insert" has no gap. Reading never waits for writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

__all__ = ["DatabaseFault", "Engine", "Session", "migrate", "open_engine", "reading", "writing"]

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
BUSY_TIMEOUT_MS = 30_000
WRITER_LOCK = 0x4B693637  # "Ki67": the key of our advisory lock within the database
READ_ONLY = "ki67_read_only"

FaultKind = Literal["full", "read_only", "locked", "unreachable", "newer", "damaged", "other"]


class DatabaseFault(Exception):
    """The database could not do what was asked; `kind` says why, the cause is attached."""

    def __init__(self, kind: FaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: FaultKind = kind


def open_engine(url: str) -> Engine:
    """The engine for an address `sqlite:///…` or `postgresql+psycopg://…`. Nothing is opened yet."""
    if not url.startswith("sqlite"):
        engine = create_engine(url, pool_pre_ping=True)
        event.listen(engine, "begin", _lock_writers)
        return engine
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _lock_writers(connection: Connection) -> None:
    if not connection.get_execution_options().get(READ_ONLY):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that may write: committed at the end of the block, rolled back when it raises.

    Raises:
        DatabaseFault: for everything the database refuses.
    """
    with _faults_named(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads one consistent state and waits for no writer.

    Raises:
        DatabaseFault: for everything the database refuses.
    """
    reader = engine.execution_options(**{READ_ONLY: True})
    with _faults_named(), Session(reader, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def _faults_named() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise DatabaseFault(_kind(error.orig), str(error.orig)) from error
    except (sqlite3.Error, psycopg.Error) as error:
        raise DatabaseFault(_kind(error), str(error)) from error


def _kind(error: BaseException | None) -> FaultKind:
    """What a driver's error means."""
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "") or ""
        kinds: tuple[tuple[str, FaultKind], ...] = (
            ("SQLITE_FULL", "full"),
            ("SQLITE_READONLY", "read_only"),
            ("SQLITE_BUSY", "locked"),
            ("SQLITE_LOCKED", "locked"),
            ("SQLITE_CANTOPEN", "unreachable"),
            ("SQLITE_IOERR", "full"),
            ("SQLITE_CORRUPT", "damaged"),
            ("SQLITE_NOTADB", "damaged"),
        )
        return next((kind for prefix, kind in kinds if name.startswith(prefix)), "other")
    if isinstance(error, psycopg.Error):
        by_state: dict[str, FaultKind] = {"53100": "full", "25006": "read_only", "55P03": "locked"}
        if error.sqlstate in by_state:
            return by_state[error.sqlstate]
        return "unreachable" if isinstance(error, psycopg.OperationalError) else "other"
    return "other"


def migrate(engine: Engine, *, to: str = "head") -> None:
    """Brings the database to a revision, in one transaction: all or nothing, one process at a time.

    Raises:
        DatabaseFault: `newer` when the database has a revision that this software does not know.
    """
    config = _alembic_config()
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    with _faults_named(), engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise DatabaseFault("newer", f"revision {current}")
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def _alembic_config(**attributes: Any) -> Config:
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
