"""Readings: what is stored, a table imported, a sheet typed in."""

from __future__ import annotations

import streamlit as st

from ki67.study import study_words
from ki67.study.reading_export import export_study
from ki67.study.readings import list_readings
from ki67.study.studies import Study, list_studies
from pages import _reading_entry, _reading_import, _reading_list, _shell

STORED, IMPORT, ENTER = "Stored", "Import a table", "Type a sheet"
PART = "reading_part"


def show() -> None:
    """The readings of one study and the ways to bring more; without a study, where to make one."""
    head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    with head:
        st.title("Readings", anchor=False, width="content")
    studies = list_studies(_shell.workplace(), _shell.person())
    if not studies:
        st.header("Readings belong to a study: make the study first.", anchor=False)
        if st.button("Make a study", type="primary"):
            st.switch_page("pages/studies.py", query_params={})
        return
    study = _choose(studies)
    readings = list_readings(_shell.workplace(), _shell.person(), study.code)
    sentence = study_words.readings_sentence(readings) if readings else "No reading is stored yet."
    st.header(sentence, anchor=False)
    parts = (STORED, IMPORT, ENTER) if readings else (IMPORT, ENTER)
    part = st.segmented_control(
        "Part", parts, default=parts[0], required=True, key=PART,
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    if readings:
        with head:
            _export(study)
    _reading_import.show_stored()
    if part == STORED:
        _reading_list.show(study, readings)
    elif part == ENTER:
        _reading_entry.show(study, readings)
    else:
        _reading_import.show(study)


def _choose(studies: tuple[Study, ...]) -> Study:
    by_code = {study.code: study for study in studies}
    code = st.selectbox(
        "Study", list(by_code), format_func=lambda code: f"{code} · {by_code[code].title}", key="study",
        label_visibility="collapsed", width=420, bind="query-params",
    )  # fmt: skip
    return by_code.get(code or "", studies[0])


def _export(study: Study) -> None:
    workplace, person = _shell.workplace(), _shell.person()
    st.download_button(
        "Export everything",
        lambda: export_study(workplace, person, study.code),
        file_name=f"{study.code.replace('/', '-')}_readings.zip",
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        help="Readings with earlier versions, the algorithm's values, cases, exclusions, plan, code book.",
    )


show()
