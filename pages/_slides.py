"""The dialog that picks slides from the server's slide folder, without copying them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ki67.errors import Ki67Error
from ki67.study import pictures
from ki67.study.pictures import SlideEntry
from pages import _shell, _where

FOLDER = "slides_folder"
ROOT = "slides_root"
BYTES_PER_MB = 1_000_000


@st.dialog("Choose from the slide folder", width="large")
def choose(roots: Sequence[str]) -> None:
    """Browse the roots; what is ticked goes to the setup."""
    root = roots[0]
    if len(roots) > 1:
        root = st.selectbox("Folder", roots, key=ROOT, on_change=_open_folder, args=("",))
    folder = st.session_state.get(FOLDER, "")
    with _shell.errors_in_words():
        entries = pictures.list_slide_folder(_shell.workplace(), _shell.person(), root=root, relative=folder)
        _show_place(root, folder)
        _show_folders(entries)
        _show_pictures(root, entries)


def _open_folder(relative: str) -> None:
    st.session_state[FOLDER] = relative


def _show_place(root: str, folder: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if folder:
            above = folder.rpartition("/")[0]
            st.button(
                "Up", icon=":material/arrow_upward:", on_click=_open_folder, args=(above,), key="slides_up"
            )
        st.caption(_shell.escaped("/".join(filter(None, (root, folder)))))


def _show_folders(entries: Sequence[SlideEntry]) -> None:
    with st.container(horizontal=True):
        for entry in entries:
            if entry.kind == "folder":
                st.button(
                    _shell.escaped(entry.name),
                    icon=":material/folder:",
                    key=f"slides_folder_{entry.relative}",
                    on_click=_open_folder,
                    args=(entry.relative,),
                )


def _show_pictures(root: str, entries: Sequence[SlideEntry]) -> None:
    slides = [entry for entry in entries if entry.kind == "picture"]
    if not slides:
        st.markdown("No slide lies here.")
        return
    chosen = [
        entry
        for entry in slides
        if st.checkbox(
            f"{_shell.escaped(entry.name)} :gray[{entry.bytes / BYTES_PER_MB:,.0f} MB]",
            key=f"slides_pick_{root}_{entry.relative}",
        )
    ]
    label = "Use 1 slide" if len(chosen) == 1 else f"Use {len(chosen)} slides"
    if st.button(label, type="primary", disabled=not chosen):
        _add(root, chosen)


def _add(root: str, chosen: Sequence[SlideEntry]) -> None:
    codes: list[str] = []
    faults: list[str] = []
    with st.spinner("Reading the slides…"):
        for entry in chosen:
            try:
                stored = pictures.add_from_slides(
                    _shell.workplace(), _shell.person(), root=root, relative=entry.relative
                )
            except Ki67Error as error:
                faults.append(str(error))
            else:
                codes.append(stored.code)
    if codes and not faults:
        _where.go_to_setup(codes)
    for fault in faults:
        _shell.show_error(fault)
    if codes and st.button("Go on with the others"):
        _where.go_to_setup(codes)
