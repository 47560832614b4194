"""Agreement: the algorithm beside one reader, one reader beside another, the algorithm and the panel."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ki67.errors import Ki67Error
from ki67.study import agreement, agreement_words
from ki67.study.agreement import AgreementView, Question
from ki67.study.agreement_rows import Scale
from ki67.study.material import StudyMaterial
from pages import _agreement_plots, _agreement_tables, _report_button, _shell, _study_filter, _study_parts

ONE_READER, PANEL, SCATTER = "One reader", "Panel", "Scatter"
VERDICTS: dict[str, tuple[str, Literal["green", "red", "orange"]]] = {
    "passes": (":material/check:", "green"),
    "does not pass": (":material/close:", "red"),
    "borderline": (":material/contrast:", "orange"),
}


def show() -> None:
    """Title, filter, answer, one plot and its table, the rest folded."""
    head = _study_parts.head("Agreement")
    try:
        material = _study_filter.show()
    except Ki67Error as error:
        _shell.show_error(str(error))
        return
    if material is None:
        return
    answer_place = st.container()
    shown, menu = _controls(material)
    question = _question(material)
    _study_parts.plan_badge(head.badges, material, primary=_is_primary(material, question))
    _report_button.show(head.actions, material)
    view = _view(_study_filter.fingerprint(material), question, material)
    with answer_place:
        _answer(view, material)
    _body(shown, view, material, menu)
    _study_parts.statistics(
        lambda: agreement.every_statistic(material, question),
        key="agreement",
        name=f"{material.study.code}_agreement_statistics",
    )
    _study_parts.method(agreement_words.method_rows(view, material))


@st.cache_data(max_entries=32, show_spinner="Computing the limits…")
def _view(key: str, question: Question, _material: StudyMaterial) -> AgreementView:
    """`key` is the fingerprint of the material."""
    return agreement.agreement(_material, question)


def _answer(view: AgreementView, material: StudyMaterial) -> None:
    words = agreement_words.answer(view, material.plan.primary)
    _study_parts.answer(words.first, words.second)
    verdict = agreement_words.acceptance(view, material)
    if verdict is not None:
        icon, color = VERDICTS[verdict[0]]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(verdict[0], icon=icon, color=color)
            st.markdown(verdict[1], width="content")
    _study_parts.warnings(view.warnings)


def _controls(material: StudyMaterial) -> tuple[str, DeltaGenerator]:
    """Which plot, and the row of what belongs to it: the reader compared, the level and the scale."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        shown = st.segmented_control(
            "Plot", (ONE_READER, PANEL, SCATTER), default=ONE_READER, required=True, key="view",
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
        menu = _study_parts.menu_row()
        with menu:
            if shown == PANEL:
                st.selectbox(
                    "Compare a reader", material.readers, key="compared", width=180, index=None,
                    placeholder="Compare a reader", label_visibility="collapsed", bind="query-params",
                )  # fmt: skip
            with st.popover("Scale", icon=":material/straighten:"):
                st.selectbox(
                    "Limits on this scale", [None, *agreement_words.SCALE_WORDS], key="scale",
                    format_func=lambda scale: agreement_words.SCALE_WORDS.get(scale, "As planned or advised"),
                )  # fmt: skip
                st.number_input(
                    "Told at an index of, %", min_value=0.1, max_value=100.0, value=None, step=1.0,
                    key="level", placeholder="20", format="%.4g", bind="query-params",
                )  # fmt: skip
    return shown or ONE_READER, menu


def _question(material: StudyMaterial) -> Question:
    scale: Scale | None = st.session_state.get("scale")
    reader = st.session_state.get("compared")
    return Question(
        level=st.session_state.get("level"),
        scale=scale,
        reader=reader if reader in material.readers else None,
    )


def _is_primary(material: StudyMaterial, question: Question) -> bool:
    """Whether this is what the plan says: its method and scale; every session, reader and case."""
    chosen = material.selection
    whole = not (chosen.sessions or chosen.readers or chosen.without_cases)
    return whole and material.method == material.plan.method and question.scale in (None, material.plan.scale)


def _body(shown: str, view: AgreementView, material: StudyMaterial, menu: DeltaGenerator) -> None:
    """The chosen plot and its table; `menu` takes the plot's export."""
    if shown == SCATTER:
        if view.scatter is None:
            _study_parts.missing("A scatter needs results of the algorithm and a reading of the same case.")
            return
        _agreement_plots.scatter(view, material, menu)
        _agreement_tables.figures(agreement_words.scatter_rows(view.scatter))
        st.markdown(agreement_words.proportional_sentence(view.scatter))
        return
    if shown == PANEL:
        compared = view.left_out or ((view.panel,) if view.panel else ())
        if not compared:
            _study_parts.missing("A panel needs two readers and results of the algorithm.")
            return
        _agreement_plots.limits(view, compared, material, menu, key="panel")
        _agreement_tables.comparisons(view, compared)
        _agreement_tables.closeness(_study_filter.fingerprint(material), material)
        st.caption(agreement_words.size_caption(view, compared))
        return
    rows = tuple(each for each in (view.one_reader, view.readers) if each is not None)
    if not rows:
        _study_parts.missing("Limits need results of the algorithm, or two readers of the same cases.")
        return
    _agreement_plots.limits(view, rows, material, menu, key="one_reader", beside=view.panel)
    _agreement_tables.comparisons(view, (*rows, *((view.panel,) if view.panel else ())))
    st.caption(f"{agreement_words.size_caption(view, rows)} {agreement_words.target_caption(view)}")


show()
