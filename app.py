"""The app: its pages, and the server that carries them.

`streamlit run app.py` imports this file once as the server (routes for tiles and uploads, the worker
process), and runs it again as the script of every browser session (pages and navigation).
"""

from __future__ import annotations

import streamlit as st

from pages import _server, _shell

# The flat pages under "", the others under the name of their menu, in the order of the navigation.
PAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("pages/score.py", "Score"),
        ("pages/results.py", "Results"),
        ("pages/detection.py", "Detection"),
        ("pages/agreement.py", "Agreement"),
        ("pages/variability.py", "Variability"),
        ("pages/cutoffs.py", "Cut-offs"),
        ("pages/differ.py", "Why do we differ?"),
        ("pages/planning.py", "Planning"),
    ),
    "Manage": (
        ("pages/studies.py", "Studies"),
        ("pages/readings.py", "Readings"),
        ("pages/models.py", "Models"),
    ),
}


def main() -> None:
    """Show the page that the address names, under the navigation and above the footer."""
    _shell.begin()
    pages = {
        menu: [st.Page(path, title=title, default=title == "Score") for path, title in entries]
        for menu, entries in PAGES.items()
    }
    page = st.navigation(pages, position="top")
    with _shell.errors_in_words():
        page.run()
    _shell.end()


if __name__ == "__main__":
    main()
else:
    app = st.App(
        __file__, routes=_server.routes(), lifespan=_server.lifespan, on_script_error=_server.own_fault
    )
