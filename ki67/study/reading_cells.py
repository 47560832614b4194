"""Single cells of a table of readings: codes, percentages, counts, regions; each problem is noted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ki67.errors import OutlineError
from ki67.index import ki67_index
from ki67.stats.readings import Problem, parse_percent
from ki67.study.cases import CODE, LONGEST_CODE
from ki67.study.reading_regions import region_geojson
from ki67.study.reading_settings import ImportSettings
from ki67.study.reading_sheet import Sheet

NO_NUCLEI = "no nuclei counted"
_COMMA = re.compile(r"[+-]?\d+,\d+")
_WHOLE = re.compile(r"\d{1,9}(\.0+)?")
_MOST_WORDS = 30


@dataclass(frozen=True)
class Value:
    """What a value cell says: a percentage, nothing (`missing`), not assessable (`reason`), or unusable."""

    percent: float | None = None
    missing: bool = False
    wrong: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Counts:
    """The counts of a row: None where it has none; `given` says that there is at least one."""

    positive: int | None = None
    negative: int | None = None
    wrong: bool = False

    @property
    def given(self) -> bool:
        return self.wrong or self.positive is not None

    @property
    def percent(self) -> float | None:
        """The index in percent; None without nuclei."""
        if self.positive is None or self.negative is None:
            return None
        index = ki67_index(self.positive, self.negative)
        return None if index is None else round(100 * index, 10)


@dataclass
class CellReader:
    """Reads the cells of one table; what is wrong with them is gathered in `problems`.

    `values` holds row and percentage of every usable cell by column; `words` the texts where numbers belong.
    """

    sheet: Sheet
    settings: ImportSettings
    regions: Mapping[str, bytes]
    problems: list[Problem] = field(default_factory=list)
    values: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    comma_columns: list[str] = field(default_factory=list)
    sign_columns: list[str] = field(default_factory=list)
    unknown_levels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = {name: place for place, name in enumerate(self.sheet.header)}
        self._levels = dict(self.settings.levels)
        self._patients: dict[str, tuple[str, int]] = {}
        self._codes: dict[str, bool] = {}
        self._choices = {name: self.settings.choice(name) for name in self.sheet.header}

    def of(self, number: int, texts: Sequence[str]) -> Cells:
        """The cells of one row."""
        return Cells(self, number, texts)

    def place(self, column: str) -> int:
        return self._places[column]

    def wrong(self, row: int, column: str, sentence: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(row, column, sentence))

    def checked_code(self, text: str, what: str, row: int, column: str) -> str | None:
        """A case, reader or patient code that can be stored; None, with a problem, otherwise."""
        if not text:
            self.wrong(row, column, f"the {what} is empty; every reading needs it.")
            return None
        if text not in self._codes:
            self._codes[text] = len(text) <= LONGEST_CODE and ".." not in text and bool(CODE.fullmatch(text))
        if self._codes[text]:
            return text
        self.wrong(
            row,
            column,
            f"“{text[:LONGEST_CODE]}” cannot be a {what} code: at most {LONGEST_CODE} letters, digits, "
            "spaces and - . / : + #, beginning with a letter or digit.",
        )
        return None

    def meaning(self, level: str) -> str | None:
        """What an entry of the method column means; None while nobody said."""
        meaning = self._levels.get(level)
        if meaning is None and level not in self.unknown_levels:
            self.unknown_levels.append(level)
        return meaning

    def same_patient(self, case: str, patient: str, row: int, column: str) -> bool:
        """Whether a case belongs to the same patient as in the rows before."""
        known, since = self._patients.setdefault(case, (patient, row))
        if known == patient:
            return True
        self.wrong(
            row, column, f"case {case} belongs to patient {known} in row {since} and to {patient} here."
        )
        return False

    def percent(self, text: str, row: int, column: str) -> Value:
        """The percentage of a value cell that is not empty."""
        choice = self._choices[column]
        number = text
        if number.endswith("%") and number.rstrip("% ") != "":
            if choice.percent_sign:
                number = number.rstrip("% ")
            elif column not in self.sign_columns:
                self.sign_columns.append(column)
        if _COMMA.fullmatch(number.rstrip("% ")) and not choice.decimal_comma:
            if column not in self.comma_columns:
                self.comma_columns.append(column)
        elif choice.decimal_comma and "." in number:
            self.wrong(row, column, f"“{text}” has a decimal point in a column with decimal commas; mend it.")
            return Value(wrong=True)
        elif choice.decimal_comma:
            number = number.replace(",", ".")
        try:
            value = parse_percent(number)
        except ValueError as error:
            if not re.search(r"\d", text) and text not in self.words and len(self.words) < _MOST_WORDS:
                self.words.append(text)
            self.wrong(row, column, str(error))
            return Value(wrong=True)
        if choice.scale == "fraction":
            if value > 1:
                self.wrong(row, column, f"{text} is above 1 in a column of fractions; mend it.")
                return Value(wrong=True)
            value = round(100 * value, 10)
        self.values.setdefault(column, []).append((row, value))
        return Value(percent=value)


@dataclass(frozen=True)
class Cells:
    """One row: the readers of its cells give None where they noted a problem."""

    reader: CellReader
    number: int
    texts: Sequence[str]

    @property
    def settings(self) -> ImportSettings:
        return self.reader.settings

    def text(self, column: str | None) -> str:
        """The text of a cell; empty where the table has no such column."""
        return self.texts[self.reader.place(column)] if column is not None else ""

    def code(self, column: str | None, what: str) -> str | None:
        """The case or reader of this row."""
        return self.reader.checked_code(self.text(column), what, self.number, column or what)

    def short(self, column: str | None) -> str | None:
        """A session or replicate; "1" where the table has no such column."""
        if column is None:
            return "1"
        text = self.text(column)
        if 0 < len(text) <= LONGEST_CODE:
            return text
        sentence = (
            f"at most {LONGEST_CODE} characters; shorten it."
            if text
            else "the cell is empty; every reading needs it."
        )
        self.reader.wrong(self.number, column, sentence)
        return None

    def method(self) -> str | None:
        """The scoring method, or that the row is left out."""
        column = self.settings.method_column
        if column is None:
            return self.settings.method
        text = self.text(column)
        if not text:
            self.reader.wrong(self.number, column, "the cell is empty; every reading needs it.")
            return None
        return self.reader.meaning(text)

    def patient(self, case: str | None) -> str | None:
        """The patient's code, where the table has one."""
        column = self.settings.patient
        if column is None or case is None:
            return None
        patient = self.code(column, "patient")
        if patient is not None and not self.reader.same_patient(case, patient, self.number, column):
            return None
        return patient

    def value(self, column: str) -> Value:
        """What a value cell says."""
        text = self.text(column)
        if not text or text in self.settings.missing_words:
            return Value(missing=True)
        if text in self.settings.unassessable_words:
            return Value(reason=text if len(text) > 3 else "not assessable")
        return self.reader.percent(text, self.number, column)

    def value_of(self, counts: Counts) -> Value:
        """The index of the counts, or that nothing was counted."""
        if counts.wrong or not counts.given:
            return Value(missing=not counts.given, wrong=counts.wrong)
        return Value(counts.percent, reason=NO_NUCLEI if counts.percent is None else "")

    def counts(self) -> Counts:
        """Positive and negative nuclei of this row; both or neither."""
        settings = self.settings
        other_column = settings.negative or settings.total
        if settings.positive is None or other_column is None:
            return Counts()
        texts = {column: self.text(column) for column in (settings.positive, other_column)}
        if not any(texts.values()):
            return Counts()
        numbers = {column: self._whole(column, text) for column, text in texts.items()}
        positive, other = numbers[settings.positive], numbers[other_column]
        if positive is None or other is None:
            return Counts(wrong=True)
        negative = other if settings.negative else other - positive
        if negative < 0:
            sentence = f"{positive} positive nuclei of {other} counted; mend the counts."
            self.reader.wrong(self.number, settings.positive, sentence)
            return Counts(wrong=True)
        return Counts(positive, negative)

    def area(self, column: str) -> float | None:
        """A share of the area in percent; an empty cell is 0."""
        text = self.text(column)
        if not text:
            return 0.0
        try:
            return parse_percent(text)
        except ValueError as error:
            self.reader.wrong(self.number, column, str(error))
            return None

    def region(self) -> tuple[str | None, bool]:
        """The region of this row, if it has one, and whether nothing is wrong with it."""
        column = self.settings.region
        text = self.text(column)
        if column is None or not text:
            return None, True
        content = text.encode("utf8") if text.lstrip()[:1] in "{[" else self.reader.regions.get(text)
        if content is None:
            sentence = f"the file “{text[:LONGEST_CODE]}” is not among the GeoJSON files given; add it."
            self.reader.wrong(self.number, column, sentence)
            return None, False
        try:
            return region_geojson(content, name="the region"), True
        except OutlineError as error:
            self.reader.wrong(self.number, column, str(error))
            return None, False

    def _whole(self, column: str, text: str) -> int | None:
        if _WHOLE.fullmatch(text):
            return int(float(text))
        words = f"“{text[:LONGEST_CODE]}” is not a count" if text else "the cell is empty"
        self.reader.wrong(self.number, column, f"{words}; counts are whole numbers from 0.")
        return None
