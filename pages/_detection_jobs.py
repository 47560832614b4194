"""Evaluations while they wait and run: a card each, polled, found again after a reload."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ki67 import numbers
from ki67.study import evaluations
from ki67.study.evaluations import EvaluationView
from pages import _shell, _where

ACTIVE = ("waiting", "running")
POLL_SECONDS = 1.0


def show(open_ones: Sequence[EvaluationView], *, follow: str | None = None) -> None:
    """The cards of what is not done; the page is drawn anew when one ends, and goes to the one it follows."""
    if not open_ones:
        return
    active = any(view.state in ACTIVE for view in open_ones)
    codes = tuple(view.code for view in open_ones)
    st.fragment(_polled, run_every=POLL_SECONDS if active else None)(codes, active, follow)


def _polled(codes: tuple[str, ...], was_active: bool, follow: str | None) -> None:
    with _shell.errors_in_words():
        known = evaluations.list_evaluations(_shell.workplace(), _shell.person())
        shown = [view for view in known if view.code in codes]
        done = [view.code for view in shown if view.state == "done"]
        if follow is not None and follow in done:
            _where.go_to_evaluation(follow)
        if done:
            st.rerun()
        active = any(view.state in ACTIVE for view in shown)
        if len(shown) != len(codes) or active != was_active:
            st.rerun()
        if active:
            st.header("You can leave this page: the figures will stand here.", anchor=False)
        for view in reversed(shown):
            _card(view)


def _card(view: EvaluationView) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{_shell.escaped(view.name)}** :gray[model set {_shell.escaped(view.model_set)}]",
                width="content",
            )
            _button(view)
        if view.state == "running":
            st.progress(view.done / view.total if view.total else 0.0, text=_progress_text(view))
        elif view.state == "waiting":
            st.markdown(":gray[:material/schedule: Waiting. Pictures to be scored go first.]")
        elif view.state == "failed":
            st.markdown(f":red[:material/error: **Not measured.**] {_shell.escaped(view.message)}")
        elif view.state == "interrupted":
            st.markdown(
                ":orange[:material/restart_alt: **Interrupted**, when the app stopped.] Nothing was lost."
            )
        else:
            st.markdown(":gray[:material/cancel: **Cancelled.**] Nothing was stored.")


def _button(view: EvaluationView) -> None:
    workplace, person = _shell.workplace(), _shell.person()
    if view.state in ACTIVE:
        if st.button("Cancel", icon=":material/close:", type="tertiary", key=f"cancel_{view.code}"):
            evaluations.cancel_evaluation(workplace, person, view.code)
            st.rerun()
        return
    with st.container(horizontal=True, width="content"):
        if st.button(":blue[Start again]", type="tertiary", key=f"restart_{view.code}"):
            evaluations.restart_evaluation(workplace, person, view.code)
            st.rerun()
        if st.button("Remove", icon=":material/close:", type="tertiary", key=f"remove_{view.code}"):
            evaluations.remove_evaluation(workplace, person, view.code)
            st.rerun()


def _progress_text(view: EvaluationView) -> str:
    """ "Field 31 of 50, about 2 min left" """
    if view.cancelling:
        return "Stopping after this tile"
    if view.stage == "read" and view.total:
        return f"Taking pictures in: {numbers.count(view.done + 1)} of {numbers.count(view.total)}"
    if view.stage != "evaluate":
        return "Loading the nets"
    words = f"Field {numbers.count(min(view.done + 1, view.total))} of {numbers.count(view.total)}"
    if view.seconds_left is not None:
        words += f", about {numbers.duration(max(1.0, view.seconds_left))} left"
    return words
