"""Rows of a table → readings, with every problem by row and column. No store: what is known stays unasked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ki67.errors import DataError
from ki67.stats.readings import Problem
from ki67.study.reading_cells import CellReader, Cells
from ki67.study.reading_fields import readings_of_fields
from ki67.study.reading_settings import LEFT_OUT, ImportSettings
from ki67.study.reading_sheet import Sheet
from ki67.study.readings import Method, NewReading, ReadingKey

_SHOWN = 5  # rows named in one sentence
_LARGEST_DIFFERENCE = 1.0  # points between a value and the counts beside it


@dataclass(frozen=True)
class PlacedReading:
    """A reading and where it stands in the table."""

    row: int
    column: str
    reading: NewReading


@dataclass(frozen=True)
class Question:
    """Something only a person can say. `about` is the column, or the entry of the method column."""

    kind: str
    about: str
    sentence: str


@dataclass(frozen=True)
class RowsRead:
    """What a table holds. `empty`: cells without a reading; `left_out`: rows by entry of the method column.

    `words` are the texts found where a number belongs; `comma_columns` and `sign_columns` the columns with
    decimal commas or percent signs that nothing was settled about.
    """

    placed: tuple[PlacedReading, ...]
    problems: tuple[Problem, ...]
    questions: tuple[Question, ...]
    warnings: tuple[str, ...]
    empty: int
    left_out: tuple[tuple[str, int], ...]
    words: tuple[str, ...]
    comma_columns: tuple[str, ...]
    sign_columns: tuple[str, ...]


@dataclass
class _Found:
    """What is gathered while the rows are read."""

    placed: list[PlacedReading] = field(default_factory=list)
    empty: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    off_counts: list[int] = field(default_factory=list)


def read_rows(
    sheet: Sheet, settings: ImportSettings, *, regions: Mapping[str, bytes] | None = None
) -> RowsRead:
    """Every reading of a table, and everything that is wrong with it.

    Args:
        regions: GeoJSON files by their name, for tables whose region column names them.

    Raises:
        DataError: a column that the settings need is not named or not in the table.
    """
    _check_columns(sheet, settings)
    cells = CellReader(sheet, settings, regions or {})
    found = _Found()
    if settings.shape == "counts per field":
        counted, left_out = readings_of_fields(cells, sheet.rows)
        found.placed = [PlacedReading(row, column, reading) for row, column, reading in counted]
        found.left_out.update(left_out)
    else:
        for number, texts in sheet.rows:
            _read_row(cells, cells.of(number, texts), found)
    placed = _without_doubles(found.placed, cells)
    problems = sorted([*sheet.problems, *cells.problems], key=lambda problem: problem.row)
    return RowsRead(
        placed=tuple(placed),
        problems=tuple(problems),
        questions=(*_level_questions(cells), *_scale_questions(cells, settings)),
        warnings=tuple(_warnings(cells, found)),
        empty=found.empty,
        left_out=tuple(found.left_out.items()),
        words=tuple(cells.words),
        comma_columns=tuple(cells.comma_columns),
        sign_columns=tuple(cells.sign_columns),
    )


def _check_columns(sheet: Sheet, settings: ImportSettings) -> None:
    needed: list[tuple[str, str | None]] = [("case", settings.case)]
    if settings.shape == "wide":
        if not settings.wide:
            raise DataError("Say which columns hold the values of the readers: choose one for each reader.")
        needed += [("values", each.column) for each in settings.wide]
    else:
        needed.append(("reader", settings.reader))
        if settings.shape == "long" and settings.value is None:
            counted = settings.positive is not None and (settings.total or settings.negative) is not None
            if not counted:
                raise DataError("Say which column holds the value, or which columns hold the counts.")
        if settings.shape == "counts per field":
            needed.append(("positive nuclei", settings.positive))
            if settings.negative is None and settings.total is None:
                raise DataError("Say which column holds the negative nuclei, or all nuclei, of a field.")
    for role, name in needed:
        if name is None:
            raise DataError(f"Say which column holds the {role}: the table has {', '.join(sheet.header)}.")
    for name in _every_column(settings):
        if name not in sheet.header:
            raise DataError(f"The table has no column “{name}”; its columns are {', '.join(sheet.header)}.")


def _every_column(settings: ImportSettings) -> Iterable[str]:
    """Every column that the settings name."""
    single = (
        settings.case, settings.reader, settings.value, settings.session, settings.replicate,
        settings.patient, settings.reason, settings.region, settings.picture, settings.positive,
        settings.negative, settings.total, settings.level, settings.method_column,
    )  # fmt: skip
    yield from (name for name in single if name is not None)
    yield from (each.column for each in settings.wide)
    yield from (name for _, name in settings.areas)


def _read_row(cells: CellReader, row: Cells, found: _Found) -> None:
    """What one row of a long or wide table says."""
    settings = cells.settings
    method = row.method()
    if method == LEFT_OUT:
        found.left_out[row.text(settings.method_column)] += 1
        return
    case = row.code(settings.case, "case")
    replicate = row.short(settings.replicate)
    session = row.short(settings.session)
    patient = row.patient(case)
    reader = row.code(settings.reader, "reader") if settings.shape == "long" else ""
    if settings.shape == "wide":
        said = _wide_readings(cells, row, found)
    else:
        one = _long_reading(row, found)
        said = [] if one is None else [one]
    if case is None or replicate is None or session is None or reader is None or method is None:
        return
    for each in said:
        own = each.reading.key
        key = ReadingKey(
            case,
            reader or own.reader_code,
            own.session if settings.shape == "wide" and settings.session is None else session,
            replicate,
            _method(method),
        )
        found.placed.append(replace(each, reading=replace(each.reading, key=key, patient_code=patient)))


def _wide_readings(cells: CellReader, row: Cells, found: _Found) -> list[PlacedReading]:
    """The readings of a row with a column for each reader; their keys hold reader and session alone."""
    said = []
    for column in cells.settings.wide:
        reader = cells.checked_code(column.reader, "reader", row.number, column.column)
        value = row.value(column.column)
        found.empty += value.missing
        if reader is None or value.missing or value.wrong:
            continue
        key = ReadingKey("", reader, column.session)
        said.append(
            PlacedReading(row.number, column.column, NewReading(key, value.percent, reason=value.reason))
        )
    return said


def _long_reading(row: Cells, found: _Found) -> PlacedReading | None:
    """What a row of a long table says, its key not filled in; None where it says nothing usable."""
    settings = row.settings
    counts = row.counts()
    value = row.value(settings.value) if settings.value else row.value_of(counts)
    reason = row.text(settings.reason)
    if value.missing and counts.given and settings.value:
        value = row.value_of(counts)
    if value.missing and reason:
        value = replace(value, missing=False, reason=reason)
    if value.missing:
        found.empty += 1
        return None
    if value.wrong or counts.wrong:
        return None
    both = value.percent is not None and counts.percent is not None
    if both and abs((value.percent or 0.0) - (counts.percent or 0.0)) > _LARGEST_DIFFERENCE:
        found.off_counts.append(row.number)
    region, fine = row.region()
    if not fine:
        return None
    column = settings.value or settings.positive or ""
    return PlacedReading(
        row.number,
        column,
        NewReading(
            ReadingKey("", ""),
            value.percent,
            reason=reason or value.reason,
            positive=counts.positive,
            negative=counts.negative,
            region_geojson=region,
            picture_code=(row.text(settings.picture) or None) if region else None,
        ),
    )


def _method(method: str | None) -> Method:
    return method if method in ("global", "hot spot", "count") else "global"  # type: ignore[return-value]


def _without_doubles(placed: Sequence[PlacedReading], cells: CellReader) -> list[PlacedReading]:
    """The first reading of each key; each further one is a problem."""
    first: dict[ReadingKey, int] = {}
    kept = []
    for each in placed:
        key = each.reading.key
        if key in first:
            words = f"the reading of {key.words()} is in row {first[key]} already; keep one of the two."
            cells.problems.append(Problem(each.row, each.column, words))
        else:
            first[key] = each.row
            kept.append(each)
    return kept


def _level_questions(cells: CellReader) -> list[Question]:
    column = cells.settings.method_column
    return [
        Question(
            "level",
            level,
            f"What is “{level}” in column {column}: global, hot spot, count, or to be left out?",
        )
        for level in cells.unknown_levels
    ]


def _scale_questions(cells: CellReader, settings: ImportSettings) -> list[Question]:
    """A column whose values are all 1 or less may hold fractions."""
    return [
        Question(
            "scale",
            column,
            f"Every value of column {column} is 1 or less: fractions (0.2 means 20 %), or percentages?",
        )
        for column, values in cells.values.items()
        if settings.choice(column).scale is None
        and any(value > 0 for _, value in values)
        and all(value <= 1 for _, value in values)
    ]


def _warnings(cells: CellReader, found: _Found) -> Iterable[str]:
    asked = {question.about for question in _scale_questions(cells, cells.settings)}
    for column, values in cells.values.items():
        if column in asked or cells.settings.choice(column).scale == "fraction":
            continue
        between = [row for row, value in values if 0 < value < 1]
        if between and any(value > 1 for _, value in values):
            yield (
                f"{len(between)} of {len(values)} values of column {column} lie between 0 and 1, others are "
                f"larger ({_rows(between)}): fractions among percentages?"
            )
    if found.off_counts:
        yield (
            f"In {len(found.off_counts)} rows the value and the counts differ by more than 1 point "
            f"({_rows(found.off_counts)}): the value is taken."
        )
    yield from cells.notes


def _rows(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN]) + ("…" if len(numbers) > _SHOWN else "")
    return f"row {shown}"
