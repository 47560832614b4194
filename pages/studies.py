"""Studies: made, planned, their cases taken in and left out."""

from __future__ import annotations

import streamlit as st

from ki67.study import study_words
from ki67.study.studies import Study, create_study, list_studies
from ki67.types import SITES, Site
from pages import _shell, _study_cases, _study_plan

PLAN, CASES, HISTORY = "Plan", "Cases", "History"
SITE_NAMES: dict[str, Site] = {site.capitalize(): site for site in SITES}
MADE = "study_made"


def show() -> None:
    """One study with its plan and cases; without any, what will stand here and the form of the first."""
    studies = list_studies(_shell.workplace(), _shell.person())
    head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    with head:
        st.title("Studies", anchor=False, width="content")
    if not studies:
        st.header("A study holds cases, readings and the plan of their analysis.", anchor=False)
        with st.container(border=True, width=640):
            _new_study()
        return
    with head, st.popover("New study", icon=":material/add:"):
        _new_study()
    study = _choose(studies)
    st.header(study_words.study_sentence(_shell.workplace(), _shell.person(), study.code), anchor=False)
    part = st.segmented_control(
        "Part", (PLAN, CASES, HISTORY), default=PLAN, required=True, key="study_part",
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    if part == CASES:
        _study_cases.show(study)
    elif part == HISTORY:
        _study_plan.show_history(study)
    else:
        _study_plan.show(study)


def _choose(studies: tuple[Study, ...]) -> Study:
    made = st.session_state.pop(MADE, None)
    if made is not None:
        st.session_state["study"] = made
    by_code = {study.code: study for study in studies}
    with st.container(horizontal=True, vertical_alignment="center"):
        code = st.selectbox(
            "Study", list(by_code), format_func=lambda code: f"{code} · {by_code[code].title}", key="study",
            label_visibility="collapsed", width=420, bind="query-params",
        )  # fmt: skip
        study = by_code.get(code or "", studies[0])
        st.badge(study.site.capitalize(), color="blue")
        if study.synthetic:
            st.badge("Made by a computer", color="gray")
    return study


def _new_study() -> None:
    with st.form("new_study", border=False, enter_to_submit=True):
        code = st.text_input("Study code", placeholder="for example KI67-2026", max_chars=40, key="new_code")
        title = st.text_input("Title", max_chars=200, key="new_title")
        site = st.selectbox("Site", list(SITE_NAMES), key="new_site")
        pressed = st.form_submit_button("Make the study", type="primary", key="make_study")
    if pressed:
        with _shell.errors_in_words():
            study = create_study(
                _shell.workplace(), _shell.person(), code=code, title=title, site=SITE_NAMES[site or "Breast"]
            )
            st.session_state[MADE] = study.code
            st.rerun()


show()
