"""How a table of readings is to be understood: which column is what, and what was answered about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from ki67.stats.ikwg import AREA_LEVELS
from ki67.study.reading_sheet import Sheet
from ki67.study.readings import METHODS, Method

Shape = Literal["long", "wide", "counts per field"]
SHAPES: tuple[Shape, ...] = ("long", "wide", "counts per field")
Scale = Literal["percent", "fraction"]
LEFT_OUT = "left out"
LevelMeaning = Literal["global", "hot spot", "count", "left out"]
_NAMES: dict[str, tuple[str, ...]] = {
    "case": ("case", "casecode", "caseid", "tumor", "tumour", "tumorid", "specimen", "slide", "sample"),
    "reader": ("reader", "readercode", "readerid", "observer", "pathologist", "rater", "laboratory", "lab"),
    "value": (
        "value", "valuepercent", "ki67percent", "indexpercent", "ki67index", "ki67indexpercent", "ki67",
        "index", "percent", "reading", "score",
    ),
    "session": ("session", "round", "timepoint"),
    "replicate": ("replicate", "repeat", "repetition"),
    "patient": ("patient", "patientcode", "patientid"),
    "method": ("method", "scoringmethod"),
    "reason": ("reason", "notassessable"),
    "region": ("region", "regiongeojson", "geojson"),
    "picture": ("picture", "picturecode"),
    "positive": ("positive", "positivenuclei", "pos"),
    "negative": ("negative", "negativenuclei", "neg"),
    "total": ("total", "totalnuclei", "nuclei", "counted"),
    "level": ("field", "level", "fieldlevel", "staininglevel"),
}  # fmt: skip
_SESSION_IN_NAME = re.compile(r"(.+?)[ _.,-]+(?:session|sess|s|round)[ _.-]?(\d+)", re.IGNORECASE)
_METHOD_WORDS: dict[str, Method] = {
    "hotspot": "hot spot",
    "global": "global",
    "unweightedglobal": "global",
    "globalunweighted": "global",
    "average": "global",
    "count": "count",
    "counted": "count",
    "counting": "count",
}


@dataclass(frozen=True)
class ColumnChoice:
    """What was settled about a whole column of values.

    `decimal_comma`: 12,5 is 12.5. `percent_sign`: "12 %" is 12. `scale` None: nobody was asked yet whether
    values that are all 1 or less are fractions.
    """

    column: str
    decimal_comma: bool = False
    percent_sign: bool = False
    scale: Scale | None = None


@dataclass(frozen=True)
class WideColumn:
    """A column that holds the values of one reader in one session."""

    column: str
    reader: str
    session: str = "1"


@dataclass(frozen=True)
class ImportSettings:
    """Which column is what; None where the table has none.

    `method` is that of all readings where there is no method column; `levels` says for each entry of a method
    column what it means. `new_cases`: cases that are not in the study yet are added to it. Cells of a value
    column with one of the words in `unassessable_words` are readings that could not be made, those in
    `missing_words` are empty. `weighted`: the global score of counts per field is weighted by area.
    """

    shape: Shape = "long"
    case: str | None = None
    reader: str | None = None
    value: str | None = None
    wide: tuple[WideColumn, ...] = ()
    session: str | None = None
    replicate: str | None = None
    patient: str | None = None
    reason: str | None = None
    region: str | None = None
    picture: str | None = None
    positive: str | None = None
    negative: str | None = None
    total: str | None = None
    level: str | None = None
    areas: tuple[tuple[str, str], ...] = ()
    weighted: bool = False
    method_column: str | None = None
    method: Method = "global"
    levels: tuple[tuple[str, LevelMeaning], ...] = ()
    choices: tuple[ColumnChoice, ...] = ()
    unassessable_words: tuple[str, ...] = ()
    missing_words: tuple[str, ...] = ()
    new_cases: bool = False

    def choice(self, column: str) -> ColumnChoice:
        """What was settled about a column; nothing at first."""
        return next((each for each in self.choices if each.column == column), ColumnChoice(column))

    def with_choice(self, choice: ColumnChoice) -> ImportSettings:
        """These settings with another choice for one column."""
        others = tuple(each for each in self.choices if each.column != choice.column)
        return replace(self, choices=(*others, choice))


def suggest_settings(sheet: Sheet) -> ImportSettings:
    """What the names of the columns say; a table without a reader column has a reader in each column."""
    found = {role: _column(sheet, names) for role, names in _NAMES.items()}
    method_column = found.pop("method")
    areas = tuple((level, name) for level in AREA_LEVELS if (name := _area_column(sheet, level)))
    counted = found["positive"] is not None and (found["total"] or found["negative"]) is not None
    shape: Shape = "long"
    if counted and found["level"] is not None:
        shape = "counts per field"
    elif found["reader"] is None and found["case"] is not None:
        shape = "wide"
    if found["total"] and found["negative"]:
        found["total"] = None
    settings = ImportSettings(
        shape=shape,
        case=found["case"],
        reader=found["reader"],
        value=found["value"],
        session=found["session"],
        replicate=found["replicate"],
        patient=found["patient"],
        reason=found["reason"],
        region=found["region"],
        picture=found["picture"],
        positive=found["positive"],
        negative=found["negative"],
        total=found["total"],
        level=found["level"],
        areas=areas,
        method_column=method_column,
    )
    if shape == "wide":
        settings = replace(settings, value=None, wide=_wide_columns(sheet, settings))
    if method_column is not None:
        settings = replace(settings, levels=_levels(sheet, method_column))
    return settings


def plain(text: str) -> str:
    """A name without case, spaces and signs, for comparing: "Hot_Spot" is "hotspot"."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _column(sheet: Sheet, names: tuple[str, ...]) -> str | None:
    """The column with the first of these names that the table has."""
    plain_names = [plain(name) for name in sheet.header]
    return next((sheet.header[plain_names.index(name)] for name in names if name in plain_names), None)


def _area_column(sheet: Sheet, level: str) -> str | None:
    wanted = (f"areapercent{level}", f"area{level}", f"{level}area", f"{level}areapercent")
    return _column(sheet, wanted)


def _wide_columns(sheet: Sheet, settings: ImportSettings) -> tuple[WideColumn, ...]:
    """A reader for every column that is nothing else, with the session that its name gives."""
    taken = {settings.case, settings.session, settings.replicate, settings.patient, settings.method_column}
    columns = []
    for name in sheet.header:
        if name in taken or not any(sheet.column(name)):
            continue
        split = _SESSION_IN_NAME.fullmatch(name)
        columns.append(WideColumn(name, split[1], split[2]) if split else WideColumn(name, name))
    return tuple(columns)


def _levels(sheet: Sheet, column: str) -> tuple[tuple[str, LevelMeaning], ...]:
    """The meaning of the levels whose names are clear; each method once."""
    levels: list[tuple[str, LevelMeaning]] = []
    for name in dict.fromkeys(sheet.column(column)):
        meaning = _METHOD_WORDS.get(plain(name), name if name in METHODS else None)
        if meaning is not None and meaning not in (given for _, given in levels):
            levels.append((name, meaning))
    return tuple(levels)
