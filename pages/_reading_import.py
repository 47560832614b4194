"""A table of readings imported: the file, which column is what, what would be added, then the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from ki67 import numbers
from ki67.study.reading_import import ImportPreview, list_imports, preview_import, store_import
from ki67.study.reading_settings import ImportSettings
from ki67.study.reading_sheet import Sheet, read_sheet
from ki67.study.studies import Study
from ki67.study.study_words import counted
from pages import _import_columns, _shell

DONE = "reading_done"
ROUND = "import_round"
PREVIEW = "import_preview"
PROBLEMS_AT_MOST = 200
ROWS_SHOWN = 5
EXAMPLE = "case,reader,session,value\nT1,O1,1,12.5\nT1,O2,1,15\nT2,O1,1,48\n"


def show(study: Study) -> None:
    """The import, from the file to the store; nothing is stored before the button."""
    turn = st.session_state.setdefault(ROUND, 0)
    with st.container(border=True):
        left, right = st.columns([2, 1], gap="medium")
        with left:
            upload = st.file_uploader(
                "Table of readings, CSV or XLSX", type=("csv", "tsv", "txt", "xlsx"), key=f"table_{turn}"
            )
        with right:
            files = st.file_uploader(
                "Regions it names, GeoJSON", type=("geojson", "json"), accept_multiple_files=True,
                key=f"regions_{turn}",
            )  # fmt: skip
        if upload is None:
            _what_is_needed()
            _earlier(study)
            return
        regions = {each.name: each.getvalue() for each in files or ()}
        with _shell.errors_in_words():
            sheet = _choose_sheet(upload.getvalue(), upload.name)
            answer = st.container()
            settings = _import_columns.ask(study, sheet)
            preview = _previewed(study, sheet, settings, regions)
            answer.header(_answer(preview), anchor=False)
            answer.markdown(_contents(preview))
            _show_preview(sheet, preview)


def say_stored(words: str) -> None:
    """Keeps a sentence for the next run of the page."""
    st.session_state[DONE] = words


def show_stored() -> None:
    """What was stored last, once."""
    words = st.session_state.pop(DONE, None)
    if words:
        st.success(_shell.escaped(words), icon=":material/check_circle:")


def _choose_sheet(content: bytes, name: str) -> Sheet:
    first = _read(content, name, None)
    if len(first.sheets) < 2:
        return first
    chosen = st.selectbox("Sheet", first.sheets, key=f"sheet_of_{first.sha256[:12]}", width=260)
    return first if chosen in (None, first.name) else _read(content, name, chosen)


@st.cache_data(max_entries=8, show_spinner="Reading the table…")
def _read(content: bytes, name: str, sheet: str | None) -> Sheet:
    return read_sheet(content, file_name=name, sheet=sheet)


def _previewed(
    study: Study, sheet: Sheet, settings: ImportSettings, regions: Mapping[str, bytes]
) -> ImportPreview:
    """The preview, kept until the table or its settings change."""
    digests = tuple((name, hashlib.sha256(content).hexdigest()) for name, content in regions.items())
    key = (study.code, sheet.sha256, sheet.name, settings, digests)
    kept = st.session_state.get(PREVIEW)
    if kept is None or kept[0] != key:
        with st.spinner("Checking every row…"):
            preview = preview_import(
                _shell.workplace(),
                _shell.person(),
                study.code,
                sheet=sheet,
                settings=settings,
                regions=regions,
            )
        st.session_state[PREVIEW] = kept = (key, preview)
    found: ImportPreview = kept[1]
    return found


def _show_preview(sheet: Sheet, preview: ImportPreview) -> None:
    _import_columns.ask_open(sheet, preview)
    for warning in preview.warnings:
        st.markdown(f":orange[:material/warning:] {_shell.escaped(warning)}")
    if preview.problems:
        rows = [
            {"Row": each.row, "Column": each.column, "Problem": each.sentence}
            for each in preview.problems[:PROBLEMS_AT_MOST]
        ]
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, height=min(320, 38 + 35 * len(rows)),
            column_config={"Problem": st.column_config.TextColumn(width="large")},
        )  # fmt: skip
        if len(preview.problems) > PROBLEMS_AT_MOST:
            st.caption(f"The first {PROBLEMS_AT_MOST} problems are shown.")
    with st.expander("The first rows as they would be stored", type="compact"):
        _first_rows(preview)
    label = "Store the readings"
    if preview.ready:
        label = f"Store {counted(preview.new, 'reading')}" if preview.new else "Nothing new to store"
    pressed = st.button(
        label,
        type="primary", disabled=not preview.ready or not preview.new, key="store_import",
    )  # fmt: skip
    if pressed:
        stored = store_import(_shell.workplace(), _shell.person(), preview)
        say_stored(f"{counted(stored.added, 'reading')} stored; {numbers.count(stored.known)} known before.")
        st.session_state.pop(PREVIEW, None)
        st.session_state[ROUND] += 1
        st.rerun()


def _answer(preview: ImportPreview) -> str:
    """ "**600 readings** can be stored." or what stands in the way."""
    if preview.ready:
        known = f" Stored already: {numbers.count(preview.known)}." if preview.known else ""
        return f"**{counted(preview.new, 'new reading')}** can be stored.{known}"
    open_ones = []
    if preview.problems:
        open_ones.append(f"**{counted(len(preview.problems), 'problem')}**")
    if preview.questions:
        open_ones.append(f"**{counted(len(preview.questions), 'open question')}**")
    return f"Nothing can be stored yet: {' and '.join(open_ones) or 'the table holds no reading'}."


def _contents(preview: ImportPreview) -> str:
    methods = ", ".join(f"{numbers.count(count)} {method}" for method, count in preview.methods)
    parts = [
        f"{counted(len(preview.cases), 'case')} ({len(preview.new_cases)} new)",
        counted(len(preview.readers), "reader"),
        counted(len(preview.sessions), "session"),
        methods or "no reading",
        f"{counted(preview.unassessable, 'reading')} not assessable",
        f"{counted(preview.empty, 'empty cell')}",
    ]
    parts += [
        f"{counted(count, 'row')} of {_shell.escaped(level)} left out" for level, count in preview.left_out
    ]
    return f":gray[{' · '.join(parts)}]"


def _first_rows(preview: ImportPreview) -> None:
    rows = [
        {
            "Case": each.key.case_code,
            "Reader": each.key.reader_code,
            "Session": each.key.session,
            "Replicate": each.key.replicate,
            "Method": each.key.method,
            "Index, %": each.reason
            if each.value_percent is None
            else numbers.percent_of(each.value_percent / 100).removesuffix(" %"),
            "Positive": "–" if each.positive is None else str(each.positive),
            "Negative": "–" if each.negative is None else str(each.negative),
            "Region": "yes" if each.region_geojson else "–",
        }
        for each in preview.readings[:ROWS_SHOWN]
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)


def _what_is_needed() -> None:
    st.markdown(
        "One reading a row with **case**, **reader** and **value** (0–100 %), or one row a case with a "
        "column for each reader. Session, replicate, patient, scoring method, counts, counts per field and "
        "regions are taken where there are columns for them. An empty cell is no reading."
    )
    st.code(EXAMPLE, language=None)


def _earlier(study: Study) -> None:
    imports = list_imports(_shell.workplace(), _shell.person(), study.code)
    if not imports:
        return
    with st.expander(f"{counted(len(imports), 'earlier import')}", type="compact"):
        rows = [
            {
                "Imported": _shell.local_time(each.at),
                "Added": numbers.count(each.added),
                "Known before": numbers.count(each.known),
                "Hash of the file": each.sha256[:12],
            }
            for each in imports
        ]
        st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
