"""Two model sets on the same stored pictures: how far their indices differ."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ki67 import charts_agreement as plots
from ki67 import numbers
from ki67.charts_agreement import DifferencePanel, DifferencePoint, Line
from ki67.study import model_compare
from ki67.study.model_compare import Estimate, ModelComparison
from ki67.study.model_sets import ModelSetEntry
from pages import _shell, _where

CONFIG = {"displayModeBar": False}
SHOWN_PAIRS = 20


def show(entries: Sequence[ModelSetEntry]) -> None:
    """Ask for two sets, then the difference, its plot, the pictures that differ most."""
    names = [entry.name for entry in entries if entry.cells is not None]
    if len(names) < 2:
        st.header("Two sets are needed; one is installed.", anchor=False)
        st.markdown("Train a set of your own, or put another one into `models` in the data folder.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox("From", names, index=0, key="first", width=280, bind="query-params")
        second = st.selectbox("To", names, index=1, key="second", width=280, bind="query-params")
    if first == second:
        st.header("Choose two different sets.", anchor=False)
        return
    comparison = model_compare.compare_model_sets(
        _shell.workplace(), _shell.person(), first=first, second=second
    )
    st.header(_answer(comparison), anchor=False)
    st.markdown(_more(comparison))
    if comparison.missing:
        _offer_missing(comparison)
    if comparison.pairs:
        _plot(comparison)
        _table(comparison)


def _answer(comparison: ModelComparison) -> str:
    found = comparison.difference
    if found.value is None:
        return "No picture was scored by both sets yet."
    names = f"{_shell.escaped(comparison.second)} reads **{{}}** than {_shell.escaped(comparison.first)}"
    word = "higher" if found.value > 0 else "lower"
    size = f"{numbers.decimal(abs(found.value), decimals=1)} points {word}"
    limits = "" if found.ci_low is None else f" ({_limits(found)})"
    return f"{names.format(size)}{limits}."


def _limits(estimate: Estimate) -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return "–"
    return numbers.points_interval(estimate.ci_low, estimate.ci_high)


def _more(comparison: ModelComparison) -> str:
    pictures = len(comparison.pairs)
    text = (
        f"{numbers.count(pictures)} {'picture' if pictures == 1 else 'pictures'} of "
        f"{numbers.count(comparison.patients)} {'patient' if comparison.patients == 1 else 'patients'}, "
        "scored by both with the same settings; global index, paired."
    )
    if comparison.lower.value is not None and comparison.upper.value is not None:
        between = numbers.points_interval(comparison.lower.value, comparison.upper.value)
        text += f" 95 % of differences lie between {between.replace(' to ', ' and ')} points."
    if comparison.not_assessable:
        text += f" {comparison.not_assessable} not assessable by one of them."
    return text


def _offer_missing(comparison: ModelComparison) -> None:
    missing = comparison.missing
    words = "1 picture was" if missing == 1 else f"{missing} pictures were"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":gray[{words} scored by one of the two only.]", width="content")
        if st.button("Score with the other", icon=":material/play_arrow:"):
            with _shell.errors_in_words():
                jobs = model_compare.score_missing(
                    _shell.workplace(), _shell.person(), first=comparison.first, second=comparison.second
                )
                _where.go_to_jobs(jobs)


def _plot(comparison: ModelComparison) -> None:
    panel = DifferencePanel(
        title=f"{comparison.second} − {comparison.first}, n = {len(comparison.pairs)}",
        points=tuple(
            DifferencePoint(
                (pair.first_percent + pair.second_percent) / 2, pair.difference_points, pair.case_code
            )
            for pair in comparison.pairs
        ),
        mean=_line(comparison.mean),
        lower=_line(comparison.lower),
        upper=_line(comparison.upper),
    )
    st.plotly_chart(
        plots.differences(
            [panel], mode=_shell.mode(), x_title="Mean of the two, %", y_title="Difference, points"
        ),
        theme=None,
        config=CONFIG,
        key=f"compare_plot_{_shell.mode()}",
        alt="Difference of the two sets over their mean",
    )


def _line(estimate: Estimate) -> Line | None:
    return None if estimate.value is None else Line(estimate.value, estimate.ci_low, estimate.ci_high)


def _table(comparison: ModelComparison) -> None:
    pairs = model_compare.largest_differences(comparison)[:SHOWN_PAIRS]
    rows = [
        {
            "Case": pair.case_code,
            f"{comparison.first}, %": numbers.percent_number(*pair.first_counts),
            f"{comparison.second}, %": numbers.percent_number(*pair.second_counts),
            "Difference, points": numbers.decimal(pair.difference_points, decimals=1),
        }
        for pair in pairs
    ]
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption(
        "The largest differences first. The interval of the mean takes patients as units "
        "(t, on each patient's mean); the limits of agreement take pictures."
    )
