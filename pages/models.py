"""Models: what can score a picture, what is known of it, and two sets on the same pictures."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ki67.study import card_words, model_sets
from ki67.study.model_sets import ModelSetEntry
from pages import _model_compare, _shell

SETS, COMPARE = "Sets", "Compare two"


def show() -> None:
    """The sets with their cards, or two of them compared."""
    with _shell.title_row():
        st.title("Models", anchor=False, width="content")
        st.badge("Research use only", color="gray")
    entries = model_sets.list_model_sets(_shell.workplace(), _shell.person())
    part = st.segmented_control(
        "Part", (SETS, COMPARE), default=SETS, required=True, key="part",
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    if part == COMPARE:
        _model_compare.show(entries)
        return
    chosen = entries[0]
    if len(entries) > 1:
        names = {entry.name: entry for entry in entries}
        name = st.selectbox("Model set", list(names), key="card", width=320, bind="query-params")
        chosen = names.get(name or "", chosen)
    st.header(card_words.set_sentence(chosen), anchor=False)
    if len(entries) > 1:
        _list(entries)
    _card(chosen)
    _own_sets()


def _list(entries: tuple[ModelSetEntry, ...]) -> None:
    rows = [
        {
            "Set": entry.name,
            "From": card_words.ORIGINS[entry.origin],
            "Step 1, tumor": "–" if entry.tumor is None else f"{entry.tumor.name} {entry.tumor.version}",
            "Step 2, nuclei": "–" if entry.cells is None else f"{entry.cells.name} {entry.cells.version}",
            "Hash of step 2": card_words.short_hash(entry.cells),
            "Used": "unless another is chosen" if entry.usual else "when chosen",
        }
        for entry in entries
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)


def _card(entry: ModelSetEntry) -> None:
    if entry.cells is None:
        _shell.show_error(entry.fault)
        return
    steps = card_words.steps_of(entry)
    failures = card_words.failures(entry)
    st.subheader("Known failures", anchor=False)
    if failures:
        st.markdown("\n".join(f"- {_shell.escaped(text)} :gray[{step}]" for step, text in failures))
    else:
        st.markdown(":gray[The cards name none, which does not mean that there are none.]")
    for column, (step, card) in zip(st.columns(len(steps), gap="medium"), steps, strict=True):
        with column:
            st.subheader(step, anchor=False)
            _pairs(card_words.facts(card))
    st.subheader("Learned from", anchor=False)
    rows = [
        {"Step": row.step, "Source": row.source, "Terms": row.terms, "Pictures": row.pictures}
        for row in card_words.data_rows(entry)
    ]
    if rows:
        st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    else:
        st.markdown(":gray[The cards do not say.]")
    for step, card in steps:
        with st.expander(f"Figures on the card · {step}", type="compact"):
            figures = card_words.figure_rows(card.figures)
            if figures:
                _pairs(figures)
            else:
                st.markdown(":gray[The card has no figures: measure the set under Detection.]")
    st.caption("Research use only. Measure a set on pictures of your own under Detection.")


def _pairs(rows: list[tuple[str, str]]) -> None:
    st.table(
        pd.DataFrame(rows, columns=["What", "Value"]), border="horizontal", hide_index=True, hide_header=True
    )


def _own_sets() -> None:
    with st.expander("Add a set of your own", type="compact"):
        st.markdown(
            "Train both nets into one folder below `models` in the data folder (KI67_HOME). The set is then "
            "offered here, under Score and under Detection, by the name of that folder:"
        )
        st.code(
            "python -m ki67 train tumor --data FOLDER --out KI67_HOME/models/NAME/tumor\n"
            "python -m ki67 train cells --data FOLDER --out KI67_HOME/models/NAME/cells",
            language=None,
        )
        st.caption(
            "A set may have step 2 alone. A name that a shipped set has is not used: rename the folder."
        )


show()
