"""What the pages about readings compute from a store of 1,000 cases × 30 readers × 2 sessions, and an import.

Best of the repeats each: the numbers of Agreement (both plots' limits, the scatter, the closeness to the
panel) and of Variability with every statistic and its bootstrap, both from gathering the readings on; the
import of the readings as a table into an empty study. Nothing is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.study_store import STUDY, Size, csv_of, empty_study, import_table, readings_of, store_results
from ki67.study import agreement, variability
from ki67.study.material import gather
from ki67.study.people import local_person
from ki67.study.workplace import Workplace


@dataclass(frozen=True)
class StudyTime:
    """`seconds`: the best of `runs`; `floor_seconds`: the most that is wanted."""

    what: str
    n: int
    unit: str
    seconds: float
    runs: tuple[float, ...]
    floor_seconds: float

    @property
    def holds(self) -> bool:
        return self.seconds <= self.floor_seconds


@dataclass(frozen=True)
class StudyReport:
    """Times over a balanced study; `draws` of the bootstrap, `seed` of the simulated readings."""

    cases: int
    readers: int
    sessions: int
    draws: int
    seed: int
    times: tuple[StudyTime, ...]


def measure_study(size: Size, *, repeats: int, draws: int, seed: int, folder: Path) -> StudyReport:
    """Builds the study in stores under `folder` and measures on them; every time is of the wall clock."""
    values = readings_of(size, seed=seed)
    table = csv_of(values)
    imports = []
    for number in range(repeats):
        workplace = empty_study(folder / f"store-{number}", draws=draws)
        imports += _seconds([partial(import_table, workplace, table)])
    store_results(workplace, values[:, 0, 0], scratch=folder)
    page = _seconds([lambda: _agreement_page(workplace)] * repeats)
    spread = _seconds([lambda: _variability_page(workplace)] * repeats)
    n, unit = size.readings, "readings"
    times = (
        _time("Agreement, the page's numbers", n, unit, page, floor=2.0),
        _time(f"Variability, every statistic, {draws:,} draws", n, unit, spread, floor=10.0),
        _time("Import of a CSV, looked at and stored", n, unit, imports, floor=10.0),
    )
    return StudyReport(size.cases, size.readers, size.sessions, draws, seed, times)


def _agreement_page(workplace: Workplace) -> None:
    material = gather(workplace, local_person(), STUDY)
    agreement.agreement(material)
    agreement.closeness_to_panel(material)


def _variability_page(workplace: Workplace) -> None:
    material = gather(workplace, local_person(), STUDY)
    variability.variability(material)
    variability.every_statistic(material)


def _seconds(calls: Sequence[Callable[[], object]]) -> list[float]:
    found = []
    for call in calls:
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return found


def _time(what: str, n: int, unit: str, runs: Sequence[float], *, floor: float) -> StudyTime:
    return StudyTime(what, n, unit, min(runs), tuple(runs), floor)


def study_text(report: StudyReport) -> str:
    """The times as they are printed."""
    lines = [
        f"{report.cases:,} cases × {report.readers} readers × {report.sessions} sessions, balanced, "
        f"seed {report.seed}:",
        f"{'':48}{'n':>8}{'seconds':>10}{'floor':>8}",
    ]
    for each in report.times:
        word = "" if each.holds else "  over"
        lines.append(f"{each.what:48}{each.n:>8,}{each.seconds:>10.2f}{each.floor_seconds:>8.0f}{word}")
    lines.append(f"Best of {len(report.times[0].runs)}.")
    return "\n".join(lines)
