"""The analysis plan of a study: the form, what it is worth (when it was written), its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, get_args

import pandas as pd
import streamlit as st

from ki67.study import model_sets, plan_words
from ki67.study.plans import (
    AnalysisPlan,
    Comparison,
    PlanVersion,
    Reference,
    Scale,
    current_plan,
    plan_history,
    save_plan,
)
from ki67.study.readings import METHODS, list_readings
from ki67.study.studies import Study
from pages import _shell

Choice = TypeVar("Choice", bound=str)
NEWEST = "newest"


def show(study: Study) -> None:
    """The plan that holds, as a form; frozen plans ask for the reason of a change."""
    workplace, person = _shell.workplace(), _shell.person()
    version = current_plan(workplace, person, study.code)
    known = version.frozen if version else bool(list_readings(workplace, person, study.code))
    _standing(version, known=known)
    before = version.plan if version else plan_words.usual_plan(study.site)
    with st.form(f"plan_{study.code}_{version.version if version else 0}", border=True):
        plan = _conduct(_limits(_comparison(before)))
        reason = ""
        if known and version is not None:
            reason = st.text_input("Reason of this change", key="plan_reason")
        pressed = st.form_submit_button(
            "Save the plan" if version is None else "Save as a new version", type="primary", key="save_plan"
        )
    if pressed:
        with _shell.errors_in_words():
            save_plan(workplace, person, study.code, plan, reason=reason)
            st.rerun()


def show_history(study: Study) -> None:
    """Every version of the plan with what it changed."""
    versions = plan_history(_shell.workplace(), _shell.person(), study.code)
    if not versions:
        st.markdown("No plan was written yet.")
        return
    rows = []
    for earlier, version in zip((None, *versions[:-1]), versions, strict=True):
        rows.append(
            {
                "Version": version.version,
                "Written": _shell.local_time(version.at),
                "By": version.author,
                "When": plan_words.written_when(version),
                "Reason": version.reason or "–",
                "Changed": plan_words.changes(earlier.plan if earlier else None, version.plan),
            }
        )
    st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    st.caption("No version is ever changed or deleted. The last one holds.")


def _standing(version: PlanVersion | None, *, known: bool) -> None:
    """Badges and a line: not written, open, frozen; before or after the readings."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if version is None:
            st.badge("No plan yet", icon=":material/edit_note:", color="orange" if known else "gray")
        else:
            st.badge(f"Version {version.version}", color="gray")
            st.badge(
                "Frozen" if version.frozen else "Open",
                icon=":material/lock:" if version.frozen else ":material/lock_open:",
                color="gray",
            )
            if version.after_readings:
                st.badge("After the readings were known", icon=":material/warning:", color="orange")
            else:
                st.badge("Before the first reading", icon=":material/check_circle:", color="green")
        st.caption(plan_words.standing_sentence(version, known=known), width="content")


def _comparison(plan: AnalysisPlan) -> AnalysisPlan:
    st.subheader("Primary comparison", anchor=False)
    first, second, third = st.columns(3)
    with first:
        primary = _one_of("Comparison", get_args(Comparison), plan.primary)
        method = _one_of("Scoring method", METHODS, plan.method)
    with second:
        scale = _one_of("Scale", get_args(Scale), plan.scale, words=plan_words.SCALES)
        reference = _one_of("Reference of several readers", get_args(Reference), plan.reference)
    with third:
        icc = _one_of("Intraclass correlation", plan_words.ICCS, plan.icc)
        interval = _one_of("Its interval", ("F", "generalized pivotal"), plan.icc_interval)
    return replace(
        plan, primary=primary, method=method, scale=scale, reference=reference, icc=icc, icc_interval=interval
    )


def _limits(plan: AnalysisPlan) -> AnalysisPlan:
    st.subheader("Limits set beforehand", anchor=False)
    st.caption("Left empty: the estimate is given, and no verdict.")
    first, second, third, fourth = st.columns(4)
    with first:
        criterion = st.number_input("Lower limit of the ICC above", 0.0, 1.0, plan.criterion, 0.01)
    with second:
        margin = st.number_input(
            "Margin, points", value=plan.margin_points, step=0.5, placeholder="no margin",
            help="How much more the algorithm may differ from a reader than two readers from each other.",
        )  # fmt: skip
    with third:
        low = st.number_input(
            "Acceptable from, points", value=plan.acceptance_low_points, step=1.0, placeholder="open"
        )
    with fourth:
        high = st.number_input(
            "Acceptable to, points", value=plan.acceptance_high_points, step=1.0, placeholder="open"
        )
    left, right = st.columns(2)
    with left:
        cutoffs = st.text_input(
            "Cut-offs", plan.cutoffs, placeholder="those of the site",
            help="Upper border of each class: ≤5,<30 is typed as <=5,<30.",
        )  # fmt: skip
    with right:
        st.text_input("Readings that cannot be assessed", plan.not_assessable.capitalize(), disabled=True)
    exclusions = st.text_area("Exclusions, and why", plan.exclusions, height=68)
    return replace(
        plan,
        criterion=criterion,
        margin_points=margin,
        acceptance_low_points=low,
        acceptance_high_points=high,
        cutoffs=cutoffs.strip(),
        exclusions=exclusions.strip(),
    )


def _conduct(plan: AnalysisPlan) -> AnalysisPlan:
    st.subheader("How it is done", anchor=False)
    left, right = st.columns(2)
    with left:
        size = st.text_area("Why this number of cases and readers", plan.sample_size_rationale, height=68)
        blinding = st.text_area("Blinding of the readers", plan.blinding, height=68)
    with right:
        clinical = st.text_area("Clinical information shown to them", plan.clinical_information, height=68)
        names = [entry.name for entry in model_sets.list_model_sets(_shell.workplace(), _shell.person())]
        options = list(dict.fromkeys((NEWEST, *names, plan.model_set or NEWEST)))
        model_set = _one_of("Model set of the algorithm", options, plan.model_set or NEWEST)
    first, second, third = st.columns(3)
    with first:
        washout = st.number_input(
            "Washout, days", min_value=0, value=plan.washout_days, step=1, placeholder="one session"
        )
    with second:
        seed = st.number_input("Seed", min_value=0, value=plan.seed, step=1)
    with third:
        draws = st.number_input("Bootstrap draws", min_value=100, value=plan.bootstrap, step=500)
    return replace(
        plan,
        sample_size_rationale=size.strip(),
        blinding=blinding.strip(),
        clinical_information=clinical.strip(),
        model_set="" if model_set == NEWEST else model_set,
        washout_days=washout,
        seed=seed,
        bootstrap=draws,
    )


def _one_of(
    label: str, options: Sequence[Choice], now: Choice, *, words: Mapping[str, str] | None = None
) -> Choice:
    """A select box that is never empty."""
    shown = list(options)
    chosen = st.selectbox(
        label, shown, index=shown.index(now) if now in shown else 0,
        format_func=lambda each: (words or {}).get(each, each[:1].upper() + each[1:]),
    )  # fmt: skip
    return chosen if chosen is not None else now
