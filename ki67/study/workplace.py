"""The workplace: settings and database of this installation, opened and checked once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db import engine as database
from db.engine import DatabaseFault, Engine, Session
from ki67.errors import StoreError
from ki67.settings import Settings
from ki67.study.filesystem import filesystem_type, is_network_filesystem

FULL = "The disk of the data folder (KI67_HOME) is full: free some space and try again."
READ_ONLY = "The data folder (KI67_HOME) cannot be written: allow writing there, or choose another folder."
DISK_FAULTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
    errno.ENOTDIR: READ_ONLY,
    errno.EEXIST: READ_ONLY,
}
DATABASE_FAULTS = {
    "full": "The disk of the database is full or failing: free some space and try again.",
    "read_only": "The database cannot be written: allow writing to it (KI67_HOME, KI67_DATABASE_URL).",
    "locked": "The database was busy for too long: try again in a minute.",
    "unreachable": "The database cannot be reached: check KI67_DATABASE_URL and that its server runs.",
    "damaged": "The database file is damaged: put its last backup in its place.",
    "newer": "The database was written by a newer version of this software: install that version.",
}


class UnknownCode(StoreError):
    """Nothing in the store has the code that was asked for."""


@dataclass(frozen=True)
class Workplace:
    """What every service needs: settings and the opened database. Threads may share one."""

    settings: Settings
    engine: Engine

    @property
    def home(self) -> Path:
        return self.settings.home


def open_workplace(settings: Settings) -> Workplace:
    """Opens the store: makes the data folder, checks that it can be written, brings the database up to date.

    Raises:
        StoreError: the folder is read-only or full, SQLite would lie on a network file system, the database
            cannot be reached or was written by a newer version of this software.
    """
    _check_home(settings.home)
    if settings.database.startswith("sqlite:///"):
        _check_sqlite(Path(settings.database.removeprefix("sqlite:///")))
    workplace = Workplace(settings=settings, engine=database.open_engine(settings.database))
    with _database_faults():
        database.migrate(workplace.engine)
    return workplace


def _check_home(home: Path) -> None:
    """Makes the folder and writes a file into it, because rights alone do not tell."""
    probe = home / f".writable-{os.getpid()}"
    with disk_faults():
        home.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"ki67")
        finally:
            probe.unlink(missing_ok=True)


def _check_sqlite(path: Path) -> None:
    folder = path.parent
    if is_network_filesystem(folder):
        raise StoreError(
            f"The database would lie on a network file system ({filesystem_type(folder)}), where SQLite "
            "loses data: set KI67_HOME to a folder of a local disk, or use PostgreSQL (KI67_DATABASE_URL)."
        )


@contextmanager
def transaction(workplace: Workplace) -> Iterator[Session]:
    """A transaction that may write: committed at the end of the block, rolled back when it raises.

    Raises:
        StoreError: the disk is full, the database is read-only, locked or cannot be reached.
    """
    with _database_faults(), database.writing(workplace.engine) as session:
        yield session


@contextmanager
def reading(workplace: Workplace) -> Iterator[Session]:
    """A transaction that only reads; errors as `transaction`."""
    with _database_faults(), database.reading(workplace.engine) as session:
        yield session


@contextmanager
def disk_faults() -> Iterator[None]:
    """Turns a full or read-only disk into a `StoreError` that names no path of this machine."""
    try:
        yield
    except OSError as error:
        raise _about_disk(error) from error
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise _about_disk(error.__cause__) from error
        raise


def _about_disk(error: OSError) -> StoreError:
    sentence = DISK_FAULTS.get(error.errno or 0)
    if sentence is None:
        reason = error.strerror or type(error).__name__
        sentence = f"The data folder (KI67_HOME) fails ({reason}): check its disk and try again."
    return StoreError(sentence)


@contextmanager
def _database_faults() -> Iterator[None]:
    try:
        yield
    except DatabaseFault as fault:
        if fault.kind == "other":
            raise
        raise StoreError(DATABASE_FAULTS[fault.kind]) from fault
