"""The cases of a study: added, left out with a reason, taken in again."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ki67.study.studies import Study, StudyCase, add_cases, exclude_case, study_cases
from pages import _shell


def show(study: Study) -> None:
    """The table of the cases, what can be done with one of them, and new ones."""
    cases = study_cases(_shell.workplace(), _shell.person(), study.code)
    if cases:
        rows = [
            {"Case": case.code, "Patient": case.patient_code, "Left out because": case.excluded or "–"}
            for case in cases
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, height=min(400, 38 + 35 * len(rows)))
        st.caption("Cases are also added by an import of readings.")
    else:
        st.markdown("No case yet. An import of readings adds them, or type their codes here.")
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        _leave_out(study, cases)
    with right, st.container(border=True, height="stretch"):
        _add(study)


def _leave_out(study: Study, cases: tuple[StudyCase, ...]) -> None:
    st.subheader("Leave a case out", anchor=False)
    by_code = {case.code: case for case in cases}
    code = st.selectbox("Case", list(by_code), index=None, placeholder="Choose the case", key="case_out")
    case = by_code.get(code or "")
    excluded = case is not None and bool(case.excluded)
    if excluded and case is not None:
        st.markdown(f"Left out: {_shell.escaped(case.excluded)}")
    reason = st.text_input("Reason", disabled=case is None or excluded, key="case_out_reason")
    label = "Take it in again" if excluded else "Leave it out"
    if st.button(label, disabled=case is None, key="leave_out") and case is not None:
        with _shell.errors_in_words():
            if not excluded and not reason.strip():
                st.error("Leaving a case out needs a reason: say why.", icon=":material/error:")
                return
            exclude_case(
                _shell.workplace(), _shell.person(), study.code, case.code, reason="" if excluded else reason
            )
            st.rerun()


def _add(study: Study) -> None:
    st.subheader("Add cases", anchor=False)
    with st.form("add_cases", border=False):
        codes = st.text_area(
            "Case codes, one a line; after a comma the patient code, if another", key="new_cases", height=110
        )
        pressed = st.form_submit_button("Add", key="add_cases_button")
    if pressed:
        lines = [line.partition(",") for line in codes.splitlines() if line.strip()]
        with _shell.errors_in_words():
            new = [StudyCase(code.strip(), patient.strip()) for code, _, patient in lines]
            add_cases(_shell.workplace(), _shell.person(), study.code, new)
            st.rerun()
