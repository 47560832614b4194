"""Where the store keeps files: a folder for each picture, run and result, each written as a whole.

pictures/<picture code>/picture.tif    pixels and nothing else (uploads)
                        pyramid.tif    levels for the viewer (flat slides of a root)
                        thumbnail.jpg
runs/<run code>/                       what the nets gave
results/<result code>.npz              which nuclei were found and counted
evaluations/<code>/result/             what a model set was measured to be; `data` until it is done
incoming/                              uploads on their way; emptied when they are done
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ki67.study.workplace import Workplace, disk_faults

CHUNK_BYTES = 1 << 20
LEFT_OVER_SECONDS = 6 * 3600
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
PICTURE_NAME, PYRAMID_NAME, THUMBNAIL_NAME = "picture.tif", "pyramid.tif", "thumbnail.jpg"


def new_code(letter: str) -> str:
    """An opaque code: a letter for the kind and 12 random hexadecimal digits."""
    return f"{letter}{secrets.token_hex(6)}"


def picture_folder(home: Path, code: str) -> Path:
    return home / "pictures" / code


def run_folder(home: Path, code: str) -> Path:
    return home / "runs" / code


def result_file(home: Path, code: str) -> Path:
    return home / "results" / f"{code}.npz"


def shown_name(original_name: str) -> str:
    """The last part of a file's name as it may stand in a sentence: printable, at most 80 letters."""
    last = PurePosixPath(original_name.replace("\\", "/")).name
    printable = "".join(letter for letter in last if letter.isprintable()).strip()
    return printable[:80] or "the picture"


@contextmanager
def incoming(workplace: Workplace, stream: BinaryIO, original_name: str) -> Iterator[tuple[Path, str]]:
    """Spools an upload to a folder of its own, so that no reader takes it for a part of another slide.

    Gives the file's path (with an opaque name) and SHA-256, and removes it afterwards.

    Raises:
        StoreError: the disk is full or read-only.
    """
    suffix = PurePosixPath(shown_name(original_name)).suffix
    folder = workplace.home / "incoming" / new_code("u")
    path = folder / ("upload" + (suffix.lower() if SUFFIX.fullmatch(suffix) else ""))
    digest = hashlib.sha256()
    try:
        with disk_faults():
            folder.mkdir(parents=True)
            with path.open("xb") as target:
                while chunk := stream.read(CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
        yield path, digest.hexdigest()
    finally:
        remove(folder)


def sweep(
    home: Path, *, pictures: set[str], runs: set[str], results: set[str], evaluations: set[str]
) -> None:
    """Removes what a killed process left: uploads on their way and folders that no row names.

    Only what is older than some hours goes, because another process may be writing just now.
    """
    oldest = time.time() - LEFT_OVER_SECONDS
    kept = {"pictures": pictures, "runs": runs, "results": results, "evaluations": evaluations}
    for folder, known in (("incoming", set()), *kept.items()):
        for path in (home / folder).glob("*"):
            if path.name.removesuffix(".npz") in known:
                continue
            if path.lstat().st_mtime < oldest:
                remove(path)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
