"""Nothing half-written: a file or a whole folder appears complete, or the old one stays."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ki67.errors import StoreError


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
    read-only folder or missing rights become a `StoreError` that says so.
    """
    with _sentences(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
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
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
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
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    try:
        os.rename(target, old / target.name)
        try:
            os.rename(partial, target)
        except OSError:
            os.rename(old / target.name, target)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


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
        errno.ENOSPC: "the disk is full: free some space and try again",
        errno.EDQUOT: "the disk quota is used up: free some space and try again",
        errno.EROFS: "the folder is read-only: choose a folder that can be written",
        errno.EACCES: "no right to write there: choose a folder that can be written",
        errno.EPERM: "no right to write there: choose a folder that can be written",
        errno.ENOTDIR: "a part of its path is a file: choose another folder",
        errno.EEXIST: "a part of its path is a file: choose another folder",
    }
    try:
        yield
    except OSError as error:
        if error.errno not in reasons:
            raise
        raise StoreError(f"{target} cannot be written: {reasons[error.errno]}.") from error
