"""Plots of classes and cut-offs: who is in which class for whom, who moves, and who lies near a border.

Values come in computed; `ki67.charts` has the template and the palette.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ki67.charts import PALETTES, Mode, Palette, template

HEIGHT_PX = 380
ROW_PX = 26
_BAR = 0.06  # half the width of a class in the flow
_GAP = 0.06  # between classes of the flow, as a share of all cases
_BENDS = 24
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matrix:
    """Counts of two in classes: rows the `reference`, columns the `compared`; `classes` lowest first.

    `shares`: of a row's cases, the share in each column, None for an empty row; `keys`: what a click on a
    cell gives; `of_algorithm`: whether the columns are the algorithm's.
    """

    reference: str
    compared: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float | None, ...], ...]
    keys: tuple[tuple[str, ...], ...]
    of_algorithm: bool


@dataclass(frozen=True)
class Span:
    """A case beside the cut-offs, in percent: value, sampling interval, interval with model error."""

    case: str
    percent: float
    sampling: tuple[float, float]
    total: tuple[float, float] | None
    label: str


def confusion(shown: Matrix, *, mode: Mode) -> go.Figure:
    """The table of counts as cells: same class framed, tint by the share of the row."""
    colors = PALETTES[mode]
    figure = go.Figure()
    size = len(shown.classes)
    for row in range(size):
        for column in range(size):
            share = shown.shares[row][column] or 0.0
            box = {"x0": column - 0.48, "x1": column + 0.48, "y0": row - 0.46, "y1": row + 0.46}
            tint = colors.reader if row == column else _compared_color(shown, colors)
            figure.add_shape(type="rect", **box, fillcolor=colors.band, line_width=0, layer="below")
            figure.add_shape(
                type="rect", **box, fillcolor=tint, opacity=0.08 + 0.42 * share if share else 0,
                line_width=0, layer="below",
            )  # fmt: skip
            if row == column:
                figure.add_shape(type="rect", **box, line={"color": colors.axis, "width": 1.4})
    places = [(row, column) for row in range(size) for column in range(size)]
    figure.add_scatter(
        x=[column for _, column in places],
        y=[row for row, _ in places],
        mode="markers+text",
        marker={"symbol": "square", "size": 80, "opacity": 0, "color": colors.reader},
        text=[_cell_text(shown, row, column) for row, column in places],
        textfont={"size": 15, "color": colors.ink},
        unselected={"textfont": {"color": colors.ink}, "marker": {"opacity": 0}},
        customdata=[shown.keys[row][column] for row, column in places],
        hovertext=[_cell_hover(shown, row, column) for row, column in places],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    axis = {"tickvals": list(range(size)), "ticktext": list(shown.classes), "showgrid": False}
    figure.update_layout(template=template(mode), height=HEIGHT_PX, dragmode=False, margin_l=120)
    figure.update_xaxes(title_text=shown.compared, range=[-0.5, size - 0.5], fixedrange=True, **axis)
    figure.update_yaxes(title_text=shown.reference, range=[size - 0.5, -0.5], fixedrange=True, **axis)
    return figure


def flow(shown: Matrix, *, mode: Mode) -> go.Figure:
    """Who moves: classes of the reference at the left, of the compared at the right, the highest on top."""
    colors = PALETTES[mode]
    figure = go.Figure()
    counts = np.array(shown.counts, float)
    total = max(1.0, float(counts.sum()))
    left, right = _stack(counts.sum(axis=1) / total), _stack(counts.sum(axis=0) / total)
    from_left, from_right = left.copy(), right.copy()
    for row in range(len(counts)):
        for column in range(len(counts)):
            height = counts[row, column] / total
            if height == 0:
                continue
            ends = (from_left[row], from_right[column])
            _draw_ribbon(figure, shown, (row, column), ends, height, colors)
            from_left[row] += height
            from_right[column] += height
    _draw_classes(figure, shown, left, counts.sum(axis=1), colors, at_left=True)
    _draw_classes(figure, shown, right, counts.sum(axis=0), colors, at_left=False)
    figure.update_layout(template=template(mode), height=HEIGHT_PX, dragmode=False, margin={"l": 8, "r": 8})
    figure.update_xaxes(visible=False, range=[-0.42, 1.42], fixedrange=True)
    figure.update_yaxes(visible=False, fixedrange=True)
    return figure


def near(rows: Sequence[Span], cutoffs: Sequence[float], *, mode: Mode) -> go.Figure:
    """A row for each case from the top: value, thick bar sampling, thin line with model error, cut-offs."""
    colors = PALETTES[mode]
    figure = go.Figure()
    for number, row in enumerate(rows):
        if row.total is not None:
            _rule(figure, row.total, number, colors.algorithm, width=2)
        _rule(figure, row.sampling, number, colors.algorithm, width=7)
    figure.add_scatter(
        x=[row.percent for row in rows],
        y=list(range(len(rows))),
        mode="markers",
        marker={
            "color": colors.algorithm,
            "symbol": "diamond",
            "size": 12,
            "line": {"color": colors.band, "width": 1.2},
        },
        unselected={"marker": {"opacity": 1}},
        text=[row.label for row in rows],
        customdata=[row.case for row in rows],
        hovertemplate="%{text}<extra></extra>",
    )
    for cutoff in cutoffs:
        figure.add_vline(cutoff, line={"color": colors.axis, "dash": "dot", "width": 1.4})
        figure.add_annotation(
            x=cutoff, y=1, yref="paper", yanchor="bottom", text=f"{cutoff:g} %", showarrow=False,
            font={"size": 12, "color": colors.labels},
        )  # fmt: skip
    ends = [end for row in rows for end in (row.total or row.sampling)]
    right = min(102.0, 1.08 * max([*ends, *cutoffs, *(row.percent for row in rows), 5.0]))
    figure.update_layout(
        template=template(mode), height=max(160, 90 + ROW_PX * len(rows)), dragmode=False, margin_l=90
    )
    figure.update_xaxes(title_text="Ki-67 index, %", range=[0, right], fixedrange=True)
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[row.case for row in rows],
        range=[len(rows) - 0.5, -0.5], fixedrange=True,
    )  # fmt: skip
    return figure


def _rule(figure: go.Figure, ends: tuple[float, float], row: int, color: str, *, width: float) -> None:
    figure.add_shape(
        type="line", x0=ends[0], x1=ends[1], y0=row, y1=row, line={"color": color, "width": width},
        layer="between",
    )  # fmt: skip


def _cell_text(shown: Matrix, row: int, column: int) -> str:
    share = shown.shares[row][column]
    count = shown.counts[row][column]
    if share is None or not count:
        return f"{count}"
    return f"<b>{count}</b><br>{100 * share:.0f} %"


def _cell_hover(shown: Matrix, row: int, column: int) -> str:
    count = shown.counts[row][column]
    return (
        f"{count} tumor{'' if count == 1 else 's'}<br>{shown.reference}: {shown.classes[row]}<br>"
        f"{shown.compared}: {shown.classes[column]}"
    )


def _stack(shares: Reals) -> Reals:
    """The lower end of every class, the lowest class at the bottom, with gaps."""
    return np.asarray(np.concatenate([[0.0], np.cumsum(shares[:-1] + _GAP)]), float)


def _draw_ribbon(
    figure: go.Figure,
    shown: Matrix,
    cell: tuple[int, int],
    ends: tuple[float, float],
    height: float,
    colors: Palette,
) -> None:
    """The cases of one cell from left to right; those that move are told by an arrow as well."""
    row, column = cell
    steps = np.linspace(0, 1, _BENDS)
    bend = (1 - np.cos(np.pi * steps)) / 2
    x = _BAR + (1 - 2 * _BAR) * steps
    low = ends[0] + (ends[1] - ends[0]) * bend
    moves = row != column
    color = _compared_color(shown, colors) if moves else colors.reader
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([low, low[::-1] + height]),
        fill="toself",
        mode="lines",
        line={"width": 0, "color": color},
        fillcolor=_see_through(color, 0.55 if moves else 0.28),
        text=_cell_hover(shown, row, column),
        hoveron="fills",
        hoverinfo="text",
        name=_cell_hover(shown, row, column),
    )
    if moves:
        figure.add_annotation(
            x=0.3, y=float(np.interp(0.3, x, low)) + height / 2, showarrow=False,
            text=f"{'▲' if column > row else '▼'} {shown.counts[row][column]}",
            font={"size": 13, "color": colors.ink},
        )  # fmt: skip


def _draw_classes(
    figure: go.Figure, shown: Matrix, starts: Reals, counts: Reals, colors: Palette, *, at_left: bool
) -> None:
    total = max(1.0, float(counts.sum()))
    place = 0.0 if at_left else 1.0
    for name, start, count in zip(shown.classes, starts.tolist(), counts.tolist(), strict=True):
        figure.add_shape(
            type="rect", x0=place - _BAR, x1=place + _BAR, y0=start, y1=start + max(count / total, 0.004),
            fillcolor=colors.ink if at_left else _compared_color(shown, colors), line_width=0,
        )  # fmt: skip
        figure.add_annotation(
            x=place - 1.3 * _BAR if at_left else place + 1.3 * _BAR,
            y=start + count / total / 2,
            xanchor="right" if at_left else "left",
            text=f"{name} · {count:.0f}",
            showarrow=False,
            font={"size": 13, "color": colors.ink},
        )
    figure.add_annotation(
        x=place, y=1.02, yref="paper", yanchor="bottom", showarrow=False,
        text=f"<b>{shown.reference if at_left else shown.compared}</b>",
        font={"size": 13, "color": colors.ink},
    )  # fmt: skip


def _compared_color(shown: Matrix, colors: Palette) -> str:
    """Blue the algorithm, orange the reader in focus."""
    return colors.algorithm if shown.of_algorithm else colors.focus


def _see_through(color: str, opacity: float) -> str:
    """ "#C2600A" as rgba with this opacity."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
