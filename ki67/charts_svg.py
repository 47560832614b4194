"""Several figures as SVG, drawn by one browser; the same figures give the same bytes."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import plotly.graph_objects as go
from kaleido import Kaleido

from ki67 import charts_export
from ki67.errors import Ki67Error

_LAYOUT_ID = re.compile(r'id="defs-([0-9a-f]{6})"')
WIDTH_PX = 900
PATIENCE_S = 300
NO_ANSWER = "The browser on the server did not draw them: try again when the server is less busy."
FIXED_ID = "f1f1f1"


@dataclass(frozen=True)
class Drawing:
    """A figure and how high it is drawn; None: its own height."""

    figure: go.Figure
    height_px: int | None = None


def svgs(drawings: Sequence[Drawing]) -> tuple[bytes, ...]:
    """An SVG for each, white ground, 900 px wide.

    Raises Ki67Error without a browser on this machine, or with one that does not answer.
    """
    path = charts_export.browser()
    if path is None:
        raise Ki67Error(charts_export.NO_BROWSER)
    with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever loop the caller runs in
        try:
            return thread.submit(asyncio.run, _drawn(drawings, path)).result()
        except (TimeoutError, OSError, RuntimeError) as fault:  # what kaleido's browser ends with
            logging.getLogger("ki67").warning("Figures were not drawn.", exc_info=fault)
            raise Ki67Error(NO_ANSWER) from fault


async def _drawn(drawings: Sequence[Drawing], path: str) -> tuple[bytes, ...]:
    made = []
    async with asyncio.timeout(PATIENCE_S), Kaleido(n=1, path=path, mathjax=False) as browser:
        for each in drawings:
            height = each.height_px or each.figure.layout.height or 380
            opts = {"format": "svg", "width": WIDTH_PX, "height": height, "scale": 1}
            made.append(_stable(await browser.calc_fig(_named(each.figure), opts=opts)))
    return tuple(made)


def _named(figure: go.Figure) -> dict[str, object]:
    """The figure as plain values, its traces named: unnamed ones get random names."""
    copy = go.Figure(figure)
    copy.update_layout(paper_bgcolor="white", plot_bgcolor="white")
    plain: dict[str, object] = copy.to_plotly_json()
    for number, trace in enumerate(plain["data"]):  # type: ignore[arg-type, var-annotated]
        trace["uid"] = f"t{number}"
    return plain


def _stable(svg: bytes) -> bytes:
    """The random name of the drawing, which stands in the names of its parts, replaced by a fixed one."""
    text = svg.decode("utf8")
    found = _LAYOUT_ID.search(text)
    return (text.replace(found.group(1), FIXED_ID) if found else text).encode("utf8")
