"""Readings: entered, changed, withdrawn, listed. None is ever overwritten.

The key of a reading is case, reader, session, replicate and scoring method within a study. A change is
a new row with a reason; the newest row of a key is the one that holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from db import queries, study_queries
from db.engine import Session
from db.study_rows import NewReadingRow, ReadingRow, StudyRow
from ki67.errors import StoreError
from ki67.study.cases import LONGEST_CODE, check_case_code
from ki67.study.people import Person, require
from ki67.study.studies import find_study, place_in_study
from ki67.study.workplace import Workplace, reading, transaction

Method = Literal["global", "hot spot", "count"]
METHODS: tuple[Method, ...] = ("global", "hot spot", "count")
State = Literal["value", "not assessable", "withdrawn"]
ALGORITHM = "algorithm"


@dataclass(frozen=True)
class ReadingKey:
    """What tells a reading from every other one in its study."""

    case_code: str
    reader_code: str
    session: str = "1"
    replicate: str = "1"
    method: Method = "global"

    def words(self) -> str:
        """As it stands in a sentence: "case B-017, reader O7, session 1, global"."""
        repeat = f", replicate {self.replicate}" if self.replicate != "1" else ""
        return (
            f"case {self.case_code}, reader {self.reader_code}, session {self.session}{repeat}, {self.method}"
        )


@dataclass(frozen=True)
class FieldCount:
    """One counted field: its level of staining ("high", "medium", "low", "negligible", or "") and counts."""

    positive: int
    negative: int
    level: str = ""
    area_percent: float | None = None


@dataclass(frozen=True)
class NewReading:
    """A reading to store. `value_percent` None: not assessable, with `reason` why.

    Where the reader counted, `positive` and `negative` are the counts and `fields` those of each field;
    `region_geojson` is where the reader looked, on the picture `picture_code`. `patient_code` names the
    patient of a case that is not known yet.
    """

    key: ReadingKey
    value_percent: float | None
    reason: str = ""
    positive: int | None = None
    negative: int | None = None
    fields: tuple[FieldCount, ...] = ()
    region_geojson: str | None = None
    picture_code: str | None = None
    patient_code: str | None = None


@dataclass(frozen=True)
class StoredReading:
    """A reading that holds, or held: version 1 is the first, `reason` says why it was changed."""

    key: ReadingKey
    patient_code: str
    version: int
    state: State
    value_percent: float | None
    positive: int | None
    negative: int | None
    fields: tuple[FieldCount, ...]
    region_geojson: str | None
    picture_code: str | None
    reason: str
    import_code: str | None
    author: str
    at: datetime


@dataclass(frozen=True)
class Stored:
    """How many readings a call added and how many were there already, the same."""

    added: int
    known: int


def enter_readings(
    workplace: Workplace, person: Person, study_code: str, new: Sequence[NewReading]
) -> Stored:
    """Stores readings, all of them or none; one that is there already with the same content adds nothing.

    Raises:
        StoreError: a reading with the same key and another content is there; a value outside 0-100; an
            unusable code; no reason for one that is not assessable.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="enter readings")
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        return store_readings(session, find_study(session, study_code), new, author=author)


