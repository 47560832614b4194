"""What a data folder and an output folder hold, to be compared with what they held before."""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

STANDING = ("incoming", "pictures", "runs", "results", "evaluations", "cache")
"""Folders of the store that are made when first needed and stay, empty or not."""
CAP_OVERRIDE, CAP_READ_SEARCH = 1, 2
CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True)
class Held:
    """`files`: each path below the folder with the hash of its content, "" for a folder.

    `rows`: of each table of the database its rows in order.
    """

    files: dict[str, str]
    rows: dict[str, list[tuple[object, ...]]]


def held_by(folder: Path) -> Held:
    """Everything that a folder holds; a database in it counts by its rows, not by its files."""
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if not path.name.startswith("ki67.sqlite") and path.suffix != ".lock"
    }
    for name in STANDING:
        files.pop(name, None)
    database = folder / "ki67.sqlite"
    return Held(files, rows_of(database) if database.is_file() else {})


def rows_of(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of an SQLite database."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return {
            name: connection.execute(f'SELECT * FROM "{name}" ORDER BY rowid').fetchall()
            for (name,) in names.fetchall()
        }


@contextmanager
def small_files_only(limit_bytes: int) -> Iterator[None]:
    """A disk that is full as far as the system can say so: no file may grow beyond the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that really may not be written to, neither by the superuser, with everything below it."""
    places = [folder, *(path for path in folder.rglob("*"))]
    modes = {path: path.stat().st_mode for path in places}
    for path in places:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        with _bound_by_rights():
            yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@contextmanager
def _bound_by_rights() -> Iterator[None]:
    """Takes from this thread, and from those it starts, the superuser's power to pass rights by."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        yield
        return
    before = _effective_capabilities()
    _set_effective_capabilities(before & ~(1 << CAP_OVERRIDE | 1 << CAP_READ_SEARCH))
    try:
        yield
    finally:
        _set_effective_capabilities(before)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


def _capabilities() -> ctypes.Array[_Data]:
    data = (_Data * 2)()
    header = _Header(CAPABILITY_VERSION, 0)
    if ctypes.CDLL(None, use_errno=True).capget(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    return data


def _effective_capabilities() -> int:
    low, high = _capabilities()
    return int(low.effective) | int(high.effective) << 32


def _set_effective_capabilities(powers: int) -> None:
    data = _capabilities()
    data[0].effective, data[1].effective = powers & 0xFFFFFFFF, powers >> 32
    header = _Header(CAPABILITY_VERSION, 0)
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
