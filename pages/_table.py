"""The setup of many pictures: one editable table with *apply to all*."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67 import numbers
from ki67.study import asking
from ki67.study.pictures import StoredPicture
from ki67.types import SITES, Site
from pages import _pictures, _shell
from pages._asked import Asked, Entered, check

BASE = "table_base"
ROUND = "table_round"
PICTURES = "table_pictures"
ROW_HEIGHT_PX = 52
THUMBNAIL = (64, 48)
SITE_NAMES: dict[str, Site] = {site.capitalize(): site for site in SITES}


def ask(stored: Sequence[StoredPicture], suggested: Sequence[str]) -> list[Asked]:
    """Shows the table and returns, for each picture in order, its request or what is missing."""
    codes = tuple(one.code for one in stored)
    if st.session_state.get(PICTURES) != codes:
        st.session_state[PICTURES] = codes
        st.session_state[BASE] = _first_table(stored, suggested)
        st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1
    place = st.container(horizontal=True, vertical_alignment="bottom")
    edited = st.data_editor(
        st.session_state[BASE],
        key=f"setup_table_{st.session_state[ROUND]}",
        hide_index=True,
        row_height=ROW_HEIGHT_PX,
        disabled=("Picture", "File"),
        column_config={
            "Picture": st.column_config.ImageColumn(width=80),
            "Site": st.column_config.SelectboxColumn(options=list(SITE_NAMES)),
        },
    )
    with place:
        _apply_to_all(edited)
    asked = [check(one, _entered(row)) for one, (_, row) in zip(stored, edited.iterrows(), strict=True)]
    _show_missing(asked, edited)
    return asked


def _first_table(stored: Sequence[StoredPicture], suggested: Sequence[str]) -> pd.DataFrame:
    usual = asking.usual_site(_shell.workplace(), _shell.person())
    rows = []
    for one, case_code in zip(stored, suggested, strict=True):
        info = one.info
        site = one.site or usual
        size = f"{numbers.count(info.width_px)} × {numbers.count(info.height_px)} px"
        rows.append(
            {
                "Picture": _pictures.thumbnail_address(one.code, *THUMBNAIL),
                "Case code": case_code,
                "Site": None if site is None else site.capitalize(),
                "Pixel size, µm/px": ""
                if info.metadata_mpp is None
                else asking.shown_pixel_size(info.metadata_mpp),
                "File": f"{info.file_format} · {size}",
            }
        )
    return pd.DataFrame(rows)


def _apply_to_all(edited: pd.DataFrame) -> None:
    site = st.selectbox("Site of all", list(SITE_NAMES), index=None, placeholder="Leave as it is", width=220)
    pixel_size = st.text_input("Pixel size of all, µm/px", placeholder="leave as it is", width=220)
    if st.button("Apply to all", disabled=site is None and not pixel_size):
        changed = edited.copy()
        if site is not None:
            changed["Site"] = site
        if pixel_size:
            changed["Pixel size, µm/px"] = pixel_size
        st.session_state[BASE] = changed
        st.session_state[ROUND] += 1
        st.rerun()


def _entered(row: pd.Series) -> Entered:
    def text(column: str) -> str:
        return "" if pd.isna(row[column]) else str(row[column])

    return Entered(
        case_code=text("Case code"),
        site=SITE_NAMES.get(text("Site")),
        pixel_size=text("Pixel size, µm/px"),
    )


def _show_missing(asked: Sequence[Asked], edited: pd.DataFrame) -> None:
    """One orange line for each thing that is missing, naming the cases."""
    lines: list[str] = []
    for gap in dict.fromkeys(gap for one in asked for gap in one.gaps):
        cases = [
            str(case) or "no code"
            for one, case in zip(asked, edited["Case code"], strict=True)
            if gap in one.gaps
        ]
        lines.append(
            f":orange[:material/warning: The {gap} is missing or cannot be used]: "
            f"{_shell.escaped(', '.join(cases))}."
        )
    faults = dict.fromkeys(fault for one in asked for fault in one.faults)
    lines += [f":orange[{_shell.escaped(fault)}]" for fault in faults]
    if lines:
        st.markdown("  \n".join(lines))
