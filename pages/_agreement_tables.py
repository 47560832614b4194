"""The tables of the page Agreement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67 import numbers
from ki67.charts_limits import SIGNS
from ki67.study import agreement, agreement_words
from ki67.study.agreement import AgreementView
from ki67.study.agreement_rows import Comparison, Estimate
from ki67.study.estimate_words import UNDEFINED
from ki67.study.material import StudyMaterial
from pages import _shell

COLORS = {"algorithm": "blue", "reader": "gray", "panel": "", "focus": "orange"}
INTERVAL = agreement_words.INTERVAL
# The same heading three times: an invisible character tells the columns apart.
OF_MEAN, OF_LOWER, OF_UPPER = INTERVAL, f"{INTERVAL}\u200b", f"{INTERVAL}\u200b\u200b"


def comparisons(view: AgreementView, compared: Sequence[Comparison]) -> None:
    """Bias and limits at the level, a row each, with the signs of the plot; numbers stand at the right."""
    first = f"At {view.level:g} %, points" if view.scale != "raw" else "Points"
    rows = [
        {
            first: _signed(each),
            "Pairs": each.pairs,
            "Mean": 0.0 if each.bias is None else each.bias.value,
            OF_MEAN: agreement_words.bias_limits(each),
            "Lower limit": each.lower.value,
            OF_LOWER: agreement_words.limits(each.lower),
            "Upper limit": each.upper.value,
            OF_UPPER: agreement_words.limits(each.upper),
        }
        for each in compared
    ]
    points = ["Mean", "Lower limit", "Upper limit"]
    frame = pd.DataFrame(rows).astype(dict.fromkeys(points, float))
    shown = frame.style.format(_number, subset=pd.Index(points)).format("{:,}", subset=pd.Index(["Pairs"]))
    st.table(shown, border="horizontal", hide_index=True)


def _number(value: object) -> str:
    known = isinstance(value, float) and not math.isnan(value)
    return numbers.decimal(float(str(value)), decimals=1) if known else UNDEFINED


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
