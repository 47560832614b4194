"""A whole study before it is done: how wide its intervals will be, and how often it will pass.

Studies are drawn with log-normal components and put through the library's own statistics:

    ln y = ln(median) + case + reader + case × reader + residual     (residual new in every session)
    ln a = ln(median) + case + bias + the algorithm's own error      (one value a case)

all normal with mean 0, readings cut at 100 %. Differences are analysed on log2(x + 0.1) and told in points.
The limits of agreement of the reader population take the closed form (MOVER); in trials at 20 cases × 5
readers and 50 × 10 its mean width lay within 3 % of that of the generalized-pivotal interval of the pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ki67.errors import DataError
from ki67.stats.anova import Matrix, Transform
from ki67.stats.blank import LOG2_OFFSET
from ki67.stats.classes import Cutoffs
from ki67.stats.coding import Codes
from ki67.stats.estimate import Estimate, Target
from ki67.stats.forms import Reals
from ki67.stats.icc import icc
from ki67.stats.interchange import interchangeability
from ki67.stats.kappa import cohen_kappa, fleiss_kappa
from ki67.stats.panel import in_points, panel_bias, panel_ccc, panel_loa
from ki67.stats.panel_table import PanelTable
from ki67.stats.reliability import within_subject_sd
from ki67.stats.single_reader import reader_reader_loa, single_reader_bias, single_reader_loa

SCALE: Transform = "log2(x+0.1)"
PIVOTAL_DRAWS = 1024
_MOST_READINGS = 200_000


@dataclass(frozen=True)
class StudyDesign:
    """Sizes and components of a study to be simulated; SDs are those of natural logarithms.

    `median_percent` of the tumors' indices (0-100); `points_at_percent`: the index at which differences are
    told in points; `cutoffs`: the classes of the kappas, none without; `criterion`: the ICC that the
    lower limit must exceed. The default components have a case SD of 1.2, a reader SD of 0.35, and
    0.45 for what is left in one session. Raises DataError for numbers that make no study.
    """

    cases: int
    readers: int
    sessions: int = 1
    median_percent: float = 15.0
    case_sd: float = 1.2
    reader_sd: float = 0.35
    case_reader_sd: float = 0.25
    residual_sd: float = 0.374
    algorithm_bias: float = 0.0
    algorithm_sd: float = 0.35
    cutoffs: Cutoffs | None = None
    points_at_percent: float = 20.0
    criterion: float = 0.80
    alpha: float = 0.05

    def __post_init__(self) -> None:
        sds = (self.case_sd, self.reader_sd, self.case_reader_sd, self.residual_sd, self.algorithm_sd)
        if self.cases < 2 or self.readers < 2 or self.sessions < 1:
            raise DataError("A study needs at least 2 cases, 2 readers and 1 session.")
        if self.cases * self.readers * self.sessions > _MOST_READINGS:
            raise DataError(f"A study of more than {_MOST_READINGS:,} readings is not simulated here.")
        if not 0 < self.median_percent <= 100 or not 0 <= self.points_at_percent <= 100:
            raise DataError("An index lies between 0 and 100 %.")
        if not all(math.isfinite(sd) and sd >= 0 for sd in (*sds, abs(self.algorithm_bias))):
            raise DataError("A standard deviation is a number of 0 or more.")
        if not 0 < self.alpha < 1 or not 0 < self.criterion < 1:
            raise DataError("Alpha and the criterion lie between 0 and 1.")


@dataclass(frozen=True)
class SimulatedStudy:
    """One drawn study, in percent: `readings` (cases, readers, sessions), `algorithm` (cases,)."""

    readings: Reals
    algorithm: Reals


@dataclass(frozen=True)
class ExpectedInterval:
    """One interval over the simulated studies, in `unit`: means over those in which it was defined.

    `narrow`, `wide`: the widths that 10 % and 90 % of the studies stay below. `defined` counts studies.
    All None when it was defined in none.
    """

    statistic: str
    variant: str
    unit: str
    target: Target | None
    value: float | None
    low: float | None
    high: float | None
    width: float | None
    narrow: float | None
    wide: float | None
    defined: int


@dataclass(frozen=True)
class StudyForecast:
    """What a study of this design may expect. `passing`: the share of the studies whose lower limit of
    ICC(2,1) (F, log2) exceeds the criterion; `passing_error`: its simulation error (standard error).
    """

    design: StudyDesign
    draws: int
    seed: int
    intervals: tuple[ExpectedInterval, ...]
    passing: float
    passing_error: float


def draw_study(design: StudyDesign, rng: np.random.Generator) -> SimulatedStudy:
    """One study with the components of the design."""
    n, k = design.cases, design.readers
    case = rng.normal(math.log(design.median_percent), design.case_sd, n)
    means = case[:, None] + rng.normal(0, design.reader_sd, k) + rng.normal(0, design.case_reader_sd, (n, k))
    logs = means[:, :, None] + rng.normal(0, design.residual_sd, (n, k, design.sessions))
    machine = case + design.algorithm_bias + rng.normal(0, design.algorithm_sd, n)
    return SimulatedStudy(np.minimum(np.exp(logs), 100.0), np.minimum(np.exp(machine), 100.0))


def simulate_study(design: StudyDesign, *, draws: int = 100, seed: int = 0) -> StudyForecast:
    """Draw `draws` studies and average their intervals; the same seed gives the same forecast."""
    if draws < 1:
        raise DataError("A simulation draws at least one study.")
    rng = np.random.default_rng(seed)
    found: dict[tuple[str, str, str], list[Estimate]] = {}
    passed = 0
    for _ in range(draws):
        for unit, estimate in _headlines(draw_study(design, rng), design):
            found.setdefault((estimate.statistic, estimate.variant, unit), []).append(estimate)
            if unit == "ICC":
                passed += estimate.ci_low is not None and estimate.ci_low > design.criterion
    share = passed / draws
    return StudyForecast(
        design=design,
        draws=draws,
        seed=seed,
        intervals=tuple(_expected(key, estimates) for key, estimates in found.items()),
        passing=share,
        passing_error=math.sqrt(share * (1 - share) / draws),
    )


def _headlines(study: SimulatedStudy, design: StudyDesign) -> Iterable[tuple[str, Estimate]]:
    """Every headline interval of a study, with its unit."""
    n, k, sessions = study.readings.shape
    cases, readers = _names("case", n), _names("reader", k)
    first = study.readings[:, :, 0]
    yield "ICC", icc(Matrix(cases, readers, first), "ICC(2,1)", transform=SCALE, alpha=design.alpha)
    table = PanelTable(cases, readers, _log2(study.algorithm), _log2(first), np.arange(n), 0, SCALE)
    for estimate in _differences(table, design.alpha):
        yield "points", in_points(estimate, index_percent=design.points_at_percent)
    yield "CCC", panel_ccc(table, alpha=design.alpha)
    names = ("interch_iei", "interch_rms_ratio")
    squared, ratio = interchangeability(table, names, alpha=design.alpha, draws=PIVOTAL_DRAWS)
    yield "squared log2 units", squared
    yield "ratio", ratio
    if sessions > 1:
        repeats = Matrix(cases, _names("session", sessions), study.readings[:, 0])
        yield "log2 units", within_subject_sd(repeats, transform=SCALE, alpha=design.alpha)
    if design.cutoffs is not None:
        yield from _kappas(study, design, design.cutoffs, cases, readers)


def _differences(table: PanelTable, alpha: float) -> Iterable[Estimate]:
    """What is told in points: the algorithm beside one reader, two readers, the algorithm and the panel."""
    yield single_reader_bias(table, alpha=alpha)
    yield single_reader_loa(table, side="lower", variant="two-way MOVER", alpha=alpha)
    yield single_reader_loa(table, side="upper", variant="two-way MOVER", alpha=alpha)
    yield reader_reader_loa(table, side="upper", variant="two-way MOVER", alpha=alpha)
    yield panel_bias(table, alpha=alpha)
    yield panel_loa(table, side="lower", alpha=alpha)
    yield panel_loa(table, side="upper", alpha=alpha)


def _kappas(
    study: SimulatedStudy,
    design: StudyDesign,
    cutoffs: Cutoffs,
    cases: tuple[str, ...],
    readers: tuple[str, ...],
) -> Iterable[tuple[str, Estimate]]:
    """Fleiss' kappa of the readers, Cohen's of the algorithm and the panel's median."""
    first = study.readings[:, :, 0]
    pair = np.stack([np.median(first, axis=1), study.algorithm], axis=1)
    coded = partial(
        Codes, cases=cases, categories=cutoffs.words, form="categories", patients=np.arange(len(cases))
    )
    yield "kappa", fleiss_kappa(coded(matrix=_classes(first, cutoffs), readers=readers), alpha=design.alpha)
    both = coded(matrix=_classes(pair, cutoffs), readers=("panel", "algorithm"))
    yield "kappa", cohen_kappa(both, alpha=design.alpha)


