"""A paper sheet typed in: who read, when and how; a row for each case; regions as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import pandas as pd
import streamlit as st

from ki67.errors import DataError
from ki67.study.reading_form import CASE, NEGATIVE, POSITIVE, REASON, VALUE, TypedReading, check_typed
from ki67.study.readings import METHODS, Method, StoredReading, enter_readings
from ki67.study.studies import Study, study_cases
from ki67.study.study_words import counted, value_words
from pages import _reading_import, _shell

STORED = "Stored"
TYPED = (CASE, VALUE, POSITIVE, NEGATIVE, REASON)
ROUND = "sheet_round"


def show(study: Study, readings: Sequence[StoredReading]) -> None:
    """The sheet of one reader: what is stored of it stands beside the empty cells."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        known = list(dict.fromkeys(each.key.reader_code for each in readings))
        reader = st.selectbox(
            "Reader", known, index=None, accept_new_options=True, placeholder="Choose, or type a new code",
            key="sheet_reader", width=260,
        )  # fmt: skip
        session = st.text_input("Session", "1", max_chars=40, key="sheet_session", width=110)
        method = st.segmented_control(
            "Scoring method", METHODS, default=METHODS[0], required=True, key="sheet_method",
            format_func=str.capitalize,
        )  # fmt: skip
    if not reader:
        st.markdown(":gray[Name the reader: one sheet is one reader, one session, one scoring method.]")
        return
    chosen: Method = method or METHODS[0]
    typed = _sheet(study, readings, reader=reader, session=session, method=chosen)
    with st.expander("Regions", type="compact"):
        uploads = st.file_uploader(
            "GeoJSON of where the reader looked, each file named by its case code",
            type=("geojson", "json"), accept_multiple_files=True, key="sheet_regions",
        )  # fmt: skip
    regions = {PurePath(upload.name).stem: upload.getvalue() for upload in uploads or ()}
    typed = [
        TypedReading(
            each.case_code, each.value, each.positive, each.negative, each.reason, regions.get(each.case_code)
        )
        for each in typed
    ]
    st.caption(
        "Positive: any definite brown nuclear staining, whatever its intensity; mitotic figures are "
        "positive, cytoplasm and membrane are not. With counts alone the index is computed from them."
    )
    if st.button(
        "Store the sheet", type="primary", disabled=all(each.empty for each in typed), key="store_sheet"
    ):
        with _shell.errors_in_words():
            _store(study, typed, reader=reader, session=session, method=chosen)


def _sheet(
    study: Study, readings: Sequence[StoredReading], *, reader: str, session: str, method: Method
) -> list[TypedReading]:
    """The table to type in; new cases are added in its last row."""
    there = {
        each.key.case_code: value_words(each)
        for each in readings
        if (each.key.reader_code, each.key.session, each.key.method) == (reader, session, method)
    }
    cases = [
        case.code
        for case in study_cases(_shell.workplace(), _shell.person(), study.code)
        if not case.excluded
    ]
    frame = pd.DataFrame({CASE: cases, STORED: [there.get(case, "") for case in cases]}, dtype="string")
    for name in (VALUE, POSITIVE, NEGATIVE, REASON):
        frame[name] = pd.Series([""] * len(cases), dtype="string")
    edited = st.data_editor(
        frame, key=f"sheet_{study.code}_{reader}_{session}_{method}_{st.session_state.get(ROUND, 0)}",
        hide_index=True, num_rows="dynamic", disabled=(STORED,),
        height=min(560, 78 + 35 * max(len(cases), 3)),
        column_config={REASON: st.column_config.TextColumn(width="medium")},
    )  # fmt: skip
    rows = [["" if pd.isna(row[name]) else str(row[name]) for name in TYPED] for _, row in edited.iterrows()]
    return [
        TypedReading(case, value, positive, negative, reason)
        for case, value, positive, negative, reason in rows
    ]


def _store(study: Study, typed: Sequence[TypedReading], *, reader: str, session: str, method: Method) -> None:
    """Stores the sheet, or says what is wrong with it, case by case; what was typed stays."""
    workplace, person = _shell.workplace(), _shell.person()
    preview = check_typed(
        workplace, person, study.code, typed=typed, reader=reader, session=session, method=method
    )
    if preview.problems:
        for problem in preview.problems:
            case = typed[problem.row - 1].case_code or f"row {problem.row}"
            _shell.show_error(f"{case}, {problem.column}: {problem.sentence}")
        return
    if not preview.readings:
        raise DataError("Nothing was typed: fill in at least one index.")
    stored = enter_readings(workplace, person, study.code, preview.readings)
    _reading_import.say_stored(
        f"{counted(stored.added, 'reading')} of {reader} stored; {stored.known} known before."
    )
    st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1
    st.rerun()