def change_reading(
    workplace: Workplace, person: Person, study_code: str, new: NewReading, *, reason: str
) -> None:
    """Adds a new version of a reading, with the reason of the change.

    Raises:
        StoreError: no reason, or there is no such reading to change.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="change readings")
    if not reason.strip():
        raise StoreError("A change needs a reason: say why the reading is changed.")
    _next_version(workplace, person, study_code, new, state=None, reason=reason.strip())


def withdraw_reading(
    workplace: Workplace, person: Person, study_code: str, key: ReadingKey, *, reason: str
) -> None:
    """Takes a reading out of the analysis; its versions stay stored. Errors as `change_reading`."""
    require(person, "coordinator", doing="withdraw readings")
    if not reason.strip():
        raise StoreError("Withdrawing a reading needs a reason: say why.")
    new = NewReading(key, None)
    _next_version(workplace, person, study_code, new, state="withdrawn", reason=reason.strip())


def list_readings(workplace: Workplace, person: Person, study_code: str) -> tuple[StoredReading, ...]:
    """The version that holds of every reading, in the order of entry; without withdrawn ones."""
    require(person, "coordinator", "analyst", doing="look at readings")
    with reading(workplace) as session:
        rows = study_queries.current_readings(session, find_study(session, study_code).id)
    return tuple(_stored(row) for row in rows if row.state != "withdrawn")


def reading_history(workplace: Workplace, person: Person, study_code: str) -> tuple[StoredReading, ...]:
    """Every version of every reading, in the order of entry."""
    require(person, "coordinator", "analyst", doing="look at readings")
    with reading(workplace) as session:
        rows = study_queries.every_reading(session, find_study(session, study_code).id)
    return tuple(_stored(row) for row in rows)


def store_readings(
    session: Session,
    study: StudyRow,
    new: Sequence[NewReading],
    *,
    author: int,
    import_id: int | None = None,
) -> Stored:
    """`enter_readings` within a transaction."""
    current = {_key(row): row for row in study_queries.current_readings(session, study.id)}
    cases: dict[str, int] = {}
    people: dict[str, int] = {}
    pictures: dict[str, int] = {}
    rows: dict[ReadingKey, NewReadingRow] = {}
    known = 0
    for each in new:
        checked = _checked(each)
        row = _row(session, study, checked, author=author, import_id=import_id, ids=(cases, people, pictures))
        there = current.get(checked.key)
        if there is not None and there.state != "withdrawn":
            if not _same(there, row):
                raise StoreError(
                    f"The reading of {checked.key.words()} is there already with another value: change it, "
                    "with a reason, instead of entering it again."
                )
            known += 1
            continue
        if checked.key in rows:
            raise StoreError(f"The reading of {checked.key.words()} comes twice: keep one of the two.")
        rows[checked.key] = row if there is None else _with_version(row, there.version + 1)
    study_queries.add_readings(session, list(rows.values()), person=author)
    return Stored(added=len(rows), known=known)


def _next_version(
    workplace: Workplace,
    person: Person,
    study_code: str,
    new: NewReading,
    *,
    state: State | None,
    reason: str,
) -> None:
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        study = find_study(session, study_code)
        current = {_key(row): row for row in study_queries.current_readings(session, study.id)}
        there = current.get(new.key)
        if there is None or there.state == "withdrawn":
            raise StoreError(f"There is no reading of {new.key.words()} to change: enter it first.")
        checked = new if state == "withdrawn" else _checked(new)
        row = _row(session, study, checked, author=author, import_id=None, ids=({}, {}, {}))
        changed = {"version": there.version + 1, "reason": reason, "state": state or row.state}
        study_queries.add_readings(session, [NewReadingRow(**{**vars(row), **changed})], person=author)


def _checked(new: NewReading) -> NewReading:
    """The reading, when nothing is wrong with it. Raises StoreError."""
    words = new.key.words()
    if new.value_percent is None and not new.reason.strip():
        raise StoreError(f"The reading of {words} has no value: give one, or say why it cannot be assessed.")
    if new.value_percent is not None and not 0 <= new.value_percent <= 100:
        raise StoreError(f"The reading of {words} is {new.value_percent}: a reading is a percentage 0–100.")
    if new.key.method not in METHODS:
        raise StoreError(f"“{new.key.method}” is not a scoring method: choose one of {', '.join(METHODS)}.")
    for name, text in (("session", new.key.session), ("replicate", new.key.replicate)):
        if not text.strip() or len(text) > LONGEST_CODE:
            raise StoreError(f"The {name} of {words} must have 1 to {LONGEST_CODE} characters: shorten it.")
    counts = [new.positive, new.negative, *(n for each in new.fields for n in (each.positive, each.negative))]
    if any(count is not None and count < 0 for count in counts):
        raise StoreError(f"A count of {words} is negative: counts are whole numbers from 0.")
    return new


def _row(
    session: Session,
    study: StudyRow,
    new: NewReading,
    *,
    author: int,
    import_id: int | None,
    ids: tuple[dict[str, int], dict[str, int], dict[str, int]],
) -> NewReadingRow:
    """The row to insert as version 1; cases, readers and pictures are looked up once each."""
    cases, people, pictures = ids
    key = new.key
    if key.case_code not in cases:
        cases[key.case_code] = place_in_study(session, study, key.case_code, new.patient_code, author=author)
    if key.reader_code not in people:
        reader = check_case_code(key.reader_code)
        people[key.reader_code] = queries.person_id(session, reader, ["reader"])
    if new.picture_code is not None and new.picture_code not in pictures:
        picture = queries.picture_by_code(session, new.picture_code)
        if picture is None:
            raise StoreError(f"The region of {key.words()} names a picture that is not stored: add it first.")
        pictures[new.picture_code] = picture.id
    return NewReadingRow(
        study_id=study.id,
        case_id=cases[key.case_code],
        reader_id=people[key.reader_code],
        session=key.session,
        replicate=key.replicate,
        method=key.method,
        version=1,
        state="not assessable" if new.value_percent is None else "value",
        value_percent=new.value_percent,
        positive=new.positive,
        negative=new.negative,
        fields={"fields": [vars(each) for each in new.fields]} if new.fields else None,
        region=new.region_geojson,
        picture_id=pictures.get(new.picture_code) if new.picture_code else None,
        reason=new.reason.strip(),
        import_id=import_id,
    )


def _with_version(row: NewReadingRow, version: int) -> NewReadingRow:
    return NewReadingRow(**{**vars(row), "version": version})


def _same(there: ReadingRow, new: NewReadingRow) -> bool:
    names = ("state", "value_percent", "positive", "negative", "fields", "region")
    return all(getattr(there, name) == getattr(new, name) for name in names)


def _key(row: ReadingRow) -> ReadingKey:
    return ReadingKey(row.case_code, row.reader_code, row.session, row.replicate, cast(Method, row.method))


def _stored(row: ReadingRow) -> StoredReading:
    return StoredReading(
        key=_key(row),
        patient_code=row.patient_code,
        version=row.version,
        state=cast(State, row.state),
        value_percent=row.value_percent,
        positive=row.positive,
        negative=row.negative,
        fields=_fields(row.fields),
        region_geojson=row.region,
        picture_code=row.picture_code,
        reason=row.reason,
        import_code=row.import_code,
        author=row.person_code,
        at=row.created_at,
    )


def _fields(stored: Mapping[str, Any] | None) -> tuple[FieldCount, ...]:
    return tuple(FieldCount(**each) for each in stored["fields"]) if stored else ()
