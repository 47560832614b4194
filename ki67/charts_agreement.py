"""Plots of differences: Bland–Altman panels side by side, figures with intervals, reliability.

Values come in computed; `ki67.charts` has the template and the palette.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ki67.charts import PALETTES, Mode, Palette, template
from ki67.numbers import decimal

HEIGHT_PX = 380
ROW_PX = 44
BAR_SHARE = 0.03  # of the axis: an interval of a line is a bar at its right end
Role = Literal["algorithm", "reader", "panel"]


@dataclass(frozen=True)
class Line:
    """A horizontal line with its 95 % limits, None where they are not known."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DifferencePoint:
    """A difference over the mean of the two, both in the unit of the axes; `label` is shown on hovering."""

    mean: float
    difference: float
    label: str


@dataclass(frozen=True)
class DifferencePanel:
    """One Bland–Altman plot: its points, the mean difference and the limits of agreement."""

    title: str
    points: tuple[DifferencePoint, ...]
    mean: Line | None
    lower: Line | None
    upper: Line | None
    role: Role = "algorithm"


@dataclass(frozen=True)
class FigureMark:
    """One figure with its limits in a row of `figures_by_row`; `hollow` marks the second way of counting."""

    value: float | None
    low: float | None
    high: float | None
    hollow: bool
    label: str


@dataclass(frozen=True)
class FigureRow:
    """A row of `figures_by_row`, named, with a mark for each way of counting."""

    name: str
    marks: tuple[FigureMark, ...]


@dataclass(frozen=True)
class ReliabilityPoint:
    """Scores of one bin: their mean, the share of true nuclei with its limits, all 0-1; `count` nuclei."""

    mean_score: float
    share: float
    low: float
    high: float
    count: int


def differences(
    panels: Sequence[DifferencePanel], *, mode: Mode, x_title: str, y_title: str, unit: str = "points"
) -> go.Figure:
    """Bland–Altman panels side by side on the same axes."""
    figure = make_subplots(
        rows=1,
        cols=len(panels),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[panel.title for panel in panels],
    )
    colors = PALETTES[mode]
    right, reach = _reach(panels)
    for column, panel in enumerate(panels, start=1):
        _draw_panel(figure, panel, column=column, right=right, colors=colors, unit=unit)
        figure.update_xaxes(title_text=x_title, range=[0, right], col=column)
    figure.update_layout(template=template(mode), height=HEIGHT_PX, dragmode=False)
    figure.update_yaxes(range=[-reach, reach], fixedrange=True)
    figure.update_yaxes(title_text=y_title, col=1)
    figure.update_xaxes(fixedrange=True, title_font_size=13)
    figure.update_yaxes(title_font_size=13)
    _left_titles(figure, colors, len(panels))
    return figure


def _reach(panels: Sequence[DifferencePanel]) -> tuple[float, float]:
    """The right end of the horizontal axis and the reach of the vertical one, both with some room."""
    means = [point.mean for panel in panels for point in panel.points]
    heights = [abs(point.difference) for panel in panels for point in panel.points]
    for panel in panels:
        for line in (panel.lower, panel.upper):
            if line is not None:
                heights += [abs(value) for value in (line.value, line.low, line.high) if value is not None]
    right = min(100.0, max(5.0, 1.08 * max(means, default=5.0)))
    return right, max(1.0, 1.12 * max(heights, default=1.0))


def _draw_panel(
    figure: go.Figure, panel: DifferencePanel, *, column: int, right: float, colors: Palette, unit: str
) -> None:
    color = {"algorithm": colors.algorithm, "reader": colors.reader, "panel": colors.ink}[panel.role]
    symbol = {"algorithm": "diamond", "reader": "circle", "panel": "square"}[panel.role]
    place = {"row": 1, "col": column}
    figure.add_hline(y=0, line={"color": colors.axis, "width": 1}, **place)
    if panel.lower is not None and panel.upper is not None:
        band = {"x0": 0, "x1": right, "y0": panel.lower.value, "y1": panel.upper.value}
        figure.add_shape(
            type="rect", **band, fillcolor=color, opacity=0.10, line_width=0, layer="below", **place
        )
    for line, width, dash in (
        (panel.mean, 2.0, "solid"),
        (panel.lower, 1.8, "dash"),
        (panel.upper, 1.8, "dash"),
    ):
        if line is None:
            continue
        if line.low is not None and line.high is not None:
            figure.add_shape(
                type="rect", x0=(1 - BAR_SHARE) * right, x1=right, y0=line.low, y1=line.high, fillcolor=color,
                opacity=0.28, line_width=0, layer="below", **place,
            )  # fmt: skip
        figure.add_hline(y=line.value, line={"color": color, "width": width, "dash": dash}, **place)
    figure.add_trace(
        go.Scatter(
            x=[point.mean for point in panel.points],
            y=[point.difference for point in panel.points],
            text=[f"{point.label}<br>{_signed(point.difference)} {unit}" for point in panel.points],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            marker={"color": color, "size": 7, "opacity": 0.7, "symbol": symbol},
        ),
        **place,
    )


