"""Queries about people, cases, pictures, runs and results. Each takes a session and gives frozen rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from db.rows import (
    CaseRow,
    FileCodes,
    NewPicture,
    NewResult,
    NewRun,
    OutlineRow,
    PictureRow,
    ResultRow,
    RunRow,
)
from db.tables import Case, Evaluation, Job, Outline, Person, Picture, Result, Run


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def person_id(session: Session, code: str, roles: Sequence[str]) -> int:
    """The row of a person, made when it is not there yet."""
    found = session.scalar(select(Person.id).where(Person.code == code))
    if found is not None:
        return found
    person = Person(code=code, roles=sorted(roles), created_at=now())
    session.add(person)
    session.flush()
    return person.id


def case_by_code(session: Session, code: str) -> CaseRow | None:
    case = session.scalar(select(Case).where(Case.code == code))
    return None if case is None else case_row(case)


def add_case(session: Session, *, code: str, patient_code: str, site: str, person: int) -> CaseRow:
    case = Case(code=code, patient_code=patient_code, site=site, person_id=person, created_at=now())
    session.add(case)
    session.flush()
    return case_row(case)


def case_codes(session: Session, *, prefix: str) -> list[str]:
    """Every case code that begins with `prefix`."""
    return list(session.scalars(select(Case.code).where(Case.code.startswith(prefix, autoescape=True))))


def add_picture(session: Session, new: NewPicture, *, person: int) -> PictureRow:
    picture = Picture(**vars(new), person_id=person, created_at=now())
    session.add(picture)
    session.flush()
    return picture_row(picture)


def picture_by_code(session: Session, code: str) -> PictureRow | None:
    picture = session.scalar(select(Picture).where(Picture.code == code))
    return None if picture is None else picture_row(picture)


def picture_by_sha256(session: Session, sha256: str) -> PictureRow | None:
    picture = session.scalar(select(Picture).where(Picture.sha256 == sha256))
    return None if picture is None else picture_row(picture)


def put_into_case(session: Session, *, picture_id: int, case_id: int) -> None:
    """Says which case a picture belongs to."""
    picture = session.get_one(Picture, picture_id)
    picture.case_id = case_id
    session.flush()


def take_back_picture(session: Session, *, picture_id: int) -> bool:
    """Takes out a picture that was just added, with its outlines.

    False, and they stay, when something else refers to one of them by now.
    """
    try:
        with session.begin_nested():
            session.execute(delete(Outline).where(Outline.picture_id == picture_id))
            session.execute(delete(Picture).where(Picture.id == picture_id))
    except IntegrityError:
        return False
    return True


def move_slide(session: Session, *, picture_id: int, root: str, relative: str) -> None:
    """Says where the slide of a picture lies now."""
    picture = session.get_one(Picture, picture_id)
    picture.root, picture.relative = root, relative
    session.flush()


def keep_outline(session: Session, *, picture_id: int, sha256: str, geojson: str, person: int) -> OutlineRow:
    """The outline of a picture, added when it is not there yet."""
    same = (Outline.picture_id == picture_id, Outline.sha256 == sha256)
    outline = session.scalar(select(Outline).where(*same))
    if outline is None:
        outline = Outline(
            sha256=sha256, picture_id=picture_id, geojson=geojson, person_id=person, created_at=now()
        )
        session.add(outline)
        session.flush()
    return OutlineRow(id=outline.id, sha256=outline.sha256, geojson=outline.geojson)


def add_run(session: Session, new: NewRun, *, person: int) -> RunRow:
    run = Run(**vars(new), person_id=person, created_at=now())
    session.add(run)
    session.flush()
    return run_row(run)


def run_by_key(session: Session, key: str) -> RunRow | None:
    run = session.scalar(select(Run).where(Run.key == key))
    return None if run is None else run_row(run)


def run_codes(session: Session) -> set[str]:
    return set(session.scalars(select(Run.code)))


def codes_of_files(session: Session) -> FileCodes:
    """Every code that names a file or folder beside the database."""
    running = session.scalars(select(Job.run_code).where(Job.state == "running"))
    return FileCodes(
        pictures=set(session.scalars(select(Picture.code))),
        runs=run_codes(session) | {code for code in running if code},
        results=set(session.scalars(select(Result.code))),
        evaluations=set(session.scalars(select(Evaluation.code))),
    )


def recent_speeds(session: Session, *, machine: str, limit: int) -> list[tuple[float, dict[str, float]]]:
    """Megapixels and seconds by stage of the newest runs of a machine, newest first."""
    query = (
        select(Run.megapixels, Run.seconds)
        .where(Run.machine == machine, Run.megapixels > 0)
        .order_by(Run.id.desc())
        .limit(limit)
    )
    return [(megapixels, seconds) for megapixels, seconds in session.execute(query)]


def add_result(session: Session, new: NewResult, *, person: int) -> str:
    """Writes a result and returns its code."""
    result = Result(**vars(new), person_id=person, created_at=now())
    session.add(result)
    session.flush()
    return result.code


def result_by_key(session: Session, key: str) -> ResultRow | None:
    result = session.scalar(_whole_results().where(Result.key == key))
    return None if result is None else result_row(result)


def result_by_code(session: Session, code: str) -> ResultRow | None:
    result = session.scalar(_whole_results().where(Result.code == code))
    return None if result is None else result_row(result)


def result_codes_of_picture(session: Session, picture_id: int) -> list[str]:
    """Codes of all results of a picture, newest first."""
    query = select(Result.code).join(Run).where(Run.picture_id == picture_id).order_by(Result.id.desc())
    return list(session.scalars(query))


def newest_results(
    session: Session,
    *,
    search: str = "",
    site: str | None = None,
    flagged: bool | None = None,
    assessable: bool | None = None,
    model_set: str | None = None,
    limit: int | None = None,
) -> list[ResultRow]:
    """The newest result of each run, newest first, filtered."""
    newest = select(func.max(Result.id)).group_by(Result.run_id)
    query = _whole_results().where(Result.id.in_(newest)).order_by(Result.id.desc()).limit(limit)
    query = query.join(Result.run).join(Run.picture).outerjoin(Picture.case)
    for condition in _conditions(search, site, flagged, assessable, model_set):
        query = query.where(condition)
    return [result_row(each) for each in session.scalars(query)]


def _conditions(
    search: str, site: str | None, flagged: bool | None, assessable: bool | None, model_set: str | None
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if search:
        columns = (Case.code, Case.patient_code, Picture.code)
        found.append(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    if site is not None:
        found.append(Case.site == site)
    if flagged is not None:
        found.append(Result.flags > 0 if flagged else Result.flags == 0)
    if assessable is not None:
        nuclei = Result.positive + Result.negative
        found.append(nuclei > 0 if assessable else nuclei == 0)
    if model_set is not None:
        found.append(Run.model_set == model_set)
    return found


def results_of_case(session: Session, case_id: int) -> list[ResultRow]:
    """Every result of a case's pictures, newest run first, then newest result first."""
    query = (
        _whole_results()
        .join(Result.run)
        .join(Run.picture)
        .where(Picture.case_id == case_id)
        .order_by(Run.id.desc(), Result.id.desc())
    )
    return [result_row(each) for each in session.scalars(query)]


