"""Readings typed in from a paper sheet: one reader, one session, one scoring method, a row for each case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ki67.errors import DataError
from ki67.stats.readings import parse_percent
from ki67.study.people import Person
from ki67.study.reading_import import ImportPreview, preview_import
from ki67.study.reading_settings import ImportSettings
from ki67.study.reading_sheet import Sheet
from ki67.study.readings import Method
from ki67.study.workplace import Workplace

CASE, VALUE, POSITIVE, NEGATIVE = "Case", "Index, %", "Positive", "Negative"
REASON, REGION = "Cannot be assessed because", "Region"
_READER, _SESSION = "Reader", "Session"
HEADER = (CASE, _READER, _SESSION, VALUE, POSITIVE, NEGATIVE, REASON, REGION)
_COMMA = re.compile(r"\s*(\d+),(\d+)\s*")


@dataclass(frozen=True)
class TypedReading:
    """A row as it was typed; `value` takes a decimal comma too. `region` is the text of a GeoJSON file."""

    case_code: str
    value: str = ""
    positive: str = ""
    negative: str = ""
    reason: str = ""
    region: bytes | None = None

    @property
    def empty(self) -> bool:
        return not any((self.value, self.positive, self.negative, self.reason))


def percent_typed(text: str) -> float | None:
    """A percentage as a person types it, with a point or a comma; None for nothing.

    Raises DataError for anything else.
    """
    plain = _COMMA.sub(r"\1.\2", text).strip()
    if not plain:
        return None
    try:
        return parse_percent(plain)
    except ValueError as error:
        raise DataError(str(error)) from None


def check_typed(
    workplace: Workplace,
    person: Person,
    study_code: str,
    *,
    typed: Sequence[TypedReading],
    reader: str,
    session: str,
    method: Method,
) -> ImportPreview:
    """What storing typed rows would add, with every problem; the row of a problem is its place, from 1.

    Rows without anything are left out; cases that are not in the study yet are added to it. Writes nothing.

    Raises:
        StoreError: no such study.
        DataError: nothing was typed.
        NotAllowed: the person is no coordinator.
    """
    regions = {each.case_code: each.region for each in typed if each.region is not None}
    rows = tuple(
        (
            number,
            (
                each.case_code.strip(),
                reader.strip(),
                session.strip(),
                _COMMA.sub(r"\1.\2", each.value).strip(),
                each.positive.strip(),
                each.negative.strip(),
                each.reason.strip(),
                each.case_code if each.region is not None else "",
            ),
        )
        for number, each in enumerate(typed, start=1)
        if not each.empty
    )
    settings = ImportSettings(
        case=CASE,
        reader=_READER,
        session=_SESSION,
        value=VALUE,
        positive=POSITIVE,
        negative=NEGATIVE,
        reason=REASON,
        region=REGION,
        method=method,
        new_cases=True,
    )
    sheet = Sheet(sha256="", header=HEADER, rows=rows, problems=())
    return preview_import(workplace, person, study_code, sheet=sheet, settings=settings, regions=regions)
