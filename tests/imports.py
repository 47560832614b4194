"""Tables of readings looked at before they are stored: what the tests of the import share."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from openpyxl import Workbook

from ki67.study.reading_import import ImportPreview, preview_import
from ki67.study.reading_settings import suggest_settings
from ki67.study.reading_sheet import Sheet, read_sheet
from ki67.study.readings import (
    list_readings,
)
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace
from tests.stores import LOCAL


@pytest.fixture(name="study")
def empty_study(workplace: Workplace) -> str:
    return create_study(workplace, LOCAL, code="S1", title="Twenty tumors", site="breast").code


def sheet_of(text: str) -> Sheet:
    return read_sheet(text.encode(), file_name="table.csv")


def looked_at(workplace: Workplace, text: str | Sheet, **changes: object) -> ImportPreview:
    """The preview of a table with the suggested settings, changed as asked."""
    sheet = sheet_of(text) if isinstance(text, str) else text
    settings = replace(suggest_settings(sheet), **{"new_cases": True, **changes})  # type: ignore[arg-type]
    return preview_import(workplace, LOCAL, "S1", sheet=sheet, settings=settings)


def told(preview: ImportPreview) -> list[tuple[int, str, str]]:
    """Row, column and the first words of every problem."""
    return [(each.row, each.column, " ".join(each.sentence.split()[:4])) for each in preview.problems]


def values(workplace: Workplace) -> dict[tuple[str, ...], float | None]:
    stored = list_readings(workplace, LOCAL, "S1")
    return {
        (each.key.case_code, each.key.reader_code, each.key.session, each.key.method): each.value_percent
        for each in stored
    }


def xlsx_of(rows: list[list[object]], *, percent: tuple[str, ...] = ()) -> bytes:
    """An XLSX file; the cells in `percent` get a percent format."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    for place in percent:
        sheet[place].number_format = "0.0%"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