def _classes(values: Reals, cutoffs: Cutoffs) -> np.ndarray:
    """The class of every simulated value: no typed decimals here, so plain comparison is exact enough."""
    above = np.zeros(values.shape, np.intp)
    for border in cutoffs.borders:
        percent = float(border.percent)
        above += (values > percent) if border.belongs_below else (values >= percent)
    return above


def _expected(key: tuple[str, str, str], estimates: list[Estimate]) -> ExpectedInterval:
    rows = [
        (one.value, one.ci_low, one.ci_high)
        for one in estimates
        if one.value is not None and one.ci_low is not None and one.ci_high is not None
    ]
    build: Callable[..., ExpectedInterval] = partial(ExpectedInterval, *key, estimates[0].target)
    if not rows:
        return build(None, None, None, None, None, None, 0)
    value, low, high = np.array(rows, float).T
    narrow, wide = np.quantile(high - low, [0.1, 0.9])
    return build(
        float(value.mean()),
        float(low.mean()),
        float(high.mean()),
        float((high - low).mean()),
        float(narrow),
        float(wide),
        len(rows),
    )


def _log2(values: Reals) -> Reals:
    return np.asarray(np.log2(values + LOG2_OFFSET), float)


def _names(what: str, count: int) -> tuple[str, ...]:
    return tuple(f"{what} {number + 1}" for number in range(count))
