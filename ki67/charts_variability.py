"""Plots of many readers: a column per tumor, shares of the spread, who reads high, where readers differ.

Values come in computed; `ki67.charts` has the template and the palette.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ki67.charts import PALETTES, Mode, Palette, template
from ki67.numbers import decimal

HEIGHT_PX = 380
ROW_PX = 26
SPREAD = 0.32  # half the width of a column that its dots take
LOG_FLOOR = 0.5  # where 0 % stands on a logarithmic axis
_LEGEND = {
    "showlegend": True,
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
}
TICKS_LOG = (0.5, 1, 2, 5, 10, 20, 50, 100)
DIVERGING: dict[Mode, list[tuple[float, str]]] = {
    "light": [(0.0, "#B25A00"), (0.5, "#FFFFFF"), (1.0, "#0B5C8E")],
    "dark": [(0.0, "#F0A152"), (0.5, "#10161D"), (1.0, "#5FB0E6")],
}


@dataclass(frozen=True)
class Mark:
    """A reading in the column of its tumor, in percent; `label` is shown on hovering."""

    column: int
    percent: float
    reader: str
    case: str
    label: str


@dataclass(frozen=True)
class Columns:
    """The plot of all readings: tumors in order, their medians and the algorithm's values (None: none)."""

    cases: tuple[str, ...]
    marks: tuple[Mark, ...]
    medians: tuple[float | None, ...]
    algorithm: tuple[float | None, ...]
    cutoffs: tuple[float, ...]


@dataclass(frozen=True)
class Bar:
    """A horizontal bar or dot with limits (None: not known) and its text."""

    name: str
    value: float
    low: float | None
    high: float | None
    text: str


def columns(shown: Columns, *, mode: Mode, log: bool, focus: str | None = None) -> go.Figure:
    """A column per tumor: a dot per reading, the panel's median as a bar, the algorithm as a diamond on top.

    On the logarithmic axis values below 0.5 % stand at 0.5 %. `focus` is the reader shown as squares.
    """
    colors = PALETTES[mode]
    figure = go.Figure()
    for place in range(0, len(shown.cases), 2):
        figure.add_vrect(place - 0.5, place + 0.5, fillcolor=colors.band, line_width=0, layer="below")
    _draw_readers(figure, [mark for mark in shown.marks if mark.reader != focus], colors, log=log)
    _draw_medians(figure, shown.medians, colors, log=log)
    if focus is not None:
        own = [mark for mark in shown.marks if mark.reader == focus]
        _draw_focus(figure, own, focus, colors, log=log)
    _draw_algorithm(figure, shown, colors, log=log)
    for cutoff in shown.cutoffs:
        figure.add_hline(cutoff, line={"color": colors.axis, "dash": "dot", "width": 1.2})
        figure.add_annotation(
            x=1.0,
            xref="paper",
            xanchor="left",
            y=math.log10(cutoff) if log else cutoff,  # plotly wants an annotation's height as an exponent
            text=f" {cutoff:g} %",
            showarrow=False,
            font={"size": 12, "color": colors.labels},
        )
    figure.update_layout(template=template(mode), height=HEIGHT_PX, dragmode=False, **_LEGEND)
    figure.update_layout(margin_r=48, margin_t=40)
    figure.update_xaxes(
        tickvals=list(range(len(shown.cases))),
        ticktext=list(shown.cases),
        range=[-0.6, len(shown.cases) - 0.4],
        title_text="Tumor, ordered by the panel median",
        automargin=True,  # the codes of many tumors stand aslant
        fixedrange=True,
        showgrid=False,
    )
    figure.update_yaxes(title_text="Ki-67 index, %", fixedrange=True, **_scale(shown, log=log))
    return figure


def bars(rows: Sequence[Bar], *, mode: Mode, x_title: str, about_zero: bool) -> go.Figure:
    """A row for each bar from the top; `about_zero`: a dot with limits about 0, else a bar from 0."""
    colors = PALETTES[mode]
    figure = go.Figure()
    names = [row.name for row in rows]
    values = [row.value for row in rows]
    errors = {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if row.high is None else max(0.0, row.high - row.value) for row in rows],
        "arrayminus": [0.0 if row.low is None else max(0.0, row.value - row.low) for row in rows],
        "color": colors.reader,
        "thickness": 1.6,
        "width": 0,
    }
    texts = [row.text for row in rows]
    if about_zero:
        mark = {"color": colors.reader, "size": 8}
        figure.add_scatter(
            x=values, y=names, mode="markers", marker=mark, error_x=errors, text=texts,
            hovertemplate="%{text}<extra></extra>", showlegend=False,
        )  # fmt: skip
        figure.add_vline(0, line={"color": colors.ink, "width": 1.2})
    else:
        figure.add_bar(
            x=values,
            y=names,
            orientation="h",
            marker_color=colors.reader,
            text=texts,
            showlegend=False,
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{text}<extra></extra>",
        )
    height = max(180 if about_zero else 260, 100 + ROW_PX * len(rows))
    figure.update_layout(template=template(mode), height=height, dragmode=False, margin_l=130, bargap=0.5)
    figure.update_yaxes(autorange="reversed", fixedrange=True, showgrid=False)
    figure.update_xaxes(title_text=x_title, fixedrange=True, rangemode="normal" if about_zero else "tozero")
    if not about_zero:
        figure.update_xaxes(range=[0, 1.18 * max(values, default=1.0)])
    return figure


