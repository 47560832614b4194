"""A study in a store with readings of a table, for the tests of the pages about readings."""

from __future__ import annotations

import numpy as np

from ki67.study.people import local_person
from ki67.study.plans import AnalysisPlan, save_plan
from ki67.study.readings import ALGORITHM, NewReading, ReadingKey, enter_readings
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace
from ki67.types import Site


def store_study(
    workplace: Workplace,
    table: np.ndarray,
    *,
    code: str = "S1",
    site: Site = "breast",
    plan: AnalysisPlan | None = None,
    sessions: int = 1,
) -> str:
    """A study whose first column is an imported algorithm (all NaN: none), the others readers O1, O2, …"""
    person = local_person()
    create_study(workplace, person, code=code, title="A study", site=site)
    if plan is not None:
        save_plan(workplace, person, code, plan)
    readings = [
        NewReading(
            ReadingKey(f"T{case + 1}", ALGORITHM if column == 0 else f"O{column}", session=str(session + 1)),
            round(float(value), 2),
        )
        for session in range(sessions)
        for case, line in enumerate(table.tolist())
        for column, value in enumerate(line)
        if np.isfinite(value) and (session == 0 or column > 0)
    ]
    enter_readings(workplace, person, code, readings)
    return code
