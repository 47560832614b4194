"""Why do we differ? The difference between readers and algorithm as region, tumor mask and calls."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from ki67 import charts_variability as charts
from ki67 import numbers
from ki67.study import differences as service
from ki67.study.differences import Differences, PartShare, Split
from ki67.study.material import StudyMaterial
from pages import _report_button, _shell, _study_filter, _study_parts, _where
from pages._study_parts import Plot

NUMBERS = ("Reader, %", "Algorithm, %", "Difference", "Region", "Tumor mask", "Calls")
NAMES = {"region": "Region", "tumor mask": "Tumor mask", "calls": "Calls"}


def main() -> None:
    """Draw the page from top to bottom."""
    head = _study_parts.head("Why do we differ?")
    material = _study_filter.show()
    if material is None:
        return
    _study_parts.plan_badge(head.badges, material, primary=False)
    _report_button.show(head.actions, material)
    if not material.algorithm:
        _study_parts.answer("No tumor of this study has a result of the algorithm yet.")
        _study_parts.missing("Score the pictures of its cases; a case is known by its case code.")
        return
    view = _computed(_study_filter.fingerprint(material), material)
    _study_parts.answer(_answer(view), _second(view))
    if view.shares:
        _study_parts.plot(_shares(material, view), key="differ_shares")
    _show_worst(material, view)
    _study_parts.method(_method(material, view))


@st.cache_data(max_entries=8, show_spinner="Counting again inside each reader’s region…")
def _computed(key: str, _material: StudyMaterial) -> Differences:
    return service.differences(_shell.workplace(), _shell.person(), _material)


def _answer(view: Differences) -> str:
    """The largest part first."""
    if not view.splits:
        return "No reading can be set beside the algorithm yet."
    if not view.shares:
        return "No reader gave a region, so the region’s part cannot be told."
    parts = [
        f"{NAMES[share.name].lower()} **{_percent(share.share)}**{_limits(share)}"
        for share in sorted(view.shares, key=lambda each: -each.share)
    ]
    return f"What separates readers and algorithm: {', '.join(parts)}."


def _second(view: Differences) -> str:
    words = [f"{_study_parts.counted(view.with_region, 'reading')} with a region"]
    if view.patients:
        words[0] += f" of {_study_parts.counted(view.patients, 'patient')}"
    if view.without_region:
        words.append(f"{numbers.count(view.without_region)} without: there the region’s part is in the calls")
    if view.without_result:
        words.append(f"{numbers.count(view.without_result)} on tumors that are not scored yet")
    if view.not_split:
        words.append(f"{numbers.count(view.not_split)} whose region holds no nucleus found")
    return "; ".join(words) + "."


def _shares(material: StudyMaterial, view: Differences) -> Plot:
    rows = [
        charts.Bar(
            NAMES[share.name],
            100 * share.share,
            None if share.low is None else 100 * share.low,
            None if share.high is None else 100 * share.high,
            f"{_percent(share.share)}{_limits(share)}",
        )
        for share in view.shares
    ]
    return Plot(
        name=f"{material.study.code}-why-we-differ",
        title="What separates readers and algorithm",
        note=f"n = {numbers.count(view.with_region)} readings with a region",
        alt="Shares of region, tumor mask and calls in the differences between readers and algorithm",
        draw=lambda mode: charts.bars(
            rows, mode=mode, x_title="Share of the difference, %", about_zero=False
        ),
        rows=lambda: [
            ("part", "share_percent", "low", "high", "mean_points"),
            *(
                (share.name, 100 * share.share, share.low, share.high, share.mean_points)
                for share in view.shares
            ),
        ],
    )


def _show_worst(material: StudyMaterial, view: Differences) -> None:
    """The ten cases to look at, each with its sentence and a way to the picture."""
    worst = view.worst()
    if not worst:
        return
    st.subheader("Tumors to look at", anchor=False)
    frame = pd.DataFrame([_row(split) for split in worst], columns=["Case", "Reader", *NUMBERS])
    chosen = st.dataframe(
        frame,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="differ_worst",
        alt="The readings farthest from the algorithm, one a case, in points",
        column_config=_study_parts.at_the_right(NUMBERS),
    )
    picked = chosen["selection"]["rows"] if isinstance(chosen, dict) else []
    if picked:
        _show_split(material, worst[picked[0]])
    else:
        st.caption("Differences in points, reader minus algorithm. Choose a row to see the case.")


def _show_split(material: StudyMaterial, split: Split) -> None:
    st.markdown(_shell.escaped(split.sentence()))
    if split.uncovered > 1 - service.COVERED_ENOUGH:
        share = _percent(split.uncovered)
        _study_parts.warnings(
            [f"Step 2 was not run on {share} of this tissue: without the mask, nuclei there are missing."]
        )
    with st.container(horizontal=True):
        if st.button("Open the result", icon=":material/open_in_new:", key="differ_open"):
            _where.go_to_result(split.result_code)
        st.button(
            "Show the readings",
            icon=":material/groups:",
            key="differ_case",
            on_click=partial(_study_parts.case_dialog, material, split.case_code),
        )


def _row(split: Split) -> tuple[str, ...]:
    return (
        split.case_code,
        split.reader,
        numbers.decimal(split.reader_percent, decimals=1),
        numbers.decimal(split.algorithm_percent, decimals=1),
        numbers.decimal(split.difference, decimals=1),
        "no region" if split.region is None else numbers.decimal(split.region, decimals=1),
        numbers.decimal(split.mask, decimals=1),
        numbers.decimal(split.calls, decimals=1),
    )


def _method(material: StudyMaterial, view: Differences) -> list[tuple[str, str]]:
    return [
        ("Scoring method", _study_filter.METHOD_WORDS[material.method]),
        ("Region", "the algorithm counted again inside the reader’s region, from the stored nuclei"),
        ("Tumor mask", "counted again without the tumor mask"),
        ("Order", "averaged over region first and mask first (Shapley 1953): the parts add up exactly"),
        ("Calls", "what is left: nuclei found or missed, positive or negative"),
        ("Shares", f"sums of absolute parts; bootstrap over patients, {numbers.count(view.draws)} draws"),
        ("Seed", str(view.seed)),
    ]


def _percent(share: float) -> str:
    return f"{numbers.decimal(100 * share, decimals=0)} %"


def _limits(share: PartShare) -> str:
    if share.low is None or share.high is None:
        return ""
    low, high = (numbers.decimal(100 * each, decimals=0) for each in (share.low, share.high))
    return f" ({low}–{high})"


main()
