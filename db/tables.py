"""The tables. No name of a person or a file stands in any of them: people, cases, pictures have codes.

Pictures and results are found by content: `pictures.sha256`, `runs.key` and `results.key` are unique.
Runs and results are never changed once written; the mapper refuses an update.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, MetaData, String, Text, event
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment with its zone; SQLite, which forgets zones, is given and gives UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables. Constraints have names, so that a migration can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # read by SQLAlchemy when the class is made
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


class Person(Table):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    roles: Mapped[list[str]]
    created_at: Mapped[datetime]


class Case(Table):
    __tablename__ = "cases"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    patient_code: Mapped[str] = mapped_column(String(40))
    site: Mapped[str] = mapped_column(String(40))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]


class Picture(Table):
    """A picture: `file` under the data folder, or `root` and `relative` of a slide that stays where it is.

    `pyramid` is the file with levels for the viewer where `file` or the slide has none.
    """

    __tablename__ = "pictures"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    width_px: Mapped[int]
    height_px: Mapped[int]
    file_format: Mapped[str] = mapped_column(String(40))
    levels: Mapped[int]
    metadata_mpp: Mapped[float | None]
    file: Mapped[str | None] = mapped_column(String(200))
    root: Mapped[str | None] = mapped_column(String(40))
    relative: Mapped[str | None] = mapped_column(Text)
    pyramid: Mapped[str | None] = mapped_column(String(200))
    synthetic: Mapped[bool]
    case_id: Mapped[int | None] = mapped_column(ForeignKey("cases.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    case: Mapped[Case | None] = relationship(lazy="joined")


class Run(Table):
    """What the nets gave for a picture, kept in the folder `runs/<code>`. `key` is the hash of all inputs."""

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    picture_id: Mapped[int] = mapped_column(ForeignKey("pictures.id"), index=True)
    megapixels: Mapped[float]
    settings: Mapped[dict[str, Any]]
    model_set: Mapped[str] = mapped_column(String(200))
    models: Mapped[dict[str, Any]]
    backend: Mapped[str] = mapped_column(String(40))
    device: Mapped[str] = mapped_column(String(80))
    precision: Mapped[str] = mapped_column(String(40))
    machine: Mapped[str] = mapped_column(String(40), server_default="")
    seed: Mapped[int]
    software_version: Mapped[str] = mapped_column(String(40))
    started_at: Mapped[str] = mapped_column(String(40))
    seconds: Mapped[dict[str, Any]]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    picture: Mapped[Picture] = relationship()


class Outline(Table):
    """A pathologist's outline, as it was given."""

    __tablename__ = "outlines"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    picture_id: Mapped[int] = mapped_column(ForeignKey("pictures.id"))
    geojson: Mapped[str] = mapped_column(Text)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    __table_args__ = (Index("uq_outlines_picture_sha256", "picture_id", "sha256", unique=True),)


class Result(Table):
    """The numbers counted from a run; counting again with other settings is a new row."""

    __tablename__ = "results"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    outline_id: Mapped[int | None] = mapped_column(ForeignKey("outlines.id"))
    use_outline: Mapped[bool]
    score_threshold: Mapped[float | None]
    positive: Mapped[int]
    negative: Mapped[int]
    flags: Mapped[int]
    measurement: Mapped[dict[str, Any]]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]

    run: Mapped[Run] = relationship()
    outline: Mapped[Outline | None] = relationship()
    person: Mapped[Person] = relationship()


class Queued:
    """Columns of work that waits for a worker: how far it is, whose lease it has, how it ended."""

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    request: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(20), index=True)
    stage: Mapped[str] = mapped_column(String(40))
    done: Mapped[int]
    total: Mapped[int]
    stage_seconds: Mapped[dict[str, Any]]
    message: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int]
    cancel_requested: Mapped[bool]
    worker: Mapped[str | None] = mapped_column(String(40))
    heartbeat: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Job(Queued, Table):
    """A picture waiting for, or in, a run. `run_code` is reserved when a worker takes the job."""

    __tablename__ = "jobs"
    key: Mapped[str] = mapped_column(String(64), index=True)
    picture_id: Mapped[int] = mapped_column(ForeignKey("pictures.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"))
    outline_id: Mapped[int | None] = mapped_column(ForeignKey("outlines.id"))
    megapixels: Mapped[float]
    recognised: Mapped[bool]
    run_code: Mapped[str | None] = mapped_column(String(40))
    result_id: Mapped[int | None] = mapped_column(ForeignKey("results.id"))

    picture: Mapped[Picture] = relationship()
    case: Mapped[Case] = relationship()
    outline: Mapped[Outline | None] = relationship()
    result: Mapped[Result | None] = relationship()
    person: Mapped[Person] = relationship()


class Evaluation(Queued, Table):
    """A model set measured on annotated pictures; its files lie in the folder `evaluations/<code>`.

    `figures` is the summary for lists and pages, None until it is done.
    """

    __tablename__ = "evaluations"
    name: Mapped[str] = mapped_column(String(40))
    model_set: Mapped[str] = mapped_column(String(200))
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    person: Mapped[Person] = relationship()


class NeverChanged(RuntimeError):
    """Code tried to change a row that is written once."""


@event.listens_for(Run, "before_update")
@event.listens_for(Result, "before_update")
@event.listens_for(Outline, "before_update")
def _refuse_update(_mapper: object, _connection: object, row: Table) -> None:
    raise NeverChanged(f"rows of {row.__tablename__} are never changed; write a new one")
