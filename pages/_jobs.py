"""Jobs while they wait and run: a card each, polled from the jobs table, found again after a reload."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ki67 import numbers
from ki67.study import asking, jobs
from ki67.study.jobs import JobView
from pages import _shell, _start, _where

STAGES = {"read": "Read", "tissue": "Tissue", "tumor": "Tumor", "cells": "Nuclei", "index": "Index"}
ACTIVE = ("waiting", "running")
UNFINISHED = ("waiting", "running", "failed", "interrupted")
POLL_SECONDS = 1.0


def show(tracked: Sequence[str]) -> bool:
    """Shows the jobs of the address and every unfinished one; False when there is none."""
    shown = _jobs_to_show(tracked)
    if not shown:
        return False
    active = any(job.state in ACTIVE for job in shown)
    st.fragment(_polled, run_every=POLL_SECONDS if active else None)(tuple(tracked), active)
    _start.show_faults()
    with st.expander("Add pictures", type="compact", icon=":material/add:"):
        _start.bring_pictures()
    return True


def _jobs_to_show(tracked: Sequence[str]) -> list[JobView]:
    """Oldest first, as the queue runs."""
    known = jobs.list_jobs(_shell.workplace(), _shell.person())
    return [job for job in reversed(known) if job.state in UNFINISHED or job.code in tracked]


def _polled(tracked: tuple[str, ...], was_active: bool) -> None:
    with _shell.errors_in_words():
        shown = _jobs_to_show(tracked)
        _open_when_done(tracked, shown)
        active = any(job.state in ACTIVE for job in shown)
        if not shown or active != was_active:
            st.rerun()
        _head(shown)
        for job in shown:
            _card(job, shown)


def _open_when_done(tracked: tuple[str, ...], shown: Sequence[JobView]) -> None:
    """A person who waits for one result gets it as soon as it is there."""
    if len(tracked) == 1 and len(shown) == 1 and shown[0].code == tracked[0]:
        result = shown[0].result_code
        if shown[0].state == "done" and result is not None:
            _where.go_to_result(result)


def _head(shown: Sequence[JobView]) -> None:
    words = {"running": "running", "waiting": "waiting", "done": "scored", "failed": "not scored"}
    counts = [(sum(job.state == state for job in shown), word) for state, word in words.items()]
    with _shell.title_row():
        st.title("Score", anchor=False, width="content")
        badge = ", ".join(f"{number} {word}" for number, word in counts if number)
        if badge:
            st.badge(badge, color="blue")
    if any(job.state in ACTIVE for job in shown):
        st.header("You can leave this page: results appear under Results.", anchor=False)
    elif any(job.state == "done" for job in shown):
        st.header("Nothing is running: open a result here, or under Results.", anchor=False)
    else:
        st.header("Nothing is running.", anchor=False)


def _card(job: JobView, shown: Sequence[JobView]) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(
                f"**{_shell.escaped(job.case_code)}** "
                f":gray[{job.site.capitalize()} · {numbers.decimal(job.megapixels, decimals=1)} Mpx]",
                width="content",
            )
            _card_button(job)
        bodies = {"running": _running, "failed": _failed, "interrupted": _interrupted, "done": _done}
        if job.state == "waiting":
            _waiting(job, shown)
        elif job.state == "cancelled":
            _cancelled(job)
        else:
            bodies[job.state](job)


def _card_button(job: JobView) -> None:
    if job.state in ACTIVE:
        if st.button("Cancel", icon=":material/close:", type="tertiary", key=f"cancel_{job.code}"):
            jobs.cancel(_shell.workplace(), _shell.person(), job.code)
            st.rerun()
        return
    with st.container(horizontal=True, width="content"):
        if job.state == "failed":
            _start_again(job)
        if st.button("Remove", icon=":material/close:", type="tertiary", key=f"remove_{job.code}"):
            jobs.remove(_shell.workplace(), _shell.person(), job.code)
            st.rerun()


def _running(job: JobView) -> None:
    st.progress(job.done / job.total if job.total else 0.0, text=_progress_text(job))
    passed = list(STAGES).index(job.stage) if job.stage in STAGES else 0
    with st.container(horizontal=True, gap="medium"):
        for place, (stage, word) in enumerate(STAGES.items()):
            if stage == job.stage:
                st.markdown(f":blue[:material/pending:] **{word}**", width="content")
            elif place < passed:
                seconds = job.stage_seconds.get(stage)
                time = "" if seconds is None else f" {numbers.decimal(seconds, decimals=1)} s"
                st.markdown(f":blue[:material/check_circle:] {word}{time}", width="content")
            else:
                st.markdown(f":gray[:material/circle: {word}]", width="content")


def _progress_text(job: JobView) -> str:
    """ "Nuclei: tile 31 of 50, about 9 s left" """
    if job.cancelling:
        return "Stopping after this tile"
    if job.stage not in STAGES:
        return "Loading the nets"
    parts = STAGES[job.stage]
    if job.total > 1:
        parts += f": tile {numbers.count(min(job.done + 1, job.total))} of {numbers.count(job.total)}"
    if job.seconds_left is not None:
        parts += f", about {numbers.duration(max(1.0, job.seconds_left))} left"
    return parts


def _waiting(job: JobView, shown: Sequence[JobView]) -> None:
    queue = [other for other in shown if other.state in ACTIVE]
    seconds = asking.seconds_until_start(queue, job.code)
    known = "" if not seconds else f" Starts in about {numbers.duration(seconds)}."
    st.markdown(f":gray[:material/schedule: Waiting.{known}]")


def _failed(job: JobView) -> None:
    st.markdown(f":red[:material/error: **Not scored.**] {_shell.escaped(job.message)}")


def _interrupted(job: JobView) -> None:
    at = "" if job.finished_at is None else f" at {_shell.local_time(job.finished_at, '%H:%M')}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":orange[:material/restart_alt: **Interrupted**{at}, when the app stopped.] Nothing was lost.",
            width="content",
        )
        _start_again(job)


def _cancelled(job: JobView) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(":gray[:material/cancel: **Cancelled.**] Nothing was stored.", width="content")
        _start_again(job)


def _done(job: JobView) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        word = "Scored before with the same models." if job.recognised else "Scored."
        st.markdown(f":green[:material/check_circle: **{word}**]", width="content")
        if job.result_code is not None and st.button(
            "Open", type="tertiary", icon=":material/arrow_forward:", key=f"open_job_{job.code}"
        ):
            _where.go_to_result(job.result_code)


def _start_again(job: JobView) -> None:
    if st.button(":blue[Start again]", type="tertiary", key=f"restart_{job.code}"):
        jobs.restart(_shell.workplace(), _shell.person(), job.code)
        st.rerun()
