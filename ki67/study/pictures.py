"""Pictures of the store: added once, recognised by content, kept without names or identifying tags.

An uploaded picture is kept as one clean tiled TIFF: the pixels as the nets see them, nothing else of the
file. A slide from a root of `KI67_SLIDES` stays where it is. Pictures are addressed by opaque codes,
never by file name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from db import queries
from db.rows import NewPicture, PictureRow
from ki67.atomic import whole_folder
from ki67.errors import PictureError, StoreError
from ki67.pipeline.images import Picture, is_multi_file, open_picture, probe, sha256_of
from ki67.pipeline.pyramid import make_pyramid
from ki67.study import files
from ki67.study.cases import suggest_case_code
from ki67.study.clean import write_clean
from ki67.study.people import Person, require
from ki67.study.slides import SlideEntry, check_parts, list_slide_folder, slide_path, slide_roots
from ki67.study.workplace import UnknownCode, Workplace, disk_faults, reading, transaction
from ki67.types import ByteArray, PictureInfo

__all__ = [
    "SlideEntry",
    "StoredPicture",
    "add_file",
    "add_from_slides",
    "add_upload",
    "get_picture",
    "list_slide_folder",
    "scoring_path",
    "slide_roots",
    "suggest_case_code",
    "thumbnail_jpeg",
    "viewing_path",
]

THUMBNAIL_PX = 512
STORED_NAME = "the stored picture"
FLAT_VIEW_PX = 1024


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
    synthetic: bool

    @property
    def megapixels(self) -> float:
        return self.info.width_px * self.info.height_px / 1e6


def add_upload(workplace: Workplace, person: Person, stream: BinaryIO, original_name: str) -> StoredPicture:
    """Adds an uploaded picture; the same content again gives the picture already there.

    `original_name` is used for its suffix and in the sentence of an error, and is not kept.

    Raises:
        PictureError: the file cannot be read, or is a part of a slide of several files.
        StoreError: the disk is full or read-only; the store is as before.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="add pictures")
    name = files.shown_name(original_name)
    with _named(name), files.incoming(workplace, stream, original_name) as (path, sha256):
        info = probe(path, name=name, max_pixels=workplace.settings.max_pixels)
        if is_multi_file(path):
            raise PictureError(
                f"“{name}” is one file of a slide of several: put the whole slide into a slide folder "
                "(KI67_SLIDES) and choose it there."
            )
        known = _known(workplace, sha256)
        if known is not None:
            return known
        with open_picture(path, name=name, max_pixels=workplace.settings.max_pixels) as picture:
            return _add(workplace, person, _copy_of(picture, path), sha256=sha256, info=info)


def add_file(workplace: Workplace, person: Person, path: Path, *, synthetic: bool = False) -> StoredPicture:
    """Like `add_upload`, from a file of this machine (the command line); the file stays as it is.

    A slide of several files is added as well: its pixels are copied.
    """
    require(person, "coordinator", doing="add pictures")
    info = probe(path, max_pixels=workplace.settings.max_pixels)
    sha256 = sha256_of(path)
    known = _known(workplace, sha256)
    if known is not None:
        return known
    with _named(path.name), open_picture(path, max_pixels=workplace.settings.max_pixels) as picture:
        fill = _copy_of(picture, path)
        return _add(workplace, person, fill, sha256=sha256, info=info, synthetic=synthetic)


def add_from_slides(workplace: Workplace, person: Person, *, root: str, relative: str) -> StoredPicture:
    """Adds a slide of a root of `KI67_SLIDES` without copying it.

    Raises:
        StoreError: no such root, a path outside it (also through a link), a file that is not there.
        PictureError: the file cannot be read as a picture.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="add pictures")
    name = files.shown_name(relative)
    with _named(name):
        return _add_slide(workplace, person, root=root, relative=relative, name=name)


def _add_slide(workplace: Workplace, person: Person, *, root: str, relative: str, name: str) -> StoredPicture:
    path = slide_path(workplace, root=root, relative=relative)
    check_parts(workplace, path, root=root)
    info = probe(path, name=name, max_pixels=workplace.settings.max_pixels)
    sha256 = sha256_of(path)
    known = _known(workplace, sha256)
    if known is not None:
        _find_again(workplace, known.code, root=root, relative=relative)
        return known
    limit = workplace.settings.max_pixels

    def fill(folder: Path) -> ByteArray:
        with open_picture(path, name=name, max_pixels=limit) as picture:
            if info.levels == 1:
                make_pyramid(path, folder / files.PYRAMID_NAME, name=name, max_pixels=limit)
            return picture.thumbnail(THUMBNAIL_PX)

    return _add(workplace, person, fill, sha256=sha256, info=info, place=(root, relative))


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What the store could not do is said with the picture that it was about."""
    try:
        yield
    except StoreError as error:
        raise StoreError(f"“{name}”: {error}") from error


def _find_again(workplace: Workplace, code: str, *, root: str, relative: str) -> None:
    """Takes down where a slide lies now, when it is not where it was any more."""
    row = find_picture(workplace, code)
    if row.root is None or row.relative is None:
        return
    try:
        slide_path(workplace, root=row.root, relative=row.relative)
    except StoreError:
        with transaction(workplace) as session:
            queries.move_slide(session, picture_id=row.id, root=root, relative=relative)


