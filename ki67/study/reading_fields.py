"""Counts per field → the working group's scores of each reading: global (pooled or by area) and hot spot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ki67.errors import DataError
from ki67.stats.ikwg import AREA_LEVELS, HOT_SPOT, AreaLevel, IkwgScores, ikwg_scores
from ki67.stats.ikwg import FieldCount as CountedField
from ki67.study.reading_cells import NO_NUCLEI, CellReader, Cells
from ki67.study.reading_settings import LEFT_OUT
from ki67.study.readings import FieldCount, Method, NewReading, ReadingKey

_WITHOUT_LEVEL: AreaLevel = "medium"  # stands for "no level": every global field is pooled alike
_SPELLINGS = {"negative": "negligible", "hotspot": HOT_SPOT}
_SHOWN = 3


@dataclass
class _Group:
    """The fields of one reading as they come, row by row."""

    row: int
    case: str
    reader: str
    session: str
    replicate: str
    patient: str | None
    method: Method
    areas: dict[AreaLevel, float]
    fields: list[FieldCount] = field(default_factory=list)
    wrong: bool = False


def readings_of_fields(
    cells: CellReader, rows: Sequence[tuple[int, tuple[str, ...]]]
) -> tuple[list[tuple[int, str, NewReading]], Mapping[str, int]]:
    """A global and a hot-spot reading of each case, reader, session and replicate, as far as it was counted.

    Each comes with its first row and the column of the counts; then the rows left out by method entry.
    """
    groups: dict[tuple[str, ...], _Group] = {}
    left_out: Counter[str] = Counter()
    for number, texts in rows:
        row = cells.of(number, texts)
        if row.method() == LEFT_OUT:
            left_out[row.text(cells.settings.method_column)] += 1
            continue
        _add_field(row, groups)
    column = cells.settings.positive or ""
    notes: Counter[str] = Counter()
    found = []
    for group in groups.values():
        if not group.wrong:
            found += [(group.row, column, each) for each in _readings(cells, group, notes)]
    shown = [f"{note} ({count} readings)" for note, count in notes.most_common(_SHOWN)]
    if len(notes) > _SHOWN:
        shown.append(f"{len(notes) - _SHOWN} more notes like these.")
    cells.notes += shown
    return found, left_out


def _add_field(row: Cells, groups: dict[tuple[str, ...], _Group]) -> None:
    settings = row.settings
    case, reader = row.code(settings.case, "case"), row.code(settings.reader, "reader")
    session, replicate = row.short(settings.session), row.short(settings.replicate)
    method, patient = row.method(), row.patient(case)
    if case is None or reader is None or session is None or replicate is None or method is None:
        return
    key = (case, reader, session, replicate, method)
    areas = {level: row.area(column) for level, column in settings.areas}
    known = {level: area for level, area in areas.items() if area is not None}
    as_areas: dict[AreaLevel, float] = {level: known[level] for level in AREA_LEVELS if level in known}
    group = groups.get(key)
    if group is None:
        named: Method = "hot spot" if method == "hot spot" else "count" if method == "count" else "global"
        group = _Group(row.number, case, reader, session, replicate, patient, named, as_areas)
        groups[key] = group
    group.wrong = group.wrong or len(known) < len(areas)
    if not group.wrong and as_areas != group.areas:
        column = settings.areas[0][1]
        row.reader.wrong(
            row.number, column, f"the areas differ from those in row {group.row} of the same reading."
        )
        group.wrong = True
    level = _level(row)
    counts = row.counts()
    if level is None or counts.wrong:
        group.wrong = True
    elif counts.positive is not None and counts.negative is not None:
        group.fields.append(FieldCount(counts.positive, counts.negative, level, known.get(level)))


def _level(row: Cells) -> str | None:
    """The level of staining of a field, in the working group's words; empty without such a column."""
    column = row.settings.level
    if column is None:
        return ""
    text = row.text(column).strip().casefold().replace("_", "-").replace(" ", "-")
    level = _SPELLINGS.get(text, text)
    if level in AREA_LEVELS or level == HOT_SPOT:
        return level
    row.reader.wrong(
        row.number,
        column,
        f"“{row.text(column)}” is not a level of staining; use high, medium, low, negligible or hot-spot.",
    )
    return None


def _readings(cells: CellReader, group: _Group, notes: Counter[str]) -> list[NewReading]:
    counted = [
        CountedField(each.level or _WITHOUT_LEVEL, each.positive, each.positive + each.negative)
        for each in group.fields
    ]
    try:
        scores = ikwg_scores(counted, group.areas)
    except DataError as error:
        cells.wrong(group.row, cells.settings.positive or "", str(error))
        return []
    if cells.settings.weighted:
        notes.update(scores.notes)
    spots = tuple(each for each in group.fields if each.level == HOT_SPOT)
    globals_ = tuple(each for each in group.fields if each.level != HOT_SPOT)
    readings = []
    if globals_:
        readings.append(_reading(group, group.method, _global_score(cells, scores), globals_))
    if spots:
        readings.append(_reading(group, "hot spot", scores.hot_spot, spots))
    return readings


def _global_score(cells: CellReader, scores: IkwgScores) -> float | None:
    return scores.weighted_global if cells.settings.weighted else scores.unweighted_global


def _reading(
    group: _Group, method: Method, score: float | None, fields: tuple[FieldCount, ...]
) -> NewReading:
    return NewReading(
        ReadingKey(group.case, group.reader, group.session, group.replicate, method),
        None if score is None else round(100 * score, 10),
        reason=NO_NUCLEI if score is None else "",
        positive=sum(each.positive for each in fields),
        negative=sum(each.negative for each in fields),
        fields=fields,
        patient_code=group.patient,
    )
