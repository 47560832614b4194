"""Variability: what each reader read on each tumor, and how much of the spread is the reader."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ki67 import charts_variability as charts
from ki67 import numbers
from ki67.study import estimate_words, variability_drawn
from ki67.study import variability as service
from ki67.study.material import StudyMaterial
from ki67.study.variability import Variability
from pages import _report_button, _study_filter, _study_parts
from pages._study_parts import Plot

ALL, SHARES, BIAS, HEAT, SPREAD = "All readings", "Shares", "Reader bias", "Reader and tumor", "Spread"
PLOTS = (ALL, SHARES, BIAS, HEAT, SPREAD)
VERDICT_BADGES = {
    "passes": (":material/check:", "green"),
    "does not pass": (":material/close:", "red"),
    "borderline: depends on the interval": (":material/contrast:", "orange"),
}


def main() -> None:
    """Draw the page from top to bottom."""
    head = _study_parts.head("Variability")
    material = _study_filter.show()
    if material is None:
        return
    _study_parts.plan_badge(head.badges, material, primary=False)
    _report_button.show(head.actions, material)
    view = _computed(_study_filter.fingerprint(material), material)
    _study_parts.answer(service.answer(view), service.second_sentence(view))
    _show_plot(material, view)
    _show_table(view)
    st.caption(service.caption(view))
    sentence = service.interchange_sentence(view)
    if sentence:
        st.markdown(sentence)
    _study_parts.statistics(
        partial(_statistics, _study_filter.fingerprint(material), material),
        key="variability",
        name=f"{material.study.code}-variability",
    )
    _study_parts.method(_method(material, view))


@st.cache_data(max_entries=16, show_spinner="Comparing the readers…")
def _computed(key: str, _material: StudyMaterial) -> Variability:
    return service.variability(_material)


@st.cache_data(max_entries=8, show_spinner="Computing every statistic…")
def _statistics(key: str, _material: StudyMaterial) -> Sequence[estimate_words.Estimate]:
    return service.every_statistic(_material)


def _show_plot(material: StudyMaterial, view: Variability) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        kind = st.segmented_control(
            "Plot", PLOTS, default=ALL, required=True, key="plot", label_visibility="collapsed",
            bind="query-params",
        )  # fmt: skip
        log, focus = False, None
        menu = _study_parts.menu_row()
        with menu:
            if kind == ALL:
                scale = st.segmented_control(
                    "Scale", ("Linear", "Log"), default="Linear", required=True, key="scale",
                    label_visibility="collapsed", bind="query-params",
                )  # fmt: skip
                log = scale == "Log"
                focus = st.selectbox(
                    "Highlight a reader", view.readers, index=None, placeholder="Highlight a reader",
                    key="highlight", label_visibility="collapsed", width=190, bind="query-params",
                )  # fmt: skip
    name = f"{material.study.code}-variability"
    note = f"n = {numbers.count(len(view.cases))} tumors, {numbers.count(len(view.readers))} readers"
    if kind == SHARES:
        _show_shares(view, name, note, menu)
    elif kind == BIAS:
        _show_biases(view, name, note, menu)
    elif kind == HEAT:
        _show_heat(view, name, note, menu)
    elif kind == SPREAD:
        _show_spread(material, view, name, note, menu)
    else:
        _show_columns(material, view, name, note, menu, log=log, focus=focus)


def _show_columns(
    material: StudyMaterial,
    view: Variability,
    name: str,
    note: str,
    menu: DeltaGenerator,
    *,
    log: bool,
    focus: str | None,
) -> None:
    shown = variability_drawn.columns_of(view)
    rows = [("case", "reader", "session", "percent")]
    _study_parts.plot(
        Plot(
            name=f"{name}-readings",
            title="Readings of each tumor",
            note=note,
            alt="A column per tumor with a dot for each reading, the panel’s median and the algorithm",
            draw=lambda mode: charts.columns(shown, mode=mode, log=log, focus=focus),
            rows=lambda: [*rows, *((dot.case, dot.reader, dot.session, dot.percent) for dot in view.dots)],
            click=partial(_study_parts.case_dialog, material),
        ),
        key="variability_columns",
        menu=menu,
    )


def _show_shares(view: Variability, name: str, note: str, menu: DeltaGenerator) -> None:
    if not view.shares:
        _study_parts.missing(view.shares_note)
        return
    rows = variability_drawn.share_bars(view)
    _study_parts.plot(
        Plot(
            name=f"{name}-shares",
            title="Where the spread of the readings comes from",
            note=f"{note}; variance components of log2(index + 0.1), REML",
            alt="Shares of the variance: tumors, readers, reader and tumor, not explained",
            draw=lambda mode: charts.bars(
                rows, mode=mode, x_title="Share of the variance, %", about_zero=False
            ),
            rows=lambda: [
                ("component", "share_percent", "variance", "low", "high"),
                *(
                    (share.name, 100 * share.share, share.estimate.value, share.estimate.ci_low,
                     share.estimate.ci_high)
                    for share in view.shares
                ),
            ],
        ),
        key="variability_shares",
        menu=menu,
    )  # fmt: skip
    if view.shares_note:
        _study_parts.missing(view.shares_note)


def _show_biases(view: Variability, name: str, note: str, menu: DeltaGenerator) -> None:
    if not view.biases:
        _study_parts.missing("Needs two readers who read the same tumors.")
        return
    ordered = sorted(view.biases, key=lambda each: -each.shrunken)
    rows = variability_drawn.bias_bars(view)
    _study_parts.plot(
        Plot(
            name=f"{name}-bias",
            title="Who reads high, who reads low",
            note=f"{note}; shrunken towards 0, 95 % limits for these readers",
            alt="The bias of each reader against all readers with its interval",
            draw=lambda mode: charts.bars(
                rows, mode=mode, x_title="Reader − all readers, points", about_zero=True
            ),
            rows=lambda: [
                ("reader", "mean_points", "shrunken_points", "low", "high", "n"),
                *((each.reader, each.mean, each.shrunken, each.low, each.high, each.n) for each in ordered),
            ],
        ),
        key="variability_bias",
        menu=menu,
    )


def _show_heat(view: Variability, name: str, note: str, menu: DeltaGenerator) -> None:
    _study_parts.plot(
        Plot(
            name=f"{name}-heat",
            title="Reading − panel median",
            note=f"{note}; points",
            alt="Each reader on each tumor against the panel’s median",
            draw=lambda mode: charts.heat(view.readers, view.cases, view.heat, mode=mode),
            rows=lambda: [
                ("reader", "case", "difference_points"),
                *(
                    (reader, case, float(view.heat[i, j]))
                    for i, reader in enumerate(view.readers)
                    for j, case in enumerate(view.cases)
                    if np.isfinite(view.heat[i, j])
                ),
            ],
        ),
        key="variability_heat",
        menu=menu,
    )


def _show_spread(
    material: StudyMaterial, view: Variability, name: str, note: str, menu: DeltaGenerator
) -> None:
    _study_parts.plot(
        Plot(
            name=f"{name}-spread",
            title="Spread between readers over the index",
            note=note,
            alt="The SD of the readings of a tumor over their mean",
            draw=lambda mode: charts.spread(view.case_means, view.case_sds, view.spread_cases, mode=mode),
            rows=lambda: [
                ("case", "mean_percent", "sd_points"),
                *zip(view.spread_cases, view.case_means.tolist(), view.case_sds.tolist(), strict=True),
            ],
            click=partial(_study_parts.case_dialog, material),
        ),
        key="variability_spread",
        menu=menu,
    )


def _show_table(view: Variability) -> None:
    """The table with the verdict of the first row."""
    rows = []
    for number, row in enumerate(view.rows):
        four = 4 if row.statistic.startswith("ICC") else 1
        value = row.note if row.estimate is None else estimate_words.value(row.estimate, decimals=four)
        limits = (
            "" if row.estimate is None else estimate_words.limits(row.estimate, decimals=four, between="–")
        )
        if row.estimate is not None and row.estimate.value is None:
            value, limits = row.note or row.estimate.message, ""
        rows.append((row.what, row.statistic, value, limits, _verdict(view) if number == 0 else ""))
    heads = ["Agreement", "Statistic", "Value", "95 % interval", f"Lower limit above {_criterion(view)}"]
    st.table(pd.DataFrame(rows, columns=heads), border="horizontal", hide_index=True)
    st.caption(view.verdict.sentence or view.verdict.message)


def _verdict(view: Variability) -> str:
    word = view.verdict.word
    if word is None:
        return ":gray-badge[no verdict]"
    icon, color = VERDICT_BADGES[word]
    return f":{color}-badge[{icon} {word}]"


def _criterion(view: Variability) -> str:
    return numbers.icc(view.verdict.criterion)


def _method(material: StudyMaterial, view: Variability) -> list[tuple[str, str]]:
    plan = material.plan
    left_out = "; ".join(f"{one.count} {one.what}: {one.why}" for one in material.exclusions)
    return [
        ("Scoring method", _study_filter.METHOD_WORDS[material.method]),
        ("Agreement of readers", "ICC(2,1): two-way random effects, absolute agreement, a single reading, F "
         "limits (McGraw and Wong 1996); the generalized-pivotal limit stands beside it"),
        ("Sessions", "The first session; the same reader again and the shares use every session"),
        ("Shares", "REML variance components of log2(index + 0.1)"),
        ("Reader bias", "Best linear unbiased prediction (Robinson 1991), cases and readers additive"),
        ("Algorithm and readers", "Mean absolute difference algorithm–reader minus reader–reader, two-way "
         "jackknife over patients and readers; speaks about the reader population"),
        ("Margin", "none set beforehand" if plan.margin_points is None else f"{plan.margin_points:g} points"),
        ("Left out", left_out or "none"),
        ("Seed", str(plan.seed)),
    ]  # fmt: skip


main()
