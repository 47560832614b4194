"""Stored pictures that people's marks can be held against, each with its pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from db import queries
from ki67.study import codec
from ki67.study.people import Person, require
from ki67.study.stored import case_of
from ki67.study.workplace import Workplace, reading


@dataclass(frozen=True)
class MarkablePicture:
    """A picture that was scored: its case code and the pixel size of its newest run, in µm/px."""

    picture_code: str
    case_code: str
    mpp: float


def markable_pictures(workplace: Workplace, person: Person) -> list[MarkablePicture]:
    """Every scored picture once, the newest first."""
    require(person, "coordinator", doing="measure models")
    with reading(workplace) as session:
        rows = queries.newest_results(session)
    found: dict[str, MarkablePicture] = {}
    for row in rows:
        mpp = codec.settings_from_json(row.run.settings).pixel_size.mpp
        found.setdefault(row.picture.code, MarkablePicture(row.picture.code, case_of(row).code, mpp))
    return list(found.values())


def picture_of_file(file_name: str, pictures: list[MarkablePicture]) -> int | None:
    """The place of the picture whose case code is the file's name without its ending; None without one."""
    stem = PurePosixPath(file_name.replace("\\", "/")).name.partition(".")[0].strip().lower()
    return next((at for at, each in enumerate(pictures) if each.case_code.lower() == stem), None)
