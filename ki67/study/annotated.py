"""Annotated pictures on their way to an evaluation: from a slide root, an uploaded ZIP, or the store.

Whatever they come from, each becomes a field with a code (F-01, F-02 …): no file name goes further.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from ki67.errors import DataError, Ki67Error
from ki67.study import files
from ki67.study.people import Person, require
from ki67.study.pictures import add_file, add_from_slides, find_picture, pixels_of
from ki67.study.slides import folder_of_root, slide_path
from ki67.study.workplace import Workplace, disk_faults
from ki67.training.folder import AnnotatedField, read_folder
from ki67.types import IsCancelled, Progress, ReportProgress

MANIFEST = "manifest.csv"
LARGEST_ZIP_BYTES = 20 << 30
NO_MANIFEST = (
    "This folder holds no manifest.csv: choose an annotated folder, with a list of its pictures (columns "
    "image and mpp)."
)


@dataclass(frozen=True)
class Prepared:
    """A field that is ready to be evaluated: `field.name` is its code, `sha256` that of the original file."""

    field: AnnotatedField
    picture_code: str
    sha256: str


def field_code(number: int) -> str:
    """The code of the field with this number, from 1."""
    return f"F-{number:02d}"


def evaluation_folder(home: Path, code: str) -> Path:
    """Where the files of an evaluation lie: `data` until it is done, `result` afterwards."""
    return home / "evaluations" / code


def read_in_words(folder: Path) -> tuple[AnnotatedField, ...]:
    """`read_folder`, its errors without the path of this machine."""
    try:
        return read_folder(folder)
    except DataError as error:
        raise DataError(_without_path(str(error), folder)) from error


def _without_path(sentence: str, folder: Path) -> str:
    return sentence.replace(f"{folder}/", "").replace(str(folder), "the folder")


def annotated_folder(workplace: Workplace, *, root: str, relative: str) -> Path:
    """The annotated folder at a place of a slide root; raises DataError when it has no manifest."""
    folder = (
        slide_path(workplace, root=root, relative=relative) if relative else folder_of_root(workplace, root)
    )
    if not (folder / MANIFEST).is_file():
        raise DataError(NO_MANIFEST)
    return folder


def is_annotated(workplace: Workplace, person: Person, *, root: str, relative: str) -> bool:
    """Whether a folder of a slide root holds a manifest; errors as `slides.list_slide_folder`."""
    require(person, "coordinator", doing="look at the slide folders")
    try:
        annotated_folder(workplace, root=root, relative=relative)
    except DataError:
        return False
    return True


def unpack(stream: BinaryIO, target: Path) -> None:
    """Unpacks a ZIP of an annotated folder; the folder that holds its manifest becomes `target`.

    Raises DataError for what is no ZIP, holds no manifest, or is larger than 20 GB unpacked.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = [info for info in archive.infolist() if _is_wanted(info)]
            manifests = [info.filename for info in members if PurePosixPath(info.filename).name == MANIFEST]
            if not manifests:
                raise DataError(
                    "The ZIP holds no manifest.csv: pack the annotated folder with its list of pictures."
                )
            if sum(info.file_size for info in members) > LARGEST_ZIP_BYTES:
                raise DataError("The ZIP is larger than 20 GB unpacked: put its folder into a slide folder.")
            top = PurePosixPath(min(manifests, key=lambda name: name.count("/"))).parent
            with disk_faults():
                target.mkdir(parents=True)
                for info in members:
                    _unpack_one(archive, info, top, target)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise DataError("The file cannot be unpacked as ZIP: pack the annotated folder again.") from error


def _is_wanted(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not info.is_dir() and not hidden and ".." not in path.parts and not path.is_absolute()


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, top: PurePosixPath, target: Path) -> None:
    path = PurePosixPath(info.filename)
    if not path.is_relative_to(top):
        return
    out = target / path.relative_to(top)
    out.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, out.open("wb") as sink:
        shutil.copyfileobj(source, sink, files.CHUNK_BYTES)


def prepare(
    workplace: Workplace,
    person: Person,
    request: dict[str, Any],
    *,
    code: str,
    name: str,
    progress: ReportProgress,
    cancelled: IsCancelled,
) -> list[Prepared]:
    """Takes every picture of an evaluation's request into the store and names it by a code.

    Raises Ki67Error: a folder or picture that cannot be read (any more).
    """
    data = evaluation_folder(workplace.home, code) / "data"
    if request["kind"] == "stored":
        return [
            _stored(workplace, entry, data=data, source=name, number=number)
            for number, entry in enumerate(request["fields"], start=1)
        ]
    from_root = request["kind"] == "folder"
    folder = (
        annotated_folder(workplace, root=request["root"], relative=request["relative"]) if from_root else data
    )
    fields = read_in_words(folder)
    prepared: list[Prepared] = []
    for number, field in enumerate(fields, start=1):
        progress(Progress("read", number - 1, len(fields)))
        if cancelled():
            break
        try:
            if from_root:
                relative = (PurePosixPath(request["relative"]) / field.name).as_posix()
                stored = add_from_slides(workplace, person, root=request["root"], relative=relative)
            else:
                stored = add_file(workplace, person, field.image)
        except Ki67Error as error:
            raise type(error)(f"{field_code(number)}: {_without_path(str(error), folder)}") from error
        unnamed_source = field.source == folder.resolve().name
        named = _named(field, number, source=name if unnamed_source else field.source)
        prepared.append(Prepared(named, stored.code, stored.sha256))
    return prepared


def _named(field: AnnotatedField, number: int, *, source: str) -> AnnotatedField:
    code = field_code(number)
    patient = field.patient if field.patient_known else code
    return replace(field, name=code, patient=patient, source=source)


def _stored(workplace: Workplace, entry: dict[str, Any], *, data: Path, source: str, number: int) -> Prepared:
    row = find_picture(workplace, entry["picture"])
    field = AnnotatedField(
        image=pixels_of(workplace, row),
        name=field_code(number),
        source=source,
        patient=entry["patient"] or field_code(number),
        patient_known=bool(entry["patient"]),
        mpp=entry["mpp"],
        points_file=data / f"{field_code(number)}.csv",
        labelled=True,
        tumor_file=None,
        instances_file=None,
        color_file=None,
    )
    return Prepared(field, row.code, row.sha256)


def count_of(fields: Sequence[AnnotatedField]) -> int:
    """How many fields can be measured against."""
    return sum(field.labelled or field.tumor_file is not None for field in fields)
