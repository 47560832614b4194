"""What the app's server brings up once: the workplace, the routes for tiles and uploads, the worker."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st
from starlette.routing import BaseRoute
from streamlit.runtime.pages_manager import PagesManager

from ki67.errors import Ki67Error
from ki67.settings import Settings, load_settings
from ki67.study.people import local_person
from ki67.study.worker import start_worker
from ki67.study.workplace import Workplace, open_workplace
from viewer import routes as viewer_routes
from viewer.store_source import StoreSource


@st.cache_resource(show_spinner=False)
def _opened(_settings: Settings, settings_text: str) -> Workplace:
    """One workplace for one set of settings in this process (`settings_text` is what distinguishes them)."""
    return open_workplace(_settings)


def workplace() -> Workplace:
    """The workplace of this process's environment, opened once. Raises Ki67Error with a sentence."""
    settings = load_settings()
    return _opened(settings, repr(settings))


def routes() -> list[BaseRoute]:
    """The viewer's routes over the store; a workplace that cannot be opened stops the start in words."""
    try:
        return viewer_routes.routes(StoreSource(workplace(), local_person()))
    except Ki67Error as error:
        sys.exit(str(error))


def own_fault(fault: Exception) -> bool:
    """A mistake of ours: traceback to the log, a sentence to the page; True: nothing else is shown."""
    logging.getLogger("ki67").error("A page failed.", exc_info=fault)
    st.error(
        "The app made a mistake; what is stored is safe. Reload the page; if it happens again, send the "
        "text in the terminal to the people who run the app.",
        icon=":material/error:",
    )
    return True


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """The worker process lives as long as the server.

    Until a script has called `st.navigation`, Streamlit takes a folder `pages/` for its older scheme,
    where every file is a page: the first visit by a link to a page would then pass `app.py` by.
    """
    PagesManager.uses_pages_directory = False
    worker = start_worker(workplace().settings)
    try:
        yield {}
    finally:
        worker.stop()
