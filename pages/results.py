"""Results: earlier results, filtered, opened, exported."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67 import numbers
from ki67.study import listing, results
from ki67.study.results import ResultRow
from ki67.types import SITES, Site
from pages import _pictures, _shell, _where

ANY_SITE = "All sites"
ANY_STATE = "Any state"
SITE_OPTIONS: dict[str, Site | None] = {ANY_SITE: None, **{site.capitalize(): site for site in SITES}}
STATES = (ANY_STATE, "Flagged", "Not assessable")
ANY_SET = "All model sets"
HEADER_HEIGHT_PX = 36
ROW_HEIGHT_PX = 52
THUMBNAIL = (64, 46)
TABLE_HEIGHT_PX = 574
SHOWN_AT_MOST = 200


def show() -> None:
    """Title, filters, one sentence, the table; without any result, what will stand here."""
    head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    with head:
        st.title("Results", anchor=False, width="content")
    everything = results.list_results(_shell.workplace(), _shell.person())
    if not everything:
        st.header("Results will stand here, each with its picture, index and flags.", anchor=False)
        if st.button("Score a picture", type="primary"):
            _where.go_to_start()
        return
    rows = _filtered(sorted({row.model_set for row in everything}))
    with head:
        st.download_button(
            "Export table", listing.export_csv(rows), file_name="ki67_results.csv", mime="text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
    st.header(listing.summary_sentence(rows), anchor=False)
    if rows:
        _table(rows[:SHOWN_AT_MOST])
        if len(rows) > SHOWN_AT_MOST:
            st.caption(
                f"The newest {SHOWN_AT_MOST} are shown; narrow the filters, or export the whole table."
            )
    else:
        st.markdown("No result fits these filters.")


def _filtered(model_sets: Sequence[str]) -> list[ResultRow]:
    with st.container(horizontal=True, vertical_alignment="center"):
        search = st.text_input(
            "Case code", placeholder="Case code", icon=":material/search:", key="search",
            label_visibility="collapsed", width=200, bind="query-params",
        )  # fmt: skip
        site = st.segmented_control(
            "Site", list(SITE_OPTIONS), default=ANY_SITE, required=True, key="site",
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
        state = st.segmented_control(
            "State", STATES, default=ANY_STATE, required=True, key="state",
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
        with st.popover("More", icon=":material/tune:"):
            model_set = st.selectbox("Model set", [ANY_SET, *model_sets], key="models", bind="query-params")
    return results.list_results(
        _shell.workplace(),
        _shell.person(),
        search=search or "",
        site=SITE_OPTIONS[site or ANY_SITE],
        flagged=True if state == "Flagged" else None,
        assessable=False if state == "Not assessable" else None,
        model_set=None if model_set in (None, ANY_SET) else model_set,
    )


def _table(rows: Sequence[ResultRow]) -> None:
    st.dataframe(
        pd.DataFrame([_line(row) for row in rows]),
        hide_index=True,
        row_height=ROW_HEIGHT_PX,
        height=min(TABLE_HEIGHT_PX, HEADER_HEIGHT_PX + ROW_HEIGHT_PX * len(rows)),
        column_config={
            "Open": st.column_config.ButtonColumn(
                "", key="open_result", on_click=_remember_click, args=([row.code for row in rows],), width=54
            ),
            "Picture": st.column_config.ImageColumn(width=72),
            "Case": st.column_config.TextColumn(width=74),
            "Site": st.column_config.TextColumn(width=106),
            "Index, %": st.column_config.TextColumn(alignment="right", width=64),
            "95 % interval": st.column_config.TextColumn(alignment="right", width=102),
            "Kind": st.column_config.TextColumn(width=64),
            "Class, %": st.column_config.TextColumn(width=72),
            "Nuclei": st.column_config.TextColumn(alignment="right", width=56),
            "Flags": st.column_config.TextColumn(width=122),
            "Model set": st.column_config.TextColumn(width=88),
            "Scored": st.column_config.TextColumn(width=130),
        },
        alt="Results, newest first",
    )
    chosen = st.session_state.pop("open_code", None)
    if chosen is not None:
        _where.go_to_result(chosen)


def _remember_click(codes: Sequence[str]) -> None:
    click = st.session_state["open_result"]
    if click is not None:
        st.session_state["open_code"] = codes[click["row"]]


def _line(row: ResultRow) -> dict[str, str | None]:
    leading = listing.leading_of(row)
    assessable = leading.index is not None
    words = leading.classes[0].words.removesuffix(" %").replace(" and ", ", ") if leading.classes else "–"
    return {
        "Open": "Open",
        "Picture": _pictures.thumbnail_address(row.picture_code, *THUMBNAIL),
        "Case": row.case_code,
        "Site": row.site.capitalize(),
        "Index, %": numbers.percent_number(leading.positive, leading.negative) if assessable else "–",
        "Kind": leading.kind,
        "95 % interval": numbers.interval(leading.sampling) if assessable else "not assessable",
        "Class, %": words,
        "Nuclei": numbers.count(leading.positive + leading.negative),
        "Flags": ", ".join(listing.flag_name(flag) for flag in row.flags),
        "Model set": row.model_set,
        "Scored": _shell.local_time(row.created_at),
    }


show()
