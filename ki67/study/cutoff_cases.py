"""The cases near a cut-off: how likely each side is, and whether more nuclei would settle it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db import queries
from db.rows import ResultRow
from ki67.errors import ModelError
from ki67.index import ki67_index, wilson
from ki67.pipeline.error_model import ErrorModel, read_error_model
from ki67.pipeline.intervals import sampling_interval, total_interval
from ki67.stats.classes import Border, Cutoffs
from ki67.stats.cutoff import CutoffAnswer, ModelSpread, Scale, cutoff_answer
from ki67.stats.grid import grid_of
from ki67.study import codec
from ki67.study.material import AlgorithmValue, StudyMaterial
from ki67.study.model_sets import find_model_set
from ki67.study.people import Person, require
from ki67.study.workplace import Workplace, reading
from ki67.types import Interval, ModelRef

FEWEST_SHOWN = 10


@dataclass(frozen=True)
class CountedCase:
    """The algorithm on a case: its counts, the interval of the counting, the error model of its card.

    `index` is a fraction 0-1. `error_model` None: `why` is our sentence.
    """

    code: str
    positive: int
    negative: int
    index: float
    sampling: Interval
    error_model: ErrorModel | None
    why: str = ""


@dataclass(frozen=True)
class NearCase:
    """A case and a cut-off near it; `total` None without an error model; readers by the side they are on."""

    case: CountedCase
    border: Border
    answer: CutoffAnswer
    total: Interval | None
    readers_below: int
    readers_above: int


@dataclass(frozen=True)
class NearCases:
    """Cases by how near a cut-off they lie, the least settled first.

    `rows`: those that are not settled, and more up to ten. `unsettled` counts cases; None when that is
    withheld for every case. `counted`: cases with counts; `uncounted`: those whose value was imported.
    `withheld`: why there are no probabilities, each sentence once.
    """

    rows: tuple[NearCase, ...]
    unsettled: int | None
    counted: int
    uncounted: int
    withheld: tuple[str, ...]


def counted_cases(workplace: Workplace, person: Person, material: StudyMaterial) -> tuple[CountedCase, ...]:
    """The algorithm's cases with their intervals and error models, as their results and cards have them.

    Raises:
        NotAllowed: a reader asks.
    """
    require(person, "coordinator", "analyst", doing="look at readings")
    codes = {code for value in material.algorithm for code in value.result_codes}
    with reading(workplace) as session:
        found = {code: queries.result_by_code(session, code) for code in sorted(codes)}
    rows = {code: row for code, row in found.items() if row is not None}
    cards = _Cards(workplace)
    return tuple(
        _counted(value, rows, cards, hot_spot=material.method == "hot spot") for value in material.algorithm
    )


def near_cutoffs(material: StudyMaterial, counted: Sequence[CountedCase], cutoffs: Cutoffs) -> NearCases:
    """Every case beside the cut-offs that its intervals reach, and the nearest ones besides."""
    grid = grid_of(material.readings)
    read = dict(zip(grid.cases, grid.first().tolist(), strict=True))
    every = [row for case in counted for row in _beside(case, cutoffs, read.get(case.code, ()))]
    open_rows = [row for row in every if _is_open(row)]
    chosen = sorted(open_rows, key=_settledness)
    shown = {row.case.code for row in chosen}
    for row in sorted(every, key=_settledness):
        if len(chosen) >= FEWEST_SHOWN:
            break
        if row.case.code not in shown:
            chosen.append(row)
            shown.add(row.case.code)
    told = any(row.answer.settled is not None for row in every)
    imported = sum(math.isfinite(value) for value in grid.algorithm_first().tolist()) - len(counted)
    return NearCases(
        rows=tuple(chosen),
        unsettled=len({row.case.code for row in open_rows}) if told else None,
        counted=len(counted),
        uncounted=max(0, imported),
        withheld=tuple(dict.fromkeys(case.why for case in counted if case.why)),
    )


def spread_at(model: ErrorModel, index: float) -> ModelSpread:
    """The error model of a card at an index (a fraction 0-1), as the total interval takes it."""
    _, laboratory_sd, field_sd = [level for level in model.levels if level[0] <= 100 * index][-1]
    scale: Scale = "arcsine" if model.scale == "arcsine" else "points"
    return ModelSpread(scale, laboratory_sd, field_sd, model.laboratories, model.field_nuclei)


def pooled_sampling(parts: Sequence[tuple[int, int, Interval | None]]) -> Interval | None:
    """The interval of the counting over several pictures: (positive, negative, its own interval) each.

    The distances of each picture's limits, weighted with its share of the nuclei, are squared and added
    (G. Y. Zou & A. Donner, Stat Med 27 (2008) 1693-1702), so that the clustering within pictures stays in;
    never narrower than Wilson's of the pooled counts. None without nuclei.
    """
    positive, negative = sum(part[0] for part in parts), sum(part[1] for part in parts)
    pooled, counting = ki67_index(positive, negative), wilson(positive, negative)
    if pooled is None or counting is None:
        return None
    below = above = 0.0
    for own_positive, own_negative, limits in parts:
        own = ki67_index(own_positive, own_negative)
        if own is None or limits is None:
            continue
        weight = (own_positive + own_negative) / (positive + negative)
        below += (weight * (own - limits.low)) ** 2
        above += (weight * (limits.high - own)) ** 2
    clustered = Interval(max(0.0, pooled - math.sqrt(below)), min(1.0, pooled + math.sqrt(above)))
    return sampling_interval(counting, clustered)


class _Cards:
    """Error models by model set, each card read once."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._known: dict[str, tuple[ModelRef | None, ErrorModel | None, str]] = {}

    def of(self, name: str, used: Mapping[str, ModelRef | None]) -> tuple[ErrorModel | None, str]:
        """The error model that belongs to a run with these models, or why there is none."""
        if name not in self._known:
            self._known[name] = self._read(name)
        ref, model, why = self._known[name]
        if ref is not None and ref != used.get("cells"):
            return None, f"The model set {name} was replaced after scoring: score again for probabilities."
        return model, why

    def _read(self, name: str) -> tuple[ModelRef | None, ErrorModel | None, str]:
        try:
            card = find_model_set(self._workplace, name).cells
            model = None if card.error_model is None else read_error_model(card.error_model)
        except ModelError as error:
            return None, None, str(error)
        if model is None:
            return card.ref, None, f"The card of the model set {name} holds no error model."
        return card.ref, model, ""


