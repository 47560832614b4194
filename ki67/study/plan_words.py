"""The analysis plan in words: what it sets, when it was written, what a version changed."""

from __future__ import annotations

import dataclasses

from ki67.sites import index_kind
from ki67.study.plans import AnalysisPlan, PlanVersion
from ki67.types import Site

SCALES = {"log2(x+0.1)": "Log2 (index + 0.1)", "raw": "Index in percent"}
ICCS = ("ICC(2,1)", "ICC(1,1)", "ICC(3,1)")
LABELS: dict[str, str] = {
    "primary": "Comparison",
    "method": "Scoring method",
    "scale": "Scale",
    "icc": "Intraclass correlation",
    "icc_interval": "Interval of the ICC",
    "criterion": "Lower limit of the ICC above",
    "reference": "Reference of several readers",
    "margin_points": "Margin, points",
    "acceptance_low_points": "Acceptable from, points",
    "acceptance_high_points": "Acceptable to, points",
    "cutoffs": "Cut-offs",
    "exclusions": "Exclusions",
    "not_assessable": "Readings that cannot be assessed",
    "sample_size_rationale": "Number of cases and readers",
    "blinding": "Blinding",
    "clinical_information": "Clinical information",
    "washout_days": "Washout, days",
    "model_set": "Model set",
    "seed": "Seed",
    "bootstrap": "Bootstrap draws",
}


def usual_plan(site: Site) -> AnalysisPlan:
    """The plan that a form begins with: the index that the site's classes are defined for."""
    return AnalysisPlan(method=index_kind(site))


def written_when(version: PlanVersion) -> str:
    """ "Before the first reading", "After the readings were known"."""
    return "After the readings were known" if version.after_readings else "Before the first reading"


def standing_sentence(version: PlanVersion | None, *, known: bool) -> str:
    """What saving the form would mean now."""
    if version is None and known:
        return "Readings are stored already: a plan written now is marked as written after they were known."
    if known:
        return "Readings are stored: a change is a new version with a reason, and is marked."
    return "It is frozen when the first reading is stored."


def plan_lines(plan: AnalysisPlan) -> tuple[tuple[str, str], ...]:
    """Every item of a plan with its value in words, in the order of the form."""
    return tuple((label, _said(getattr(plan, name))) for name, label in LABELS.items())


def changes(earlier: AnalysisPlan | None, plan: AnalysisPlan) -> str:
    """ "Margin, points: not set → 3"; the first version sets everything."""
    if earlier is None:
        return "First version"
    before, after = dataclasses.asdict(earlier), dataclasses.asdict(plan)
    parts = [
        f"{LABELS[name]}: {_said(before[name])} → {_said(after[name])}"
        for name in LABELS
        if before[name] != after[name]
    ]
    return "; ".join(parts) or "Nothing"


def _said(value: object) -> str:
    if value is None or value == "":
        return "not set"
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)
