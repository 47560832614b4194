"""What the parts of an analysis share: settings, result, and data put through the statistics of its form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ki67.stats.classes import Cutoffs
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.grid import ALGORITHM, LOG2, RAW
from ki67.stats.registry import Key, statistics
from ki67.stats.verdict import IkwgVerdict

Params = Mapping[str, ParamValue]
Readers = tuple[str, str]
OWN_COVERAGE: Mapping[str, Params] = {
    name: {"coverage": 0.9} for name in ("ba_tdi90_normal_approx", "tdi", "tdi_upper_bound")
}


@dataclass(frozen=True)
class ClassBorders:
    """A set of classes: its name ("IKWG class") and the borders between them."""

    name: str
    cutoffs: Cutoffs


@dataclass(frozen=True)
class AnalysisSettings:
    """How readings are analysed.

    `algorithm` names the reader that is the algorithm; `log2` analyses log2(value + 0.1); `classes`: the
    cut-offs; `criterion`: the ICC that the verdict's lower limit must exceed; `bootstrap`: draws of a
    bootstrap interval, from `seed`.
    """

    algorithm: str = ALGORITHM
    log2: bool = False
    classes: tuple[ClassBorders, ...] = ()
    criterion: float = 0.80
    alpha: float = 0.05
    coverage: float = 0.95
    seed: int = 0
    bootstrap: int = 2000

    @property
    def transform(self) -> str:
        """The scale of the analysis as params name it."""
        return LOG2 if self.log2 else RAW

    def params(self) -> dict[str, ParamValue]:
        """What every statistic is asked with; each takes those that it knows."""
        return {"alpha": self.alpha, "coverage": self.coverage, "ratio": 1.0, "seed": self.seed}

    def params_of(self, key: Key) -> dict[str, ParamValue]:
        """The same for one statistic, with the draws where its interval is drawn again."""
        own = dict(OWN_COVERAGE.get(key[1], {}))
        if "bootstrap" in key[2]:
            own["draws"] = self.bootstrap
        return self.params() | own


@dataclass(frozen=True)
class Exclusion:
    """`count` of `what` took no part; `why` is our sentence."""

    what: str
    count: int
    why: str


@dataclass(frozen=True)
class GroupAnalysis:
    """Everything estimated from one level of readings; `n_readers` counts them without the algorithm."""

    n_cases: int
    n_readers: int
    estimates: tuple[Estimate, ...]
    verdict: IkwgVerdict
    warnings: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]


def find(
    estimates: Iterable[Estimate], statistic: str, variant: str, *, readers: Readers | None = None
) -> Estimate | None:
    """The first estimate of this name, variant and pair of readers (None: of no pair)."""
    return next(
        (
            one
            for one in estimates
            if (one.statistic, one.variant, one.readers) == (statistic, variant, readers)
        ),
        None,
    )


def keys_of(form: Form, *, among: Callable[[Key], bool] = lambda key: True) -> tuple[Key, ...]:
    """The statistics that the library has for a form, in the order of its modules."""
    return tuple(key for key in statistics() if key[0] == form and among(key))


def evaluate(
    keys: Iterable[Key],
    data: Any,
    settings: AnalysisSettings,
    *,
    asked: Params | None = None,
    noted: Params | None = None,
    readers: Readers | None = None,
) -> list[Estimate]:
    """Each statistic of `data`.

    `asked`: further params of the statistics; `noted`: what the estimates' params say besides (the scale
    that the data are on); `readers`: the two compared.
    """
    table = statistics()
    found = []
    for key in keys:
        estimate = table[key](data, {**settings.params_of(key), **(asked or {})})
        params = {**estimate.params, **(noted or {})}
        found.append(replace(estimate, params=params, readers=readers or estimate.readers))
    return found
