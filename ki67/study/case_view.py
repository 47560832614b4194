"""One case of a study: what each reader read, the panel, the algorithm with its interval and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67 import numbers
from ki67.index import wilson
from ki67.stats.readings import natural_order
from ki67.study.material import AlgorithmValue, StudyMaterial
from ki67.study.readings import ALGORITHM

COLUMNS = ("Reader", "Session", "Index, %", "Minus algorithm, points")


@dataclass(frozen=True)
class CaseView:
    """`readings` are rows of `COLUMNS`; `result_codes` the algorithm's results."""

    code: str
    algorithm_words: str
    panel_words: str
    readings: tuple[tuple[str, str, str, str], ...]
    result_codes: tuple[str, ...]


def case_of(material: StudyMaterial, case_code: str) -> CaseView:
    """The case as its dialog shows it; a case without readings or result says so."""
    own = _values(material, case_code)
    known = next((each for each in material.algorithm if each.case_code == case_code), None)
    imported = [value for reader, _, _, value in own if reader == ALGORITHM]
    algorithm = known.value_percent if known else (imported[0] if imported else None)
    read = [row for row in own if row[0] != ALGORITHM]
    return CaseView(
        code=case_code,
        algorithm_words=_algorithm_words(known, algorithm),
        panel_words=_panel_words([value for _, _, _, value in read]),
        readings=tuple(
            (
                reader,
                session if replicate == "1" else f"{session}, repeat {replicate}",
                numbers.decimal(value, decimals=1),
                "–" if algorithm is None else numbers.decimal(value - algorithm, decimals=1),
            )
            for reader, session, replicate, value in read
        ),
        result_codes=known.result_codes if known else (),
    )


def _values(material: StudyMaterial, case_code: str) -> list[tuple[str, str, str, float]]:
    """Reader, session, replicate and value of each reading of the case, in natural order."""
    held = material.readings
    found = [
        (held.readers[row], held.sessions[row], held.replicates[row], float(held.values[row]))
        for row, case in enumerate(held.cases)
        if case == case_code
    ]
    place = {name: number for number, name in enumerate(natural_order(row[0] for row in found))}
    return sorted(found, key=lambda row: (place[row[0]], row[1], row[2]))


def _algorithm_words(known: AlgorithmValue | None, value: float | None) -> str:
    if known is not None:
        limits = wilson(known.positive, known.negative)
        words = numbers.percent_with_interval(known.positive, known.negative, limits)
        count = numbers.count(known.positive + known.negative)
        return (
            f"Algorithm **{words}**, n = {count} nuclei, model set {known.models}; the interval is that of "
            "counting alone."
        )
    if value is not None:
        return f"Algorithm **{numbers.decimal(value, decimals=1)} %**, imported: without counts, no interval."
    return "The algorithm has no result of this case."


def _panel_words(values: Sequence[float]) -> str:
    if not values:
        return "No reader read it."
    low, middle, high = (
        numbers.decimal(float(each), decimals=1) for each in (min(values), np.median(values), max(values))
    )
    count = f"{len(values)} reading{'' if len(values) == 1 else 's'}"
    return f"Median of {count} {middle} %, from {low} to {high} %."
