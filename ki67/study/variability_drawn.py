"""The numbers of the page Variability as its plots take them."""

from __future__ import annotations

import math

from ki67 import numbers
from ki67.charts_variability import Bar, Columns, Mark
from ki67.study.variability import Dot, Variability


def columns_of(view: Variability) -> Columns:
    """A column per tumor with every reading."""
    return Columns(
        cases=view.cases,
        marks=tuple(_mark(view, dot) for dot in view.dots),
        medians=tuple(_known(value) for value in view.medians),
        algorithm=tuple(_known(value) for value in view.algorithm),
        cutoffs=view.cutoffs,
    )


def share_bars(view: Variability) -> list[Bar]:
    """The variance components as shares in percent."""
    shares = [(share.name, 100 * share.share) for share in view.shares]
    return [
        Bar(name, percent, None, None, f"{numbers.decimal(percent, decimals=1)} %")
        for name, percent in shares
    ]


def bias_bars(view: Variability) -> list[Bar]:
    """The readers' biases in points, the highest first."""
    ordered = sorted(view.biases, key=lambda each: -each.shrunken)
    return [
        Bar(
            each.reader,
            each.shrunken,
            each.low,
            each.high,
            f"{each.reader} · {numbers.points(each.shrunken)} "
            f"({numbers.points_interval(each.low, each.high)}), n = {each.n}",
        )
        for each in ordered
    ]


def _mark(view: Variability, dot: Dot) -> Mark:
    session = f" · session {dot.session}" if len(view.sessions) > 1 else ""
    text = f"{dot.case} · {dot.reader}{session} · {numbers.decimal(dot.percent, decimals=1)} %"
    return Mark(dot.place, dot.percent, dot.reader, dot.case, text)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
