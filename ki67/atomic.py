"""Nothing half-written: a file or a whole folder appears complete, or the old one stays."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ki67.errors import StoreError

LEFT_OVER_SECONDS = 6 * 3600
LONGEST_PREFIX = 40
PARTIAL = ".partial"
_FULL = "the disk is full: free some space and try again"
_NO_RIGHT = "no right to write there: choose a folder that can be written"
_A_FILE = "a part of its path is a file: choose another folder"
_FAILS = "check the disk or the network folder and try again"


def check_replaceable(target: Path, *, holds: str) -> None:
    """Refuse a target that is somebody's own: not a missing or empty folder, nor one with the file `holds`.

    A slide's data folder has the slide's stem, and so has its result. Raises StoreError.
    """
    with _sentences(target):
        if not os.path.lexists(target) or (target.is_dir() and (target / holds).is_file()):
            return
        if not target.is_dir() or any(target.iterdir()):
            raise StoreError(
                f"{target} is there and holds no {holds}, so it is not replaced: choose another --out."
            )


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a new empty folder beside `target` to write into; on success it takes the place of `target`.

    On any error the new folder is removed and an old `target` stays as it was. A full disk, a
    read-only folder or missing rights become a `StoreError` that says so. What a killed process had
    half-written beside `target` goes after some hours.
    """
    with _sentences(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(target)
        partial = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=PARTIAL, dir=target.parent))
        try:
            yield partial
            partial.chmod(0o755)
            _flush_tree(partial)
            _swap(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_whole_file(path: Path, content: bytes) -> None:
    """Write `content` to a temporary name, flush it to the disk and rename it to `path`."""
    with _sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=PARTIAL, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)


def _swap(partial: Path, target: Path) -> None:
    if not target.exists():
        os.rename(partial, target)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=".old", dir=target.parent))
    try:
        os.rename(target, old / target.name)
        try:
            os.rename(partial, target)
        except OSError:
            os.rename(old / target.name, target)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _prefix(target: Path) -> str:
    """How temporary names beside `target` begin; short, because a name may have 255 bytes at most."""
    return f".{target.name[:LONGEST_PREFIX]}."


def _remove_left_over(target: Path) -> None:
    """Removes partial folders of the same name that are too old for anybody to be writing them."""
    oldest = time.time() - LEFT_OVER_SECONDS
    for path in target.parent.iterdir():
        if not (path.name.startswith(_prefix(target)) and path.name.endswith(PARTIAL)):
            continue
        with suppress(FileNotFoundError):  # whoever writes it has just finished
            if path.is_dir() and path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)


def _flush_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _sentences(target: Path) -> Iterator[None]:
    reasons = {
        errno.ENOSPC: _FULL,
        errno.EFBIG: _FULL,
        errno.EDQUOT: "the disk quota is used up: free some space and try again",
        errno.EROFS: "the folder is read-only: choose a folder that can be written",
        errno.EACCES: _NO_RIGHT,
        errno.EPERM: _NO_RIGHT,
        errno.ENOTDIR: _A_FILE,
        errno.EEXIST: _A_FILE,
        errno.ENAMETOOLONG: "its name is too long: give it a shorter one",
    }
    for number in (errno.EIO, errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ESTALE):
        reasons[number] = f"{os.strerror(number)}: {_FAILS}"
    try:
        yield
    except OSError as error:
        if error.errno not in reasons:
            raise
        raise StoreError(f"{target} cannot be written: {reasons[error.errno]}.") from error
