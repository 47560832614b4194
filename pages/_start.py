"""The empty Score page: bring pictures, what happens to them, the last results."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from ki67 import numbers
from ki67.errors import Ki67Error, ModelError
from ki67.study import demo, listing, pictures, results, scoring
from ki67.study.results import ResultRow
from pages import _pictures, _shell, _slides, _where
from viewer.component import large_upload

SUFFIXES = ("png", "jpg", "tif", "svs", "ndpi", "mrxs", "scn", "dcm", "bif", "svslide")
FAULTS = "start_faults"
UPLOAD_ROUND = "start_upload_round"
LAST_RESULTS = 4
CARD_PICTURE = (300, 180)


def show() -> None:
    """The empty Score page."""
    with _shell.title_row():
        st.title("Score", anchor=False, width="content")
    st.header("Drop Ki-67 pictures to get the tumor area, the marked nuclei and the index.", anchor=False)
    show_faults()
    left, right = st.columns([2, 1], gap="medium")
    with left:
        bring_pictures()
    with right:
        _what_happens()
    _last_results()


def bring_pictures() -> None:
    """The card that takes pictures: upload, slide folder, demonstration."""
    with st.container(border=True, height="stretch"):
        st.subheader("Pictures or slides", anchor=False)
        uploads = st.file_uploader(
            "Pictures or slides",
            type=SUFFIXES,
            accept_multiple_files=True,
            label_visibility="collapsed",
            key=f"upload_{st.session_state.setdefault(UPLOAD_ROUND, 0)}",
        )
        if uploads:
            _take(uploads)
        with st.container(horizontal=True, vertical_alignment="center"):
            roots = pictures.slide_roots(_shell.workplace(), _shell.person())
            if roots and st.button("Choose from the slide folder", icon=":material/folder_open:"):
                _slides.choose(roots)
            if st.button("Try a demonstration region", icon=":material/play_arrow:"):
                _start_demonstration()
        _bring_large_file()
        st.caption("Nothing leaves this computer. File names, labels and patient tags are not stored.")


def _bring_large_file() -> None:
    """Files that are too large to pass through memory are streamed to the store."""
    folded = st.expander("A file over 200 MB", type="compact", on_change="rerun", key="large_file")
    with folded:
        if folded.open:
            streamed = large_upload(key=f"large_upload_{st.session_state[UPLOAD_ROUND]}", label="Any size")
            if streamed:
                _where.go_to_setup(streamed)


def show_faults() -> None:
    """What was refused of the last upload, file by file."""
    for fault in st.session_state.get(FAULTS, ()):
        _shell.show_error(fault)


def forget_faults() -> None:
    """The refused files are settled: the others go on."""
    st.session_state.pop(FAULTS, None)


def _take(uploads: Sequence[UploadedFile]) -> None:
    """Stores what was dropped; a refused file leaves its sentence, the others go on to the setup."""
    codes: list[str] = []
    faults: list[str] = []
    with st.spinner("Reading the pictures…"):
        for upload in uploads:
            try:
                stored = pictures.add_upload(_shell.workplace(), _shell.person(), upload, upload.name)
            except Ki67Error as error:
                faults.append(str(error))
            else:
                codes.append(stored.code)
    st.session_state[FAULTS] = faults
    st.session_state[UPLOAD_ROUND] += 1
    if codes:
        _where.go_to_setup(codes)
    st.rerun()


def _start_demonstration() -> None:
    with _shell.errors_in_words():
        with st.spinner("Drawing the demonstration region…"):
            job = demo.score_demo_region(_shell.workplace(), _shell.person())
        _where.go_to_jobs([job])


def _what_happens() -> None:
    with st.container(border=True, height="stretch"):
        st.subheader("What happens", anchor=False)
        st.markdown(
            "1. **Tumor**: stroma and lymphocytes stay out.\n"
            "2. **Nuclei**: positive and negative, inside the tumor.\n"
            "3. **Index**: positive / all, with its interval."
        )
        st.caption(_model_set_and_time())


def _model_set_and_time() -> str:
    try:
        name = scoring.current_model_set(_shell.workplace(), _shell.person()).name
    except ModelError as error:
        return _shell.escaped(str(error))
    seconds = scoring.estimate_seconds(_shell.workplace(), _shell.person(), megapixels=100)
    if seconds is None:
        return f"Model set {_shell.escaped(name)} · the first picture tells how fast this computer is"
    return f"Model set {_shell.escaped(name)} · about {seconds / 100:.2g} s per megapixel on this computer"


def _last_results() -> None:
    rows = results.list_results(_shell.workplace(), _shell.person(), limit=LAST_RESULTS)
    if not rows:
        return
    st.subheader("Last results", anchor=False)
    columns = st.columns(LAST_RESULTS)
    for column, row in zip(columns, rows, strict=False):
        with column:
            _result_card(row)


def _result_card(row: ResultRow) -> None:
    leading = listing.leading_of(row)
    with st.container(border=True, gap="xsmall"):
        picture = _pictures.thumbnail(row.picture_code, *CARD_PICTURE)
        if picture is not None:
            st.image(picture, width="stretch", alt=f"Picture of {row.case_code}")
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{_shell.escaped(row.case_code)}**", width="content")
            if st.button(":blue[Open]", type="tertiary", key=f"open_{row.code}"):
                _where.go_to_result(row.code)
        if leading.index is None:
            st.markdown("Not assessable")
            st.caption(f"{row.site.capitalize()} · {_shell.escaped(row.reason or '')}")
        else:
            st.markdown(numbers.percent_with_interval(leading.positive, leading.negative, leading.sampling))
            nuclei = numbers.count(leading.positive + leading.negative)
            st.caption(f"{row.site.capitalize()}, {leading.kind} · {nuclei} nuclei")
