"""Kappas on complete cases: Cohen's for two readers, Fleiss', Conger's and Light's for many.

Those that take every rating (Gwet's family) are in `ki67.stats.gwet`.

Coverage of the 95 % limits for these readers (`python -m bench.coverage_classes`, three classes of the
working group, 20 cases × 5 readers, 2,000 draws): Fleiss 95.0 %, Conger 94.9 %, Light 95.0 %; Cohen of panel
and algorithm 92.4 %, with linear weights 91.4 %, quadratic 90.5 % (the published standard error is for many
cases). For the reader population the same limits cover 92 %: see `ki67.stats.kappa_population`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from ki67.errors import DataError
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
from ki67.stats.crosstab import cross_counts
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Reals
from ki67.stats.weights import Weighting, agreement_weights

COMPLETE = "complete cases"
_ZERO = 1e-12


def cohen_kappa(
    data: ClassData, *, weighting: Weighting = "unweighted", alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Cohen's kappa of two readers over the cases that both read.

    (po - pe) / (1 - pe) with weights of agreement. J. Cohen, Educ Psychol Meas 20 (1960) 37-46 and
    Psychol Bull 70 (1968) 213-220. Limits: standard error of J. L. Fleiss, J. Cohen & B. S. Everitt,
    Psychol Bull 72 (1969) 323-327, normal quantile, not cut at 1; they speak about these two readers
    and resample cases only. Undefined (one_category) when both put every case into the same class.
    Raises DataError when there are not two readers.
    """
    codes = code(data)
    if len(codes.readers) != 2:
        raise DataError(f"Cohen's kappa compares two readers; here are {len(codes.readers)}: choose two.")
    return _cohen_of(codes, weighting, alpha)


def fleiss_kappa(data: ClassData, *, alpha: float = DEFAULT_ALPHA) -> Estimate:
    """Fleiss' kappa over the cases that every reader read; unweighted.

    J. L. Fleiss, Psychol Bull 76 (1971) 378-382. The readers are exchangeable: chance agreement comes
    from the pooled share of each class. Limits: jackknife by patient, Student's t, these readers.
    """
    return _many(code(data), "fleiss_kappa", _fleiss, alpha)


def conger_kappa(data: ClassData, *, alpha: float = DEFAULT_ALPHA) -> Estimate:
    """Conger's kappa over the cases that every reader read; unweighted; Cohen's for two readers.

    A. J. Conger, Psychol Bull 88 (1980) 322-328: chance agreement is the mean over pairs of readers of
    the product of their own shares. Limits: jackknife by patient, Student's t, these readers.
    """
    return _many(code(data), "conger_kappa", _conger, alpha)


def light_kappa(data: ClassData, *, alpha: float = DEFAULT_ALPHA) -> Estimate:
    """Light's kappa: the mean of Cohen's kappa over all pairs of readers, over the complete cases.

    R. J. Light, Psychol Bull 76 (1971) 365-377. Undefined when the kappa of one pair is 0/0.
    Limits: jackknife by patient, Student's t, these readers.
    """
    return _many(code(data), "light_kappa", _light, alpha)


def cohen_variance(shares: Reals, weights: Reals) -> float:
    """n times the squared standard error of kappa for a table of shares that sum to 1.

    J. L. Fleiss, J. Cohen & B. S. Everitt, Psychol Bull 72 (1969) 323-327, equation 13. nan when chance
    agreement is 1.
    """
    pull, centre = _cohen_pull(shares, weights)
    return max(0.0, float((shares * pull**2).sum()) - centre**2)


def _cohen_pull(shares: Reals, weights: Reals) -> tuple[Reals, float]:
    """How a case in each cell moves kappa (times n), and the mean of it over the table."""
    row, column = shares.sum(axis=1), shares.sum(axis=0)
    seen = float((weights * shares).sum())
    chance = float(row @ weights @ column)
    if 1 - chance < _ZERO:
        return np.full(shares.shape, math.nan), math.nan
    means = np.add.outer(weights @ column, row @ weights)
    pull = (weights * (1 - chance) - means * (1 - seen)) / (1 - chance) ** 2
    return np.asarray(pull, float), (seen * chance - 2 * chance + seen) / (1 - chance) ** 2


def _clustered_error(used: Codes, shares: Reals, weights: Reals) -> float:
    """The standard error with the cases of a patient added up before they are squared."""
    pull, centre = _cohen_pull(shares, weights)
    own = pull[used.matrix[:, 0], used.matrix[:, 1]] - centre
    return math.sqrt(float((np.bincount(used.patients, weights=own) ** 2).sum())) / len(own)


