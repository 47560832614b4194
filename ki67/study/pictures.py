"""Pictures of the store: added once, recognised by content, kept without names or identifying tags.

An uploaded picture is kept as one clean tiled TIFF pyramid: the pixels as the nets see them, nothing
else of the file. A slide from a root of `KI67_SLIDES` stays where it is. Pictures are addressed by
opaque codes, never by file name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ki67.study.people import Person
from ki67.study.workplace import Workplace
from ki67.types import PictureInfo


@dataclass(frozen=True)
class StoredPicture:
    """A picture of the store.

    `sha256` is that of the file as it came. `known` is True when the picture was in the store already;
    `case_code` and `site` are None until it was first scored. `info.metadata_mpp` is the pixel size
    that the original file carried; None means that it has to be asked for.
    """

    code: str
    sha256: str
    info: PictureInfo
    known: bool
    case_code: str | None
    patient_code: str | None
    site: str | None
    result_codes: tuple[str, ...]

    @property
    def megapixels(self) -> float:
        return self.info.width_px * self.info.height_px / 1e6


@dataclass(frozen=True)
class SlideEntry:
    """A line of a slide folder: a folder to open, or a file that can be added. `relative` has `/`."""

    name: str
    relative: str
    kind: Literal["folder", "picture"]
    bytes: int


def add_upload(workplace: Workplace, person: Person, stream: BinaryIO, original_name: str) -> StoredPicture:
    """Adds an uploaded picture; the same content again gives the picture already there.

    `original_name` is used for its suffix and in the sentence of an error, and is not kept.

    Raises:
        PictureError: the file cannot be read, or is a part of a slide of several files.
        StoreError: the disk is full or read-only; the store is as before.
        NotAllowed: the person is no coordinator.
    """
    raise NotImplementedError


def add_file(workplace: Workplace, person: Person, path: Path) -> StoredPicture:
    """Like `add_upload`, from a file of this machine (the command line); the file stays as it is."""
    raise NotImplementedError


def add_from_slides(workplace: Workplace, person: Person, *, root: str, relative: str) -> StoredPicture:
    """Adds a slide of a root of `KI67_SLIDES` without copying it.

    Raises:
        StoreError: no such root, a path outside it (also through a link), a file that is not there.
        PictureError: the file cannot be read as a picture.
        NotAllowed: the person is no coordinator.
    """
    raise NotImplementedError


def slide_roots(workplace: Workplace, person: Person) -> tuple[str, ...]:
    """The names of the slide roots, in order; empty when `KI67_SLIDES` is not set."""
    raise NotImplementedError


def list_slide_folder(
    workplace: Workplace, person: Person, *, root: str, relative: str = ""
) -> list[SlideEntry]:
    """Folders, then pictures of a folder below a slide root, each by name. Hidden entries are left out.

    Raises:
        StoreError: no such root or folder, a path outside it, a root that is not there at the moment.
    """
    raise NotImplementedError


def get_picture(workplace: Workplace, person: Person, code: str) -> StoredPicture:
    """A stored picture by code. Raises StoreError when there is none."""
    raise NotImplementedError


def viewing_path(workplace: Workplace, person: Person, code: str) -> Path:
    """A file with tiles and levels that OpenSlide opens: for the viewer. Its name says nothing about a person.

    Raises:
        StoreError: no such picture, or its file (slide root) is not there at the moment.
    """
    raise NotImplementedError


def scoring_path(workplace: Workplace, person: Person, code: str) -> Path:
    """The file that holds the picture's pixels in full resolution; errors as `viewing_path`."""
    raise NotImplementedError


def thumbnail_jpeg(workplace: Workplace, person: Person, code: str) -> bytes:
    """The whole picture as a JPEG, longest side 512 px, made once when the picture was added."""
    raise NotImplementedError


def suggest_case_code(workplace: Workplace, person: Person) -> str:
    """The next free code of the form CASE-0001."""
    raise NotImplementedError
