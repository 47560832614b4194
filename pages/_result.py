"""One result: the sentence, the picture with its layers, the ruler, counts, flags, downloads."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ki67 import answers, charts, numbers
from ki67.errors import Ki67Error
from ki67.sites import LeadingIndex, leading_index
from ki67.study import explaining, results
from ki67.study.results import ResultView
from pages import _shell, _where
from viewer.component import picture_viewer

PANEL_WIDTH_PX = 320
VIEWER_HEIGHT_PX = 600
PLOT_CONFIG = {"displayModeBar": False}
FILE_KINDS = (
    ("_cells.csv", "Nuclei, CSV", "text/csv"),
    ("_cells.geojson", "Nuclei, GeoJSON", "application/geo+json"),
    ("_tumor.geojson", "Tumor border, GeoJSON", "application/geo+json"),
    ("_summary.json", "Numbers and settings, JSON", "application/json"),
    ("_overlay.png", "Picture with marks, PNG", "image/png"),
)


def show(code: str) -> None:
    """The result with this code; an unknown code is said in words, with the way back."""
    try:
        view = results.get_result(_shell.workplace(), _shell.person(), code)
    except Ki67Error as error:
        st.title("Score", anchor=False)
        _shell.show_error(str(error))
        if st.button("Score a picture", type="primary"):
            _where.go_to_start()
        return
    leading = leading_index(view.site, view.measurement)
    _title_row(view)
    st.header(answers.answer(view.site, view.measurement), anchor=False)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width="stretch", gap="xsmall"):
            picture_viewer(
                picture=view.picture_code, run=view.code, height=VIEWER_HEIGHT_PX, key=f"viewer_{view.code}"
            )
            st.caption(_shell.escaped(explaining.picture_caption(view)))
        with st.container(width=PANEL_WIDTH_PX):
            _panel(view, leading)
    _how_it_was_made(view, leading)


def _title_row(view: ResultView) -> None:
    flags = view.measurement.flags
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title(_shell.escaped(view.case.case_code), anchor=False, width="content")
            st.badge(view.site.capitalize(), color="gray")
            if view.synthetic:
                st.badge("Demonstration", color="gray")
            if flags:
                words = "1 flag" if len(flags) == 1 else f"{len(flags)} flags"
                st.badge(words, icon=":material/warning:", color="orange")
        with st.container(horizontal=True, width="content"):
            if st.button("Score again", icon=":material/refresh:"):
                _where.go_to_setup([view.picture_code])
            _download_menu(view)


def _download_menu(view: ResultView) -> None:
    menu = st.popover(
        "Download", type="primary", icon=":material/download:", on_change="rerun", key="download"
    )
    with menu:
        if not menu.open:
            return
        with _shell.errors_in_words():
            files = _files(str(_shell.workplace().home), view.code)
            for ending, label, mime in FILE_KINDS:
                for name, content in files.items():
                    if name.endswith(ending):
                        st.download_button(
                            label, content, file_name=name, mime=mime, on_click="ignore",
                            type="tertiary", key=f"download{ending}",
                        )  # fmt: skip
        st.caption("Research use only")


@st.cache_data(max_entries=4, show_spinner="Writing the files…")
def _files(home: str, code: str) -> dict[str, bytes]:
    return results.result_files(_shell.workplace(), _shell.person(), code)


def _panel(view: ResultView, leading: LeadingIndex) -> None:
    with st.container(border=True, gap="xsmall"):
        name = explaining.LEADING_NAMES[leading.kind]
        values = charts.ruler_values(leading, view.site)
        if values is None:
            st.markdown(name)
            st.header("**Not assessable**", anchor=False)
            st.caption(_shell.escaped(view.measurement.reason or ""))
        else:
            st.metric(name, numbers.percent(leading.positive, leading.negative))
            st.plotly_chart(
                charts.ruler(values, mode=_shell.mode()),
                theme=None,
                config=PLOT_CONFIG,
                key=f"ruler_{_shell.mode()}",
                alt=f"{name} on the classes of the site",
            )
            words = explaining.interval_words(leading, view.measurement)
            st.markdown(f"{words.sampling}  \n{words.total}")
            st.caption(" ".join(filter(None, (words.verdict, explaining.other_classes(leading)))))
    rows = pd.DataFrame(explaining.facts(view), columns=["What", "Value"])
    st.table(rows, border="horizontal", hide_index=True, hide_header=True)
    _notes(view)
    _flags(view)


def _notes(view: ResultView) -> None:
    for note in (explaining.hot_spot_note(view), explaining.case_note(view)):
        if note:
            st.caption(_shell.escaped(note))


def _flags(view: ResultView) -> None:
    for flag in view.measurement.flags:
        name, rest = explaining.flag_parts(flag)
        st.markdown(f":orange[:material/warning: **{_shell.escaped(name)}**] {_shell.escaped(rest)}")
    if explaining.focus_stain_tissue_expected(view.measurement.flags):
        st.markdown(":green[:material/check_circle:] Focus, stain and tissue as expected.")


def _how_it_was_made(view: ResultView, leading: LeadingIndex) -> None:
    with st.expander("How this number was made", type="compact"):
        rows = (*explaining.how_it_was_made(view), ("Scored", _shell.local_time(view.created_at)))
        st.table(
            pd.DataFrame(rows, columns=["What", "Value"]),
            border="horizontal",
            hide_index=True,
            hide_header=True,
        )
        for note in explaining.class_notes(leading):
            st.caption(_shell.escaped(note))