def _whole_results() -> Select[Result]:
    return select(Result).options(
        joinedload(Result.run).joinedload(Run.picture),
        joinedload(Result.outline),
        joinedload(Result.person),
    )


def case_row(case: Case) -> CaseRow:
    return CaseRow(id=case.id, code=case.code, patient_code=case.patient_code, site=case.site)


def picture_row(picture: Picture) -> PictureRow:
    return PictureRow(
        **{name: getattr(picture, name) for name in NewPicture.__dataclass_fields__},
        id=picture.id,
        case=None if picture.case is None else case_row(picture.case),
    )


def outline_row(outline: Outline | None) -> OutlineRow | None:
    if outline is None:
        return None
    return OutlineRow(id=outline.id, sha256=outline.sha256, geojson=outline.geojson)


def run_row(run: Run) -> RunRow:
    return RunRow(
        **{name: getattr(run, name) for name in NewRun.__dataclass_fields__},
        id=run.id,
        created_at=run.created_at,
    )


def result_row(result: Result) -> ResultRow:
    return ResultRow(
        **{name: getattr(result, name) for name in NewResult.__dataclass_fields__},
        id=result.id,
        created_at=result.created_at,
        person_code=result.person.code,
        run=run_row(result.run),
        picture=picture_row(result.run.picture),
        outline=outline_row(result.outline),
    )
