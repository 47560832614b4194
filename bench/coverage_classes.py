"""`python -m bench.coverage_classes`: how often the intervals of agreement in classes cover, by simulation.

The world of `bench/coverage_world.py` in the three classes of the working group: for each of several sets of
readers, studies of new cases. *These readers*: what the statistic tends to with the same readers and many
cases; *reader population*: with many readers as well. Prints a line per statistic and design.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.coverage_world import ALGORITHM_BIAS, ALGORITHM_SD, CASE_SD, MEDIAN_PERCENT, RESIDUAL_SD, Setting
from ki67.stats.coding import Codes, Integers
from ki67.stats.contingency import agreement_share, positive_share_difference
from ki67.stats.estimate import Estimate
from ki67.stats.gwet import brennan_prediger, fleiss_kappa_general, gwet_ac
from ki67.stats.kappa import cohen_kappa, conger_kappa, fleiss_kappa, light_kappa
from ki67.stats.kappa_population import TWO_WAY, for_reader_population

CLASSES = ("≤ 5 %", "> 5 and < 30 %", "≥ 30 %")
MANY_CASES, MANY_READERS = 20_000, 200


@dataclass(frozen=True)
class Drawn:
    """A study: the readers' classes, and the pair of the panel's median class and the algorithm's."""

    readers: Codes
    pair: Codes


Call = Callable[[Codes], Estimate]
MANY: dict[str, Callable[..., Estimate]] = {
    "fleiss_kappa": fleiss_kappa,
    "conger_kappa": conger_kappa,
    "light_kappa": light_kappa,
    "gwet_ac1": gwet_ac,
    "gwet_ac2 linear": partial(gwet_ac, weighting="linear weights"),
    "fleiss_kappa_general": fleiss_kappa_general,
    "brennan_prediger": brennan_prediger,
}
POPULATION: Mapping[str, Call] = {
    name: partial(for_reader_population, statistic=name.split()[0]) for name in MANY
} | {"gwet_ac2 linear": partial(for_reader_population, statistic="gwet_ac2", weighting="linear weights")}
PAIR: dict[str, Call] = {
    "cohen_kappa": cohen_kappa,
    "cohen_kappa linear": partial(cohen_kappa, weighting="linear weights"),
    "cohen_kappa quadratic": partial(cohen_kappa, weighting="quadratic weights"),
    "opa": partial(agreement_share, statistic="opa"),
    "ppa": partial(agreement_share, statistic="ppa"),
    "positive_agreement": partial(agreement_share, statistic="positive_agreement"),
    "positive_share_difference": positive_share_difference,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.coverage_classes")
    parser.add_argument("--sets", type=int, default=40, help="sets of readers")
    parser.add_argument("--studies", type=int, default=50, help="studies of each set")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    for cases, readers in ((20, 5), (50, 10)):
        rng = np.random.default_rng([asked.seed, cases])
        found = measure(Setting(cases, readers), rng, sets=asked.sets, studies=asked.studies)
        for name, (covered, defined, width) in found.items():
            total = asked.sets * asked.studies
            print(
                f"{cases:3} × {readers:2}  {name:46} {100 * covered / max(defined, 1):5.1f} %"
                f"  width {width / max(defined, 1):.3f}  undefined {total - defined} of {total}"
                f"  seed {asked.seed}",
                flush=True,
            )
    return 0


def measure(
    setting: Setting, rng: np.random.Generator, *, sets: int, studies: int
) -> dict[str, tuple[int, int, float]]:
    """For each statistic and target: how many intervals covered, how many there were, their summed widths."""
    population = _values(
        _draw(setting, rng, _effects(setting, rng, MANY_READERS), MANY_CASES // 4).readers, MANY
    )
    tally: dict[str, tuple[int, int, float]] = {}
    for _ in range(sets):
        effects = _effects(setting, rng, setting.readers)
        many = _draw(setting, rng, effects, MANY_CASES)
        truth = _values(many.readers, MANY) | _values(many.pair, PAIR)
        for _ in range(studies):
            study = _draw(setting, rng, effects, setting.cases)
            for name, call in MANY.items():
                here = call(study.readers)
                _count(tally, f"{name}, these readers", here, truth[name])
                _count(tally, f"{name}, these limits for the population", here, population[name])
                both = POPULATION[name](study.readers)
                _count(tally, f"{name}, {TWO_WAY}, reader population", both, population[name])
            for name, call in PAIR.items():
                _count(tally, f"{name}, these readers", call(study.pair), truth[name])
    return tally


def _count(tally: dict[str, tuple[int, int, float]], name: str, found: Estimate, truth: float) -> None:
    covered, defined, width = tally.setdefault(name, (0, 0, 0.0))
    if found.ci_low is not None and found.ci_high is not None:
        inside = found.ci_low <= truth <= found.ci_high
        tally[name] = (covered + inside, defined + 1, width + found.ci_high - found.ci_low)


def _effects(setting: Setting, rng: np.random.Generator, readers: int) -> np.ndarray:
    """The algorithm's own bias first, then the readers'."""
    return np.concatenate([[ALGORITHM_BIAS], rng.normal(0, setting.reader_sd, readers)])


def _draw(setting: Setting, rng: np.random.Generator, effects: np.ndarray, cases: int) -> Drawn:
    """Classes of new cases."""
    case = CASE_SD * rng.normal(size=(cases, 1))
    sds = np.concatenate([[ALGORITHM_SD], np.full(len(effects) - 1, RESIDUAL_SD)])
    percent = MEDIAN_PERCENT * np.exp(case + effects + sds * rng.normal(size=(cases, len(effects))))
    classes = (percent > 5).astype(np.intp) + (percent >= 30)
    pair = np.stack([np.median(classes[:, 1:], axis=1).astype(np.intp), classes[:, 0]], axis=1)
    return Drawn(readers=_coded(classes[:, 1:]), pair=_coded(pair))


def _coded(matrix: Integers) -> Codes:
    cases, readers = (tuple(map(str, range(size))) for size in matrix.shape)
    return Codes(matrix, cases, readers, CLASSES, "categories", np.arange(len(matrix)))


def _values(codes: Codes, calls: dict[str, Call]) -> dict[str, float]:
    """What the statistics come to with very many cases."""
    values = {name: call(codes).value for name, call in calls.items()}
    return {name: value for name, value in values.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
