"""Cut-offs: the algorithm and the panel in classes, who moves, and which cases lie near a border."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ki67 import charts_cutoffs as charts
from ki67 import numbers
from ki67.study import cutoff_cases, cutoff_words, estimate_words
from ki67.study import cutoffs as service
from ki67.study.cutoff_cases import NearCases
from ki67.study.cutoffs import ALGORITHM, PANEL, CellCase, ClassBorders, ClassView, Question
from ki67.study.material import StudyMaterial
from pages import _report_button, _shell, _study_filter, _study_parts
from pages._study_parts import Plot

MATRIX, FLOW, NEAR = "Confusion matrix", "Reclassification", "Near a cut-off"
TABLE_HEIGHT_PX = 420


def main() -> None:
    """Draw the page from top to bottom."""
    head = _study_parts.head("Cut-offs")
    material = _study_filter.show()
    if material is None:
        return
    _study_parts.plan_badge(head.badges, material, primary=False)
    _report_button.show(head.actions, material)
    choices = service.class_borders(material)
    if not choices:
        _no_cutoffs(material)
        return
    answer_place = st.container()
    kind, question, menu = _controls(material, choices)
    view = _computed(_study_filter.fingerprint(material), question, material)
    near = _near(_study_filter.fingerprint(material), question, material) if kind == NEAR else None
    with answer_place:
        _study_parts.answer(*([cutoff_words.near_answer(near)] if near else cutoff_words.answer(view)))
        _study_parts.warnings((*view.warnings, *(near.withheld if near else ())))
    if near is not None:
        _show_near(material, near, question, menu)
    elif view.table is None:
        _study_parts.missing(view.lacking)
    else:
        _show_two(material, view, kind, menu)
    _study_parts.statistics(
        partial(_statistics, _study_filter.fingerprint(material), question, material),
        key="cutoffs",
        name=f"{material.study.code}-cutoffs",
    )
    _study_parts.method(cutoff_words.method_rows(view, material))


@st.cache_data(max_entries=16, show_spinner="Sorting into classes…")
def _computed(key: str, question: Question, _material: StudyMaterial) -> ClassView:
    """`key` is the fingerprint of the material."""
    return service.in_classes(_material, question)


@st.cache_data(max_entries=8, show_spinner="Computing every statistic…")
def _statistics(key: str, question: Question, _material: StudyMaterial) -> Sequence[estimate_words.Estimate]:
    return service.every_statistic(_material, question)


@st.cache_data(max_entries=16, show_spinner="Weighing each side of the cut-offs…")
def _near(key: str, question: Question, _material: StudyMaterial) -> NearCases:
    counted = cutoff_cases.counted_cases(_shell.workplace(), _shell.person(), _material)
    return cutoff_cases.near_cutoffs(_material, counted, question.borders.cutoffs)


def _no_cutoffs(material: StudyMaterial) -> None:
    st.header(f"Study {_shell.escaped(material.study.code)} has no cut-offs yet.", anchor=False)
    st.markdown(
        f"For {material.study.site} there are no agreed classes: the analysis plan of the study sets its "
        "own, such as `<=5,<30`, under Manage, Studies."
    )


def _controls(
    material: StudyMaterial, choices: tuple[ClassBorders, ...]
) -> tuple[str, Question, DeltaGenerator]:
    """Which plot, and the row of what belongs to it: the classes and who is compared."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        kind = st.segmented_control(
            "Plot", (MATRIX, FLOW, NEAR), default=MATRIX, required=True, key="cutoffs_plot",
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
        menu = _study_parts.menu_row()
        with menu:
            borders = _borders(choices)
            if kind == NEAR:
                return NEAR, Question(borders), menu
            compared = st.selectbox(
                "Columns", (ALGORITHM, *material.readers), key="columns", format_func=_name, width=150,
                label_visibility="collapsed", bind="query-params",
            )  # fmt: skip
            st.markdown(":gray[against]", width="content")
            reference = st.selectbox(
                "Rows", (PANEL, *material.readers), key="rows", format_func=_name, width=150,
                label_visibility="collapsed", bind="query-params",
            )  # fmt: skip
    return kind or MATRIX, Question(borders, reference or PANEL, compared or ALGORITHM), menu


def _borders(choices: tuple[ClassBorders, ...]) -> ClassBorders:
    if len(choices) == 1:
        return choices[0]
    by_name = {each.name: each for each in choices}
    name = st.selectbox(
        "Classes", list(by_name), key="classes", width=170, label_visibility="collapsed", bind="query-params"
    )
    return by_name.get(name or "", choices[0])


def _name(code: str) -> str:
    return {ALGORITHM: "Algorithm", PANEL: "Panel"}.get(code, f"Reader {code}")