def _copy_of(picture: Picture, path: Path) -> Callable[[Path], ByteArray]:
    """What fills the folder of an upload: clean pixels, levels where they have none; gives a thumbnail."""

    def fill(folder: Path) -> ByteArray:
        kept = folder / files.PICTURE_NAME
        write_clean(picture, path, kept)
        pixels = picture.info.width_px * picture.info.height_px
        stored = probe(kept, name=STORED_NAME, max_pixels=pixels)
        if stored.levels == 1 and max(stored.width_px, stored.height_px) > FLAT_VIEW_PX:
            make_pyramid(kept, folder / files.PYRAMID_NAME, name=STORED_NAME, max_pixels=pixels)
        return picture.thumbnail(THUMBNAIL_PX)

    return fill


def _add(
    workplace: Workplace,
    person: Person,
    fill: Callable[[Path], ByteArray],
    *,
    sha256: str,
    info: PictureInfo,
    place: tuple[str, str] | None = None,
    synthetic: bool = False,
) -> StoredPicture:
    """Writes the picture's folder as a whole, then its row; without the row the folder goes again."""
    code = files.new_code("p")
    folder = files.picture_folder(workplace.home, code)
    with disk_faults(), whole_folder(folder) as partial:
        thumbnail = fill(partial)
        Image.fromarray(thumbnail).save(partial / files.THUMBNAIL_NAME, quality=85)
    new = NewPicture(
        code=code,
        sha256=sha256,
        width_px=info.width_px,
        height_px=info.height_px,
        file_format=info.file_format,
        levels=info.levels,
        metadata_mpp=info.metadata_mpp,
        file=None if place else files.PICTURE_NAME,
        root=place[0] if place else None,
        relative=place[1] if place else None,
        pyramid=files.PYRAMID_NAME if (folder / files.PYRAMID_NAME).exists() else None,
        synthetic=synthetic,
    )
    kept = False
    try:
        with transaction(workplace) as session:
            row = queries.picture_by_sha256(session, sha256)
            if row is None:
                author = queries.person_id(session, person.code, sorted(person.roles))
                row = queries.add_picture(session, new, person=author)
        kept = row.code == code
    finally:
        if not kept:
            files.remove(folder)
    return _view(row, known=not kept, result_codes=())


def _known(workplace: Workplace, sha256: str) -> StoredPicture | None:
    with reading(workplace) as session:
        row = queries.picture_by_sha256(session, sha256)
        if row is None:
            return None
        return _view(row, known=True, result_codes=queries.result_codes_of_picture(session, row.id))


def _view(row: PictureRow, *, known: bool, result_codes: list[str] | tuple[str, ...]) -> StoredPicture:
    case = row.case
    return StoredPicture(
        code=row.code,
        sha256=row.sha256,
        info=info_of(row),
        known=known,
        case_code=case.code if case else None,
        patient_code=case.patient_code if case else None,
        site=case.site if case else None,
        result_codes=tuple(result_codes),
        synthetic=row.synthetic,
    )


def info_of(row: PictureRow) -> PictureInfo:
    """What was found out about a picture when it was added."""
    return PictureInfo(
        width_px=row.width_px,
        height_px=row.height_px,
        file_format=row.file_format,
        metadata_mpp=row.metadata_mpp,
        levels=row.levels,
    )


def get_picture(workplace: Workplace, person: Person, code: str) -> StoredPicture:
    """A stored picture by code, its results only for whom they are meant. Raises StoreError for none."""
    require(person, "coordinator", "reader", "analyst", doing="look at pictures")
    row = find_picture(workplace, code)
    with reading(workplace) as session:
        results = queries.result_codes_of_picture(session, row.id)
    shown = results if person.roles & {"coordinator", "analyst"} else []
    return _view(row, known=True, result_codes=shown)


def find_picture(workplace: Workplace, code: str) -> PictureRow:
    """The row of a picture. Raises StoreError when there is none."""
    with reading(workplace) as session:
        row = queries.picture_by_code(session, code)
    if row is None:
        raise UnknownCode("There is no picture with this code: choose one from the list.")
    return row


def viewing_path(workplace: Workplace, person: Person, code: str) -> Path:
    """A file with tiles that OpenSlide opens, for the viewer.

    Raises:
        StoreError: no such picture, or its file (slide root) is not there at the moment.
    """
    require(person, "coordinator", "reader", "analyst", doing="look at pictures")
    row = find_picture(workplace, code)
    if row.pyramid is not None:
        return files.picture_folder(workplace.home, row.code) / row.pyramid
    return pixels_of(workplace, row)


def scoring_path(workplace: Workplace, person: Person, code: str) -> Path:
    """The file that holds the picture's pixels in full resolution; errors as `viewing_path`."""
    require(person, "coordinator", doing="score pictures")
    return pixels_of(workplace, find_picture(workplace, code))


def pixels_of(workplace: Workplace, row: PictureRow) -> Path:
    """The file with the pixels of a picture. Raises StoreError when it is not there."""
    if row.root is not None and row.relative is not None:
        return slide_path(workplace, root=row.root, relative=row.relative)
    path = files.picture_folder(workplace.home, row.code) / (row.file or files.PICTURE_NAME)
    if not path.is_file():
        raise StoreError("A picture is missing from the data folder (KI67_HOME): put its backup back.")
    return path


def thumbnail_jpeg(workplace: Workplace, person: Person, code: str) -> bytes:
    """The whole picture as a JPEG, longest side 512 px, made once when the picture was added."""
    require(person, "coordinator", "reader", "analyst", doing="look at pictures")
    row = find_picture(workplace, code)
    path = files.picture_folder(workplace.home, row.code) / files.THUMBNAIL_NAME
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            "A picture's preview is missing from the data folder (KI67_HOME): put its backup back."
        ) from error
