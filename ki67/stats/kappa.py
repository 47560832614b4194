"""Kappas on complete cases: Cohen's for two readers, Fleiss', Conger's and Light's for many.

Those that take every rating (Gwet's family) are in `ki67.stats.gwet`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from scipy import stats

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
    both = codes.complete()
    table = _cross(both[:, 0], both[:, 1], len(codes.categories))
    return _cohen_of(codes, table, weighting, alpha)


def fleiss_kappa(data: ClassData, *, alpha: float = DEFAULT_ALPHA) -> Estimate:
    """Fleiss' kappa over the cases that every reader read; unweighted.

    J. L. Fleiss, Psychol Bull 76 (1971) 378-382. The readers are exchangeable: chance agreement comes
    from the pooled share of each class. Limits: jackknife by case, Student's t, these readers.
    """
    return _many(code(data), "fleiss_kappa", _fleiss, alpha)


def conger_kappa(data: ClassData, *, alpha: float = DEFAULT_ALPHA) -> Estimate:
    """Conger's kappa over the cases that every reader read; unweighted; Cohen's for two readers.

    A. J. Conger, Psychol Bull 88 (1980) 322-328: chance agreement is the mean over pairs of readers of
    the product of their own shares. Limits: jackknife by case, Student's t, these readers.
    """
    return _many(code(data), "conger_kappa", _conger, alpha)


def light_kappa(data: ClassData, *, alpha: float = DEFAULT_ALPHA) -> Estimate:
    """Light's kappa: the mean of Cohen's kappa over all pairs of readers, over the complete cases.

    R. J. Light, Psychol Bull 76 (1971) 365-377. Undefined when the kappa of one pair is 0/0.
    Limits: jackknife by case, Student's t, these readers.
    """
    return _many(code(data), "light_kappa", _light, alpha)


def cohen_variance(shares: Reals, weights: Reals) -> float:
    """n times the squared standard error of kappa for a table of shares that sum to 1.

    J. L. Fleiss, J. Cohen & B. S. Everitt, Psychol Bull 72 (1969) 323-327, equation 13. nan when chance
    agreement is 1.
    """
    row, column = shares.sum(axis=1), shares.sum(axis=0)
    seen = float((weights * shares).sum())
    chance = float(row @ weights @ column)
    if 1 - chance < _ZERO:
        return math.nan
    means = np.add.outer(weights @ column, row @ weights)
    spread = (shares * (weights * (1 - chance) - means * (1 - seen)) ** 2).sum()
    centre = (seen * chance - 2 * chance + seen) ** 2
    return max(0.0, float(spread - centre)) / (1 - chance) ** 4


def _cohen_of(codes: Codes, table: Reals, weighting: Weighting, alpha: float) -> Estimate:
    n = int(table.sum())
    excluded = len(codes.matrix) - n
    sorry = partial(
        undefined, codes, "cohen_kappa", weighting, n=n, excluded=excluded, alpha=alpha, method=_COHEN_METHOD
    )
    if codes.duplicate is not None:
        return sorry(reason="duplicate_key", message=duplicate_message(codes))
    if n == 0:
        return sorry(reason="no_pairs", message="No case was read by both readers.")
    weights = agreement_weights(weighting, len(codes.categories))
    shares = table / n
    chance = float(shares.sum(axis=1) @ weights @ shares.sum(axis=0))
    if 1 - chance < _ZERO:
        return sorry(reason="one_category", message=_ONE_CATEGORY)
    value = (float((weights * shares).sum()) - chance) / (1 - chance)
    low = high = None
    if n > 1:
        half = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(cohen_variance(shares, weights) / n)
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
        reason=None if n > 1 else "too_few",
        message="" if n > 1 else "One case is too few for limits.",
        excluded=excluded,
        params=params_of(codes, alpha),
        readers=two_readers(codes),
        target="these readers",
    )


def _many(
    codes: Codes, statistic: str, kappa: Callable[[Integers, int], tuple[float, Reals]], alpha: float
) -> Estimate:
    """A kappa of many readers with its jackknife by case."""
    matrix = codes.complete()
    n, readers = matrix.shape
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
    value, without = kappa(matrix, len(codes.categories))
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
        message="" if limits else "Without one of the cases the value is not defined: too few for limits.",
        excluded=excluded,
        params=params_of(codes, alpha),
        readers=two_readers(codes),
        target="these readers",
    )


def jackknife_limits(value: float, without: Reals, *, alpha: float) -> tuple[float, float] | None:
    """Limits from the values without one case each, centred on `value`, Student's t with n - 1 df.

    B. Efron & R. J. Tibshirani, An introduction to the bootstrap (1993), equation 11.5. None when fewer
    than two cases, or when leaving one out leaves nothing defined.
    """
    n = len(without)
    if n < 2 or not np.isfinite(without).all():
        return None
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    half = float(stats.t.ppf(1 - alpha / 2, n - 1)) * error
    return value - half, value + half


def _ratio(seen: Reals, chance: Reals) -> Reals:
    """(seen - chance) / (1 - chance), nan where chance agreement is 1."""
    rest = np.where(1 - chance < _ZERO, np.nan, 1 - chance)
    return np.asarray((seen - chance) / rest, float)


def _with_all(part: Reals) -> Reals:
    """Sums over the cases: first all of them, then without each case in turn (axis 0)."""
    total = part.sum(axis=0, keepdims=True)
    return np.concatenate([total, total - part])


def _fleiss(matrix: Integers, classes: int) -> tuple[float, Reals]:
    n, readers = matrix.shape
    counts = (matrix[:, :, None] == np.arange(classes)).sum(axis=1).astype(float)
    agreeing = (counts * (counts - 1)).sum(axis=1) / (readers * (readers - 1))
    cases = _cases_used(n)
    shares = _with_all(counts) / (cases * readers)[:, None]
    kappa = _ratio(_with_all(agreeing) / cases, (shares**2).sum(axis=1))
    return float(kappa[0]), kappa[1:]


def _conger(matrix: Integers, classes: int) -> tuple[float, Reals]:
    n, readers = matrix.shape
    one_hot = (matrix[:, :, None] == np.arange(classes)).astype(float)
    counts = one_hot.sum(axis=1)
    pairs = readers * (readers - 1)
    agreeing = (counts * (counts - 1)).sum(axis=1) / pairs
    cases = _cases_used(n)
    shares = _with_all(one_hot) / cases[:, None, None]
    pooled = (shares.sum(axis=1) ** 2).sum(axis=1) - (shares**2).sum(axis=(1, 2))
    kappa = _ratio(_with_all(agreeing) / cases, pooled / pairs)
    return float(kappa[0]), kappa[1:]


def _light(matrix: Integers, classes: int) -> tuple[float, Reals]:
    n, readers = matrix.shape
    one_hot = (matrix[:, :, None] == np.arange(classes)).astype(float)
    cases = _cases_used(n)
    shares = _with_all(one_hot) / cases[:, None, None]
    total = np.zeros(len(cases))
    for first in range(readers - 1):
        same = (matrix[:, first, None] == matrix[:, first + 1 :]).astype(float)
        chance = np.einsum("nq,nrq->nr", shares[:, first], shares[:, first + 1 :])
        total += _ratio(_with_all(same) / cases[:, None], chance).sum(axis=1)
    kappa = total / (readers * (readers - 1) / 2)
    return float(kappa[0]), kappa[1:]


def _cases_used(n: int) -> Reals:
    """How many cases stand behind the sums of `_with_all`; nan where none is left."""
    used = np.full(n + 1, n - 1.0)
    used[0] = n
    return np.where(used > 0, used, np.nan)


def _cross(first: Integers, second: Integers, classes: int) -> Reals:
    """How many cases the first reader put into class i and the second into class j."""
    return np.bincount(first * classes + second, minlength=classes**2).reshape(classes, classes).astype(float)


_ONE_CATEGORY = "Every reading is in one class: agreement beyond chance is 0/0."
_COHEN_METHOD = "Fleiss–Cohen–Everitt standard error, normal quantile; n cases read by both"
_JACKKNIFE_METHOD = "jackknife by case, Student's t; n cases read by every reader"

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
