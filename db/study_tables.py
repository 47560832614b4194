"""The tables of a study: its cases, its plan, the readings. A reading or a plan is never changed.

A change is a new row with the next `version` and a reason; the row with the highest version of a key
is the one that holds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, event
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.tables import Case, NeverChanged, Person, Picture, Table


class Study(Table):
    __tablename__ = "studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    site: Mapped[str] = mapped_column(String(40))
    synthetic: Mapped[bool]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]


class StudyCase(Table):
    """A case belongs to a study; `excluded` gives the reason why it is left out, empty when it is not."""

    __tablename__ = "study_cases"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"))
    excluded: Mapped[str] = mapped_column(Text)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    case: Mapped[Case] = relationship(lazy="joined")

    __table_args__ = (Index("uq_study_cases_study_case", "study_id", "case_id", unique=True),)


class StudyPlan(Table):
    """A version of the analysis plan; `after_readings` says that readings were known when it was written."""

    __tablename__ = "study_plans"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    version: Mapped[int]
    content: Mapped[dict[str, Any]]
    after_readings: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    person: Mapped[Person] = relationship()

    __table_args__ = (Index("uq_study_plans_study_version", "study_id", "version", unique=True),)


class ReadingImport(Table):
    """A table of readings as it was imported: the hash of the file and which column was what."""

    __tablename__ = "reading_imports"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    settings: Mapped[dict[str, Any]]
    added: Mapped[int]
    known: Mapped[int]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]


class Reading(Table):
    """What one reader read on one case in one session with one scoring method.

    `state` is "value", "not assessable" or "withdrawn"; `value_percent` is None but for the first.
    `positive`, `negative` and `fields` are the counts behind the value where the reader counted.
    `region` is the GeoJSON of where the reader looked, on `picture_id`.
    """

    __tablename__ = "readings"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    session: Mapped[str] = mapped_column(String(40))
    replicate: Mapped[str] = mapped_column(String(40))
    method: Mapped[str] = mapped_column(String(40))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    value_percent: Mapped[float | None]
    positive: Mapped[int | None]
    negative: Mapped[int | None]
    fields: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    region: Mapped[str | None] = mapped_column(Text)
    picture_id: Mapped[int | None] = mapped_column(ForeignKey("pictures.id"))
    reason: Mapped[str] = mapped_column(Text)
    import_id: Mapped[int | None] = mapped_column(ForeignKey("reading_imports.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    case: Mapped[Case] = relationship()
    picture: Mapped[Picture | None] = relationship()
    reader: Mapped[Person] = relationship(foreign_keys=reader_id)
    person: Mapped[Person] = relationship(foreign_keys=person_id)

    __table_args__ = (
        Index(
            "uq_readings_key_version",
            "study_id",
            "case_id",
            "reader_id",
            "session",
            "replicate",
            "method",
            "version",
            unique=True,
        ),
    )


@event.listens_for(StudyPlan, "before_update")
@event.listens_for(ReadingImport, "before_update")
@event.listens_for(Reading, "before_update")
def _refuse_update(_mapper: object, _connection: object, row: Table) -> None:
    raise NeverChanged(f"rows of {row.__tablename__} are never changed; write a new one")
