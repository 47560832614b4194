"""Cases: a code, a patient's code, a site. A picture belongs to one case."""

from __future__ import annotations

import re

from db import queries
from db.engine import Session
from db.rows import CaseRow, PictureRow
from ki67.errors import StoreError
from ki67.study.people import Person, require
from ki67.study.workplace import Workplace, reading
from ki67.types import SITES, Site

CODE = re.compile(r"[^\W_](?:[\w .:+#/-]*[\w.+#])?")
LONGEST_CODE = 40
SUGGESTED_PREFIX = "CASE-"
SUGGESTED = re.compile(r"CASE-(\d{1,9})")


def check_case_code(text: str) -> str:
    """The case code without outer spaces. Raises StoreError for an empty, too long or unusable one."""
    code = text.strip()
    if not code:
        raise StoreError("The case code is empty: give each case a code, for example B-017.")
    if len(code) > LONGEST_CODE or ".." in code or not CODE.fullmatch(code):
        raise StoreError(
            f"The case code “{code[:LONGEST_CODE]}” cannot be used: at most {LONGEST_CODE} letters, digits, "
            "spaces and - . / : + #, beginning with a letter or digit."
        )
    return code


def suggest_case_code(workplace: Workplace, person: Person) -> str:
    """The next free code of the form CASE-0001."""
    require(person, "coordinator", doing="add cases")
    with reading(workplace) as session:
        return _next_code(session)


def place_in_case(
    session: Session,
    picture: PictureRow,
    *,
    case_code: str | None,
    patient_code: str | None,
    site: Site,
    author: int,
) -> CaseRow:
    """The case of a picture: as it is, or made and given to the picture.

    `case_code` None: the picture's case with whatever site, else the next free code.

    Raises:
        StoreError: the picture belongs to another case, or the case is of another site or patient.
    """
    if case_code is None and picture.case is not None:
        return picture.case
    code = _next_code(session) if case_code is None else check_case_code(case_code)
    if picture.case is not None and picture.case.code != code:
        raise StoreError(
            f"This picture belongs to case {picture.case.code} already: use that case code instead of {code}."
        )
    patient = check_case_code(patient_code) if patient_code and patient_code.strip() else code
    case = queries.case_by_code(session, code)
    if case is None:
        if site not in SITES:
            raise StoreError(f"“{site}” is not a site: choose one of {', '.join(SITES)}.")
        case = queries.add_case(session, code=code, patient_code=patient, site=site, person=author)
    elif case.site != site:
        raise StoreError(
            f"Case {code} is stored with the site {case.site}: choose that site, or another case code."
        )
    elif patient_code and patient_code.strip() and case.patient_code != patient:
        raise StoreError(
            f"Case {code} is stored with the patient code {case.patient_code}: use it, or another case code."
        )
    if picture.case is None:
        queries.put_into_case(session, picture_id=picture.id, case_id=case.id)
    return case


def _next_code(session: Session) -> str:
    """The code after the highest number in use."""
    taken = queries.case_codes(session, prefix=SUGGESTED_PREFIX)
    numbers = [int(found[1]) for code in taken if (found := SUGGESTED.fullmatch(code))]
    return f"{SUGGESTED_PREFIX}{max(numbers, default=0) + 1:04d}"
