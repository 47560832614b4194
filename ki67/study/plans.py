"""The analysis plan of a study: what is compared, how, and when that was decided.

A plan is frozen when the first reading is stored: what is written later is a new version with a reason,
marked as written after readings were known.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from db import queries, study_queries
from db.study_rows import PlanRow
from ki67.errors import StoreError
from ki67.study.people import Person, require
from ki67.study.readings import METHODS, Method
from ki67.study.studies import find_study
from ki67.study.workplace import Workplace, reading, transaction

Comparison = Literal["algorithm and single reader", "algorithm and panel"]
Scale = Literal["log2(x+0.1)", "raw"]
Reference = Literal["median", "mean"]


@dataclass(frozen=True)
class AnalysisPlan:
    """What a study sets beforehand. None or empty: not set, then there is an estimate and no verdict.

    `margin_points`: the largest disagreement of algorithm and reader, beyond that of two readers, at which
    the algorithm may replace a reader; `acceptance_low_points` and `_high_points`: the limits within which
    95 % of differences must lie; `criterion`: what the lower limit of the ICC must exceed; `cutoffs`: upper
    borders of the classes ("<=5,<30"), empty: those of the site; `model_set`: whose results are the
    algorithm, empty: the newest.
    """

    primary: Comparison = "algorithm and single reader"
    method: Method = "global"
    scale: Scale = "log2(x+0.1)"
    icc: str = "ICC(2,1)"
    icc_interval: Literal["F", "generalized pivotal"] = "F"
    criterion: float = 0.80
    reference: Reference = "median"
    margin_points: float | None = None
    acceptance_low_points: float | None = None
    acceptance_high_points: float | None = None
    cutoffs: str = ""
    exclusions: str = ""
    not_assessable: Literal["left out and counted"] = "left out and counted"  # what every analysis does
    sample_size_rationale: str = ""
    blinding: str = ""
    clinical_information: str = ""
    washout_days: int | None = None
    model_set: str = ""
    seed: int = 0
    bootstrap: int = 2000


@dataclass(frozen=True)
class PlanVersion:
    """A plan as it stands: `frozen` once readings are stored, `after_readings` when it was written then."""

    plan: AnalysisPlan
    version: int
    frozen: bool
    after_readings: bool
    reason: str
    author: str
    at: datetime


def save_plan(
    workplace: Workplace, person: Person, study_code: str, plan: AnalysisPlan, *, reason: str = ""
) -> PlanVersion:
    """Stores the next version of a study's plan; the same plan again adds nothing.

    Raises:
        StoreError: a value out of its range; readings are stored and no reason is given.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="plan studies")
    _check(plan)
    content = dataclasses.asdict(plan)
    with transaction(workplace) as session:
        study = find_study(session, study_code)
        earlier = study_queries.plans(session, study.id)
        known = study_queries.has_readings(session, study.id)
        if not (earlier and earlier[-1].content == content):
            if known and earlier and not reason.strip():
                raise StoreError(
                    "The plan is frozen because readings are stored: a change needs a reason, say why."
                )
            author = queries.person_id(session, person.code, sorted(person.roles))
            study_queries.add_plan(
                session,
                study_id=study.id,
                content=content,
                after_readings=known,
                reason=reason.strip(),
                person=author,
            )
        return _version(study_queries.plans(session, study.id)[-1], frozen=known)


def current_plan(workplace: Workplace, person: Person, study_code: str) -> PlanVersion | None:
    """The plan that holds, or None when none was written."""
    versions = plan_history(workplace, person, study_code)
    return versions[-1] if versions else None


def plan_history(workplace: Workplace, person: Person, study_code: str) -> tuple[PlanVersion, ...]:
    """Every version of a study's plan, the first first."""
    require(person, "coordinator", "analyst", doing="look at plans")
    with reading(workplace) as session:
        study = find_study(session, study_code)
        known = study_queries.has_readings(session, study.id)
        rows = study_queries.plans(session, study.id)
    return tuple(_version(row, frozen=known) for row in rows)


def _check(plan: AnalysisPlan) -> None:
    if plan.method not in METHODS:
        raise StoreError(f"“{plan.method}” is not a scoring method: choose one of {', '.join(METHODS)}.")
    if not 0 < plan.criterion < 1:
        raise StoreError(f"The criterion of the ICC is {plan.criterion}: give a number between 0 and 1.")
    if plan.margin_points is not None and not 0 < plan.margin_points <= 100:
        raise StoreError(f"The margin is {plan.margin_points} points: give more than 0, or leave it open.")
    low, high = plan.acceptance_low_points, plan.acceptance_high_points
    if (low is None) != (high is None) or (low is not None and high is not None and low >= high):
        raise StoreError(
            "The acceptance limits need a lower and a higher number: give both, or leave both open."
        )
    if plan.washout_days is not None and plan.washout_days < 0:
        raise StoreError("The washout is a number of days from 0: correct it, or leave it open.")
    if plan.bootstrap < 100 or plan.seed < 0:
        raise StoreError("A bootstrap needs at least 100 draws and a seed from 0: correct them.")


def _version(row: PlanRow, *, frozen: bool) -> PlanVersion:
    return PlanVersion(
        plan=_plan(row.content),
        version=row.version,
        frozen=frozen,
        after_readings=row.after_readings,
        reason=row.reason,
        author=row.person_code,
        at=row.created_at,
    )


def _plan(content: dict[str, Any]) -> AnalysisPlan:
    """A stored plan; what a later version of this software added has its default."""
    names = {each.name for each in dataclasses.fields(AnalysisPlan)}
    return AnalysisPlan(**{name: value for name, value in content.items() if name in names})