def _signed(value: float) -> str:
    text = decimal(value, decimals=1)
    return text if text.startswith("−") or text == "0.0" else f"+{text}"


def _left_titles(figure: go.Figure, colors: Palette, count: int) -> None:
    """Panel titles bold at the left of their panels."""
    for number, note in enumerate(figure.layout.annotations[:count]):
        domain = figure.layout["xaxis" if number == 0 else f"xaxis{number + 1}"].domain
        note.update(
            x=domain[0], xanchor="left", text=f"<b>{note.text}</b>", font={"size": 13, "color": colors.ink}
        )


def figures_by_row(rows: Sequence[FigureRow], *, mode: Mode, x_title: str) -> go.Figure:
    """Figures of 0-1 with their limits, a row each; the second way of counting is hollow, a little below."""
    colors = PALETTES[mode]
    figure = go.Figure()
    for number, row in enumerate(rows):
        for mark in row.marks:
            if mark.value is None:
                continue
            height = number + (0.16 if mark.hollow else -0.16)
            if mark.low is not None and mark.high is not None:
                figure.add_shape(
                    type="line", x0=mark.low, x1=mark.high, y0=height, y1=height,
                    line={"color": colors.algorithm, "width": 2},
                )  # fmt: skip
            symbol = "diamond-open" if mark.hollow else "diamond"
            figure.add_trace(
                go.Scatter(
                    x=[mark.value], y=[height], text=[f"{row.name}<br>{mark.label}"], mode="markers",
                    hovertemplate="%{text}<extra></extra>",
                    marker={"color": colors.algorithm, "size": 12, "symbol": symbol, "line": {"width": 2}},
                )
            )  # fmt: skip
    names = [row.name for row in rows]
    margin = 24 + 7 * max((len(name) for name in names), default=4)
    figure.update_layout(
        template=template(mode),
        height=110 + ROW_PX * len(rows),
        margin={"l": min(margin, 240)},
        dragmode=False,
        xaxis=_unit_axis(x_title),
        yaxis={
            "range": [len(rows) - 0.5, -0.5], "tickvals": list(range(len(rows))), "ticktext": names,
            "showgrid": False, "fixedrange": True,
        },
    )  # fmt: skip
    return figure


def reliability(points: Sequence[ReliabilityPoint], *, mode: Mode, x_title: str, y_title: str) -> go.Figure:
    """Share of true nuclei over their mean score by bins; on the dotted line a score means what it says."""
    colors = PALETTES[mode]
    figure = go.Figure()
    figure.add_shape(
        type="line", x0=0, x1=1, y0=0, y1=1, line={"color": colors.axis, "width": 1.4, "dash": "dot"}
    )
    figure.add_trace(
        go.Scatter(
            x=[point.mean_score for point in points],
            y=[point.share for point in points],
            error_y={
                "type": "data", "symmetric": False, "color": colors.algorithm, "thickness": 1.5, "width": 4,
                "array": [point.high - point.share for point in points],
                "arrayminus": [point.share - point.low for point in points],
            },
            text=[f"{point.count:,} nuclei" for point in points],
            hovertemplate="%{text}<extra></extra>",
            mode="lines+markers",
            line={"color": colors.algorithm, "width": 1.5},
            marker={"color": colors.algorithm, "size": 10, "symbol": "diamond"},
        )
    )  # fmt: skip
    figure.update_layout(
        template=template(mode),
        height=HEIGHT_PX,
        dragmode=False,
        xaxis={
            "title": {"text": x_title, "font": {"size": 13}},
            "range": [0, 1.01],
            "dtick": 0.2,
            "fixedrange": True,
        },
        yaxis={
            "title": {"text": y_title, "font": {"size": 13}},
            "range": [0, 1.01],
            "dtick": 0.2,
            "fixedrange": True,
        },
    )
    return figure


def _unit_axis(title: str) -> dict[str, object]:
    """An axis of 0-1 with its title."""
    return {
        "title": {"text": title, "font": {"size": 13}},
        "range": [0, 1.01],
        "dtick": 0.2,
        "fixedrange": True,
    }
