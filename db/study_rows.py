"""What the queries about studies give and take: plain frozen rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from db.rows import CaseRow


@dataclass(frozen=True)
class StudyRow:
    id: int
    code: str
    title: str
    site: str
    synthetic: bool
    created_at: datetime


@dataclass(frozen=True)
class StudyCaseRow:
    """A case of a study; `excluded` is the reason why it is left out, or empty."""

    case: CaseRow
    excluded: str


@dataclass(frozen=True)
class PlanRow:
    version: int
    content: dict[str, Any]
    after_readings: bool
    reason: str
    person_code: str
    created_at: datetime


@dataclass(frozen=True)
class NewReadingRow:
    """A reading to insert; see `db.study_tables.Reading`."""

    study_id: int
    case_id: int
    reader_id: int
    session: str
    replicate: str
    method: str
    version: int
    state: str
    value_percent: float | None
    positive: int | None
    negative: int | None
    fields: dict[str, Any] | None
    region: str | None
    picture_id: int | None
    reason: str
    import_id: int | None


@dataclass(frozen=True)
class ReadingRow:
    """A reading as it is stored, its case, reader and author by code."""

    id: int
    case_code: str
    patient_code: str
    reader_code: str
    session: str
    replicate: str
    method: str
    version: int
    state: str
    value_percent: float | None
    positive: int | None
    negative: int | None
    fields: dict[str, Any] | None
    region: str | None
    picture_code: str | None
    reason: str
    import_code: str | None
    person_code: str
    created_at: datetime


class ReadingValueRow(NamedTuple):
    """What an analysis takes of a reading; `value_percent` None: not assessable.

    A tuple, because a study may have tens of thousands of them.
    """

    case_code: str
    patient_code: str
    reader_code: str
    session: str
    replicate: str
    method: str
    value_percent: float | None


@dataclass(frozen=True)
class ImportRow:
    id: int
    code: str
    sha256: str
    settings: dict[str, Any]
    added: int
    known: int
    created_at: datetime
