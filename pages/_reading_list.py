"""The stored readings of a study: found, opened, changed with a reason, withdrawn."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67 import numbers
from ki67.study import study_words
from ki67.study.reading_form import percent_typed
from ki67.study.readings import NewReading, StoredReading, change_reading, reading_history, withdraw_reading
from ki67.study.studies import Study
from pages import _shell

SHOWN_AT_MOST = 2000
NUMBERS = ("Index, %", "Nuclei")


def show(study: Study, readings: Sequence[StoredReading]) -> None:
    """The table, and beside it the reading chosen in it."""
    rows = _filtered(readings)
    if len(rows) > SHOWN_AT_MOST:
        st.caption(
            f"The first {SHOWN_AT_MOST:,} of {len(rows):,} are shown; narrow the filters, or export all."
        )
    left, right = st.columns([3, 2], gap="medium")
    with left:
        chosen = _table(rows[:SHOWN_AT_MOST])
    with right, st.container(border=True):
        if chosen is None:
            st.subheader("One reading", anchor=False)
            st.markdown(":gray[Choose a row to see its versions, to change it or to withdraw it.]")
        else:
            _one(study, chosen)


def _filtered(readings: Sequence[StoredReading]) -> list[StoredReading]:
    with st.container(horizontal=True, vertical_alignment="center"):
        case = st.text_input(
            "Case code", placeholder="Case code", icon=":material/search:", key="reading_case",
            label_visibility="collapsed", width=180,
        )  # fmt: skip
        reader = _one_of("Reader", [each.key.reader_code for each in readings])
        session = _one_of("Session", [each.key.session for each in readings])
        method = _one_of("Method", [each.key.method for each in readings])
    return [
        each
        for each in study_words.in_order(readings)
        if (not case or case.casefold() in each.key.case_code.casefold())
        and reader in (None, each.key.reader_code)
        and session in (None, each.key.session)
        and method in (None, each.key.method)
    ]


def _one_of(label: str, entries: Sequence[str]) -> str | None:
    return st.selectbox(
        label, list(dict.fromkeys(entries)), index=None, placeholder=f"Any {label.lower()}",
        key=f"reading_{label}", label_visibility="collapsed", width=150,
    )  # fmt: skip


def _table(rows: Sequence[StoredReading]) -> StoredReading | None:
    frame = pd.DataFrame(
        {
            "Case": [each.key.case_code for each in rows],
            "Reader": [each.key.reader_code for each in rows],
            "Session": [each.key.session for each in rows],
            "Method": [each.key.method for each in rows],
            "Index, %": [study_words.value_words(each).removesuffix(" %") for each in rows],
            "Nuclei": [_nuclei(each) for each in rows],
            "Note": [_note(each) for each in rows],
        }
    )
    event = st.dataframe(
        frame, hide_index=True, height=460, on_select="rerun", selection_mode="single-row",
        key="reading_rows",
        column_config={name: st.column_config.TextColumn(alignment="right") for name in NUMBERS},
    )  # fmt: skip
    picked = event.selection.rows
    return rows[picked[0]] if picked and picked[0] < len(rows) else None


def _nuclei(each: StoredReading) -> str:
    counted = each.positive is not None and each.negative is not None
    return numbers.count((each.positive or 0) + (each.negative or 0)) if counted else "–"


def _note(each: StoredReading) -> str:
    """What is particular about a reading."""
    parts = [f"replicate {each.key.replicate}"] if each.key.replicate != "1" else []
    if each.value_percent is None:
        parts.append(f"not assessable: {each.reason}")
    if each.version > 1:
        parts.append(f"changed, version {each.version}")
    if each.region_geojson is not None:
        parts.append("with region")
    return "; ".join(parts)


def _one(study: Study, chosen: StoredReading) -> None:
    key = chosen.key
    st.subheader(f"{_shell.escaped(key.case_code)} · {_shell.escaped(key.reader_code)}", anchor=False)
    st.caption(_shell.escaped(f"Session {key.session}, {key.method}"))
    history = reading_history(_shell.workplace(), _shell.person(), study.code)
    lines = [
        {
            "Version": each.version,
            "Index": study_words.value_words(each),
            "Reason": each.reason or "–",
            "By": each.author,
            "At": _shell.local_time(each.at),
        }
        for each in history
        if each.key == key
    ]
    st.table(pd.DataFrame(lines), border="horizontal", hide_index=True)
    with st.form(f"change_{key.words()}", border=False):
        value = st.text_input("New index, %", placeholder="empty: cannot be assessed", key="changed_value")
        reason = st.text_input("Reason", key="changed_reason")
        with st.container(horizontal=True):
            changed = st.form_submit_button("Change", type="primary", key="change_reading")
            withdrawn = st.form_submit_button("Withdraw", key="withdraw_reading")
    st.caption("Nothing is overwritten: the earlier version stays stored.")
    if changed or withdrawn:
        with _shell.errors_in_words():
            if withdrawn:
                withdraw_reading(_shell.workplace(), _shell.person(), study.code, key, reason=reason)
            else:
                _change(study, chosen, value, reason)
            st.rerun()


def _change(study: Study, chosen: StoredReading, value: str, reason: str) -> None:
    """The new version keeps the region; counts belong to the old value and go."""
    percent = percent_typed(value)
    new = NewReading(
        chosen.key,
        percent,
        reason=reason if percent is None else "",
        region_geojson=chosen.region_geojson,
        picture_code=chosen.picture_code,
    )
    change_reading(_shell.workplace(), _shell.person(), study.code, new, reason=reason)
