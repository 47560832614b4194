"""Studies without a store: readings with stated components, as the statistics of a study take them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from ki67.stats.readings import Readings
from ki67.study.material import StudyMaterial
from ki67.study.plans import AnalysisPlan
from ki67.study.readings import ALGORITHM
from ki67.study.studies import Study
from ki67.types import Site


def log_normal_table(
    cases: int, readers: int, *, seed: int, bias: float = 1.0, reader_sd: float = 0.2, residual: float = 0.3
) -> np.ndarray:
    """(cases, 1 + readers) percentages, the algorithm first; `bias` is its factor, SDs are of the ln."""
    rng = np.random.default_rng(seed)
    truth = 2.3 + 0.9 * rng.standard_normal((cases, 1))
    noise = residual * rng.standard_normal((cases, readers + 1))
    own = reader_sd * rng.standard_normal(readers + 1)
    own[0] = np.log(bias)
    return np.minimum(np.exp(truth + noise + own), 99.0)


def study_of(
    table: np.ndarray,
    *,
    site: Site = "breast",
    plan: AnalysisPlan | None = None,
    algorithm: bool = True,
    sessions: int = 1,
) -> StudyMaterial:
    """A study of a table with the algorithm in its first column; NaN is a missing reading.

    Each further session repeats the readers' readings with their order of cases turned by one per cent.
    """
    rows = [
        (f"T{case + 1}", ALGORITHM if column == 0 else f"O{column}", str(session + 1), value)
        for session in range(sessions)
        for case, line in enumerate(table.tolist())
        for column, value in enumerate(line)
        if np.isfinite(value) and (algorithm or column > 0) and (session == 0 or column > 0)
    ]
    names = [tuple(row[place] for row in rows) for place in range(3)]
    values = np.array([row[3] * (1 + 0.01 * (int(row[2]) - 1)) for row in rows], float)
    return StudyMaterial(
        study=Study("S1", "A study", site, False, datetime(2026, 11, 24, tzinfo=UTC)),
        plan=plan or AnalysisPlan(),
        plan_written=plan is not None,
        plan_after_readings=False,
        method="global",
        readings=Readings(
            names[0], names[1], names[2], ("1",) * len(rows), names[0], values.clip(0.0, 100.0)
        ),
        algorithm=(),
        methods=("global",),
        sessions=tuple(str(number + 1) for number in range(sessions)),
        readers=tuple(f"O{number}" for number in range(1, table.shape[1])),
        cases=tuple(f"T{number + 1}" for number in range(len(table))),
        exclusions=(),
    )
