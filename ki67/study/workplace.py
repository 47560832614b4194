"""The workplace: settings and database of this installation, opened and checked once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db.engine import Engine, Session
from ki67.settings import Settings


@dataclass(frozen=True)
class Workplace:
    """What every service needs: settings, the opened database. Made by `open_workplace`; threads may share it."""

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
    raise NotImplementedError


@contextmanager
def transaction(workplace: Workplace) -> Iterator[Session]:
    """One transaction: committed at the end of the block, rolled back when it raises.

    Raises:
        StoreError: the disk is full, the database is read-only, locked or cannot be reached.
    """
    raise NotImplementedError
    yield
