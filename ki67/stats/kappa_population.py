"""Agreement in classes for the reader population: the readers are a sample, as the cases are.

The limits of `kappa.py` and `gwet.py` keep these readers. Here the variance over patients and the variance
over readers (leave one reader out) are added: what both share is counted twice, on the wide side.
B. Efron & C. Stein, Ann Stat 9 (1981) 586-596; K. L. Gwet, Psychometrika 73 (2008) 407-430 adds the two
for kappas. Student's t with Satterthwaite's degrees of freedom; not cut at 1. Coverage of the 95 % limits for
the reader population (`python -m bench.coverage_classes`, 2,000 draws): 97.2-98.2 % at 20 cases × 5 readers,
98.4-99.0 % at 50 × 10: conservative, where the limits of these readers cover 90-92 and 89-91 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from scipy import special

from ki67.stats import gwet, kappa
from ki67.stats.coding import DEFAULT_ALPHA, ClassData, alpha_of, code
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.weights import WEIGHTINGS, Weighting

TWO_WAY = "two-way jackknife"
FEWEST_READERS = 3
_METHOD = "leave one patient and leave one reader out, variances added, Student's t; n cases"


def for_reader_population(
    data: ClassData, statistic: str, *, weighting: Weighting = "unweighted", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """The value of `fleiss_kappa`, `conger_kappa`, `light_kappa` (complete cases, unweighted),
    `fleiss_kappa_general`, `gwet_ac1`, `gwet_ac2`, `brennan_prediger` or `percent_agreement` with limits
    for the reader population; its variant ends in "two-way jackknife".

    Without limits (too_few) under three readers, or where leaving one out leaves nothing defined.
    """
    codes = code(data)
    complete = _COMPLETE.get(statistic)
    if complete:
        here = complete(codes, alpha=alpha)
    else:
        here = _GENERAL[statistic][1](codes, weighting=weighting, alpha=alpha)
    named = replace(
        here,
        variant=f"{here.variant}, {TWO_WAY}",
        ci_low=None,
        ci_high=None,
        method=_METHOD,
        target=None if here.value is None else "reader population",
    )
    if here.value is None or here.ci_high is None:
        return named
    if len(codes.readers) < FEWEST_READERS:
        return _without_limits(named, f"The reader population needs {FEWEST_READERS} readers or more.")
    if complete:
        left_out = kappa.without_each_reader(codes, statistic)
    else:
        left_out = gwet.without_each_reader(codes, _GENERAL[statistic][0], weighting)
    if not np.isfinite(left_out).all():
        return _without_limits(named, "Without one of the readers the value is not defined.")
    patients = len(set((codes.complete() if complete else codes.rated()).patients.tolist()))
    error = (here.ci_high - here.value) / float(special.stdtrit(patients - 1, 1 - alpha / 2))
    half = _half_width(error**2, patients, left_out, alpha=alpha)
    return replace(named, ci_low=here.value - half, ci_high=here.value + half)


def _half_width(case_variance: float, patients: int, left_out: np.ndarray, *, alpha: float) -> float:
    readers = len(left_out)
    reader_variance = (readers - 1) / readers * float(((left_out - left_out.mean()) ** 2).sum())
    total = case_variance + reader_variance
    spread = case_variance**2 / (patients - 1) + reader_variance**2 / (readers - 1)
    df = total**2 / spread if spread > 0 else patients - 1
    return float(special.stdtrit(df, 1 - alpha / 2)) * math.sqrt(total)


def _without_limits(estimate: Estimate, message: str) -> Estimate:
    return replace(estimate, reason="too_few", message=message)


_COMPLETE: Mapping[str, Callable[..., Estimate]] = {
    "fleiss_kappa": kappa.fleiss_kappa,
    "conger_kappa": kappa.conger_kappa,
    "light_kappa": kappa.light_kappa,
}
_GENERAL: Mapping[str, tuple[gwet.Coefficient, Callable[..., Estimate]]] = {
    "fleiss_kappa_general": ("fleiss", gwet.fleiss_kappa_general),
    "gwet_ac1": ("gwet", gwet.gwet_ac),
    "gwet_ac2": ("gwet", gwet.gwet_ac),
    "brennan_prediger": ("brennan_prediger", gwet.brennan_prediger),
    "percent_agreement": ("percent", gwet.percent_agreement),
}


def _of(
    data: ClassData, params: Mapping[str, ParamValue], *, statistic: str, weighting: Weighting
) -> Estimate:
    return for_reader_population(data, statistic, weighting=weighting, alpha=alpha_of(params))


def _table() -> dict[tuple[Form, str, str], kappa.Compute]:
    found: dict[tuple[Form, str, str], kappa.Compute] = {
        ("categories", name, f"{kappa.COMPLETE}, {TWO_WAY}"): partial(
            _of, statistic=name, weighting="unweighted"
        )
        for name in _COMPLETE
    }
    for weighting in WEIGHTINGS:
        other = "gwet_ac2" if weighting == "unweighted" else "gwet_ac1"
        for name in (name for name in _GENERAL if name != other):
            found["categories", name, f"{weighting}, {TWO_WAY}"] = partial(
                _of, statistic=name, weighting=weighting
            )
    return found


STATISTICS = _table()
