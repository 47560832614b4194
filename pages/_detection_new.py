"""Asking for an evaluation: which annotated pictures, which model set."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from ki67.study import annotated, evaluations, marking, pictures
from ki67.study.asking import shown_pixel_size
from ki67.study.evaluations import EvaluationView, StoredAnnotation
from ki67.study.marking import MarkablePicture
from pages import _model_choice, _shell, _where

FOLDER, ZIP, MARKS = "Annotated folder", "ZIP of a folder", "Marks on stored pictures"
PLACE = "detection_folder"
Ready = Callable[[str, str | None], EvaluationView]


def show(*, first: bool) -> None:
    """The form; `first`: nothing was measured yet, so the page says what will stand here."""
    with _shell.title_row():
        st.title("Detection", anchor=False, width="content")
    st.header(
        "F1, index error and every miss will stand here, once a model set was measured on annotated pictures."
        if first
        else "Measure a model set on annotated pictures.",
        anchor=False,
    )
    left, right = st.columns([2, 1], gap="medium")
    with left, st.container(border=True):
        _form(first=first)
    with right:
        _what_is_needed()


def _form(*, first: bool) -> None:
    workplace, person = _shell.workplace(), _shell.person()
    roots = pictures.slide_roots(workplace, person)
    kinds = [*((FOLDER,) if roots else ()), ZIP, MARKS]
    kind = st.segmented_control("Annotated pictures", kinds, default=kinds[0], required=True, key="kind")
    if kind == FOLDER:
        ready = _ask_folder(roots)
    elif kind == ZIP:
        ready = _ask_zip()
    else:
        ready = _ask_marks()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        suggested = evaluations.suggest_name(workplace, person)
        name = st.text_input("Name of this measurement", value=suggested, key="evaluation_name", width=260)
        model_set = _model_choice.ask(key="evaluation_models", width=260)
    fault = st.container()
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button("Measure", type="primary", disabled=ready is None, key="measure")
        if not first and st.button("Back", type="tertiary"):
            _where.go_to_detection()
    if pressed and ready is not None:
        with fault, _shell.errors_in_words():
            with st.spinner("Checking the pictures and marks…"):
                view = ready(name or "", model_set)
            _where.go_to_evaluation(view.code)


def _ask_folder(roots: Sequence[str]) -> Ready | None:
    workplace, person = _shell.workplace(), _shell.person()
    root = roots[0]
    if len(roots) > 1:
        root = st.selectbox("Slide folder", roots, key="detection_root", on_change=_open, args=("",))
    place = st.session_state.get(PLACE, "")
    with _shell.errors_in_words():
        with st.container(horizontal=True, vertical_alignment="center"):
            if place:
                above = place.rpartition("/")[0]
                st.button("Up", icon=":material/arrow_upward:", on_click=_open, args=(above,))
            st.caption(_shell.escaped("/".join(filter(None, (root, place)))))
        entries = pictures.list_slide_folder(workplace, person, root=root, relative=place)
        with st.container(horizontal=True):
            for entry in entries:
                if entry.kind == "folder":
                    st.button(
                        _shell.escaped(entry.name),
                        icon=":material/folder:",
                        key=f"detection_open_{entry.relative}",
                        on_click=_open,
                        args=(entry.relative,),
                    )
        if annotated.is_annotated(workplace, person, root=root, relative=place):
            st.markdown(":green[:material/check_circle:] This folder is annotated: it holds a manifest.csv.")
            return lambda name, models: evaluations.evaluate_folder(
                workplace, person, root=root, relative=place, name=name, model_set=models
            )
        st.markdown(":gray[Open the folder that holds manifest.csv.]")
    return None


def _open(relative: str) -> None:
    st.session_state[PLACE] = relative


def _ask_zip() -> Ready | None:
    upload = st.file_uploader("ZIP with manifest.csv, pictures and their marks", type=("zip",), key="zip")
    if upload is None:
        return None
    return lambda name, models: evaluations.evaluate_upload(
        _shell.workplace(), _shell.person(), stream=io.BytesIO(upload.getvalue()), name=name, model_set=models
    )


def _ask_marks() -> Ready | None:
    workplace, person = _shell.workplace(), _shell.person()
    known = marking.markable_pictures(workplace, person)
    if not known:
        st.markdown("Score the pictures first: marks are held against pictures that are stored.")
        return None
    uploads = st.file_uploader(
        "GeoJSON from QuPath, or CSV with x_px, y_px, label",
        type=("geojson", "json", "csv"),
        accept_multiple_files=True,
        key="marks",
    )
    chosen = [_ask_picture(upload, known) for upload in uploads or ()]
    complete = [each for each in chosen if each is not None]
    if not complete or len(complete) < len(chosen):
        return None
    return lambda name, models: evaluations.evaluate_stored(
        workplace, person, annotations=complete, name=name, model_set=models
    )


def _ask_picture(upload: UploadedFile, known: list[MarkablePicture]) -> StoredAnnotation | None:
    """Which stored picture a file belongs to; the one whose case code is the file's name is suggested."""
    picture = st.selectbox(
        f"Case of {_shell.escaped(upload.name)}",
        known,
        index=marking.picture_of_file(upload.name, known),
        format_func=lambda each: f"{each.case_code} ({shown_pixel_size(each.mpp)} µm/px)",
        placeholder="Choose the case",
        key=f"case_of_{upload.file_id}",
    )
    if picture is None:
        return None
    return StoredAnnotation(picture.picture_code, upload.getvalue(), upload.name, mpp=picture.mpp)


def _what_is_needed() -> None:
    with st.container(border=True, height="stretch"):
        st.subheader("What is needed", anchor=False)
        st.markdown(
            "1. **Every nucleus** of a picture marked: positive, negative, or other (not tumor).\n"
            "2. A **pixel size** for each picture, in µm.\n"
            "3. The **patient** of each, so that the intervals are over patients."
        )
        st.caption(
            "A folder or ZIP holds manifest.csv, the list of its pictures, and beside each picture a CSV of "
            "its nuclei. From QuPath: points or areas classed Positive, Negative or Other, as GeoJSON."
        )
        st.caption("Pictures that a net was trained on are recognised and left out of the figures.")