def _cohen_of(codes: Codes, weighting: Weighting, alpha: float) -> Estimate:
    used = codes.complete()
    n, patients = len(used.matrix), len(set(used.patients.tolist()))
    excluded = len(codes.matrix) - n
    sorry = partial(
        undefined, codes, "cohen_kappa", weighting, n=n, excluded=excluded, alpha=alpha, method=_COHEN_METHOD
    )
    if codes.duplicate is not None:
        return sorry(reason="duplicate_key", message=duplicate_message(codes))
    if n == 0:
        return sorry(reason="no_pairs", message="No case was read by both readers.")
    weights = agreement_weights(weighting, len(codes.categories))
    shares = cross_counts(used) / n
    chance = float(shares.sum(axis=1) @ weights @ shares.sum(axis=0))
    if 1 - chance < _ZERO:
        return sorry(reason="one_category", message=_ONE_CATEGORY)
    value = (float((weights * shares).sum()) - chance) / (1 - chance)
    low = high = None
    if patients > 1:
        error = math.sqrt(cohen_variance(shares, weights) / n)
        if patients < n:
            error = _clustered_error(used, shares, weights)
        half = float(special.ndtri(1 - alpha / 2)) * error
        low, high = value - half, value + half
    return Estimate(
        statistic="cohen_kappa",
        variant=weighting,
        form=codes.form,
        value=value,
        ci_low=low,
        ci_high=high,
        n=n,
        method=_COHEN_METHOD,
        reason=None if patients > 1 else "too_few",
        message="" if patients > 1 else "One patient is too few for limits.",
        excluded=excluded,
        params=params_of(codes, alpha),
        readers=two_readers(codes),
        target="these readers",
    )


def _many(
    codes: Codes, statistic: str, kappa: Callable[[Codes], tuple[float, Reals]], alpha: float
) -> Estimate:
    """A kappa of many readers with its jackknife by patient."""
    used = codes.complete()
    n, readers = used.matrix.shape
    excluded = len(codes.matrix) - n
    sorry = partial(
        undefined, codes, statistic, COMPLETE, n=n, excluded=excluded, alpha=alpha, method=_JACKKNIFE_METHOD
    )
    if codes.duplicate is not None:
        return sorry(reason="duplicate_key", message=duplicate_message(codes))
    if readers < 2:
        return sorry(reason="too_few", message="Agreement needs at least two readers.")
    if n == 0:
        return sorry(reason="no_pairs", message="No case was read by every reader.")
    value, without = kappa(used)
    if math.isnan(value):
        return sorry(reason="one_category", message=_ONE_CATEGORY)
    limits = jackknife_limits(value, without, alpha=alpha)
    return Estimate(
        statistic=statistic,
        variant=COMPLETE,
        form=codes.form,
        value=value,
        ci_low=limits[0] if limits else None,
        ci_high=limits[1] if limits else None,
        n=n,
        method=_JACKKNIFE_METHOD,
        reason=None if limits else "too_few",
        message="" if limits else "Without one of the patients the value is not defined: too few for limits.",
        excluded=excluded,
        params=params_of(codes, alpha),
        readers=two_readers(codes),
        target="these readers",
    )


def jackknife_limits(value: float, without: Reals, *, alpha: float) -> tuple[float, float] | None:
    """Limits from the values without one patient each, centred on `value`, Student's t with n - 1 df.

    B. Efron & R. J. Tibshirani, An introduction to the bootstrap (1993), equation 11.5. None when fewer
    than two patients, or when leaving one out leaves nothing defined.
    """
    n = len(without)
    if n < 2 or not np.isfinite(without).all():
        return None
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    half = float(special.stdtrit(n - 1, 1 - alpha / 2)) * error
    return value - half, value + half


def without_each_reader(codes: Codes, statistic: str) -> Reals:
    """`fleiss_kappa`, `conger_kappa` or `light_kappa` of the complete cases, without each reader in turn.

    (readers,), three readers or more; nan where it is 0/0.
    """
    used = codes.complete()
    n, readers, _ = (one_hot := _one_hot(used)).shape
    if n == 0:
        return np.full(readers, np.nan)
    shares = one_hot.sum(axis=0) / n
    same = np.einsum("nrq,nsq->rs", one_hot, one_hot, optimize=True) / n
    chance = shares @ shares.T
    if statistic == "light_kappa":
        return _pair_means(_ratio(same, chance))
    if statistic == "conger_kappa":
        return _ratio(_pair_means(same), _pair_means(chance))
    pooled = (shares.sum(axis=0) - shares) / (readers - 1)
    return _ratio(_pair_means(same), (pooled**2).sum(axis=1))


