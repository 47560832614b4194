"""The algorithm beside one reader, and one reader beside another: limits for the reader population.

Differences are algorithm − reader (positive: the algorithm reads higher) on the scale of `transform`; back to
points with `panel.in_points`. Every interval carries the reader component (`two_way.py`) and speaks about a
new reader of the *reader population*; `cases only` is offered for comparison, says "these readers", and is
far too narrow for the population. One reader − another has mean 0 and limits ± z√(2(σ²r + σ²e)).

Fewer than 10 readers: Satterthwaite and GPQ are the recommended ones, not the bootstrap. The log is the
recommended scale where the spread grows with the mean. Coverage of the 95 % intervals: measured on the log
scale (`python -m bench.coverage`), 20 cases × 5 readers and 50 × 10, with equal spread and with a residual
falling to half over the range. On the raw scale, where the spread grows with the mean, the limits of
agreement cover less than 70 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ki67.stats.bland_altman import Side, z_of
from ki67.stats.blank import Blank, Compute, entry
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import AlgorithmAndReaders, Reals
from ki67.stats.panel_table import RAW, PanelTable, once_per_weights, tabulate
from ki67.stats.resampling import Statistic, bootstrap, jackknife, percentile_limits, t_limits
from ki67.stats.two_way import (
    DEFAULT_DRAWS,
    Limits,
    MeanSquares,
    generalized,
    mean_limits,
    mean_squares,
    pivots,
    quantile_limits,
    reader_variance_limits,
    single_reader_mover,
)
from ki67.stats.undefined import Undefined

Input = AlgorithmAndReaders | PanelTable
BiasVariant = Literal[
    "two-way Satterthwaite", "two-way GPQ", "two-way jackknife", "two-way bootstrap", "cases only"
]
LimitVariant = Literal["two-way GPQ", "two-way MOVER", "two-way bootstrap", "cases only"]
FORM: Form = "algorithm_and_readers"
BOOTSTRAP_DRAWS = 2000
_METHODS: Mapping[str, str] = {
    "two-way Satterthwaite": "two-way analysis, cases and readers random, t interval; n complete cases",
    "two-way GPQ": "two-way analysis, cases and readers random, generalized pivotal; n complete cases",
    "two-way MOVER": "two-way analysis, cases and readers random, MOVER; n complete cases",
    "two-way jackknife": "leave one patient and leave one reader out, variances added, t interval; n cases",
    "two-way bootstrap": "patients and readers drawn with replacement, percentile limits; n cases",
    "cases only": "leave one patient out, t interval; n cases",
}
_BALANCED = ("two-way Satterthwaite", "two-way GPQ", "two-way MOVER")
_DRAWN = ("two-way GPQ", "two-way bootstrap")
_NEEDS = "The reader population needs 2 readers (3 to leave one out), and 2 cases that all of them read."
_NEEDS_CASES = "Limits need at least 2 patients."


@dataclass(frozen=True)
class _Asked:
    """What a statistic was asked for; `z` of a limit of agreement, `between` two readers."""

    statistic: str
    variant: str
    alpha: float
    transform: str
    patients: Mapping[str, str] | None
    draws: int
    seed: int
    z: float = 0.0
    between: bool = False
    coverage: float | None = None

    def params(self) -> dict[str, ParamValue]:
        params: dict[str, ParamValue] = {"alpha": self.alpha, "transform": self.transform}
        if self.coverage is not None:
            params["coverage"] = self.coverage
        if self.variant in _DRAWN:
            params["draws"] = self.draws
        return params


def single_reader_bias(
    data: Input,
    *,
    variant: BiasVariant = "two-way Satterthwaite",
    alpha: float = 0.05,
    transform: str = RAW,
    patients: Mapping[str, str] | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> Estimate:
    """Mean of algorithm − reader over cases and readers: the bias against a reader of the population.

    `cases only` leaves patients out and keeps these readers. One reader or one case: a value without limits
    (too_few). `draws`: 4096 pivotal quantities, 2000 bootstrap draws.

    Measured coverage for the reader population: Satterthwaite 94–95 %, GPQ 95–96 %, two-way jackknife
    94–96 %, two-way bootstrap 88–93 %, cases only 59–77 % (for these readers 94–96 %).
    """
    asked = _Asked("single_reader_bias", variant, alpha, transform, patients, _draws(draws, variant), seed)
    start = _start(asked, data)
    if isinstance(start, Estimate):
        return start
    table, blank = start
    value = float(np.nanmean(table.differences))
    if variant not in _BALANCED:
        return _finished(asked, blank, value, _resampled(asked, table, _bias_statistic(table), value))
    if not _enough(table):
        return _finished(asked, blank, value, None)
    squares = mean_squares(table.differences)
    if variant == "two-way GPQ":
        return _finished(asked, blank, value, quantile_limits(_drawn(asked, squares).mean, alpha=alpha))
    return _finished(asked, blank, value, mean_limits(squares, alpha=alpha))


def single_reader_loa(
    data: Input,
    *,
    side: Side,
    variant: LimitVariant = "two-way GPQ",
    alpha: float = 0.05,
    coverage: float = 0.95,
    transform: str = RAW,
    patients: Mapping[str, str] | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> Estimate:
    """A limit of agreement of the algorithm with one reader: bias ± z√(σ²u + σ²r + σ²e).

    `coverage` of new differences (new case, new reader) is estimated to lie between the two; z is the normal
    quantile. Needs 2 cases and 2 readers (too_few). Bootstrap and `cases only` take the plain spread of all
    differences.

    Measured coverage for the reader population: GPQ 95–96 %, MOVER 96–98 %, two-way bootstrap 82–90 %,
    cases only 62–79 %.
    """
    z = z_of(coverage) if side == "upper" else -z_of(coverage)
    name, draws = f"single_reader_loa_{side}", _draws(draws, variant)
    asked = _Asked(name, variant, alpha, transform, patients, draws, seed, z, False, coverage)
    return _limit(asked, data)


def reader_reader_loa(
    data: Input,
    *,
    side: Side,
    variant: LimitVariant = "two-way GPQ",
    alpha: float = 0.05,
    coverage: float = 0.95,
    transform: str = RAW,
    patients: Mapping[str, str] | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> Estimate:
    """A limit of agreement of one reader with another: ± z√(2(σ²r + σ²e)), symmetric about 0.

    On the cases that the algorithm read, so that the two pairs of limits stand on the same axis.

    Measured coverage for the reader population: GPQ and MOVER 94–95 %, two-way bootstrap 89–93 %, cases
    only 38–68 %.
    """
    z = z_of(coverage) if side == "upper" else -z_of(coverage)
    name, draws = f"reader_reader_loa_{side}", _draws(draws, variant)
    asked = _Asked(name, variant, alpha, transform, patients, draws, seed, z, True, coverage)
    return _limit(asked, data)


def _draws(asked: int | None, variant: str) -> int:
    return asked or (DEFAULT_DRAWS if variant == "two-way GPQ" else BOOTSTRAP_DRAWS)


def _start(asked: _Asked, data: Input) -> tuple[PanelTable, Blank] | Estimate:
    """The table and its blank estimate, or the estimate that says why there is none."""
    params = asked.params()
    blank = Blank(asked.statistic, asked.variant, FORM, 0, _METHODS[asked.variant], 0, params)
    try:
        table = tabulate(data, transform=asked.transform, patients=asked.patients)
        table = table.complete() if asked.variant in _BALANCED else table
        params["transform"] = table.transform
        blank = replace(blank, n=len(table.cases), excluded=table.excluded, params=params)
        if not table.cases:
            raise Undefined("no_pairs", "No case was read by the algorithm and by every reader.")
    except Undefined as why:
        return _marked(asked, blank.undefined(why.reason, why.message))
    return table, blank


def _limit(asked: _Asked, data: Input) -> Estimate:
    start = _start(asked, data)
    if isinstance(start, Estimate):
        return start
    table, blank = start
    if not _enough(table):
        return _marked(asked, blank.undefined("too_few", _NEEDS))
    if asked.variant not in _BALANCED:
        statistic = _limit_statistic(asked, table)
        value = float(statistic(np.ones((1, len(table.cases))), np.ones((1, len(table.readers))))[0])
        if not math.isfinite(value):
            return _marked(asked, blank.undefined("too_few", _NEEDS))
        return _finished(asked, blank, value, _resampled(asked, table, statistic, value))
    squares = mean_squares(table.differences)
    value = float(_limit_of(asked, squares))
    if asked.variant == "two-way GPQ":
        limits = quantile_limits(_limit_of(asked, _drawn(asked, squares)), alpha=asked.alpha)
    elif asked.between:
        variance = reader_variance_limits(squares, alpha=asked.alpha)
        ends = np.sort(asked.z * np.sqrt(np.array([variance.low, variance.high])))
        limits = Limits(ends[0], ends[1])
    else:
        limits = single_reader_mover(squares, z=asked.z, alpha=asked.alpha)
    return _finished(asked, blank, value, limits)


def _limit_of(asked: _Asked, quantity: MeanSquares) -> Reals:
    if asked.between:
        return np.asarray(asked.z * np.sqrt(quantity.reader_variance))
    return np.asarray(quantity.mean + asked.z * np.sqrt(quantity.single_variance))


def _enough(table: PanelTable) -> bool:
    return len(table.cases) >= 2 and len(table.readers) >= 2


def _drawn(asked: _Asked, squares: MeanSquares) -> MeanSquares:
    return generalized(squares, pivots(draws=asked.draws, seed=asked.seed))


def _bias_statistic(table: PanelTable) -> Statistic:
    means = once_per_weights(table)
    return lambda cases, readers: means(cases, readers).md_ai


def _limit_statistic(asked: _Asked, table: PanelTable) -> Statistic:
    means = once_per_weights(table)

    def limit(cases: Reals, readers: Reals) -> Reals:
        mean = means(cases, readers)
        if asked.between:
            return np.asarray(asked.z * np.sqrt(mean.msd_rr))
        variance = np.maximum(mean.msd_ai - mean.md_ai**2, 0.0)
        return np.asarray(mean.md_ai + asked.z * np.sqrt(variance))

    return limit


def _resampled(asked: _Asked, table: PanelTable, statistic: Statistic, value: float) -> Limits | None:
    two_way, k = asked.variant != "cases only", len(table.readers)
    if np.unique(table.units).size < 2 or (two_way and k < 2):
        return None
    if asked.variant == "two-way bootstrap":
        values = bootstrap(
            statistic, units=table.units, readers=k, two_way=True, draws=asked.draws, seed=asked.seed
        )
        low, high = percentile_limits(values, alpha=asked.alpha)
    else:
        error = jackknife(statistic, units=table.units, readers=k, two_way=two_way)
        low, high = t_limits(value, error, alpha=asked.alpha)
    return Limits(np.array(low), np.array(high)) if np.isfinite(low) and np.isfinite(high) else None


def _finished(asked: _Asked, blank: Blank, value: float, limits: Limits | None) -> Estimate:
    if limits is None:
        needs = _NEEDS_CASES if asked.variant == "cases only" else _NEEDS
        return _marked(asked, blank.without_limits(value, "too_few", needs))
    return _marked(asked, blank.filled(value, float(limits.low), float(limits.high)))


def _marked(asked: _Asked, estimate: Estimate) -> Estimate:
    return replace(
        estimate,
        target="these readers" if asked.variant == "cases only" else "reader population",
        seed=asked.seed if asked.variant in _DRAWN else None,
    )


_NAMES = ("alpha", "transform", "draws", "seed")
STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    **{
        (FORM, "single_reader_bias", variant): entry(single_reader_bias, *_NAMES, variant=variant)
        for variant in _METHODS
        if variant != "two-way MOVER"
    },
    **{
        (FORM, f"{who}_loa_{side}", variant): entry(limit, *_NAMES, "coverage", side=side, variant=variant)
        for who, limit in (("single_reader", single_reader_loa), ("reader_reader", reader_reader_loa))
        for side in ("lower", "upper")
        for variant in ("two-way GPQ", "two-way MOVER", "two-way bootstrap", "cases only")
    },
}
