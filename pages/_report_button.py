"""The button *Report* in the title row of the pages about readings: one click, everything in one archive."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ki67.study import report
from ki67.study.material import StudyMaterial
from pages import _shell

HELP = (
    "The report as a page and as PDF, with the data, every result and an R script that recomputes the main "
    "ones, in one ZIP. It takes a minute or two."
)


def show(place: DeltaGenerator, material: StudyMaterial) -> None:
    """The report of what the filter leaves; it is made when the button is pressed."""
    workplace, person = _shell.workplace(), _shell.person()
    code, selection = material.study.code, material.selection

    def archive() -> bytes:
        return report.study_report(workplace, person, code, selection).archive

    with place:
        st.download_button(
            "Report", archive, file_name=f"{report.name_of(code)}.zip", mime="application/zip",
            icon=":material/description:", on_click="ignore", key="report", help=HELP,
        )  # fmt: skip