def heat(
    readers: Sequence[str], cases: Sequence[str], points: npt.NDArray[np.float64], *, mode: Mode
) -> go.Figure:
    """Reader × tumor: a reading minus the panel's median, in points; a cell without a reading stays empty."""
    reach = float(np.nanmax(np.abs(points))) if np.isfinite(points).any() else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=points,
            x=list(cases),
            y=list(readers),
            zmin=-reach,
            zmax=reach,
            colorscale=DIVERGING[mode],
            xgap=1,
            ygap=1,
            hoverongaps=False,
            colorbar={"title": {"text": "Points"}, "thickness": 12},
            hovertemplate="%{y} · %{x}: %{z:.1f} points<extra></extra>",
        )
    )
    height = max(HEIGHT_PX, 110 + 15 * len(readers))
    figure.update_layout(template=template(mode), height=height, dragmode=False)
    figure.update_xaxes(
        title_text="Tumor, ordered by the panel median", automargin=True, fixedrange=True, type="category"
    )
    figure.update_yaxes(autorange="reversed", fixedrange=True, type="category", title_text="Reader")
    return figure


def spread(
    means: npt.NDArray[np.float64], sds: npt.NDArray[np.float64], cases: Sequence[str], *, mode: Mode
) -> go.Figure:
    """SD of the readings of a tumor over their mean, both in points: does the spread grow with the index?"""
    colors = PALETTES[mode]
    labels = [
        f"{case} · mean {decimal(mean, decimals=1)} %, SD {decimal(sd, decimals=1)} points"
        for case, mean, sd in zip(cases, means, sds, strict=True)
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=means,
        y=sds,
        mode="markers",
        marker={"color": colors.reader, "size": 8},
        text=labels,
        customdata=list(cases),
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(template=template(mode), height=HEIGHT_PX, dragmode=False)
    figure.update_xaxes(title_text="Mean of the readers, %", rangemode="tozero", fixedrange=True)
    figure.update_yaxes(title_text="SD between readers, points", rangemode="tozero", fixedrange=True)
    return figure


def _draw_readers(figure: go.Figure, marks: Sequence[Mark], colors: Palette, *, log: bool) -> None:
    figure.add_scatter(
        x=_beside(marks),
        y=[_height(mark.percent, log) for mark in marks],
        mode="markers",
        name="Reader",
        marker={"color": colors.reader, "size": 5.5, "opacity": 0.5},
        text=[mark.label for mark in marks],
        customdata=[mark.case for mark in marks],
        hovertemplate="%{text}<extra></extra>",
    )


def _draw_medians(figure: go.Figure, medians: Sequence[float | None], colors: Palette, *, log: bool) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    for place, median in enumerate(medians):
        if median is not None:
            x += [place - 0.26, place + 0.26, None]
            y += [_height(median, log), _height(median, log), None]
    figure.add_scatter(
        x=x, y=y, mode="lines", name="Panel median", line={"color": colors.ink, "width": 2.4},
        hoverinfo="skip",
    )  # fmt: skip


def _draw_focus(figure: go.Figure, marks: Sequence[Mark], reader: str, colors: Palette, *, log: bool) -> None:
    figure.add_scatter(
        x=[float(mark.column) for mark in marks],
        y=[_height(mark.percent, log) for mark in marks],
        mode="markers",
        name=reader,
        marker={"color": colors.focus, "symbol": "square", "size": 9},
        text=[mark.label for mark in marks],
        customdata=[mark.case for mark in marks],
        hovertemplate="%{text}<extra></extra>",
    )


def _draw_algorithm(figure: go.Figure, shown: Columns, colors: Palette, *, log: bool) -> None:
    there = [(place, value) for place, value in enumerate(shown.algorithm) if value is not None]
    if not there:
        return
    figure.add_scatter(
        x=[float(place) for place, _ in there],
        y=[_height(value, log) for _, value in there],
        mode="markers",
        name="Algorithm",
        marker={
            "color": colors.algorithm,
            "symbol": "diamond",
            "size": 12,
            "line": {"color": colors.band, "width": 1.2},
        },
        text=[f"{shown.cases[place]} · algorithm {decimal(value, decimals=1)} %" for place, value in there],
        customdata=[shown.cases[place] for place, _ in there],
        hovertemplate="%{text}<extra></extra>",
    )


def _beside(marks: Sequence[Mark]) -> list[float]:
    """Places across the columns: the dots of a tumor beside each other in the order they come."""
    in_column: dict[int, int] = {}
    for mark in marks:
        in_column[mark.column] = in_column.get(mark.column, 0) + 1
    seen: dict[int, int] = {}
    places = []
    for mark in marks:
        number, total = seen.get(mark.column, 0), in_column[mark.column]
        seen[mark.column] = number + 1
        # a stride that is prime to most totals keeps neighbors in the table apart in the column
        step = (7 * number) % total
        places.append(mark.column + SPREAD * (2 * (step + 0.5) / total - 1))
    return places


def _height(percent: float, log: bool) -> float:
    return max(percent, LOG_FLOOR) if log else percent


def _scale(shown: Columns, *, log: bool) -> dict[str, object]:
    highest = max((mark.percent for mark in shown.marks), default=0.0)
    highest = max([highest, *(value for value in shown.algorithm if value is not None), *shown.cutoffs, 5.0])
    if not log:
        return {"range": [0, min(102.0, 1.06 * highest)]}
    top = min(110.0, 1.25 * highest)
    return {
        "type": "log",
        "range": [float(np.log10(0.9 * LOG_FLOOR)), float(np.log10(top))],
        "tickvals": list(TICKS_LOG),
        "ticktext": ["≤ 0.5", *(f"{tick:g}" for tick in TICKS_LOG[1:])],
    }
