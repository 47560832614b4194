"""Import of a table of readings: looked at first, with every problem named; stored only when none is open.

Nothing is written before `store_import`, which stores all readings of a preview or none. A reading that is
stored already with the same content is known and adds nothing; one with another content is a problem.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from db import queries, study_queries
from db.engine import Session
from db.rows import CaseRow, PictureRow
from db.study_rows import ReadingRow, StudyRow
from ki67.errors import DataError, OutlineError, StoreError
from ki67.stats.readings import Problem, natural_order
from ki67.study import files
from ki67.study.people import Person, require
from ki67.study.reading_regions import check_region_on_picture
from ki67.study.reading_rows import PlacedReading, Question, RowsRead, read_rows
from ki67.study.reading_settings import ImportSettings, plain
from ki67.study.reading_sheet import Sheet
from ki67.study.readings import NewReading, ReadingKey, Stored, store_readings
from ki67.study.studies import find_study
from ki67.study.workplace import Workplace, reading, transaction


@dataclass(frozen=True)
class ImportPreview:
    """What an import would do. It is `ready` when no problem and no question is open.

    `new` readings would be added, `known` are stored already; `empty` cells hold no reading, `left_out` rows
    are left out by their entry in the method column. `new_cases` are not in the study yet.
    """

    study_code: str
    sha256: str
    settings: ImportSettings
    readings: tuple[NewReading, ...]
    new: int
    known: int
    unassessable: int
    empty: int
    left_out: tuple[tuple[str, int], ...]
    cases: tuple[str, ...]
    new_cases: tuple[str, ...]
    readers: tuple[str, ...]
    sessions: tuple[str, ...]
    methods: tuple[tuple[str, int], ...]
    problems: tuple[Problem, ...]
    questions: tuple[Question, ...]
    warnings: tuple[str, ...]
    words: tuple[str, ...]
    comma_columns: tuple[str, ...]
    sign_columns: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return bool(self.readings) and not self.problems and not self.questions


@dataclass(frozen=True)
class StoredImport:
    """An import that was made: the hash of its file, how many readings it added and how many were known."""

    code: str
    sha256: str
    added: int
    known: int
    at: datetime


def preview_import(
    workplace: Workplace,
    person: Person,
    study_code: str,
    *,
    sheet: Sheet,
    settings: ImportSettings,
    regions: Mapping[str, bytes] | None = None,
) -> ImportPreview:
    """What importing a table into a study would add, with every problem by row and column. Writes nothing.

    Args:
        regions: GeoJSON files by their name, for a region column that names them.

    Raises:
        DataError: a column that is needed is missing.
        StoreError: no such study.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="import readings")
    rows = read_rows(sheet, settings, regions=regions)
    with reading(workplace) as session:
        study = find_study(session, study_code)
        check = _Check(session, study, settings)
        placed = [each for each in map(check.fitted, rows.placed) if each is not None]
        new, known, conflicts = _split(placed, study_queries.current_readings(session, study.id))
    return _preview(study_code, sheet, settings, rows, check, (placed, new, known, conflicts))


