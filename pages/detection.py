"""Detection: how well the nets find nuclei, measured on pictures that people annotated."""

from __future__ import annotations

import streamlit as st

from ki67.study import evaluations
from pages import _detection_jobs, _detection_new, _detection_result, _shell, _where


def show() -> None:
    """The evaluation that the address names, else the newest; what runs above; the form where asked for."""
    known = evaluations.list_evaluations(_shell.workplace(), _shell.person())
    open_ones = [view for view in known if view.state != "done"]
    done = [view for view in known if view.state == "done"]
    if _where.wants_new_evaluation() or not known:
        _detection_new.show(first=not known)
        return
    if not done:
        with _shell.title_row():
            st.title("Detection", anchor=False, width="content")
        _detection_jobs.show(open_ones, follow=_where.evaluation() or open_ones[0].code)
        if st.button("Measure another set", icon=":material/add:"):
            _where.go_to_new_evaluation()
        return
    _detection_result.show(done, chosen=_where.evaluation(), open_ones=open_ones)


show()
