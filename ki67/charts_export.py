"""A figure as a file: PNG, SVG, stand-alone HTML, and the plotted data as CSV.

PNG and SVG are drawn by a browser on this machine (kaleido); where none is there, HTML and CSV remain.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Sequence

import kaleido
import plotly.graph_objects as go

from ki67.errors import Ki67Error

PNG_SIZE = (1200, 675, 1600 * 2 / 1200)  # laid out a little smaller than 1600 × 900, so that text is read
SVG_SIZE = (800, 450, 1.0)
NOTE = "Research use only"
NO_BROWSER = "PNG and SVG need Chromium or Chrome on the server: install one, or take HTML or CSV."
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_TITLE_PX, _NOTE_PX = 36, 34


def browser() -> str | None:
    """The browser that draws PNG and SVG: BROWSER_PATH, else the first known one; None without any."""
    named = os.environ.get("BROWSER_PATH")
    found = shutil.which(named) if named else None
    return found or next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def png(figure: go.Figure, title: str, note: str) -> bytes:
    """3200 × 1800 px. Raises Ki67Error without a browser."""
    return _drawn(figure, title, note, kind="png", size=PNG_SIZE)


def svg(figure: go.Figure, title: str, note: str) -> bytes:
    """800 × 450. Raises Ki67Error without a browser."""
    return _drawn(figure, title, note, kind="svg", size=SVG_SIZE)


def html(figure: go.Figure, title: str, note: str) -> bytes:
    """A page of its own that needs no network (about 5 MB)."""
    page: str = finished(figure, title, note).to_html(include_plotlyjs=True, full_html=True)
    return page.encode()


def csv_of(rows: Sequence[Sequence[object]]) -> bytes:
    """Rows with their header first; numbers as they are, None an empty cell; UTF-8 with a mark for Excel."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def finished(figure: go.Figure, title: str, note: str) -> go.Figure:
    """A copy with white ground, the title above and note and *Research use only* below."""
    copy = go.Figure(figure)
    template = copy.layout.template.layout.margin
    own = copy.layout.margin
    top = (own.t if own.t is not None else template.t or 30) + _TITLE_PX
    bottom = (own.b if own.b is not None else template.b or 48) + _NOTE_PX
    copy.update_layout(
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"t": top, "b": bottom},
        height=None,
        title={
            "text": f"<b>{title}</b>",
            "x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "container",
            "yanchor": "top", "pad": {"t": 14}, "font": {"size": 15},
        },
    )  # fmt: skip
    copy.add_annotation(
        x=0, y=0, xref="paper", yref="paper", xanchor="left", yanchor="top", yshift=-(bottom - 22),
        text=f"{note} · {NOTE}" if note else NOTE, showarrow=False, font={"size": 11},
    )  # fmt: skip
    return copy


def _drawn(figure: go.Figure, title: str, note: str, *, kind: str, size: tuple[int, int, float]) -> bytes:
    path = browser()
    if path is None:
        raise Ki67Error(NO_BROWSER)
    width, height, scale = size
    made: bytes = kaleido.calc_fig_sync(
        finished(figure, title, note).to_plotly_json(),
        opts={"format": kind, "width": width, "height": height, "scale": scale},
        kopts={"path": path, "mathjax": False, "n": 1},
    )
    return made
