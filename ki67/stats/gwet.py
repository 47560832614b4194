"""Chance-corrected agreement from every rating, missing cells allowed: Gwet's family.

K. L. Gwet, Handbook of inter-rater reliability, 4th ed. (2014), chapters 2-5. Observed agreement is the
mean over the cases with two ratings or more; the shares of the classes come from every rated case.
The four coefficients differ in chance agreement only:

- `fleiss_kappa_general`: sum of w_ij p_i p_j, p the shares of the classes (Fleiss' kappa extended);
- `gwet_ac1` (unweighted), `gwet_ac2` (weighted): sum of w over q(q - 1), times the sum of p_i (1 - p_i);
- `brennan_prediger`: sum of w over q² (R. L. Brennan & D. J. Prediger, Educ Psychol Meas 41 (1981) 687-699);
- `percent_agreement`: none.

Limits: Gwet's linearised standard error over cases (the cases of a patient together), Student's t with one
df fewer than patients, not cut at 1; they speak about these readers. Coverage of the 95 % limits
(`python -m bench.coverage_classes`, 20 cases × 5 readers, 2,000 draws): AC1 95.2 %, AC2 with linear weights
94.8 %, Fleiss 94.3 %, Brennan-Prediger 94.8 %; for the reader population 90-91 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import special

from ki67.stats.coding import (
    DEFAULT_ALPHA,
    ClassData,
    Codes,
    Integers,
    alpha_of,
    code,
    duplicate_message,
    params_of,
    two_readers,
    undefined,
)
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Reals
from ki67.stats.kappa import Compute
from ki67.stats.weights import WEIGHTINGS, Weighting, agreement_weights

_ZERO = 1e-12
_METHOD = "every rating; Gwet's linearised standard error, Student's t; n cases with a rating"
Coefficient = Literal["fleiss", "gwet", "brennan_prediger", "percent"]
_NAMES: dict[Coefficient, str] = {
    "fleiss": "fleiss_kappa_general",
    "brennan_prediger": "brennan_prediger",
    "percent": "percent_agreement",
}


def fleiss_kappa_general(
    data: ClassData, *, weighting: Weighting = "unweighted", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Fleiss' kappa from every rating, weighted or not. Undefined (one_category) at chance 1."""
    return _estimate(code(data), "fleiss", weighting, alpha)


