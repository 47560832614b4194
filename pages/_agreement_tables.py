"""The tables of the page Agreement."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67.charts_limits import SIGNS
from ki67.study import agreement, agreement_words
from ki67.study.agreement import AgreementView
from ki67.study.agreement_rows import Comparison, Estimate
from ki67.study.material import StudyMaterial
from pages import _shell

COLORS = {"algorithm": "blue", "reader": "gray", "panel": "", "focus": "orange"}
INTERVAL = agreement_words.INTERVAL
# The same heading three times: an invisible character tells the columns apart.
COLUMNS = (
    "Pairs",
    "Mean",
    INTERVAL,
    "Lower limit",
    f"{INTERVAL}\u200b",
    "Upper limit",
    f"{INTERVAL}\u200b\u200b",
)


def comparisons(view: AgreementView, compared: Sequence[Comparison]) -> None:
    """Bias and limits at the level, a row each, with the signs of the plot."""
    first = f"At {view.level:g} %, points" if view.scale != "raw" else "Points"
    rows = [
        {first: _signed(each), **dict(zip(COLUMNS, agreement_words.row(each), strict=True))}
        for each in compared
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)


def figures(rows: Sequence[tuple[str, str, str, str]], *, first: str = "Algorithm and panel") -> None:
    """Name, value, interval, n."""
    frame = pd.DataFrame(list(rows), columns=[first, "Value", INTERVAL, "n"])
    st.table(frame, border="horizontal", hide_index=True)


def closeness(key: str, material: StudyMaterial) -> None:
    """How far a reader and the algorithm are from the panel of the other readers."""
    means = _closeness(key, material)
    if means:
        figures(agreement_words.left_out_rows(means), first="Mean absolute difference, points")


@st.cache_data(max_entries=16, show_spinner="Leaving each reader out…")
def _closeness(key: str, _material: StudyMaterial) -> tuple[tuple[str, Estimate], ...]:
    """`key` is the fingerprint of the material."""
    return agreement.closeness_to_panel(_material)


def _signed(compared: Comparison) -> str:
    color, sign = COLORS[compared.role], SIGNS[compared.role]
    shown = f":{color}[{sign}]" if color else sign
    return f"{shown} {_shell.escaped(compared.name)}"
