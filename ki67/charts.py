"""Figures in the app's look: values come in computed, here they are only drawn.

One template for light and one for dark; a page hands the figure on with `theme=None`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go

from ki67.sites import Band, LeadingIndex, class_systems
from ki67.types import Interval, Site

Mode = Literal["light", "dark"]
FONT = "'IBM Plex Sans', 'Source Sans', 'Segoe UI', Arial, sans-serif"
RULER_HEIGHT_PX = 96


@dataclass(frozen=True)
class Palette:
    """Colors by role: blue the machine, gray the readers, ink the panel, orange the reader in focus."""

    ink: str
    algorithm: str
    reader: str
    focus: str
    grid: str
    axis: str
    labels: str
    band: str


PALETTES: dict[Mode, Palette] = {
    "light": Palette("#17222D", "#0B6FB4", "#7A8794", "#C2600A", "#E6EBEF", "#9AA6B1", "#4A5865", "#F2F5F7"),
    "dark": Palette("#E3E9EF", "#5FB0E6", "#8793A0", "#F0A152", "#26303A", "#55636F", "#A9B6C2", "#1B232C"),
}


@dataclass(frozen=True)
class RulerValues:
    """What the ruler shows, all in percent 0–100; intervals are (low, high) pairs or None.

    `cutoffs_percent` are drawn dotted; the inner borders of `bands` belong to them.
    """

    index_percent: float
    sampling_percent: tuple[float, float] | None
    total_percent: tuple[float, float] | None
    bands: tuple[Band, ...]
    cutoffs_percent: tuple[float, ...]


def ruler_values(leading: LeadingIndex, site: Site) -> RulerValues | None:
    """What the ruler shows of a leading index; None without an index. No classes where the site has none."""
    if leading.index is None:
        return None
    systems = () if leading.fell_back else class_systems(site)
    cutoffs = sorted({cutoff.percent for system in systems for cutoff in system.cutoffs})
    return RulerValues(
        index_percent=100 * leading.index,
        sampling_percent=_in_percent(leading.sampling),
        total_percent=_in_percent(leading.total),
        bands=systems[0].bands() if systems else (),
        cutoffs_percent=tuple(float(cutoff) for cutoff in cutoffs),
    )


def _in_percent(limits: Interval | None) -> tuple[float, float] | None:
    return None if limits is None else (100 * limits.low, 100 * limits.high)


def template(mode: Mode) -> go.layout.Template:
    """Plotly template of the app in one mode: transparent, font 13, ticks 12, margins 60/16/30/48."""
    colors = PALETTES[mode]
    axis = {
        "color": colors.labels,
        "gridcolor": colors.grid,
        "linecolor": colors.axis,
        "tickcolor": colors.axis,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 5,
        "showline": True,
        "tickfont": {"size": 12, "color": colors.labels},
        "title": {"font": {"size": 13}},
        "automargin": False,
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "size": 13, "color": colors.ink},
            "margin": {"l": 60, "r": 16, "t": 30, "b": 48},
            "colorway": [colors.algorithm, colors.reader, colors.ink, colors.focus],
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"font": {"family": FONT, "size": 13}},
            "showlegend": False,
        }
    )


def ruler_end(values: RulerValues) -> float:
    """Right end of the ruler in percent: a round number that leaves the last class some room."""
    needed = values.index_percent
    for interval in (values.sampling_percent, values.total_percent):
        needed = max(needed, interval[1] if interval else 0.0)
    last_cutoff = max(values.cutoffs_percent, default=0.0)
    needed = max(needed * 1.1, last_cutoff * 1.5, 5.0)
    for end in (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 80.0):
        if needed <= end:
            return end
    return 100.0


def ruler_ticks(end: float, cutoffs: tuple[float, ...]) -> tuple[float, ...]:
    """Tick places: both ends, every cut-off inside, and round numbers that stay clear of those."""
    inside = [cutoff for cutoff in cutoffs if cutoff < end]
    fixed = {*inside, *(edge for edge in (0.0, end) if all(abs(edge - cut) >= 0.05 * end for cut in inside))}
    step = 1.0 if end <= 5 else 2.0 if end <= 10 else 5.0 if end <= 20 else 10.0 if end <= 60 else 20.0
    place = step
    while place < end:
        clear = 0.15 * end if end - place < 0.15 * end else 0.09 * end  # the last label carries the unit
        if all(abs(place - tick) >= clear for tick in fixed):
            fixed.add(place)
        place += step
    return tuple(sorted(fixed))


def ruler(values: RulerValues, *, mode: Mode) -> go.Figure:
    """The index over its site's classes: bands, dotted cut-offs, thick bar sampling, thin line total.

    The value itself is an ink stroke. Height 96 px; the width is the page's.
    """
    colors = PALETTES[mode]
    end = ruler_end(values)
    figure = go.Figure()
    _draw_bands(figure, values.bands, end=end, colors=colors)
    borders = {band.low_percent for band in values.bands}
    for cutoff in values.cutoffs_percent:
        if cutoff < end:
            top = 1.0 if cutoff in borders else 0.68  # other cut-offs end below the class labels
            _stroke(figure, cutoff, (0.0, top), color=colors.axis, width=1.4, dash="dot")
    _draw_intervals(figure, values, colors=colors)
    _stroke(figure, values.index_percent, (0.13, 0.63), color=colors.ink, width=3.0, dash="solid")
    _draw_axis(figure, end, ruler_ticks(end, values.cutoffs_percent), mode=mode)
    return figure


def _draw_bands(figure: go.Figure, bands: tuple[Band, ...], *, end: float, colors: Palette) -> None:
    shown = [band for band in bands if band.low_percent < end]
    for number, band in enumerate(shown):
        high = min(float(band.high_percent), end)
        if number % 2 == 0:
            figure.add_shape(
                type="rect", x0=band.low_percent, x1=high, y0=0, y1=1,
                fillcolor=colors.band, line_width=0, layer="below",
            )  # fmt: skip
        if high - band.low_percent < 0.09 * end:
            continue  # too narrow for its label
        figure.add_annotation(
            x=(band.low_percent + high) / 2, y=0.86, text=band.words.removesuffix(" %"), showarrow=False,
            font={"size": 12, "color": colors.labels},
        )  # fmt: skip


def _draw_intervals(figure: go.Figure, values: RulerValues, *, colors: Palette) -> None:
    if values.total_percent is not None:
        low, high = values.total_percent
        figure.add_shape(
            type="line", x0=low, x1=high, y0=0.38, y1=0.38, line={"color": colors.algorithm, "width": 2}
        )
        for place in (low, high):
            _stroke(figure, place, (0.26, 0.50), color=colors.algorithm, width=2.0, dash="solid")
    if values.sampling_percent is not None:
        low, high = values.sampling_percent
        figure.add_shape(
            type="rect", x0=low, x1=high, y0=0.27, y1=0.49, fillcolor=colors.algorithm, line_width=0
        )


def _stroke(
    figure: go.Figure, place: float, span: tuple[float, float], *, color: str, width: float, dash: str
) -> None:
    figure.add_shape(
        type="line", x0=place, x1=place, y0=span[0], y1=span[1],
        line={"color": color, "width": width, "dash": dash},
    )  # fmt: skip


def _draw_axis(figure: go.Figure, end: float, ticks: tuple[float, ...], *, mode: Mode) -> None:
    texts = [f"{tick:g}" for tick in ticks[:-1]] + [f"{ticks[-1]:g} %"]
    figure.add_trace(
        go.Scatter(x=[0, end], y=[0, 0], mode="markers", marker_opacity=0, hoverinfo="skip")
    )  # a figure without a trace shows no axes
    figure.update_layout(
        template=template(mode),
        height=RULER_HEIGHT_PX,
        margin={"l": 8, "r": 20, "t": 4, "b": 24},
        xaxis={
            "range": [0, end],
            "tickvals": list(ticks),
            "ticktext": texts,
            "showgrid": False,
            "fixedrange": True,
        },
        yaxis={"range": [0, 1], "visible": False, "fixedrange": True},
        dragmode=False,
    )