def store_import(workplace: Workplace, person: Person, preview: ImportPreview) -> Stored:
    """Stores the readings of a preview in one transaction, and that they were imported.

    Raises:
        StoreError: a problem or question is open; other readings were stored since the preview.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="import readings")
    if not preview.ready:
        raise StoreError("Nothing was stored: settle every problem and question of the table first.")
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        study = find_study(session, preview.study_code)
        if preview.new == 0:
            return store_readings(session, study, preview.readings, author=author)
        row = study_queries.add_import(
            session,
            code=files.new_code("i"),
            study_id=study.id,
            sha256=preview.sha256,
            settings=dataclasses.asdict(preview.settings),
            counts=(preview.new, preview.known),
            person=author,
        )
        stored = store_readings(session, study, preview.readings, author=author, import_id=row.id)
        if (stored.added, stored.known) != (preview.new, preview.known):
            raise StoreError("Other readings were stored since this preview: look at the table once more.")
    return stored


def list_imports(workplace: Workplace, person: Person, study_code: str) -> tuple[StoredImport, ...]:
    """The imports of a study, newest first."""
    require(person, "coordinator", "analyst", doing="look at readings")
    with reading(workplace) as session:
        rows = study_queries.imports(session, find_study(session, study_code).id)
    return tuple(StoredImport(row.code, row.sha256, row.added, row.known, row.created_at) for row in rows)


class _Check:
    """Holds readings against the cases and pictures of the store; one look-up a case."""

    def __init__(self, session: Session, study: StudyRow, settings: ImportSettings) -> None:
        self._session, self._study, self._settings = session, study, settings
        members = study_queries.study_cases(session, study.id)
        self._members = {each.case.code: each.case for each in members}
        self._spelled = {plain(code): code for code in self._members}
        self._cases: dict[str, CaseRow | None] = {}
        self._pictures: dict[int, list[PictureRow]] = {}
        self._refused: Counter[str] = Counter()
        self._first: dict[str, Problem] = {}
        self._problems: list[Problem] = []
        self.new_cases: dict[str, None] = {}

    @property
    def problems(self) -> list[Problem]:
        """One for each case that does not fit, with the count of its other rows; then the regions'."""
        about_cases = []
        for code, problem in self._first.items():
            more = self._refused[code] - 1
            tail = f" ({more} more {'reading' if more == 1 else 'readings'} of it.)" if more else ""
            about_cases.append(replace(problem, sentence=problem.sentence + tail))
        return about_cases + self._problems

    def fitted(self, placed: PlacedReading) -> PlacedReading | None:
        """The reading with its picture; None when its case or region does not fit."""
        new = placed.reading
        code = new.key.case_code
        fault = self._fault_of_case(code, new.patient_code)
        if fault:
            self._refused[code] += 1
            column = self._settings.case or "case"
            self._first.setdefault(code, Problem(placed.row, column, fault))
            return None
        if new.region_geojson is None:
            return placed
        try:
            return replace(placed, reading=self._with_picture(new))
        except (StoreError, OutlineError) as error:
            self._problems.append(Problem(placed.row, self._settings.region or "region", str(error)))
            return None

    def _fault_of_case(self, code: str, patient: str | None) -> str:
        """Why a case cannot take readings of this study; empty when it can."""
        case = self._members.get(code) or self._stored(code)
        if case is not None and case.site != self._study.site:
            return f"case {code} is stored with the site {case.site}; this study is of {self._study.site}."
        if case is not None and patient is not None and case.patient_code != patient:
            return f"case {code} is stored with the patient code {case.patient_code}, not {patient}."
        if code in self._members:
            return ""
        self.new_cases[code] = None
        if self._settings.new_cases:
            return ""
        like = self._spelled.get(plain(code))
        hint = f"did you mean {like}?" if like else "correct the code, or let the import add new cases."
        return f"case {code} is not in the study; {hint}"

    def _stored(self, code: str) -> CaseRow | None:
        if code not in self._cases:
            self._cases[code] = queries.case_by_code(self._session, code)
        return self._cases[code]

    def _with_picture(self, new: NewReading) -> NewReading:
        """The reading with the code of the picture that its region lies on."""
        case = self._members.get(new.key.case_code) or self._stored(new.key.case_code)
        known = [] if case is None else self._pictures_of(case.id)
        if new.picture_code is not None:
            known = [picture for picture in known if picture.code == new.picture_code]
        if not known:
            raise StoreError(f"the region of case {new.key.case_code} needs its picture; score it first.")
        if len(known) > 1:
            raise StoreError(
                f"case {new.key.case_code} has {len(known)} pictures; name the picture of the region."
            )
        region = new.region_geojson or ""
        check_region_on_picture(
            region, width_px=known[0].width_px, height_px=known[0].height_px, name="the region"
        )
        return replace(new, picture_code=known[0].code)

    def _pictures_of(self, case_id: int) -> list[PictureRow]:
        if case_id not in self._pictures:
            self._pictures[case_id] = study_queries.pictures_of_case(self._session, case_id)
        return self._pictures[case_id]


def _split(placed: Sequence[PlacedReading], stored: Sequence[ReadingRow]) -> tuple[int, int, list[Problem]]:
    """How many readings are new and known, and those that contradict a stored one."""
    current = {
        (row.case_code, row.reader_code, row.session, row.replicate, row.method): row
        for row in stored
        if row.state != "withdrawn"
    }
    new = known = 0
    conflicts = []
    for each in placed:
        there = current.get(_parts(each.reading.key))
        if there is None:
            new += 1
        elif _is_same(there, each.reading):
            known += 1
        else:
            value = "not assessable" if there.value_percent is None else f"{there.value_percent:g} %"
            sentence = (
                f"the reading of {each.reading.key.words()} is stored as {value} or with other counts; "
                "change it there, with a reason, or take the row out."
            )
            conflicts.append(Problem(each.row, each.column, sentence))
    return new, known, conflicts


def _parts(key: ReadingKey) -> tuple[str, str, str, str, str]:
    return (key.case_code, key.reader_code, key.session, key.replicate, key.method)


def _is_same(there: ReadingRow, new: NewReading) -> bool:
    fields = {"fields": [vars(each) for each in new.fields]} if new.fields else None
    mine = (new.value_percent, new.positive, new.negative, fields, new.region_geojson)
    return mine == (there.value_percent, there.positive, there.negative, there.fields, there.region)


def _preview(
    study_code: str,
    sheet: Sheet,
    settings: ImportSettings,
    rows: RowsRead,
    check: _Check,
    split: tuple[list[PlacedReading], int, int, list[Problem]],
) -> ImportPreview:
    placed, new, known, conflicts = split
    readings = tuple(each.reading for each in placed)
    everything = [each.reading for each in rows.placed]
    problems = sorted([*rows.problems, *check.problems, *conflicts], key=lambda problem: problem.row)
    if not everything and not problems and not rows.questions:
        raise DataError("The table holds no reading: choose the columns that hold the values.")
    return ImportPreview(
        study_code=study_code,
        sha256=sheet.sha256,
        settings=settings,
        readings=readings,
        new=new,
        known=known,
        unassessable=sum(each.value_percent is None for each in everything),
        empty=rows.empty,
        left_out=rows.left_out,
        cases=tuple(natural_order(each.key.case_code for each in everything)),
        new_cases=tuple(check.new_cases),
        readers=tuple(natural_order(each.key.reader_code for each in everything)),
        sessions=tuple(natural_order(each.key.session for each in everything)),
        methods=tuple(Counter(each.key.method for each in everything).items()),
        problems=tuple(problems),
        questions=rows.questions,
        warnings=rows.warnings,
        words=rows.words,
        comma_columns=rows.comma_columns,
        sign_columns=rows.sign_columns,
    )
