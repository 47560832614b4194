"""Which column of a table is what: suggested from the names, corrected here; then what was asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pandas as pd
import streamlit as st

from ki67.study.reading_import import ImportPreview
from ki67.study.reading_settings import (
    LEFT_OUT,
    SHAPES,
    ColumnChoice,
    ImportSettings,
    LevelMeaning,
    Scale,
    Shape,
    WideColumn,
    suggest_settings,
)
from ki67.study.reading_sheet import Sheet
from ki67.study.readings import METHODS
from ki67.study.studies import Study, study_cases
from pages import _shell

SHAPE_WORDS: dict[str, str] = {
    "long": "A reading a row",
    "wide": "A column a reader",
    "counts per field": "A counted field a row",
}
NONE = "–"
LABELS = {
    "case": "Case",
    "reader": "Reader",
    "value": "Value, %",
    "session": "Session",
    "replicate": "Replicate",
    "patient": "Patient",
    "method_column": "Scoring method",
    "reason": "Reason when not assessable",
    "positive": "Positive nuclei",
    "negative": "Negative nuclei",
    "total": "All nuclei",
    "level": "Level of the field",
    "region": "Region",
    "picture": "Picture code",
}
ALWAYS = ("case", "session", "replicate", "patient", "method_column")
OF_SHAPE: dict[Shape, tuple[str, ...]] = {
    "long": ("reader", "value", "reason", "positive", "negative", "total", "region", "picture"),
    "wide": (),
    "counts per field": ("reader", "level", "positive", "negative", "total"),
}
SCALES: dict[Scale, str] = {"fraction": "Fractions: multiply by 100", "percent": "Percentages, as they are"}


def ask(study: Study, sheet: Sheet) -> ImportSettings:
    """The settings as the widgets have them; those about problems are drawn later by `ask_open`."""
    suggested = suggest_settings(sheet)
    mark = _mark(sheet)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shape = st.segmented_control(
            "The table has", SHAPES, default=suggested.shape, required=True, key=f"shape_{mark}",
            format_func=lambda each: SHAPE_WORDS[each],
        )  # fmt: skip
        no_cases = not study_cases(_shell.workplace(), _shell.person(), study.code)
        new_cases = st.checkbox(
            "Add cases that are not in the study yet", value=no_cases, key=f"new_{mark}_{study.code}"
        )
    chosen: Shape = shape or suggested.shape
    clear = suggested.case is not None and (suggested.shape == "wide" or suggested.reader is not None)
    with st.expander("Columns", expanded=not clear, type="compact", key=f"columns_{mark}"):
        settings = _columns(suggested, sheet, chosen)
    settings = replace(settings, shape=chosen, new_cases=new_cases)
    return _settled(settings, sheet)


def ask_open(sheet: Sheet, preview: ImportPreview) -> None:
    """What only a person can say: levels of the method column, scale, decimal commas, percent signs, words.

    A question that was answered stays, so that the answer can be changed.
    """
    mark = _mark(sheet)
    for level in _asked(f"levels_{mark}", [q.about for q in preview.questions if q.kind == "level"]):
        st.selectbox(
            f"“{_shell.escaped(level)}” in column {_shell.escaped(preview.settings.method_column or '')} is",
            (*METHODS, LEFT_OUT), index=None, placeholder="Choose", key=f"level_{mark}_{level}", width=420,
        )  # fmt: skip
    for column in _asked(f"scales_{mark}", [q.about for q in preview.questions if q.kind == "scale"]):
        st.radio(
            f"Every value of column {_shell.escaped(column)} is 1 or less. They are", tuple(SCALES),
            index=None, format_func=lambda each: SCALES[each], horizontal=True, key=f"scale_{mark}_{column}",
        )  # fmt: skip
    for column in _asked(f"commas_{mark}", preview.comma_columns):
        st.checkbox(
            f"Column {_shell.escaped(column)} has decimal commas: read 12,5 as 12.5 in the whole column",
            key=f"comma_{mark}_{column}",
        )
    for column in _asked(f"signs_{mark}", preview.sign_columns):
        st.checkbox(
            f"Column {_shell.escaped(column)} has percent signs: read “12 %” as 12 in the whole column",
            key=f"sign_{mark}_{column}",
        )
    words = _asked(f"words_{mark}", preview.words)
    if words:
        left, right = st.columns(2)
        left.multiselect("Words that mean: cannot be assessed", words, key=f"unassessable_{mark}")
        right.multiselect("Words that mean: no reading", words, key=f"missing_{mark}")


def _settled(settings: ImportSettings, sheet: Sheet) -> ImportSettings:
    """The settings with what was answered in the run before."""
    mark, state = _mark(sheet), st.session_state
    for column in _asked(f"scales_{mark}", ()):
        choice = replace(settings.choice(column), scale=state.get(f"scale_{mark}_{column}"))
        settings = settings.with_choice(choice)
    for column in _asked(f"commas_{mark}", ()):
        choice = replace(
            settings.choice(column), decimal_comma=bool(state.get(f"comma_{mark}_{column}", False))
        )
        settings = settings.with_choice(choice)
    for column in _asked(f"signs_{mark}", ()):
        choice = replace(
            settings.choice(column), percent_sign=bool(state.get(f"sign_{mark}_{column}", False))
        )
        settings = settings.with_choice(choice)
    answered = [
        (level, cast(LevelMeaning, meaning))
        for level in _asked(f"levels_{mark}", ())
        if (meaning := state.get(f"level_{mark}_{level}")) is not None
    ]
    settled = tuple(each for each in settings.choices if each != ColumnChoice(each.column))
    return replace(
        settings,
        choices=settled,
        levels=(*settings.levels, *answered),
        unassessable_words=tuple(state.get(f"unassessable_{mark}", ())),
        missing_words=tuple(state.get(f"missing_{mark}", ())),
    )


def _asked(key: str, more: Sequence[str]) -> list[str]:
    """What was asked so far and now, in that order; kept for this table."""
    asked = list(dict.fromkeys([*st.session_state.get(key, ()), *more]))
    st.session_state[key] = asked
    return asked


def _columns(suggested: ImportSettings, sheet: Sheet, shape: Shape) -> ImportSettings:
    roles = [role for role in LABELS if role in (*ALWAYS, *OF_SHAPE[shape])]
    found: dict[str, str | None] = dict.fromkeys(LABELS)
    for start in range(0, len(roles), 4):
        for column, role in zip(st.columns(4), roles[start : start + 4], strict=False):
            with column:
                found[role] = _column(role, getattr(suggested, role), sheet, shape)
    settings = replace(
        suggested, wide=(), levels=(), areas=(), case=found["case"], reader=found["reader"],
        value=found["value"], session=found["session"], replicate=found["replicate"],
        patient=found["patient"], reason=found["reason"], positive=found["positive"],
        negative=found["negative"], total=None if found["negative"] else found["total"],
        level=found["level"], region=found["region"], picture=found["picture"],
        method_column=found["method_column"],
    )  # fmt: skip
    if settings.method_column is None:
        method = st.segmented_control(
            "Scoring method of every reading", METHODS, default=METHODS[0], required=True,
            key=f"method_{_mark(sheet)}", format_func=str.capitalize,
        )  # fmt: skip
        settings = replace(settings, method=method or METHODS[0])
    elif settings.method_column == suggested.method_column:
        settings = replace(settings, levels=suggested.levels)
        if suggested.levels:
            known = ", ".join(f"“{level}” is {meaning}" for level, meaning in suggested.levels)
            st.caption(_shell.escaped(f"Scoring method: {known}."))
    if shape == "wide":
        settings = replace(settings, wide=_wide(suggested, settings, sheet))
    if shape == "counts per field":
        weighted = st.checkbox("Global score weighted by area", key=f"weighted_{_mark(sheet)}")
        settings = replace(settings, areas=suggested.areas, weighted=weighted)
    return settings


def _column(role: str, suggested: str | None, sheet: Sheet, shape: Shape) -> str | None:
    options = [NONE, *sheet.header]
    chosen = st.selectbox(
        LABELS[role], options, index=options.index(suggested or NONE),
        key=f"column_{_mark(sheet)}_{shape}_{role}",
    )  # fmt: skip
    return None if chosen in (None, NONE) else chosen


def _wide(suggested: ImportSettings, settings: ImportSettings, sheet: Sheet) -> tuple[WideColumn, ...]:
    """Reader and session of each column of values; a column without a reader is not taken."""
    taken = {
        settings.case, settings.session, settings.replicate, settings.patient, settings.method_column,
    }  # fmt: skip
    known = {each.column: each for each in suggested.wide}
    rows = [
        {
            "Column": name,
            "Reader": known[name].reader if name in known else "" if suggested.wide else name,
            "Session": known[name].session if name in known else "1",
        }
        for name in sheet.header
        if name not in taken
    ]
    names = "|".join(row["Column"] for row in rows)
    edited = st.data_editor(
        pd.DataFrame(rows, columns=["Column", "Reader", "Session"], dtype="string"), hide_index=True,
        disabled=("Column",), key=f"wide_{_mark(sheet)}_{names}",
        height=min(220, 38 + 35 * max(1, len(rows))),
    )  # fmt: skip
    return tuple(
        WideColumn(str(row["Column"]), str(row["Reader"]).strip(), str(row["Session"]).strip() or "1")
        for _, row in edited.iterrows()
        if not pd.isna(row["Reader"]) and str(row["Reader"]).strip()
    )


def _mark(sheet: Sheet) -> str:
    """What tells the widgets of one table from those of another."""
    return f"{sheet.sha256[:12]}_{sheet.name}"
