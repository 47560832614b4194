"""A long table of readings: one reading a row, checked cell by cell, told apart by level.

The value is a percentage 0-100; a missing reading is an absent row or an empty cell. The key is case,
reader, session, replicate within one level. Every problem is named by row (the header is row 1, as a
spreadsheet counts) and column; nothing is dropped in silence.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ki67.errors import DataError
from ki67.stats.forms import Reals

ONE_GROUP = "all"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SHOWN = 5  # rows named in one sentence


@dataclass(frozen=True)
class Columns:
    """Which column of the table holds what; None where the table has no such column."""

    case: str
    reader: str
    value: str
    session: str | None = None
    replicate: str | None = None
    patient: str | None = None
    by: str | None = None

    def named(self) -> tuple[str, ...]:
        """The columns that the table must have."""
        every = (self.case, self.reader, self.value, self.session, self.replicate, self.patient, self.by)
        return tuple(name for name in every if name is not None)


@dataclass(frozen=True)
class Problem:
    """Something wrong in one row: `row` counts from the header as row 1, `sentence` says what to do."""

    row: int
    column: str
    sentence: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column}: {self.sentence}"


@dataclass(frozen=True)
class Readings:
    """The readings of one level, one a row and none missing; `values` are percentages 0-100.

    `sessions` and `replicates` are "1" where the table has none; `patients` are the cases then.
    `empty` counts the rows whose value cell was empty.
    """

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    sessions: tuple[str, ...]
    replicates: tuple[str, ...]
    patients: tuple[str, ...]
    values: Reals
    empty: int = 0


@dataclass(frozen=True)
class ReadingTable:
    """A whole table: its levels (one, named `all`, without a level column), warnings and problems."""

    groups: tuple[tuple[str, Readings], ...]
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass
class _Level:
    """What is gathered for one level while the rows are read."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    keys: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    empty: int = 0

    def readings(self) -> Readings:
        cases, readers, sessions, replicates, patients = (
            zip(*self.rows, strict=True) if self.rows else ((),) * 5
        )
        return Readings(
            cases,
            readers,
            sessions,
            replicates,
            patients,
            values=np.array(self.values, float),
            empty=self.empty,
        )


def read_readings(path: Path, columns: Columns) -> ReadingTable:
    """Read a CSV of readings; the first problem found is raised as DataError with the count of the others."""
    header, rows = read_csv(path)
    table = parse_readings(header, rows, columns, source=str(path))
    if table.problems:
        more = len(table.problems) - 1
        tail = f" ({more} more {'problem' if more == 1 else 'problems'} after it.)" if more else ""
        raise DataError(f"{path}, {table.problems[0]}{tail}")
    return table


