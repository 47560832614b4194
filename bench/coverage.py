"""`python -m bench.coverage`: how often the intervals of the library cover what they name, by simulation.

Prints one line per interval and setting (statistic, target, design, scale, draws, coverage, mean width, seed)
and writes them with --json. Required: on the log scale with a reader SD of 0.35, 92–98 % for the reader
population (above 95 + 3: conservative) and 93–97 % for these readers. The raw scale and a reader SD of 0.8
are measured beside (not the resampled ones). `bench/coverage_world.py` has the model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.coverage_world import (
    Z95,
    Setting,
    Studies,
    absolute_truth,
    panel_truth,
    population_truth,
    readers_truth,
    simulate,
)
from ki67.atomic import write_whole_file
from ki67.stats.alternative_annotator import alternative_annotator_test
from ki67.stats.anova import Matrix
from ki67.stats.bland_altman import LoaVariant, Side, ba_bias, ba_loa
from ki67.stats.concordance import lin_ccc
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs, Reals
from ki67.stats.icc import icc
from ki67.stats.interchange import Variant as InterchangeVariant
from ki67.stats.interchange import interchangeability
from ki67.stats.leave_one_out import leave_one_out_difference
from ki67.stats.panel_table import PanelTable
from ki67.stats.single_reader import (
    BiasVariant,
    LimitVariant,
    reader_reader_loa,
    single_reader_bias,
    single_reader_loa,
)
from ki67.stats.two_way import (
    Limits,
    generalized,
    mean_limits,
    mean_square_difference,
    mean_squares,
    pivots,
    quantile_limits,
    reader_variance_limits,
    single_reader_mover,
)
from ki67.stats.williams import williams_index

ALPHA = 0.05
SPREADS: tuple[Literal["equal", "falling"], ...] = ("equal", "falling")
SIDES: tuple[Side, ...] = ("lower", "upper")
LOA_VARIANTS: tuple[LoaVariant, ...] = ("ba1999", "exact individual")
INTERCHANGE: tuple[InterchangeVariant, ...] = ("two-way jackknife", "two-way bootstrap", "jackknife")
LEAVE_ONE_OUT = "leave_one_out_mad_diff"
POPULATION, THESE = "reader population", "these readers"
REQUIRED = {
    ("ICC(2,1)", "F"),
    ("single_reader_bias", "two-way Satterthwaite"),
    ("single_reader_loa_lower", "two-way GPQ"),
    ("single_reader_loa_upper", "two-way GPQ"),
    ("interch_iei", "two-way GPQ"),
    ("panel_loa_lower", "exact individual"),
    ("panel_loa_upper", "exact individual"),
    ("panel_ccc", "z-transform"),
}
BANDS = {POPULATION: (0.92, 0.98), THESE: (0.93, 0.97)}


@dataclass(frozen=True)
class Row:
    """Coverage of one interval in one setting; `verdict` only where it is required."""

    statistic: str
    variant: str
    target: str
    cases: int
    readers: int
    scale: str
    spread: str
    reader_sd: float
    draws: int
    coverage: float
    mean_width: float
    seed: int
    verdict: str


Call = Callable[[PanelTable], tuple[Estimate, ...]]
Found = tuple[str, str, str, Limits, Reals | float]
"""Statistic, variant, target, limits (N,) and what they are to cover."""


def main(arguments: list[str] | None = None) -> int:
    """Run all settings; exit code 1 when a required interval is too narrow."""
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description="Coverage by simulation.")
    parser.add_argument("--draws", type=int, default=4000, help="studies a setting (default 4000)")
    parser.add_argument("--resampled", type=int, default=1000, help="studies for bootstrap and jackknife")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--log-only", action="store_true", help="only the required settings")
    asked = parser.parse_args(arguments)
    rows: list[Row] = []
    print(HEAD, flush=True)
    for setting in settings(log_only=asked.log_only):
        for row in measure(setting, draws=asked.draws, resampled=asked.resampled, seed=asked.seed):
            rows.append(row)
            print(line(row), flush=True)
    if asked.json:
        content = json.dumps([asdict(row) for row in rows], indent=1)
        write_whole_file(asked.json, content.encode())
    narrow = [row for row in rows if row.verdict == "too narrow"]
    print(f"{len(narrow)} required intervals are too narrow" if narrow else "every required interval holds")
    return 1 if narrow else 0


def settings(*, log_only: bool) -> list[Setting]:
    """20 × 5 and 50 × 10, equal and falling spread; then the raw scale and a reader SD of 0.8."""
    worlds: list[dict[str, Any]] = [{}] if log_only else [{}, {"scale": "raw"}, {"reader_sd": 0.8}]
    return [
        Setting(cases, readers, spread=spread, **world)
        for world in worlds
        for cases, readers in ((20, 5), (50, 10))
        for spread in SPREADS
    ]


def measure(setting: Setting, *, draws: int, resampled: int, seed: int) -> Iterator[Row]:
    """Every interval in one setting."""
    rng = np.random.default_rng([seed, setting.cases, setting.spread == "falling"])
    studies = simulate(setting, draws, rng)
    for found in (
        analytic(setting, studies),
        pivotal(setting, studies, seed),
        one_by_one(setting, studies, rng),
    ):
        yield from _rows(setting, found, seed)
    if required(setting):
        few = Studies(
            studies.algorithm[:resampled], studies.readings[:resampled], studies.reader_effects[:resampled]
        )
        yield from _rows(setting, resampling(setting, few, seed), seed)


def required(setting: Setting) -> bool:
    """The settings in which coverage is required; resampled intervals are measured only there."""
    return setting.scale == "log" and setting.reader_sd == Setting.reader_sd


def analytic(setting: Setting, studies: Studies) -> Iterator[Found]:
    """Satterthwaite and MOVER, all studies at once."""
    truth = population_truth(setting)
    squares = mean_squares(studies.differences)
    bias = mean_limits(squares, alpha=ALPHA)
    yield "single_reader_bias", "two-way Satterthwaite", POPULATION, bias, truth["single_reader_bias"]
    for side, z in (("lower", -Z95), ("upper", Z95)):
        name = f"single_reader_loa_{side}"
        yield name, "two-way MOVER", POPULATION, single_reader_mover(squares, z=z, alpha=ALPHA), truth[name]
    between = reader_variance_limits(squares, alpha=ALPHA)
    limits = Limits(Z95 * np.sqrt(between.low), Z95 * np.sqrt(between.high))
    name = "reader_reader_loa_upper"
    yield name, "two-way MOVER", POPULATION, limits, truth[name]


def pivotal(setting: Setting, studies: Studies, seed: int, *, pivotal_draws: int = 1024) -> Iterator[Found]:
    """Generalized pivotal quantities, in turns of 250 studies."""
    truth = population_truth(setting)
    drawn = pivots(draws=pivotal_draws, seed=seed)
    collected: dict[str, list[Limits]] = {}
    for start in range(0, len(studies.algorithm), 250):
        quantity = generalized(mean_squares(studies.differences[start : start + 250]), drawn)
        square, between = mean_square_difference(quantity), quantity.reader_variance
        spread = Z95 * np.sqrt(quantity.single_variance)
        of = {
            "single_reader_bias": quantity.mean,
            "single_reader_loa_lower": quantity.mean - spread,
            "single_reader_loa_upper": quantity.mean + spread,
            "reader_reader_loa_upper": Z95 * np.sqrt(between),
            "interch_msd_ai": square,
            "interch_msd_rr": between,
            "interch_iei": square - between,
            "interch_rms_ratio": np.sqrt(square / between),
        }
        for name, values in of.items():
            collected.setdefault(name, []).append(quantile_limits(values, alpha=ALPHA))
    for name, parts in collected.items():
        limits = Limits(np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts]))
        yield name, "two-way GPQ", POPULATION, limits, truth[name]


def one_by_one(setting: Setting, studies: Studies, rng: np.random.Generator) -> Iterator[Found]:
    """ICC(2,1) and the intervals against these readers' median, by the library's functions."""
    n, k = setting.cases, setting.readers
    cases, readers = tuple(map(str, range(n))), tuple(map(str, range(k)))
    iccs = [icc(Matrix(cases, readers, values), "ICC(2,1)", alpha=ALPHA) for values in studies.readings]
    yield "ICC(2,1)", "F", POPULATION, _limits_of(iccs), population_truth(setting)["ICC(2,1)"]
    truth = panel_truth(setting, studies.reader_effects, rng)
    panel = np.median(studies.readings, axis=2)
    cccs = [lin_ccc(Pairs(cases, x, y), alpha=ALPHA) for x, y in zip(panel, studies.algorithm, strict=True)]
    yield "panel_ccc", "z-transform", THESE, _limits_of(cccs), truth["panel_ccc"]
    d = studies.algorithm - panel
    mean, sd = d.mean(axis=1), d.std(axis=1, ddof=1)

    def moved(estimate: Estimate) -> Limits:
        """Limits of standard differences (mean 0, SD 1), moved to each study's: they are equivariant."""
        low, high = estimate.ci_low, estimate.ci_high
        if low is None or high is None:
            raise ValueError(f"{estimate.statistic} has no limits")
        return Limits(mean + sd * low, mean + sd * high)

    ramp = np.arange(n, dtype=float)
    standard = Pairs(cases, np.zeros(n), (ramp - ramp.mean()) / ramp.std(ddof=1))
    yield "panel_bias", "t", THESE, moved(ba_bias(standard, alpha=ALPHA)), truth["panel_bias"]
    for side in SIDES:
        for variant in LOA_VARIANTS:
            one = ba_loa(standard, side=side, variant=variant, alpha=ALPHA)
            yield f"panel_loa_{side}", variant, THESE, moved(one), truth[f"panel_loa_{side}"]


