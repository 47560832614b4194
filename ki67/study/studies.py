"""Studies: a code, a title, a site, and the cases that are read in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from db import queries, study_queries
from db.engine import Session
from db.study_rows import StudyRow
from ki67.errors import StoreError
from ki67.study.cases import check_case_code
from ki67.study.people import Person, require
from ki67.study.workplace import Workplace, reading, transaction
from ki67.types import SITES, Site

LONGEST_TITLE = 200


@dataclass(frozen=True)
class Study:
    """A study as people see it. `synthetic`: its cases and readings were made by a computer."""

    code: str
    title: str
    site: Site
    synthetic: bool
    created_at: datetime


@dataclass(frozen=True)
class StudyCase:
    """A case of a study; `excluded` is the reason why it is left out of the analysis, or empty."""

    code: str
    patient_code: str
    excluded: str = ""


def create_study(
    workplace: Workplace, person: Person, *, code: str, title: str, site: Site, synthetic: bool = False
) -> Study:
    """A new study without cases.

    Raises:
        StoreError: the code is taken or unusable, no title, an unknown site.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="create studies")
    code, title = check_case_code(code), title.strip()
    if not title or len(title) > LONGEST_TITLE:
        raise StoreError(f"A study needs a title of at most {LONGEST_TITLE} characters: type one.")
    if site not in SITES:
        raise StoreError(f"“{site}” is not a site: choose one of {', '.join(SITES)}.")
    with transaction(workplace) as session:
        if study_queries.study_by_code(session, code) is not None:
            raise StoreError(f"There is a study {code} already: choose another code.")
        author = queries.person_id(session, person.code, sorted(person.roles))
        row = study_queries.add_study(
            session, code=code, title=title, site=site, synthetic=synthetic, person=author
        )
    return _study(row)


def list_studies(workplace: Workplace, person: Person) -> tuple[Study, ...]:
    """Every study, newest first. Raises NotAllowed for a reader."""
    require(person, "coordinator", "analyst", doing="look at studies")
    with reading(workplace) as session:
        return tuple(_study(row) for row in study_queries.all_studies(session))


def get_study(workplace: Workplace, person: Person, code: str) -> Study:
    """The study of a code. Raises StoreError when there is none."""
    require(person, "coordinator", "analyst", doing="look at studies")
    with reading(workplace) as session:
        return _study(find_study(session, code))


def add_cases(workplace: Workplace, person: Person, study_code: str, cases: Sequence[StudyCase]) -> None:
    """Puts cases into a study; those that do not exist yet are made with the study's site.

    Raises:
        StoreError: a code is unusable, a case is of another site or patient.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="add cases")
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        study = find_study(session, study_code)
        for case in cases:
            place_in_study(session, study, case.code, case.patient_code, author=author)


def study_cases(workplace: Workplace, person: Person, study_code: str) -> tuple[StudyCase, ...]:
    """The cases of a study in the order they were added."""
    require(person, "coordinator", "analyst", doing="look at studies")
    with reading(workplace) as session:
        members = study_queries.study_cases(session, find_study(session, study_code).id)
    return tuple(StudyCase(each.case.code, each.case.patient_code, each.excluded) for each in members)


def exclude_case(
    workplace: Workplace, person: Person, study_code: str, case_code: str, *, reason: str
) -> None:
    """Leaves a case out of the analysis with a reason; an empty reason takes it in again.

    Raises:
        StoreError: the case is not in the study.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="leave cases out")
    with transaction(workplace) as session:
        study = find_study(session, study_code)
        case = queries.case_by_code(session, case_code)
        members = {member.case.code for member in study_queries.study_cases(session, study.id)}
        if case is None or case.code not in members:
            raise StoreError(f"Case {case_code} is not in study {study_code}: choose one of its cases.")
        study_queries.exclude_case(session, study_id=study.id, case_id=case.id, reason=reason.strip())


def find_study(session: Session, code: str) -> StudyRow:
    """The row of a study. Raises StoreError when there is none."""
    row = study_queries.study_by_code(session, code)
    if row is None:
        raise StoreError(f"There is no study {code}: choose one from the list of studies.")
    return row


def place_in_study(
    session: Session, study: StudyRow, case_code: str, patient_code: str | None, *, author: int
) -> int:
    """The row number of a case that is now in the study, made when it is not there yet."""
    code = check_case_code(case_code)
    patient = check_case_code(patient_code) if patient_code and patient_code.strip() else None
    case = queries.case_by_code(session, code)
    if case is None:
        case = queries.add_case(
            session, code=code, patient_code=patient or code, site=study.site, person=author
        )
    elif case.site != study.site:
        raise StoreError(
            f"Case {code} is stored with the site {case.site}, study {study.code} is of {study.site}: "
            "use another case code."
        )
    elif patient is not None and case.patient_code != patient:
        raise StoreError(
            f"Case {code} is stored with the patient code {case.patient_code}: use it, or another case code."
        )
    study_queries.put_case_into_study(session, study_id=study.id, case_id=case.id, person=author)
    return case.id


def _study(row: StudyRow) -> Study:
    return Study(row.code, row.title, cast(Site, row.site), row.synthetic, row.created_at)
