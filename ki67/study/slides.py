"""Slides on this machine: named read-only roots (`KI67_SLIDES`), never outside them, also not by a link."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ki67.errors import StoreError
from ki67.pipeline.images import files_of
from ki67.study.people import Person, require
from ki67.study.workplace import Workplace

PICTURE_SUFFIXES = frozenset(
    {".bif", ".czi", ".dcm", ".jpeg", ".jpg", ".mrxs", ".ndpi", ".png", ".scn", ".svs", ".svslide"}
    | {".tif", ".tiff", ".vms", ".vmu"}
)


@dataclass(frozen=True)
class SlideEntry:
    """A line of a slide folder: a folder to open, or a file that can be added. `relative` has `/`."""

    name: str
    relative: str
    kind: Literal["folder", "picture"]
    bytes: int


def slide_roots(workplace: Workplace, person: Person) -> tuple[str, ...]:
    """The names of the slide roots, in order; empty when `KI67_SLIDES` is not set."""
    require(person, "coordinator", doing="look at the slide folders")
    return tuple(sorted(workplace.settings.slides))


def list_slide_folder(
    workplace: Workplace, person: Person, *, root: str, relative: str = ""
) -> list[SlideEntry]:
    """Folders, then pictures of a folder below a slide root, each by name. Hidden entries are left out.

    Raises:
        StoreError: no such root or folder, a path outside it, a root that is not there at the moment.
    """
    require(person, "coordinator", doing="look at the slide folders")
    folder = slide_path(workplace, root=root, relative=relative)
    base = folder_of_root(workplace, root)
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name.lower())
    except OSError as error:
        raise StoreError(
            f"This folder of {root} cannot be read: choose a folder that can be opened."
        ) from error
    data_folders = {path.stem for path in entries if path.suffix.lower() == ".mrxs"}
    listed = [
        _entry(path, base, Path(relative) / path.name)
        for path in entries
        if not path.name.startswith(".") and path.name not in data_folders
    ]
    found = [entry for entry in listed if entry is not None]
    return sorted(found, key=lambda entry: entry.kind != "folder")


def _entry(path: Path, base: Path, relative: Path) -> SlideEntry | None:
    """The line for a path; None for what is no picture, cannot be read, or leads outside."""
    try:
        target = path.resolve(strict=True)
        size = target.stat().st_size
    except OSError:
        return None
    if not target.is_relative_to(base):
        return None
    if target.is_dir():
        return SlideEntry(name=path.name, relative=relative.as_posix(), kind="folder", bytes=0)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return None
    return SlideEntry(name=path.name, relative=relative.as_posix(), kind="picture", bytes=size)


def folder_of_root(workplace: Workplace, root: str) -> Path:
    """The folder behind the name of a root, links followed. Raises StoreError when it is not there."""
    if root not in workplace.settings.slides:
        raise StoreError("There is no slide folder of this name: choose one that KI67_SLIDES lists.")
    try:
        return workplace.settings.slides[root].resolve(strict=True)
    except OSError as error:
        raise StoreError(
            f"The slide folder {root} is not there at the moment: connect it again and repeat."
        ) from error


def slide_path(workplace: Workplace, *, root: str, relative: str) -> Path:
    """The file or folder behind a root's name and a relative path, links followed.

    Raises:
        StoreError: no such root, nothing there, or a place outside the root.
    """
    base = folder_of_root(workplace, root)
    outside = StoreError(f"This path lies outside the slide folder {root}: choose a slide inside it.")
    if "\0" in relative or Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise outside
    try:
        found = (base / relative).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise StoreError(
            f"The slide is not in the slide folder {root} any more: put it back, or choose another one."
        ) from error
    if not found.is_relative_to(base):
        raise outside
    return found


def check_parts(workplace: Workplace, path: Path, *, root: str) -> None:
    """Checks that a slide of several files has no part outside its root, also not by a link.

    Raises:
        StoreError: a part lies outside.
    """
    base = folder_of_root(workplace, root)
    parts = files_of(path)
    if path.suffix.lower() == ".mrxs":
        folder = path.with_suffix("")
        parts += [folder, *folder.rglob("*")]
    for part in parts:
        try:
            inside = part.resolve().is_relative_to(base)
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            raise StoreError(
                f"A part of this slide lies outside the slide folder {root} (a link leads there): "
                "put the whole slide inside it."
            )
