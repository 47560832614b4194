"""Planning: how many tumors a study needs, and what a whole study may expect; needs no data."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ki67 import charts_planning as charts
from ki67 import numbers
from ki67.study import planning as service
from ki67.study.planning import (
    Cutoffs,
    IccQuestion,
    KappaQuestion,
    LimitsQuestion,
    Sizes,
    StudyDesign,
    StudyForecast,
    Weighting,
)
from pages import _shell, _study_parts
from pages._study_parts import Plot

LIMITS, ICC, KAPPA, STUDY = "Limits of agreement", "ICC", "Kappa", "Whole study"
TITLES = {"limits": LIMITS.lower(), "icc": ICC, "kappa": KAPPA.lower()}
WEIGHTINGS: tuple[Weighting, ...] = ("unweighted", "linear weights", "quadratic weights")
POINTS = "points"
ASKED = "planning_asked"
Asked = tuple[StudyDesign, int, int]


def main() -> None:
    """Draw the page from top to bottom."""
    _study_parts.head("Planning")
    kind = st.segmented_control(
        "What is planned", (LIMITS, ICC, KAPPA, STUDY), default=LIMITS, required=True, key="planning",
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    with _shell.errors_in_words():
        if kind == ICC:
            _icc()
        elif kind == KAPPA:
            _kappa()
        elif kind == STUDY:
            _study()
        else:
            _limits()


def _limits() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mean = _number("Mean expected, points", "limits_mean", 0.0, low=-50.0, high=50.0, step=0.5)
        sd = _number("SD of differences, points", "limits_sd", 5.0, low=0.1, high=50.0, step=0.5)
        accepted = _number("Accepted, ± points", "limits_accepted", 15.0, low=0.5, high=100.0, step=0.5)
        power = _power("limits_power")
    sizes = _limits_sizes(LimitsQuestion(mean, sd, accepted, power))
    _show(sizes, key="limits")
    _study_parts.method(
        [
            ("Exact test", "Shieh 2020: the central 95 % of the differences within the accepted limits, 5 %"),
            (
                "Both limits",
                "Lu 2016: the 95 % intervals of both limits of agreement within the accepted ones",
            ),
            ("Differences", "Normal, one pair a tumor: algorithm and panel, or algorithm and one reader"),
        ]
    )


def _icc() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        expected = _number("ICC expected", "icc_expected", 0.90, low=0.05, high=0.99, step=0.01)
        exceeded = _number("ICC to exceed", "icc_exceeded", 0.80, low=0.0, high=0.98, step=0.01)
        readers = _count("Readers of each tumor", "icc_readers", 10, low=2, high=200)
        width = _number("Width of the interval", "icc_width", 0.10, low=0.01, high=1.0, step=0.01)
        power = _power("icc_power")
    sizes = _icc_sizes(IccQuestion(expected, exceeded, readers, width, power))
    _show(sizes, key="icc", start=f"With {readers} readers of each tumor")
    _study_parts.method(
        [
            ("Lower limit", "Walter, Eliasziw and Donner 1998: one-sided F test at 5 %"),
            ("Width", "Bonett 2002: from limit to limit of the 95 % interval"),
            (
                "Both",
                "For one-way ICCs: tumors each with their own readers. The same readers throughout: simulate "
                "the whole study, where few readers widen the interval however many tumors there are",
            ),
        ]
    )


def _kappa() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        expected = _number("Kappa expected", "kappa_expected", 0.70, low=0.0, high=0.99, step=0.05)
        width = _number("Width of the interval", "kappa_width", 0.20, low=0.02, high=1.5, step=0.05)
        shares = st.text_input(
            "Share of each class, %", "30, 45, 25", key="kappa_shares", width=190, bind="query-params"
        )
        weighting = st.selectbox("Weights", WEIGHTINGS, key="kappa_weights", width=190, bind="query-params")
        classes = service.shares_of(shares)
        exceeded, power = 0.0, 0.8
        if len(classes) == 2:
            exceeded = _number("Kappa to differ from", "kappa_exceeded", 0.40, low=0.0, high=0.98, step=0.05)
            power = _power("kappa_power")
    asked = KappaQuestion(expected, exceeded, classes, width, weighting or "unweighted", power)
    _show(_kappa_sizes(asked), key="kappa")
    _study_parts.method(
        [
            ("Width", "Fleiss, Cohen and Everitt 1969: the standard error of Cohen’s kappa of two readers"),
            ("Classes", "Both readers use them alike and agree beyond chance in the same measure in each"),
            ("Test", "Donner and Eliasziw 1992, two classes only"),
        ]
    )


def _study() -> None:
    asked = _study_form()
    found = _forecast(*asked)
    _study_parts.answer(*service.forecast_answer(found))
    _forecast_plot(found)
    frame = pd.DataFrame(service.forecast_rows(found), columns=service.FORECAST_COLUMNS)
    st.table(frame, border="horizontal", hide_index=True)
    st.caption(
        f"Means over {numbers.count(found.draws)} simulated studies, seed {found.seed}; points at an index "
        f"of {found.design.points_at_percent:g} %."
    )
    _study_parts.method(_study_method(found.design))


def _study_form() -> Asked:
    """The design asked for last, that of the form at first."""
    with st.form("study_form", border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            cases = _count("Tumors", "study_cases", 50, low=2, high=5000)
            readers = _count("Readers", "study_readers", 10, low=2, high=200)
            sessions = _count("Sessions", "study_sessions", 1, low=1, high=5)
            median = _number("Median index, %", "study_median", 15.0, low=0.1, high=100.0, step=1.0)
            cutoffs = st.text_input("Cut-offs", "<=5,<30", key="study_cutoffs", width=130)
            criterion = _number("ICC to exceed", "study_criterion", 0.80, low=0.01, high=0.99, step=0.01)
        spreads = _spreads()
        with st.container(horizontal=True, vertical_alignment="bottom"):
            draws = _count("Studies to simulate", "study_draws", 100, low=10, high=2000)
            seed = _count("Seed", "study_seed", 0, low=0, high=2**31 - 1)
            wanted = st.form_submit_button("Simulate", type="primary", icon=":material/play_arrow:")
    if wanted or ASKED not in st.session_state:
        borders: Cutoffs | None = service.parse_cutoffs(cutoffs) if cutoffs.strip() else None
        design = StudyDesign(
            cases, readers, sessions, median, **spreads, cutoffs=borders, criterion=criterion
        )
        st.session_state[ASKED] = (design, draws, seed)
    asked: Asked = st.session_state[ASKED]
    return asked


def _spreads() -> dict[str, float]:
    """The components of the spread, SDs of natural logarithms."""
    with st.expander("Spread of tumors, readers and algorithm", type="compact"):
        st.caption("Standard deviations of the natural logarithm: 0.35 is about ± 35 % of the index.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            return {
                "case_sd": _number("Tumors", "study_case_sd", 1.2, low=0.0, high=5.0, step=0.05),
                "reader_sd": _number("Readers", "study_reader_sd", 0.35, low=0.0, high=5.0, step=0.05),
                "case_reader_sd": _number(
                    "Reader and tumor", "study_both_sd", 0.25, low=0.0, high=5.0, step=0.05
                ),
                "residual_sd": _number(
                    "Same reader again", "study_rest_sd", 0.374, low=0.0, high=5.0, step=0.05
                ),
                "algorithm_sd": _number("Algorithm", "study_machine_sd", 0.35, low=0.0, high=5.0, step=0.05),
                "algorithm_bias": _number(
                    "Algorithm’s bias", "study_bias", 0.0, low=-2.0, high=2.0, step=0.05
                ),
            }


def _study_method(design: StudyDesign) -> list[tuple[str, str]]:
    return [
        (
            "Readings",
            "Log-normal: tumor, reader, reader and tumor, and the same reader again; cut at 100 %",
        ),
        (
            "SDs of the natural logarithm",
            f"tumors {design.case_sd:g}, readers {design.reader_sd:g}, reader and tumor "
            f"{design.case_reader_sd:g}, same reader again {design.residual_sd:g}, algorithm "
            f"{design.algorithm_sd:g}; bias of the algorithm "
            f"{numbers.decimal(design.algorithm_bias, decimals=2)}",
        ),
        ("Median index", f"{design.median_percent:g} %"),
        ("Statistics", "Those of the pages Agreement, Variability and Cut-offs, on log2(index + 0.1)"),
        ("Classes", "none" if design.cutoffs is None else "; ".join(design.cutoffs.words)),
    ]


def _show(sizes: Sizes, *, key: str, start: str = "") -> None:
    """Answer, plot and table of one sample size."""
    _study_parts.answer(service.sizes_answer(sizes, start), sizes.note)
    if sizes.curves:
        lines = [charts.Line(each.name, each.x, each.y) for each in sizes.curves]
        found = sorted({float(row.tumors) for row in sizes.rows if row.tumors is not None})
        at = found if sizes.x_title.startswith("Tumors") else []
        _study_parts.plot(
            Plot(
                name=f"planning-{key}",
                title=f"Sample size: {TITLES[key]}",
                note=f"{sizes.y_title} over {sizes.x_title.lower()}",
                alt=f"{sizes.y_title} over {sizes.x_title.lower()}",
                draw=lambda mode: charts.curves(
                    lines, mode=mode, x_title=sizes.x_title, y_title=sizes.y_title, wanted=sizes.wanted, at=at
                ),
                rows=lambda: [
                    ("curve", sizes.x_title, sizes.y_title),
                    *((line.name, x, y) for line in lines for x, y in zip(line.x, line.y, strict=True)),
                ],
            ),
            key=f"planning_{key}",
        )
    rows = [
        (
            row.purpose[:1].upper() + row.purpose[1:],
            "–" if row.tumors is None else numbers.count(row.tumors),
            row.why or row.method,
        )
        for row in sizes.rows
    ]
    st.table(
        pd.DataFrame(rows, columns=["What for", "Tumors", "Method"]), border="horizontal", hide_index=True
    )


def _forecast_plot(found: StudyForecast) -> None:
    rows = [
        charts.Expected(service.figure_words(each), each.unit, each.value, each.low, each.high)
        for each in found.intervals
        if each.value is not None
        and each.low is not None
        and each.high is not None
        and each.unit in (POINTS, *service.COEFFICIENTS)
    ]
    design = found.design
    _study_parts.plot(
        Plot(
            name="planning-study",
            title="Intervals to be expected",
            note=f"{design.cases} tumors, {design.readers} readers; {found.draws} studies, seed {found.seed}",
            alt="The expected value of each figure with its expected 95 % interval",
            draw=lambda mode: charts.expected(rows, mode=mode, points=POINTS),
            rows=lambda: [service.FORECAST_COLUMNS, *service.forecast_rows(found)],
        ),
        key="planning_study",
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _limits_sizes(asked: LimitsQuestion) -> Sizes:
    return service.limits_sizes(asked)


@st.cache_data(max_entries=64, show_spinner=False)
def _icc_sizes(asked: IccQuestion) -> Sizes:
    return service.icc_sizes(asked)


@st.cache_data(max_entries=64, show_spinner=False)
def _kappa_sizes(asked: KappaQuestion) -> Sizes:
    return service.kappa_sizes(asked)


@st.cache_data(max_entries=16, show_spinner="Simulating studies…")
def _forecast(design: StudyDesign, draws: int, seed: int) -> StudyForecast:
    return service.forecast(design, draws=draws, seed=seed)


def _number(label: str, key: str, value: float, *, low: float, high: float, step: float) -> float:
    return float(
        st.number_input(
            label, min_value=low, max_value=high, value=value, step=step, key=key, width=150, format="%.4g",
            bind="query-params",
        )
    )  # fmt: skip


def _count(label: str, key: str, value: int, *, low: int, high: int) -> int:
    return int(
        st.number_input(
            label, min_value=low, max_value=high, value=value, step=1, key=key, width=150,
            bind="query-params",
        )
    )  # fmt: skip


def _power(key: str) -> float:
    """The chance to show it, typed in per cent, given as a fraction."""
    return _number("Chance to show it, %", key, 80.0, low=50.0, high=99.0, step=5.0) / 100


main()
