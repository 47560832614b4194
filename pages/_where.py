"""Where a person is, in the address: opaque codes only, so that a reload finds everything again.

`?pictures=a,b` sets these pictures up, `?jobs=a,b` watches these jobs, `?result=a` shows a result;
on Detection `?evaluation=a` shows one, `?new=1` asks for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ki67.study.jobs import JobView

SCORE_PAGE = "pages/score.py"
DETECTION_PAGE = "pages/detection.py"
READINGS_PAGE = "pages/readings.py"


def codes(name: str) -> tuple[str, ...]:
    """The codes that the address holds under this name."""
    return tuple(code for code in st.query_params.get(name, "").split(",") if code)


def result() -> str | None:
    """The result that the address names."""
    return st.query_params.get("result") or None


def go_to_start() -> None:
    """The Score page without anything in it."""
    st.switch_page(SCORE_PAGE, query_params={})


def go_to_setup(picture_codes: Sequence[str]) -> None:
    """The setup of these pictures, after those that are being set up already."""
    both = dict.fromkeys([*codes("pictures"), *picture_codes])
    st.switch_page(SCORE_PAGE, query_params={"pictures": ",".join(both)})


def go_to_jobs(jobs: Sequence[JobView]) -> None:
    """The running jobs; a single one that was recognised has its result already."""
    if len(jobs) == 1 and jobs[0].result_code is not None:
        go_to_result(jobs[0].result_code)
    st.switch_page(SCORE_PAGE, query_params={"jobs": ",".join(job.code for job in jobs)})


def go_to_result(code: str) -> None:
    """One result."""
    st.switch_page(SCORE_PAGE, query_params={"result": code})


def evaluation() -> str | None:
    """The evaluation that the address names."""
    return st.query_params.get("evaluation") or None


def wants_new_evaluation() -> bool:
    """Whether the address asks for the form of a new evaluation."""
    return "new" in st.query_params


def go_to_detection() -> None:
    """The newest evaluation."""
    st.switch_page(DETECTION_PAGE, query_params={})


def go_to_evaluation(code: str) -> None:
    """One evaluation, whether done or not."""
    st.switch_page(DETECTION_PAGE, query_params={"evaluation": code})


def go_to_new_evaluation() -> None:
    """The form of a new evaluation."""
    st.switch_page(DETECTION_PAGE, query_params={"new": "1"})


def go_to_readings() -> None:
    """Where readings are imported and typed."""
    st.switch_page(READINGS_PAGE, query_params={})
