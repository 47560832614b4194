"""Plots of the page Agreement: differences with limits that open with the index, and a scatter with lines.

Values come in computed; `ki67.charts` has the template and the palette. Each dot carries its case code as
`customdata`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ki67.charts import PALETTES, Mode, Palette, template
from ki67.numbers import decimal

Reals = npt.NDArray[np.float64]
Role = Literal["algorithm", "reader", "panel", "focus"]
HEIGHT_PX = 380
LABEL_ROOM = 1.2  # beyond a limit, for its number
MARKS_SHARE = 0.2  # of the width: the panel of limits at the level
SIGNS: dict[Role, str] = {"algorithm": "◆", "reader": "●", "panel": "■", "focus": "■"}
SYMBOLS: dict[Role, str] = {"algorithm": "diamond", "reader": "circle", "panel": "square", "focus": "square"}


@dataclass(frozen=True)
class DotCloud:
    """Points to draw: x and y in the units of the axes, a case code and a hover text each."""

    x: Reals
    y: Reals
    cases: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class BandLine:
    """A line over the levels with its limits, NaN or None where there are none."""

    value: Reals | None
    low: Reals | None
    high: Reals | None


@dataclass(frozen=True)
class LimitPanel:
    """Differences over the mean of the two, with bias and limits over the `levels`."""

    title: str
    role: Role
    dots: DotCloud
    levels: Reals
    bias: BandLine | None
    lower: BandLine
    upper: BandLine


@dataclass(frozen=True)
class LimitMark:
    """Bias and limits at the level, each (value, low, high) with None where undefined."""

    role: Role
    bias: tuple[float | None, float | None, float | None]
    lower: tuple[float | None, float | None, float | None]
    upper: tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class FittedLine:
    """A straight line named in the legend."""

    name: str
    intercept: float
    slope: float


def limits(
    panels: Sequence[LimitPanel], marks: Sequence[LimitMark], *, level: float, mode: Mode
) -> go.Figure:
    """Panels on the same axes, and at the right the limits at the level with their intervals."""
    colors = PALETTES[mode]
    share = (1 - MARKS_SHARE) / len(panels)
    figure = make_subplots(
        rows=1,
        cols=len(panels) + 1,
        column_widths=[*(share for _ in panels), MARKS_SHARE],
        horizontal_spacing=0.03,
        subplot_titles=[*(panel.title for panel in panels), f"Limits at {level:g} %"],
    )
    reach = _reach(panels, marks)
    right = max(float(panel.levels[-1]) for panel in panels)
    for column, panel in enumerate(panels, start=1):
        _draw_panel(figure, panel, column=column, colors=colors, level=level)
        figure.update_xaxes(title_text="Mean of the two, %", range=[0, right], col=column)
    _draw_marks(figure, marks, column=len(panels) + 1, colors=colors)
    figure.update_layout(template=template(mode), height=HEIGHT_PX, dragmode=False)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(range=[-reach, reach], fixedrange=True, tickformat="+", showticklabels=False)
    figure.update_yaxes(title_text="Difference, points", showticklabels=True, col=1)
    _signed_ticks(figure, reach)
    _left_titles(figure, colors, len(panels) + 1)
    return figure


def scatter(
    dots: DotCloud, lines: Sequence[FittedLine], *, x_title: str, y_title: str, mode: Mode
) -> go.Figure:
    """Algorithm over panel with the identity line (dotted) and fitted lines."""
    colors = PALETTES[mode]
    end = min(100.0, max(5.0, 1.06 * float(max(dots.x.max(initial=1.0), dots.y.max(initial=1.0)))))
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[0, end], y=[0, end], mode="lines", name="Identity", hoverinfo="skip",
            line={"color": colors.axis, "width": 1.6, "dash": "dot"},
        )
    )  # fmt: skip
    for line in lines:
        figure.add_trace(
            go.Scatter(
                x=[0, end], y=[line.intercept, line.intercept + line.slope * end], mode="lines",
                name=line.name, hoverinfo="skip", line={"color": colors.algorithm, "width": 2},
            )
        )  # fmt: skip
    figure.add_trace(_dots(dots, "algorithm", colors, size=9, opacity=0.75, name="Case"))
    figure.update_layout(
        template=template(mode), height=HEIGHT_PX, dragmode=False, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        xaxis={"title": {"text": x_title}, "range": [0, end], "fixedrange": True},
        yaxis={"title": {"text": y_title}, "range": [0, end], "fixedrange": True},
    )  # fmt: skip
    return figure


def _reach(panels: Sequence[LimitPanel], marks: Sequence[LimitMark]) -> float:
    """How far the vertical axis goes: every dot, and every limit at the level with its interval."""
    heights = [1.08 * float(np.abs(panel.dots.y).max(initial=0.0)) for panel in panels]
    for mark in marks:
        ends = (*mark.bias, *mark.lower, *mark.upper)
        heights += [LABEL_ROOM * abs(each) for each in ends if each is not None]
    return max(1.0, *heights)


def _draw_panel(figure: go.Figure, panel: LimitPanel, *, column: int, colors: Palette, level: float) -> None:
    color = color_of(panel.role, colors)
    place = {"row": 1, "col": column}
    always = {**place, "exclude_empty_subplots": False}
    figure.add_hline(y=0, line={"color": colors.axis, "width": 1}, **always)
    figure.add_vline(x=level, line={"color": colors.axis, "width": 1.2, "dash": "dash"}, **always)
    if panel.lower.value is not None and panel.upper.value is not None:
        _fill(figure, panel.levels, panel.lower.value, panel.upper.value, color, 0.10, place)
    lines = [(panel.lower, 1.8, "dash"), (panel.upper, 1.8, "dash")]
    if panel.bias is not None:
        lines.append((panel.bias, 2.0, "solid"))
    for line, width, dash in lines:
        if line.value is None:
            continue
        if line.low is not None and line.high is not None:
            _fill(figure, panel.levels, line.low, line.high, color, 0.16 if dash == "dash" else 0.12, place)
        figure.add_trace(
            go.Scatter(
                x=panel.levels, y=line.value, mode="lines", hoverinfo="skip",
                line={"color": color, "width": width, "dash": dash},
            ),
            **place,
        )  # fmt: skip
    few = panel.dots.x.size <= 60
    figure.add_trace(
        _dots(panel.dots, panel.role, colors, size=8 if few else 5, opacity=0.75 if few else 0.5), **place
    )


def _fill(
    figure: go.Figure, x: Reals, low: Reals, high: Reals, color: str, opacity: float, place: dict[str, int]
) -> None:
    there = np.isfinite(low) & np.isfinite(high)
    if not there.any():
        return
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([x[there], x[there][::-1]]),
            y=np.concatenate([high[there], low[there][::-1]]),
            fill="toself", fillcolor=_faint(color, opacity), line={"width": 0}, mode="lines",
            hoverinfo="skip",
        ),
        **place,
    )  # fmt: skip


def _dots(
    dots: DotCloud, role: Role, colors: Palette, *, size: int, opacity: float, name: str = ""
) -> go.Scatter:
    """A cloud whose dots keep their look when one is clicked."""
    return go.Scatter(
        x=dots.x,
        y=dots.y,
        mode="markers",
        name=name,
        text=dots.texts,
        customdata=dots.cases,
        hovertemplate="%{text}<extra></extra>",
        marker={"color": color_of(role, colors), "size": size, "opacity": opacity, "symbol": SYMBOLS[role]},
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": opacity}},
    )


def _draw_marks(figure: go.Figure, marks: Sequence[LimitMark], *, column: int, colors: Palette) -> None:
    place = {"row": 1, "col": column}
    figure.add_hline(y=0, line={"color": colors.axis, "width": 1}, exclude_empty_subplots=False, **place)
    for number, mark in enumerate(marks):
        color = color_of(mark.role, colors)
        low, high = mark.lower[0], mark.upper[0]
        if low is not None and high is not None:
            figure.add_shape(
                type="line", x0=number, x1=number, y0=low, y1=high, line={"color": color, "width": 2}, **place
            )
        for end, (value, below, above) in (("bottom", mark.lower), ("top", mark.upper)):
            if value is None:
                continue
            _bar(figure, number, (value, below, above), color, place)
            edge = (below if end == "bottom" else above) if below is not None and above is not None else value
            figure.add_annotation(
                x=number, y=edge, text=decimal(value, decimals=1), showarrow=False,
                yanchor="top" if end == "bottom" else "bottom", font={"size": 12, "color": colors.ink},
                **place,
            )  # fmt: skip
        middle = mark.bias[0] if mark.bias[0] is not None else 0.0
        figure.add_trace(
            go.Scatter(
                x=[number], y=[middle], mode="markers", hoverinfo="skip",
                marker={"color": color, "size": 11, "symbol": SYMBOLS[mark.role]},
            ),
            **place,
        )  # fmt: skip
    figure.update_xaxes(
        tickvals=list(range(len(marks))),
        ticktext=[SIGNS[mark.role] for mark in marks],
        range=[-0.7, max(len(marks), 2) - 0.3],
        showgrid=False,
        col=column,
    )


def _bar(
    figure: go.Figure,
    x: int,
    limit: tuple[float | None, float | None, float | None],
    color: str,
    place: dict[str, int],
) -> None:
    value, low, high = limit
    if low is not None and high is not None:
        figure.add_shape(
            type="rect", x0=x - 0.22, x1=x + 0.22, y0=low, y1=high, fillcolor=_faint(color, 0.28),
            line_width=0, **place,
        )  # fmt: skip
    figure.add_shape(
        type="line", x0=x - 0.22, x1=x + 0.22, y0=value, y1=value, line={"color": color, "width": 2}, **place
    )


def color_of(role: Role, colors: Palette) -> str:
    """The color of a role."""
    return {
        "algorithm": colors.algorithm,
        "reader": colors.reader,
        "panel": colors.ink,
        "focus": colors.focus,
    }[role]


def _faint(color: str, opacity: float) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _signed_ticks(figure: go.Figure, reach: float) -> None:
    """Ticks with their sign: +20, 0, −20."""
    steps = (0.5, 1, 2, 5, 10, 20, 25, 50)
    step = next((each for each in steps if reach / each <= 3.2), 50)
    count = int(reach // step)
    values = [step * number for number in range(-count, count + 1)]
    texts = [("+" if value > 0 else "") + decimal(value, decimals=0 if step >= 1 else 1) for value in values]
    figure.update_yaxes(tickvals=values, ticktext=texts)


def _left_titles(figure: go.Figure, colors: Palette, count: int) -> None:
    """Panel titles bold at the left of their panels."""
    for number, note in enumerate(figure.layout.annotations[:count]):
        note.update(
            x=figure.layout["xaxis" if number == 0 else f"xaxis{number + 1}"].domain[0],
            xanchor="left",
            text=f"<b>{note.text}</b>",
            font={"size": 13, "color": colors.ink},
        )
