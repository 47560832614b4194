"""A table of readings as it came: CSV or XLSX, every cell as text, rows numbered as a spreadsheet does."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import PurePath
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from ki67.errors import DataError
from ki67.stats.readings import Problem

LARGEST_BYTES = 200_000_000
LARGEST_UNPACKED_BYTES = 1_000_000_000
DELIMITERS = (",", ";", "\t")
_BROKEN = (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError)


@dataclass(frozen=True)
class Sheet:
    """Column names and rows; each row with its number (the header of a CSV is row 1) and a cell a column.

    `problems` are rows that could not be laid under the header. `sheets` are the sheets of the file, `name`
    the one that was read; a CSV has none.
    """

    sha256: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    problems: tuple[Problem, ...]
    sheets: tuple[str, ...] = ()
    name: str = ""

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of one column, from the first row down."""
        place = self.header.index(name)
        return tuple(cells[place] for _, cells in self.rows)


def read_sheet(content: bytes, *, file_name: str, sheet: str | None = None) -> Sheet:
    """The table in the bytes of a CSV (comma, semicolon or tab; UTF-8) or XLSX file.

    Args:
        file_name: tells the kind of the file and stands in the sentence of an error; it is not kept.
        sheet: which sheet of an XLSX file; the first one if None.

    Raises:
        DataError: no such file, no header, two columns with the same name, too large.
    """
    shown = PurePath(file_name.replace("\\", "/")).name
    if len(content) > LARGEST_BYTES:
        raise DataError(f"{shown} is larger than 200 MB: split the table, or leave regions out of it.")
    digest = hashlib.sha256(content).hexdigest()
    if content[:4] == b"PK\x03\x04":
        sheets, name, lines = _xlsx_lines(content, shown, sheet)
        return _sheet(digest, lines, shown, sheets=sheets, name=name)
    if content[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(f"{shown} is an old or protected Excel file: save it as XLSX without a password.")
    return _sheet(digest, _csv_lines(content, shown), shown)


def _sheet(
    digest: str,
    lines: Iterable[tuple[int, tuple[str, ...]]],
    shown: str,
    *,
    sheets: tuple[str, ...] = (),
    name: str = "",
) -> Sheet:
    filled = [(number, cells) for number, cells in lines if any(cells)]
    if not filled:
        raise DataError(f"{shown} is empty: its first row must name the columns.")
    header = _header(filled[0][1], shown)
    rows, problems = [], []
    for number, cells in filled[1:]:
        surplus = [place for place, cell in enumerate(cells[len(header) :], start=len(header)) if cell]
        if surplus:
            sentence = f"the cell “{cells[surplus[0]]}” stands to the right of the last column name."
            problems.append(Problem(number, f"{surplus[0] + 1}", sentence))
        elif len(cells) < len(header) and not sheets:
            sentence = f"the row has {len(cells)} cells and the header {len(header)}; is a separator missing?"
            problems.append(Problem(number, header[0], sentence))
        else:
            rows.append((number, (cells + ("",) * len(header))[: len(header)]))
    return Sheet(digest, header, tuple(rows), tuple(problems), sheets, name)


def _header(cells: Sequence[str], shown: str) -> tuple[str, ...]:
    """The column names; empty ones at the end are left out, others get their number."""
    last = max(place for place, cell in enumerate(cells) if cell)
    header = tuple(cell or f"column {place + 1}" for place, cell in enumerate(cells[: last + 1]))
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{shown} has {header.count(name)} columns “{name}”: rename all but one.")
    return header


def _csv_lines(content: bytes, shown: str) -> list[tuple[int, tuple[str, ...]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{shown} is not text in UTF-8: save it as “CSV UTF-8” or XLSX.") from None
    if "\0" in text:
        raise DataError(f"{shown} is not a table: give a CSV or XLSX file.")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    csv.field_size_limit(LARGEST_BYTES)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{shown} is not a CSV file ({error}): export the table again.") from None
    return [(number, tuple(cell.strip() for cell in line)) for number, line in enumerate(lines, start=1)]


def _xlsx_lines(
    content: bytes, shown: str, wanted: str | None
) -> tuple[tuple[str, ...], str, list[tuple[int, tuple[str, ...]]]]:
    """Names of the sheets, name of the one read, and its lines."""
    try:
        unpacked = sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(content)).infolist())
        if unpacked > LARGEST_UNPACKED_BYTES:
            raise DataError(f"{shown} unpacks to more than 1 GB: save the table as CSV.")
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = tuple(each.title for each in book.worksheets)
        if not sheets:
            raise DataError(f"{shown} has no sheet with cells: save the table as CSV.")
        if wanted is not None and wanted not in sheets:
            raise DataError(f"{shown} has no sheet “{wanted}”: choose one of {', '.join(sheets)}.")
        name = wanted or sheets[0]
        book[name].reset_dimensions()
        lines = [
            (number, tuple(_text(cell) for cell in row))
            for number, row in enumerate(book[name].rows, start=1)
        ]
        formulas = _formulas_without_value(content, name, lines)
    except _BROKEN as error:
        raise DataError(f"{shown} is not an XLSX file that can be read: save the table as CSV.") from error
    if formulas:
        raise DataError(
            f"{shown} holds a formula without its value (row {formulas[0]}): open it in a spreadsheet "
            "program and save it again, or save it as CSV."
        )
    return sheets, name, lines


def _formulas_without_value(
    content: bytes, name: str, lines: Sequence[tuple[int, tuple[str, ...]]]
) -> list[int]:
    """Rows with a formula whose result was never stored: it would look like an empty cell."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        parts = [part for part in packed.namelist() if part.startswith("xl/worksheets/")]
        if not any(b"<f>" in (xml := packed.read(part)) or b"<f " in xml for part in parts):
            return []
    book = load_workbook(io.BytesIO(content), read_only=True)
    book[name].reset_dimensions()
    return [
        number
        for (number, cells), row in zip(lines, book[name].rows, strict=False)
        if any(cell.data_type == "f" and not text for cell, text in zip(row, cells, strict=False))
    ]


def _text(cell: Any) -> str:
    """A spreadsheet cell as people see it: 12.0 as "12", 0.12 in percent format as "12 %"."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (int, float)):
        if "%" in (cell.number_format or ""):
            return f"{_number(round(100 * value, 10))} %"
        return _number(value)
    return str(value).strip()


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
