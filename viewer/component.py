"""The picture viewer and two small controls, as Streamlit components (version 2).

One viewer for every page that shows a picture. Layers, zoom and position live in the browser: they
survive a rerun, and switching a layer causes none. Build the bundle first: `python -m viewer.build`.

Streamlit gets a loader of two lines; the bundle itself comes from `viewer.routes`, once for each browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from ki67.errors import Ki67Error
from ki67.types import Rect
from viewer.build import BUILD, STAMP

LOADER = """export default async function (component) {
  const bundle = await import(new URL(component.data.bundle, window.location.origin).href);
  return bundle.%s(component);
}"""


class ViewerNotBuilt(Ki67Error):
    """The viewer's bundle is missing."""


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
    """Show the stored picture with the code `picture` and, with `run`, the layers of that result.

    `run` is the code that the source's `overlay` answers (in the app: a result's code). `height` is the
    picture's height in screen pixels (the layer row comes on top). `mpp` (µm/px) replaces the picture's own
    pixel size for scale bar and magnifications (a run brings its own). `draw_rectangle` adds the tool to
    draw a region; `pick_nuclei` reports a click on a nucleus. Raises `ViewerNotBuilt`.
    """
    kept = st.session_state.get(key) or {}
    data = {
        "bundle": bundle_url(),
        "key": key,
        "picture": picture,
        "run": run,
        "height": height,
        "draw": draw_rectangle,
        "pick": pick_nuclei,
        "mpp": mpp,
        "rectangle": _rectangle_on(picture, kept.get("rectangle")),
    }
    component = _component("ki67_picture", "picture")
    result = component(key=key, data=data, on_rectangle_change=_nothing, on_nucleus_change=_nothing)
    rectangle = _rectangle_on(picture, result.get("rectangle"))
    nucleus = result.get("nucleus")
    return ViewerState(
        rectangle=None if rectangle is None else Rect(**rectangle),
        nucleus=None if nucleus is None else int(nucleus),
    )


def large_upload(*, key: str, label: str = "Upload a large picture or slide") -> tuple[str, ...]:
    """A control that streams files of any size to the store; returns the codes of the pictures stored so far.

    A refused file shows its sentence in the control and adds no code. Raises `ViewerNotBuilt`.
    """
    kept = st.session_state.get(key) or {}
    data = {"bundle": bundle_url(), "label": label, "codes": list(kept.get("codes") or ())}
    result = _component("ki67_upload", "upload")(key=key, data=data, on_codes_change=_nothing)
    return tuple(str(code) for code in result.get("codes") or ())


def theme_watch(*, key: str = "theme") -> Literal["light", "dark"]:
    """The theme in use. Takes no room; reruns the script when the person switches light and dark.

    Raises `ViewerNotBuilt`.
    """
    kept = st.session_state.get(key) or {}
    known = kept.get("theme") or st.context.theme.type or "light"
    data = {"bundle": bundle_url(), "known": known}
    result = _component("ki67_theme", "theme")(key=key, data=data, on_theme_change=_nothing)
    reported = result.get("theme") or known
    return "dark" if reported == "dark" else "light"


@cache
def bundle_url() -> str:
    """The address of the built bundle, changed by every build; raises `ViewerNotBuilt`."""
    stamp = BUILD / STAMP
    if not stamp.is_file():
        raise ViewerNotBuilt("The picture viewer is not built; run: python -m viewer.build.")
    return f"/ki67/viewer/viewer.js?v={stamp.read_text(encoding='utf8')[:16]}"


@cache
def _component(name: str, function: str) -> ComponentRenderer:
    """The component that mounts one function of the bundle, registered once."""
    css = None if function == "theme" else (BUILD / "viewer.css").read_text(encoding="utf8")
    return st.components.v2.component(name, css=css, js=LOADER % function)


def _rectangle_on(picture: str, drawn: dict[str, Any] | None) -> dict[str, int] | None:
    """The drawn rectangle if it belongs to this picture."""
    if not drawn or drawn.get("picture") != picture:
        return None
    return {side: int(drawn[side]) for side in ("x", "y", "width", "height")}


def _nothing() -> None:
    """Streamlit names the values that a component reports by their callbacks."""