def resampling(setting: Setting, studies: Studies, seed: int) -> Iterator[Found]:
    """Jackknife and bootstrap of each study, by the library's functions."""
    truth = population_truth(setting)
    tables = tables_of(setting, studies)
    truth |= absolute_truth(setting)
    truth |= drawn_truth(setting, seed, studies=max(20, len(tables) // 2))
    kept = readers_truth(setting, studies.reader_effects)
    for names, variant, call in calls(seed):
        found = [call(table) for table in tables]
        for place, name in enumerate(names):
            limits = _limits_of([estimates[place] for estimates in found])
            yield name, variant, POPULATION, limits, truth[name]
            if variant in ("jackknife", "cases only") and name in kept:
                yield name, variant, THESE, limits, kept[name]


def calls(seed: int) -> Iterator[tuple[tuple[str, ...], str, Call]]:
    """The resampled intervals: statistics, variant, the library's function; 250 draws of a bootstrap."""
    drawn: dict[str, Any] = {"draws": 250, "seed": seed}
    names = ("interch_iei", "interch_rms_ratio", "interch_mad_diff")
    for variant in INTERCHANGE:
        few = names if variant != "jackknife" else names[:2]
        yield few, variant, partial(interchangeability, statistics=few, variant=variant, **drawn)
    biases: tuple[BiasVariant, ...] = ("two-way jackknife", "two-way bootstrap", "cases only")
    for bias in biases:
        yield ("single_reader_bias",), bias, _one(single_reader_bias, variant=bias, **drawn)
    limits: tuple[LimitVariant, ...] = ("two-way bootstrap", "cases only")
    for limit in limits:
        upper: dict[str, Any] = {"side": "upper", "variant": limit, **drawn}
        yield ("single_reader_loa_upper",), limit, _one(single_reader_loa, **upper)
        yield ("reader_reader_loa_upper",), limit, _one(reader_reader_loa, **upper)
    yield ("williams_index",), "two-way jackknife", _one(williams_index)
    yield ("alt_test_advantage",), "two-way jackknife", _one(advantage)
    yield (LEAVE_ONE_OUT,), "two-way jackknife", _one(leave_one_out_difference, statistic=LEAVE_ONE_OUT)


def _one(function: Callable[..., Estimate], **asked: Any) -> Call:
    return lambda table: (function(table, **asked),)


def advantage(table: PanelTable) -> Estimate:
    """The advantage of the alternative annotator test."""
    return alternative_annotator_test(table, epsilon=None).advantage


def drawn_truth(setting: Setting, seed: int, *, studies: int) -> dict[str, float]:
    """Means over many studies of statistics that are unbiased and depend on the number of readers."""
    many = simulate(setting, studies, np.random.default_rng([seed, 99]))
    tables = tables_of(setting, many)
    found = {
        "alt_test_advantage": [advantage(table).value for table in tables],
        LEAVE_ONE_OUT: [
            leave_one_out_difference(table, statistic=LEAVE_ONE_OUT, variant="jackknife").value
            for table in tables
        ],
    }
    return {name: float(np.mean(np.array(values, float))) for name, values in found.items()}


def tables_of(setting: Setting, studies: Studies) -> list[PanelTable]:
    """Each study in the library's form."""
    cases, readers = tuple(map(str, range(setting.cases))), tuple(map(str, range(setting.readers)))
    return [
        PanelTable(cases, readers, algorithm, readings, np.arange(setting.cases))
        for algorithm, readings in zip(studies.algorithm, studies.readings, strict=True)
    ]


HEAD = (
    "statistic                variant                target             cases readers scale spread  readerSD"
    " draws coverage    width  seed"
)


def line(row: Row) -> str:
    """A row of the table."""
    return (
        f"{row.statistic:24} {row.variant:22} {row.target:18} {row.cases:5} {row.readers:7} {row.scale:5} "
        f"{row.spread:7} {row.reader_sd:8.2f} {row.draws:5} {100 * row.coverage:7.1f}% {row.mean_width:8.3f} "
        f"{row.seed:5}  {row.verdict}"
    )


def _rows(setting: Setting, found: Iterable[Found], seed: int) -> Iterator[Row]:
    for statistic, variant, target, limits, truth in found:
        share = float(np.mean((limits.low <= truth) & (truth <= limits.high)))
        yield Row(
            statistic,
            variant,
            target,
            setting.cases,
            setting.readers,
            setting.scale,
            setting.spread,
            setting.reader_sd,
            len(limits.low),
            share,
            float(np.mean(limits.high - limits.low)),
            seed,
            _verdict(setting, statistic, variant, target, share),
        )


def _verdict(setting: Setting, statistic: str, variant: str, target: str, share: float) -> str:
    if not required(setting) or (statistic, variant) not in REQUIRED:
        return ""
    low, high = BANDS[target]
    return "too narrow" if share < low else "conservative" if share > high else "holds"


def _limits_of(estimates: list[Estimate]) -> Limits:
    pairs = [(one.ci_low, one.ci_high) for one in estimates]
    low, high = np.array(pairs, float).T
    return Limits(low, high)


if __name__ == "__main__":
    sys.exit(main())
