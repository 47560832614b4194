"""Plots of a study not yet done: curves over the number of tumors, and the intervals to be expected.

Values come in computed; `ki67.charts` has the template and the palette.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ki67.charts import PALETTES, Mode, template
from ki67.numbers import decimal

HEIGHT_PX = 380
ROW_PX = 34
DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Line:
    """A curve in the units of the axes, with its name."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Expected:
    """A figure with the interval to be expected, in `unit`."""

    name: str
    unit: str
    value: float
    low: float
    high: float


def curves(
    lines: Sequence[Line],
    *,
    mode: Mode,
    x_title: str,
    y_title: str,
    wanted: float | None,
    at: Sequence[float],
) -> go.Figure:
    """Curves; what is wanted as a dotted line across, the numbers found (`at`) as dotted lines upwards."""
    colors = PALETTES[mode]
    figure = go.Figure()
    for number, line in enumerate(lines):
        figure.add_scatter(
            x=line.x,
            y=line.y,
            mode="lines",
            name=line.name,
            line={"color": colors.ink, "width": 2, "dash": DASHES[number % len(DASHES)]},
            hovertemplate=f"{line.name}<br>%{{x:.0f}}: %{{y:.4~g}}<extra></extra>",
        )
    if wanted is not None:
        figure.add_hline(wanted, line={"color": colors.axis, "dash": "dot", "width": 1.2})
    for place in at:
        figure.add_vline(place, line={"color": colors.axis, "dash": "dot", "width": 1.2})
    figure.update_layout(
        template=template(mode),
        height=HEIGHT_PX,
        dragmode=False,
        margin_t=40,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
    )
    figure.update_xaxes(title_text=x_title, fixedrange=True)
    figure.update_yaxes(title_text=y_title, rangemode="tozero", fixedrange=True)
    return figure


def expected(rows: Sequence[Expected], *, mode: Mode, points: str) -> go.Figure:
    """Intervals to be expected: those in points at the left, those of coefficients at the right."""
    colors = PALETTES[mode]
    sides = [[row for row in rows if (row.unit == points) is left] for left in (True, False)]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.22)
    for column, side in enumerate(sides, start=1):
        figure.add_trace(
            go.Scatter(
                x=[row.value for row in side],
                y=[row.name for row in side],
                mode="markers",
                marker={"color": colors.algorithm, "symbol": "diamond", "size": 11},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [max(0.0, row.high - row.value) for row in side],
                    "arrayminus": [max(0.0, row.value - row.low) for row in side],
                    "color": colors.algorithm,
                    "thickness": 2,
                    "width": 0,
                },
                text=[_label(row) for row in side],
                hovertemplate="%{text}<extra></extra>",
            ),
            row=1,
            col=column,
        )
        figure.update_yaxes(
            autorange="reversed", fixedrange=True, type="category", automargin=True, row=1, col=column
        )
        title = "Expected value with its 95 % interval"
        figure.update_xaxes(
            title_text=f"{title}, points" if column == 1 else title, fixedrange=True, row=1, col=column
        )
    longest = max(len(side) for side in sides)
    figure.update_layout(template=template(mode), height=max(220, 110 + ROW_PX * longest), dragmode=False)
    return figure


def _label(row: Expected) -> str:
    decimals = 1 if row.unit == "points" else 2
    low, value, high = (decimal(each, decimals=decimals) for each in (row.low, row.value, row.high))
    return f"{row.name}<br>{value} ({low} to {high}), {row.unit}"