def _counted(
    value: AlgorithmValue, rows: Mapping[str, ResultRow], cards: _Cards, *, hot_spot: bool
) -> CountedCase:
    own = [rows[code] for code in value.result_codes if code in rows]
    if hot_spot:
        spots = [spot for row in own if (spot := codec.hot_spot_of(row.measurement["hot_spot"]))]
        sampling = spots[0].interval if spots else None
    else:
        sampling = pooled_sampling(
            [(row.positive, row.negative, codec.interval_of(row.measurement["sampling"])) for row in own]
        )
    used = codec.models_from_json(own[0].run.models) if own else {}
    model, why = cards.of(value.models, used)
    limits = sampling or wilson(value.positive, value.negative)
    index = ki67_index(value.positive, value.negative)
    if index is None or limits is None:
        raise ValueError(f"case {value.case_code} has a value without nuclei")
    return CountedCase(value.case_code, value.positive, value.negative, index, limits, model, why)


def _beside(case: CountedCase, cutoffs: Cutoffs, read: Sequence[float]) -> list[NearCase]:
    """The case beside every cut-off; `read`: one reading of each reader in percent, NaN without one."""
    spread = total = None
    if case.error_model is not None:
        nuclei = case.positive + case.negative
        spread = spread_at(case.error_model, case.index)
        total = total_interval(case.index, case.sampling, case.error_model, nuclei=nuclei)
    values = [value for value in read if math.isfinite(value)]
    found = []
    for border in cutoffs.borders:
        answer = cutoff_answer(
            case.positive, case.negative, border=border, spread=spread, sampling=case.sampling
        )
        above = sum(border.is_above(value) for value in values)
        found.append(NearCase(case, border, answer, total, len(values) - above, above))
    return found


def _is_open(row: NearCase) -> bool:
    """Not settled; without an error model: the interval of the counting alone reaches the cut-off."""
    if row.answer.settled is not None:
        return not row.answer.settled
    cut = float(row.border.percent) / 100
    return row.case.sampling.low <= cut <= row.case.sampling.high


def _settledness(row: NearCase) -> tuple[float, float]:
    """Ascending: from a half and half to certain, then by the distance on the arcsine scale."""
    cut = float(row.border.percent) / 100
    distance = abs(math.asin(math.sqrt(cut)) - math.asin(math.sqrt(row.case.index)))
    if row.answer.above is None or row.answer.below is None:
        return (0.5, distance)
    return (-min(row.answer.above, row.answer.below), distance)
