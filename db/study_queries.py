"""Queries about studies, plans and readings. Each takes a session and gives frozen rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, exists, func, insert, select
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload

from db.queries import case_row, now, picture_row, result_row
from db.rows import PictureRow, ResultRow
from db.study_rows import (
    ImportRow,
    NewReadingRow,
    PlanRow,
    ReadingRow,
    ReadingValueRow,
    StudyCaseRow,
    StudyRow,
)
from db.study_tables import Reading, ReadingImport, Study, StudyCase, StudyPlan
from db.tables import Case, Person, Picture, Result, Run


def add_study(
    session: Session, *, code: str, title: str, site: str, synthetic: bool, person: int
) -> StudyRow:
    study = Study(code=code, title=title, site=site, synthetic=synthetic, person_id=person, created_at=now())
    session.add(study)
    session.flush()
    return _study_row(study)


def study_by_code(session: Session, code: str) -> StudyRow | None:
    study = session.scalar(select(Study).where(Study.code == code))
    return None if study is None else _study_row(study)


def all_studies(session: Session) -> list[StudyRow]:
    """Newest first."""
    return [_study_row(study) for study in session.scalars(select(Study).order_by(Study.id.desc()))]


def put_case_into_study(session: Session, *, study_id: int, case_id: int, person: int) -> None:
    """Adds a case to a study, if it is not there yet."""
    same = (StudyCase.study_id == study_id, StudyCase.case_id == case_id)
    if session.scalar(select(StudyCase.id).where(*same)) is None:
        session.add(
            StudyCase(study_id=study_id, case_id=case_id, excluded="", person_id=person, created_at=now())
        )
        session.flush()


def exclude_case(session: Session, *, study_id: int, case_id: int, reason: str) -> None:
    """Leaves a case out of the analysis, with a reason; an empty reason takes it in again."""
    member = session.scalars(
        select(StudyCase).where(StudyCase.study_id == study_id, StudyCase.case_id == case_id)
    ).one()
    member.excluded = reason
    session.flush()


def study_cases(session: Session, study_id: int) -> list[StudyCaseRow]:
    """The cases of a study in the order they were added."""
    found = session.scalars(select(StudyCase).where(StudyCase.study_id == study_id).order_by(StudyCase.id))
    return [StudyCaseRow(case_row(member.case), member.excluded) for member in found]


def pictures_of_case(session: Session, case_id: int) -> list[PictureRow]:
    """The pictures of a case in the order they were added."""
    found = session.scalars(select(Picture).where(Picture.case_id == case_id).order_by(Picture.id))
    return [picture_row(picture) for picture in found]


def add_plan(
    session: Session,
    *,
    study_id: int,
    content: dict[str, Any],
    after_readings: bool,
    reason: str,
    person: int,
) -> int:
    """Adds the next version of a plan; gives its number."""
    last = session.scalar(select(func.max(StudyPlan.version)).where(StudyPlan.study_id == study_id))
    plan = StudyPlan(
        study_id=study_id,
        version=(last or 0) + 1,
        content=content,
        after_readings=after_readings,
        reason=reason,
        person_id=person,
        created_at=now(),
    )
    session.add(plan)
    session.flush()
    return plan.version


def plans(session: Session, study_id: int) -> list[PlanRow]:
    """Every version of a plan, the first first."""
    found = session.scalars(
        select(StudyPlan).where(StudyPlan.study_id == study_id).order_by(StudyPlan.version)
    )
    return [
        PlanRow(
            version=plan.version,
            content=plan.content,
            after_readings=plan.after_readings,
            reason=plan.reason,
            person_code=plan.person.code,
            created_at=plan.created_at,
        )
        for plan in found
    ]


def add_import(
    session: Session,
    *,
    code: str,
    study_id: int,
    sha256: str,
    settings: dict[str, Any],
    counts: tuple[int, int],
    person: int,
) -> ImportRow:
    """Records an import; `counts` are the readings added and those known before."""
    row = ReadingImport(
        code=code,
        study_id=study_id,
        sha256=sha256,
        settings=settings,
        added=counts[0],
        known=counts[1],
        person_id=person,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    return _import_row(row)


def imports(session: Session, study_id: int) -> list[ImportRow]:
    """Newest first."""
    found = session.scalars(
        select(ReadingImport).where(ReadingImport.study_id == study_id).order_by(ReadingImport.id.desc())
    )
    return [_import_row(row) for row in found]


def add_readings(session: Session, rows: Sequence[NewReadingRow], *, person: int) -> None:
    """Adds many readings at once, all with the same author and time."""
    if not rows:
        return
    stamp = {"person_id": person, "created_at": now()}
    session.execute(insert(Reading), [{**vars(row), **stamp} for row in rows])


def current_readings(session: Session, study_id: int) -> list[ReadingRow]:
    """The version that holds of every reading of a study, in the order of entry; withdrawn ones too."""
    return [_reading_row(row) for row in session.execute(_rows_of(study_id).where(~_superseded()))]


def _superseded() -> ColumnElement[bool]:
    """Whether a later version of a reading is there."""
    newer = aliased(Reading)
    return exists().where(
        newer.study_id == Reading.study_id,
        newer.case_id == Reading.case_id,
        newer.reader_id == Reading.reader_id,
        newer.session == Reading.session,
        newer.replicate == Reading.replicate,
        newer.method == Reading.method,
        newer.version > Reading.version,
    )


def reading_values(session: Session, study_id: int) -> list[ReadingValueRow]:
    """What an analysis takes of every reading that holds, in the order of entry; without withdrawn ones."""
    reader = aliased(Person)
    chosen = (
        select(
            Case.code,
            Case.patient_code,
            reader.code,
            Reading.session,
            Reading.replicate,
            Reading.method,
            Reading.value_percent,
        )
        .join(Case, Reading.case_id == Case.id)
        .join(reader, Reading.reader_id == reader.id)
        .where(Reading.study_id == study_id, Reading.state != "withdrawn", ~_superseded())
        .order_by(Reading.id)
    )
    return [ReadingValueRow(*row) for row in session.execute(chosen)]


def results_of_study(session: Session, study_id: int) -> dict[int, list[ResultRow]]:
    """The results of each case of a study (by its row), newest run first, then newest result first."""
    query = (
        select(Result)
        .join(Result.run)
        .join(Run.picture)
        .join(StudyCase, StudyCase.case_id == Picture.case_id)
        .where(StudyCase.study_id == study_id)
        .order_by(Run.id.desc(), Result.id.desc())
        .options(
            contains_eager(Result.run).contains_eager(Run.picture),
            joinedload(Result.outline),
            joinedload(Result.person),
        )
    )
    found: dict[int, list[ResultRow]] = {}
    for each in session.scalars(query):
        row = result_row(each)
        if row.picture.case is not None:
            found.setdefault(row.picture.case.id, []).append(row)
    return found


def every_reading(session: Session, study_id: int) -> list[ReadingRow]:
    """Every version of every reading of a study, in the order of entry."""
    return [_reading_row(row) for row in session.execute(_rows_of(study_id))]


def has_readings(session: Session, study_id: int) -> bool:
    return session.scalar(select(Reading.id).where(Reading.study_id == study_id).limit(1)) is not None


def study_state(session: Session, study_id: int) -> tuple[Any, ...]:
    """What changes with every change that matters to an analysis of a study: newest rows, exclusions."""
    left_out = select(StudyCase.id, StudyCase.excluded).where(
        StudyCase.study_id == study_id, StudyCase.excluded != ""
    )
    return (
        session.scalar(select(func.max(Reading.id)).where(Reading.study_id == study_id)),
        session.scalar(select(func.max(StudyPlan.id)).where(StudyPlan.study_id == study_id)),
        session.scalar(select(func.max(StudyCase.id)).where(StudyCase.study_id == study_id)),
        session.scalar(select(func.max(Result.id))),
        tuple(tuple(row) for row in session.execute(left_out.order_by(StudyCase.id))),
    )


def _rows_of(study_id: int) -> Select[*tuple[Any, ...]]:
    reader, author = aliased(Person), aliased(Person)
    return (
        select(
            Reading,
            Case.code.label("case_code"),
            Case.patient_code.label("patient_code"),
            reader.code.label("reader_code"),
            author.code.label("person_code"),
            Picture.code.label("picture_code"),
            ReadingImport.code.label("import_code"),
        )
        .join(Case, Reading.case_id == Case.id)
        .join(reader, Reading.reader_id == reader.id)
        .join(author, Reading.person_id == author.id)
        .outerjoin(Picture, Reading.picture_id == Picture.id)
        .outerjoin(ReadingImport, Reading.import_id == ReadingImport.id)
        .where(Reading.study_id == study_id)
        .order_by(Reading.id)
    )


def _reading_row(row: Row[*tuple[Any, ...]]) -> ReadingRow:
    reading = row.Reading
    return ReadingRow(
        id=reading.id,
        case_code=row.case_code,
        patient_code=row.patient_code,
        reader_code=row.reader_code,
        session=reading.session,
        replicate=reading.replicate,
        method=reading.method,
        version=reading.version,
        state=reading.state,
        value_percent=reading.value_percent,
        positive=reading.positive,
        negative=reading.negative,
        fields=reading.fields,
        region=reading.region,
        picture_code=row.picture_code,
        reason=reading.reason,
        import_code=row.import_code,
        person_code=row.person_code,
        created_at=reading.created_at,
    )


def _study_row(study: Study) -> StudyRow:
    return StudyRow(study.id, study.code, study.title, study.site, study.synthetic, study.created_at)


def _import_row(row: ReadingImport) -> ImportRow:
    return ImportRow(row.id, row.code, row.sha256, row.settings, row.added, row.known, row.created_at)
