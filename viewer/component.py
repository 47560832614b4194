"""The picture viewer and two small controls, as Streamlit components (version 2).

One viewer for every page that shows a picture. Layers, zoom and position live in the browser: they
survive a rerun, and switching a layer causes none. Build the bundle first: `python -m viewer.build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ki67.types import Rect


@dataclass(frozen=True)
class ViewerState:
    """What the person did: the rectangle drawn (None: none), the nucleus just clicked (None: none).

    `nucleus` is the number within the run and is set only in the script run that the click caused.
    """

    rectangle: Rect | None
    nucleus: int | None


def picture_viewer(
    *,
    picture: str,
    key: str,
    run: str | None = None,
    height: int = 600,
    draw_rectangle: bool = False,
    pick_nuclei: bool = False,
    mpp: float | None = None,
) -> ViewerState:
    """Show the stored picture with the code `picture` and, with `run`, the layers of that run.

    `height` is the picture's height in screen pixels (the layer row comes on top). `mpp` (µm/px)
    replaces the picture's own pixel size for scale bar and magnifications (a run brings its own).
    `draw_rectangle` adds the tool to draw a region; `pick_nuclei` reports a click on a nucleus.
    """
    raise NotImplementedError


def large_upload(*, key: str, label: str = "Upload a large picture or slide") -> tuple[str, ...]:
    """A control that streams files of any size to the store; returns the codes of the pictures stored so far.

    A refused file shows its sentence in the control and adds no code.
    """
    raise NotImplementedError


def theme_watch(*, key: str = "theme") -> Literal["light", "dark"]:
    """The theme in use. Takes no room; reruns the script when the person switches light and dark."""
    raise NotImplementedError