def _show_two(material: StudyMaterial, view: ClassView, kind: str, menu: DeltaGenerator) -> None:
    """The counts of two as cells or as a flow, with the table that belongs to it."""
    table = view.table
    if table is None:
        return
    size = range(len(table.categories))
    shown = charts.Matrix(
        reference=service.capital(view.reference_words),
        compared=service.capital(view.compared_words),
        classes=table.categories,
        counts=table.counts,
        shares=table.row_shares(),
        keys=tuple(tuple(f"{row},{column}" for column in size) for row in size),
        of_algorithm=view.question.compared == ALGORITHM,
    )
    is_matrix = kind == MATRIX
    _study_parts.plot(
        Plot(
            name=f"{material.study.code}-{'classes' if is_matrix else 'reclassified'}",
            title=f"{shown.compared} and {shown.reference.lower()} in classes",
            note=f"n = {numbers.count(table.n)} tumors; {view.question.borders.name}",
            alt="How many tumors both put into each pair of classes",
            draw=lambda mode: (charts.confusion if is_matrix else charts.flow)(shown, mode=mode),
            rows=lambda: [
                (view.reference_words, view.compared_words, "tumors"),
                *(
                    (table.categories[row], table.categories[column], table.counts[row][column])
                    for row in size
                    for column in size
                ),
            ],
            click=partial(_open_cell, material, view) if is_matrix else None,
        ),
        key=f"cutoffs_{kind}",
        menu=menu,
    )
    rows = (*view.kappas, *view.among_readers) if is_matrix else view.moves
    frame = pd.DataFrame(cutoff_words.rows(rows), columns=cutoff_words.COLUMNS)
    st.table(frame, border="horizontal", hide_index=True)
    left_out = f" {table.excluded} without one of the two." if table.excluded else ""
    per_cent = " Per cent: of the row." if is_matrix else ""
    st.caption(f"n = {numbers.count(table.n)} tumors.{left_out}{per_cent}")


def _open_cell(material: StudyMaterial, view: ClassView, key: str) -> None:
    row, column = (int(part) for part in key.split(","))
    cases = view.cells[row][column]
    if len(cases) == 1:
        _study_parts.case_dialog(material, cases[0].code)
    elif cases:
        _cell(view, cases, row, column)


@st.dialog("Tumors of a cell", width="medium")
def _cell(view: ClassView, cases: tuple[CellCase, ...], row: int, column: int) -> None:
    """The cases that both put into this pair of classes."""
    names = view.question.borders.cutoffs.words
    st.markdown(
        f"{service.capital(view.reference_words)}: **{_shell.escaped(names[row])}**, "
        f"{view.compared_words}: **{_shell.escaped(names[column])}**"
    )
    heads = [
        "Case",
        *(f"{service.capital(words)}, %" for words in (view.reference_words, view.compared_words)),
    ]
    rows = [
        (
            case.code,
            *(numbers.decimal(one, decimals=1) for one in (case.reference_percent, case.compared_percent)),
        )
        for case in cases
    ]
    st.dataframe(
        pd.DataFrame(rows, columns=heads),
        hide_index=True,
        height=min(TABLE_HEIGHT_PX, 38 + 35 * len(cases)),
        alt="The cases of this cell",
        column_config=_study_parts.at_the_right(heads[1:]),
    )


def _show_near(material: StudyMaterial, near: NearCases, question: Question, menu: DeltaGenerator) -> None:
    """The cases near a cut-off with the probability of each side."""
    if not near.rows:
        return
    _near_plot(material, near, question, menu)
    frame = pd.DataFrame(cutoff_words.near_rows(near), columns=cutoff_words.NEAR_COLUMNS)
    st.dataframe(
        frame,
        hide_index=True,
        height=min(TABLE_HEIGHT_PX, 38 + 35 * len(frame)),
        alt="The cases near a cut-off with the probability of each side",
        column_config=_study_parts.at_the_right(cutoff_words.NEAR_COLUMNS[1:7]),
    )
    st.caption(
        f"n = {numbers.count(near.counted)} tumors with counts of nuclei"
        + (f", {numbers.count(near.uncounted)} imported without." if near.uncounted else ".")
        + " Below and above: where annotators would put the index. Bar: counting; line: with model error."
    )


def _near_plot(material: StudyMaterial, near: NearCases, question: Question, menu: DeltaGenerator) -> None:
    spans: dict[str, charts.Span] = {}
    for row in near.rows:
        sampling, total = row.case.sampling, row.total
        spans.setdefault(
            row.case.code,
            charts.Span(
                row.case.code,
                100 * row.case.index,
                (100 * sampling.low, 100 * sampling.high),
                None if total is None else (100 * total.low, 100 * total.high),
                cutoff_words.near_label(row),
            ),
        )
    shown = sorted(spans.values(), key=lambda span: span.percent)
    cutoffs = [float(border.percent) for border in question.borders.cutoffs.borders]
    _study_parts.plot(
        Plot(
            name=f"{material.study.code}-near-cutoffs",
            title="Tumors near a cut-off",
            note=f"n = {numbers.count(len(shown))} of {numbers.count(near.counted)} tumors; 95 % intervals",
            alt="The index of each tumor near a cut-off with its intervals",
            draw=lambda mode: charts.near(shown, cutoffs, mode=mode),
            rows=lambda: [cutoff_words.NEAR_COLUMNS, *cutoff_words.near_rows(near)],
            click=partial(_study_parts.case_dialog, material),
        ),
        key="cutoffs_near",
        menu=menu,
    )


main()