def gwet_ac(
    data: ClassData, *, weighting: Weighting = "unweighted", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Gwet's AC1 (unweighted) or AC2 (weighted): `gwet_ac1`, `gwet_ac2`. 1 when every reading is in one of
    several classes. K. L. Gwet, Br J Math Stat Psychol 61 (2008) 29-48.
    """
    return _estimate(code(data), "gwet", weighting, alpha)


def brennan_prediger(
    data: ClassData, *, weighting: Weighting = "unweighted", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Brennan and Prediger's coefficient, in which every class is as likely by chance."""
    return _estimate(code(data), "brennan_prediger", weighting, alpha)


def percent_agreement(
    data: ClassData, *, weighting: Weighting = "unweighted", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """The share of pairs of readers who agree, a fraction 0-1, averaged over cases; weighted: in part."""
    return _estimate(code(data), "percent", weighting, alpha)


@dataclass(frozen=True)
class _Agreement:
    """Observed agreement of every case (nan with one rating), ratings and shares behind chance agreement."""

    counts: Reals
    ratings: Reals
    of_case: Reals
    shares: Reals


def _agreement(counts: Reals, weights: Reals) -> _Agreement:
    ratings = counts.sum(axis=1)
    pairs = ratings * (ratings - 1)
    agreeing = (counts * (counts @ weights.T - 1)).sum(axis=1)
    of_case = np.divide(agreeing, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
    return _Agreement(counts, ratings, of_case, (counts / ratings[:, None]).mean(axis=0))


def _chance(coefficient: Coefficient, weights: Reals, seen: _Agreement) -> tuple[float, Reals]:
    """Chance agreement, and for every case the part of it that its ratings stand for."""
    classes = len(weights)
    if coefficient == "fleiss":
        pull = (weights @ seen.shares + seen.shares @ weights) / 2
        return float(seen.shares @ weights @ seen.shares), seen.counts @ pull / seen.ratings
    if coefficient == "gwet":
        scale = float(weights.sum()) / (classes * (classes - 1))
        of_case = scale * (seen.counts @ (1 - seen.shares)) / seen.ratings
        return scale * float((seen.shares * (1 - seen.shares)).sum()), of_case
    chance = float(weights.sum()) / classes**2 if coefficient == "brennan_prediger" else 0.0
    return chance, np.full(len(seen.counts), chance)


def _estimate(codes: Codes, coefficient: Coefficient, weighting: Weighting, alpha: float) -> Estimate:
    name = _NAMES.get(coefficient) or ("gwet_ac1" if weighting == "unweighted" else "gwet_ac2")
    used = codes.rated()
    counts = used.counts()
    n, patients = len(counts), len(set(used.patients.tolist()))
    excluded = len(codes.matrix) - n
    sorry = partial(undefined, codes, name, weighting, n=n, excluded=excluded, alpha=alpha, method=_METHOD)
    if codes.duplicate is not None:
        return sorry(reason="duplicate_key", message=duplicate_message(codes))
    if not (counts.sum(axis=1) > 1).any():
        return sorry(reason="no_pairs", message="No case has two readings.")
    if len(codes.categories) < 2 and coefficient != "percent":
        return sorry(reason="one_category", message="With a single class there is no chance to correct for.")
    weights = agreement_weights(weighting, len(codes.categories))
    seen = _agreement(counts, weights)
    chance, chance_of_case = _chance(coefficient, weights, seen)
    value = _value(seen, chance)
    if math.isnan(value):
        return sorry(
            reason="one_category", message="Every reading is in one class: agreement beyond chance is 0/0."
        )
    half = None
    if patients > 1:
        error = _standard_error(seen, chance, chance_of_case, value, used.patients)
        half = float(special.stdtrit(patients - 1, 1 - alpha / 2)) * error
    return Estimate(
        statistic=name,
        variant=weighting,
        form=codes.form,
        value=value,
        ci_low=None if half is None else value - half,
        ci_high=None if half is None else value + half,
        n=n,
        method=_METHOD,
        reason="too_few" if half is None else None,
        message="One patient is too few for limits." if half is None else "",
        excluded=excluded,
        params=params_of(codes, alpha),
        readers=two_readers(codes),
        target="these readers",
    )


def without_each_reader(codes: Codes, coefficient: Coefficient, weighting: Weighting) -> Reals:
    """The coefficient without each reader in turn, (readers,); nan for 0/0 or without a pair of ratings."""
    weights = agreement_weights(weighting, len(codes.categories))
    counts = codes.counts()
    values = np.full(len(codes.readers), np.nan)
    for reader in range(len(codes.readers)):
        own = codes.matrix[:, reader, None] == np.arange(len(codes.categories))
        left = counts - own
        left = left[left.sum(axis=1) > 0]
        if len(codes.categories) > 1 and (left.sum(axis=1) > 1).any():
            seen = _agreement(left, weights)
            values[reader] = _value(seen, _chance(coefficient, weights, seen)[0])
    return values


def _value(seen: _Agreement, chance: float) -> float:
    """(observed - chance) / (1 - chance); nan for 0/0."""
    if 1 - chance < _ZERO:
        return math.nan
    return (float(seen.of_case[seen.ratings > 1].mean()) - chance) / (1 - chance)


def _standard_error(
    seen: _Agreement, chance: float, chance_of_case: Reals, value: float, patients: Integers
) -> float:
    """Gwet's linearised standard error over cases; a case with one rating takes part through the shares.

    The cases of one patient add up before they are squared; a patient a case gives Gwet's formula.
    """
    n = len(seen.counts)
    paired = seen.ratings > 1
    own = np.where(paired, np.nan_to_num(seen.of_case) - chance, 0.0) * n / paired.sum() / (1 - chance)
    linear = own - 2 * (1 - value) * (chance_of_case - chance) / (1 - chance)
    together = np.bincount(patients, weights=linear - value)
    units = len(set(patients.tolist()))
    return math.sqrt(float((together**2).sum()) * units / (units - 1)) / n


def _of(
    data: ClassData, params: Mapping[str, ParamValue], *, coefficient: Coefficient, weighting: Weighting
) -> Estimate:
    return _estimate(code(data), coefficient, weighting, alpha_of(params))


def _table() -> dict[tuple[Form, str, str], Compute]:
    forms: tuple[Form, ...] = ("categories", "table")
    found: dict[tuple[Form, str, str], Compute] = {}
    for form in forms:
        for weighting in WEIGHTINGS:
            ac = "gwet_ac1" if weighting == "unweighted" else "gwet_ac2"
            found[form, ac, weighting] = partial(_of, coefficient="gwet", weighting=weighting)
            for coefficient, name in _NAMES.items():
                found[form, name, weighting] = partial(_of, coefficient=coefficient, weighting=weighting)
    return found


STATISTICS = _table()
