"""Around every page: layout, logo, theme, errors in words, footer; and the two things each page asks with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ki67 import __version__
from ki67.charts import Mode
from ki67.errors import Ki67Error
from ki67.study import scoring
from ki67.study.people import Person, local_person
from ki67.study.workplace import Workplace
from pages import _server
from viewer.component import theme_watch

MODE_KEY = "mode"
STATIC = Path(__file__).resolve().parent.parent / "static"


def begin() -> None:
    """Page settings and logo; called once at the top of every script run."""
    st.set_page_config(page_title="Ki-67 validation", page_icon=str(STATIC / "icon.png"), layout="wide")
    st.logo(str(STATIC / f"logo-{mode()}.svg"), size="large")


def end() -> None:
    """Footer and theme; called once at the bottom. Switching light and dark redraws plots and logo."""
    _footer()
    with errors_in_words():
        seen = theme_watch()
        if seen != mode():
            st.session_state[MODE_KEY] = seen
            st.rerun()


def title_row() -> DeltaGenerator:
    """The row of a page's title and badges; every page's has the same height."""
    return st.container(horizontal=True, vertical_alignment="center")


def mode() -> Mode:
    """Light or dark, as the person sees the app now."""
    known: Mode = "dark" if st.context.theme.type == "dark" else "light"
    seen: Mode = st.session_state.get(MODE_KEY, known)
    return seen


def workplace() -> Workplace:
    """The store and settings that every service takes."""
    return _server.workplace()


def person() -> Person:
    """Who acts in this session."""
    return local_person()


@contextmanager
def errors_in_words() -> Iterator[None]:
    """The one place where errors for people end: their sentence is shown where the block stands."""
    try:
        yield
    except Ki67Error as error:
        show_error(str(error))


def show_error(sentence: str) -> None:
    """A sentence that says what is wrong and what to do."""
    st.error(escaped(sentence), icon=":material/error:")


def _footer() -> None:
    """Research use only, version, model set."""
    parts = ["Research use only", f"Ki-67 validation {'.'.join(__version__.split('.')[:2])}"]
    try:
        parts.append(f"model set {escaped(scoring.current_model_set(workplace(), person()).name)}")
    except Ki67Error:
        parts.append("no model set")
    st.space("small")
    st.caption(" · ".join(parts))


def escaped(text: str) -> str:
    """Text of people or files, safe to stand in Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>$~:])", r"\\\1", text)


def local_time(moment: datetime, form: str = "%Y-%m-%d %H:%M") -> str:
    """A moment in the time zone of the person's browser: 2026-11-24 09:12."""
    return moment.astimezone(_zone()).strftime(form)


def _zone() -> ZoneInfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