def read_csv(path: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of a comma-separated file in UTF-8, cells stripped of outer spaces.

    Raises DataError for a file that cannot be read or is not such a file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: give the path of a CSV file of readings.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8: save it as “CSV UTF-8” and try again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give a CSV file of readings.") from None
    try:
        lines = [tuple(cell.strip() for cell in line) for line in csv.reader(io.StringIO(text), strict=True)]
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file ({error}): export the table again.") from None
    if not lines or not any(lines[0]):
        raise DataError(f"{path} is empty: its first row must name the columns.")
    return lines[0], lines[1:]


def parse_readings(
    header: Sequence[str], rows: Iterable[Sequence[str]], columns: Columns, *, source: str
) -> ReadingTable:
    """Check every row; `source` is what an error calls the table.

    Raises DataError when a named column is missing; what is wrong in single rows comes back in `problems`.
    """
    places = _places(header, columns, source)
    levels: dict[str, _Level] = {} if columns.by else {ONE_GROUP: _Level()}
    problems: list[Problem] = []
    patients: dict[tuple[str, str], tuple[str, int]] = {}
    numbers: list[tuple[int, str, float]] = []
    for row, cells in enumerate(rows, start=2):
        if not any(cells):
            continue
        if len(cells) != len(header):
            problems.append(Problem(row, header[0], _width_sentence(len(cells), len(header))))
            continue
        found = _problem_of(row, cells, places, columns)
        if found is not None:
            problems.append(found)
            continue
        cell = {name: cells[place] for name, place in places.items()}
        level = levels.setdefault(cell[columns.by] if columns.by else ONE_GROUP, _Level())
        problem = _add(level, row, cell, columns, patients, numbers)
        if problem is not None:
            problems.append(problem)
    groups = tuple((name, levels[name].readings()) for name in natural_order(levels))
    return ReadingTable(groups, _scale_warnings(numbers, groups, columns), tuple(problems))


def parse_percent(text: str) -> float:
    """A percentage 0-100 from a cell; ValueError with a sentence for anything else."""
    if not _NUMBER.fullmatch(text):
        if re.fullmatch(r"[+-]?\d+,\d+", text):
            raise ValueError(f"“{text}” has a decimal comma; write {text.replace(',', '.')}.")
        if text.rstrip("% ") != text:
            raise ValueError(f"“{text}” carries a percent sign; write the number alone.")
        raise ValueError(f"“{text}” is not a number; leave the cell empty where there is no reading.")
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError(f"{text} is outside 0–100; a reading is a percentage.")
    return value


def natural_order(names: Iterable[str]) -> list[str]:
    """Distinct names in the order people expect: R2 before R10, whatever the order of the rows."""
    return sorted(set(names), key=_natural_key)


def _natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def _places(header: Sequence[str], columns: Columns, source: str) -> dict[str, int]:
    for name in columns.named():
        if name not in header:
            hint = f"its columns are {', '.join(header)}"
            if len(header) == 1 and ";" in header[0]:
                hint = "its cells are separated by semicolons: save it with commas"
            raise DataError(f"{source} has no column “{name}”; {hint}.")
        if header.count(name) > 1:
            raise DataError(f"{source} has {header.count(name)} columns “{name}”: rename all but one.")
    return {name: header.index(name) for name in columns.named()}


def _problem_of(row: int, cells: Sequence[str], places: dict[str, int], columns: Columns) -> Problem | None:
    """The first cell of a row that cannot be used."""
    for name, place in places.items():
        if name == columns.value:
            continue
        if not cells[place]:
            return Problem(row, name, "the cell is empty; every reading needs it.")
    text = cells[places[columns.value]]
    if text:
        try:
            parse_percent(text)
        except ValueError as error:
            return Problem(row, columns.value, str(error))
    return None


def _add(
    level: _Level,
    row: int,
    cell: dict[str, str],
    columns: Columns,
    patients: dict[tuple[str, str], tuple[str, int]],
    numbers: list[tuple[int, str, float]],
) -> Problem | None:
    case, reader = cell[columns.case], cell[columns.reader]
    session = cell[columns.session] if columns.session else "1"
    replicate = cell[columns.replicate] if columns.replicate else "1"
    key = (case, reader, session, replicate)
    if key in level.keys:
        words = f"case {case}, reader {reader}"
        words += f", session {session}" if columns.session else ""
        words += f", replicate {replicate}" if columns.replicate else ""
        within = f" within {cell[columns.by]}" if columns.by else ""
        again = f"{words} is in row {level.keys[key]} already{within}; keep one of the two."
        return Problem(row, columns.case, again)
    level.keys[key] = row
    patient = cell[columns.patient] if columns.patient else case
    known, since = patients.setdefault((columns.patient or "", case), (patient, row))
    if known != patient:
        words = f"case {case} belongs to patient {known} in row {since} and to {patient} here."
        return Problem(row, columns.patient or columns.case, words)
    text = cell[columns.value]
    if not text:
        level.empty += 1
        return None
    value = parse_percent(text)
    level.rows.append((case, reader, session, replicate, patient))
    level.values.append(value)
    numbers.append((row, reader, value))
    return None


def _width_sentence(found: int, wanted: int) -> str:
    return f"the row has {found} cells and the header {wanted}; a comma too many or too few?"


def _scale_warnings(
    numbers: list[tuple[int, str, float]], groups: tuple[tuple[str, Readings], ...], columns: Columns
) -> tuple[str, ...]:
    """Fractions where percentages are meant: a column, a level or a reader with nothing above 1, or a mix."""
    values = np.array([value for _, _, value in numbers])
    if values.size == 0 or not (values > 0).any():
        return ()
    if (values <= 1).all():
        return (
            f"Every value of column {columns.value} is 1 or less: fractions? "
            "A reading is a percentage 0–100; multiply by 100 if so.",
        )
    warnings = [
        f"Every value of {name} is 1 or less, unlike other levels: fractions among percentages?"
        for name, readings in groups
        if len(groups) > 1 and readings.values.size and readings.values.max() <= 1 and readings.values.any()
    ]
    between = [row for row, _, value in numbers if 0 < value < 1]
    if between:
        shown = ", ".join(str(row) for row in between[:_SHOWN]) + ("…" if len(between) > _SHOWN else "")
        warnings.append(
            f"{len(between)} of {values.size} values of column {columns.value} lie between 0 and 1, "
            f"others are larger (row {shown}): fractions among percentages? If so, multiply them by 100."
        )
    return tuple(warnings)