def _pair_means(of_pairs: Reals) -> Reals:
    """Means over the pairs of readers without each reader, from a (readers, readers) matrix."""
    apart = of_pairs.copy()
    np.fill_diagonal(apart, 0.0)
    left = len(apart) - 1
    return np.asarray((apart.sum() - 2 * apart.sum(axis=1)) / (left * (left - 1)), float)


def _ratio(seen: Reals, chance: Reals) -> Reals:
    """(seen - chance) / (1 - chance), nan where chance agreement is 1."""
    rest = np.where(1 - chance < _ZERO, np.nan, 1 - chance)
    return np.asarray((seen - chance) / rest, float)


@dataclass(frozen=True)
class _Sums:
    """Sums over all cases, and without each patient in turn (axis 0: all, then a patient a row)."""

    patients: Integers
    cases: Reals

    def of(self, part: Reals) -> Reals:
        """Sums of `part`, whose axis 0 is the cases."""
        together = np.zeros((len(self.cases) - 1, *part.shape[1:]))
        np.add.at(together, self.patients, part)
        total = together.sum(axis=0, keepdims=True)
        return np.concatenate([total, total - together])


def _sums(used: Codes) -> _Sums:
    _, patients, sizes = np.unique(used.patients, return_inverse=True, return_counts=True)
    left = np.concatenate([[len(patients)], len(patients) - sizes]).astype(float)
    return _Sums(patients, np.where(left > 0, left, np.nan))


def _one_hot(used: Codes) -> Reals:
    return np.asarray(used.matrix[:, :, None] == np.arange(len(used.categories)), float)


def _agreeing(used: Codes) -> Reals:
    """The share of pairs of readers who agree, for every case."""
    counts, readers = used.counts(), len(used.readers)
    return np.asarray((counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1)), float)


def _fleiss(used: Codes) -> tuple[float, Reals]:
    sums, readers = _sums(used), len(used.readers)
    shares = sums.of(used.counts()) / (sums.cases * readers)[:, None]
    kappa = _ratio(sums.of(_agreeing(used)) / sums.cases, (shares**2).sum(axis=1))
    return float(kappa[0]), kappa[1:]


def _conger(used: Codes) -> tuple[float, Reals]:
    sums, readers = _sums(used), len(used.readers)
    shares = sums.of(_one_hot(used)) / sums.cases[:, None, None]
    pooled = (shares.sum(axis=1) ** 2).sum(axis=1) - (shares**2).sum(axis=(1, 2))
    kappa = _ratio(sums.of(_agreeing(used)) / sums.cases, pooled / (readers * (readers - 1)))
    return float(kappa[0]), kappa[1:]


def _light(used: Codes) -> tuple[float, Reals]:
    sums, readers = _sums(used), len(used.readers)
    shares = sums.of(_one_hot(used)) / sums.cases[:, None, None]
    total = np.zeros(len(sums.cases))
    for first in range(readers - 1):
        same = (used.matrix[:, first, None] == used.matrix[:, first + 1 :]).astype(float)
        chance = np.einsum("nq,nrq->nr", shares[:, first], shares[:, first + 1 :])
        total += _ratio(sums.of(same) / sums.cases[:, None], chance).sum(axis=1)
    kappa = total / (readers * (readers - 1) / 2)
    return float(kappa[0]), kappa[1:]


_ONE_CATEGORY = "Every reading is in one class: agreement beyond chance is 0/0."
_COHEN_METHOD = "Fleiss–Cohen–Everitt standard error, normal quantile; n cases read by both"
_JACKKNIFE_METHOD = "jackknife by patient, Student's t; n cases read by every reader"

Compute = Callable[[ClassData, Mapping[str, ParamValue]], Estimate]


def _of(
    data: ClassData, params: Mapping[str, ParamValue], *, kappa: Callable[..., Estimate], **named: str
) -> Estimate:
    return kappa(data, alpha=alpha_of(params), **named)


def _table() -> dict[tuple[Form, str, str], Compute]:
    forms: tuple[Form, ...] = ("categories", "table")
    plain = {"fleiss_kappa": fleiss_kappa, "conger_kappa": conger_kappa, "light_kappa": light_kappa}
    found: dict[tuple[Form, str, str], Compute] = {}
    for form in forms:
        for weighting in ("unweighted", "linear weights", "quadratic weights"):
            found[form, "cohen_kappa", weighting] = partial(_of, kappa=cohen_kappa, weighting=weighting)
        for name, function in plain.items():
            found[form, name, COMPLETE] = partial(_of, kappa=function)
    return found


STATISTICS = _table()
