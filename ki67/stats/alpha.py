"""Krippendorff's alpha, for classes and for numbers.

K. Krippendorff, Content analysis, 4th ed. (2018), chapter 12: 1 - observed / expected disagreement, with
squared differences that are nominal (0 or 1), ordinal (between mid-ranks, which is his sum over the
classes between two values), interval (between the numbers) or ratio ((a - b) / (a + b)). A case with one
reading is left out. Written here because limits are wanted and because sums over cases stay small where
a table of all pairs of values (thousands of different readings) does not; the tests hold it to the
package `krippendorff`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, get_args

import numpy as np

from ki67.stats.anova import Matrix, complete_matrix, form_of
from ki67.stats.coding import (
    DEFAULT_ALPHA,
    ClassData,
    Codes,
    alpha_of,
    code,
    duplicate_message,
    params_of,
    two_readers,
)
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Pairs, Ratings, Reals
from ki67.stats.kappa import jackknife_limits
from ki67.stats.undefined import Undefined

Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = get_args(Level)
_METHOD = "jackknife by case, Student's t; n cases with two readings or more"
_CHUNK = 4_000_000  # numbers held at once
_ZERO = 1e-12
_MOST_RATIO_VALUES = 5_000


def krippendorff_alpha(
    data: ClassData | Ratings | Pairs, *, level: Level, alpha: float = DEFAULT_ALPHA
) -> Estimate:
    """Krippendorff's alpha at a level of measurement; `alpha` is for the limits (1 - alpha confidence).

    Classes: the value is the position of the class, from 1, used or not; every reading is used. Ratings:
    the number itself, over the cases that every reader read (a pair: two readers). Limits: jackknife by
    case, Student's t with n - 1 df, these readers. Undefined: one_category (classes) or zero_variance
    (numbers) when all readings are alike, no_pairs when no case has two readings, nonpositive_value for
    the ratio of negative numbers, out_of_range for that of more than 5,000 different numbers.
    """
    if isinstance(data, Ratings | Pairs):
        return _of_numbers(data, level, alpha)
    return _of_classes(code(data), level, alpha)


def _of_classes(codes: Codes, level: Level, alpha: float) -> Estimate:
    counts = codes.counts()
    counts = counts[counts.sum(axis=1) > 1]
    fill = partial(
        Estimate,
        statistic="krippendorff_alpha",
        variant=level,
        form=codes.form,
        n=len(counts),
        method=_METHOD,
        excluded=len(codes.matrix) - len(counts),
        params=params_of(codes, alpha),
        readers=two_readers(codes),
    )
    if codes.duplicate is not None:
        return _blank(fill, Undefined("duplicate_key", duplicate_message(codes)))
    return _filled(fill, counts, np.arange(1.0, len(codes.categories) + 1), level, alpha, numbers=False)


def _of_numbers(data: Ratings | Pairs, level: Level, alpha: float) -> Estimate:
    cases = len(set(data.cases))
    fill = partial(
        Estimate,
        statistic="krippendorff_alpha",
        variant=level,
        form=form_of(data),
        method=_METHOD,
        params={"alpha": alpha},
    )
    try:
        matrix = complete_matrix(data)
    except Undefined as error:
        return _blank(partial(fill, n=0, excluded=cases), error)
    fill = partial(fill, n=len(matrix.cases), excluded=cases - len(matrix.cases), readers=_two(matrix))
    counts, values = _counted(matrix.values)
    return _filled(fill, counts, values, level, alpha, numbers=True)


def _filled(
    fill: Callable[..., Estimate], counts: Reals, values: Reals, level: Level, alpha: float, *, numbers: bool
) -> Estimate:
    """The estimate from how often each case has each value."""
    if not len(counts):
        return _blank(fill, Undefined("no_pairs", "No case has two readings."))
    used = counts.sum(axis=0) > 0
    if used.sum() < 2:
        what = "number" if numbers else "class"
        reason = Undefined(
            "zero_variance" if numbers else "one_category", f"Every reading is the same {what}: alpha is 0/0."
        )
        return _blank(fill, reason)
    if level == "ratio" and values[used].min() < 0:
        return _blank(fill, Undefined("nonpositive_value", "A ratio needs numbers of 0 or more."))
    if level == "ratio" and used.sum() > _MOST_RATIO_VALUES:
        return _blank(fill, Undefined("out_of_range", "Too many different readings for a table of ratios."))
    value, without = _alpha(counts[:, used], values[used], level)
    limits = jackknife_limits(value, without, alpha=alpha)
    return fill(
        value=value,
        ci_low=limits[0] if limits else None,
        ci_high=limits[1] if limits else None,
        reason=None if limits else "too_few",
        message="" if limits else "Without one of the cases alpha is not defined: too few for limits.",
        target="these readers",
    )


def _blank(fill: Callable[..., Estimate], why: Undefined) -> Estimate:
    return fill(value=None, ci_low=None, ci_high=None, reason=why.reason, message=why.message)


def _alpha(counts: Reals, values: Reals, level: Level) -> tuple[float, Reals]:
    """Alpha of all cases, and without each of them. `counts` is cases × values, every value used."""
    if level == "nominal":
        return _from_sums(counts, counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1), _nominal_expected)
    if level == "interval":
        moved = values - values.mean()
        observed = _spread(counts, moved)
        return _from_sums(counts, observed, partial(_interval_expected, values=moved))
    if level == "ratio":
        apart = _ratio_distances(values)
        observed = np.einsum("uv,uv->u", counts @ apart, counts)
        return _from_sums(counts, observed, partial(_distance_expected, apart=apart))
    return _ordinal(counts)


def _from_sums(counts: Reals, disagreeing: Reals, expected: Callable[[Reals], Reals]) -> tuple[float, Reals]:
    """`disagreeing`: for each case the sum of squared differences over its ordered pairs of readings.
    `expected`: the same over all readings, given how often each value occurs (rows of one or many totals).
    """
    sizes = counts.sum(axis=1)
    observed = disagreeing / (sizes - 1)
    total = counts.sum(axis=0)
    value = _one_minus(observed.sum(), expected(total[None, :])[0], sizes.sum())
    step = max(1, _CHUNK // counts.shape[1])
    rest = [expected(total - counts[start : start + step]) for start in range(0, len(counts), step)]
    without = _one_minus(observed.sum() - observed, np.concatenate(rest), sizes.sum() - sizes)
    return float(value), without


def _one_minus(observed: Reals, expected: Reals, readings: Reals) -> Reals:
    """1 - (N - 1) observed / expected; nan where nothing is expected."""
    possible = np.where(expected > _ZERO, expected, np.nan)
    return np.asarray(1 - (readings - 1) * observed / possible, float)


def _nominal_expected(totals: Reals) -> Reals:
    return np.asarray(totals.sum(axis=1) ** 2 - (totals**2).sum(axis=1), float)


def _interval_expected(totals: Reals, *, values: Reals) -> Reals:
    return _spread(totals, values)


def _distance_expected(totals: Reals, *, apart: Reals) -> Reals:
    return np.asarray(np.einsum("uv,uv->u", totals @ apart, totals), float)


def _spread(counts: Reals, values: Reals) -> Reals:
    """Sum of squared differences over ordered pairs: 2 (m Σx² - (Σx)²), by row of `counts`."""
    return np.asarray(2 * (counts.sum(axis=1) * (counts @ values**2) - (counts @ values) ** 2), float)


def _ratio_distances(values: Reals) -> Reals:
    """((a - b) / (a + b))² for all values; 0 for 0 and 0."""
    sums = np.add.outer(values, values)
    return np.asarray((np.subtract.outer(values, values) / np.where(sums > 0, sums, 1.0)) ** 2, float)


def _ordinal(counts: Reals) -> tuple[float, Reals]:
    """Interval alpha of the mid-ranks; without a case the ranks of all others change as well."""
    sizes = counts.sum(axis=1)
    ranks = _midranks(counts.sum(axis=0)[None, :])[0]
    total = counts.sum(axis=0)
    value = _one_minus(
        (_spread(counts, ranks) / (sizes - 1)).sum(), _spread(total[None, :], ranks)[0], sizes.sum()
    )
    without = np.empty(len(counts))
    step = max(1, _CHUNK // max(counts.shape))
    for start in range(0, len(counts), step):
        part = counts[start : start + step]
        moved = _midranks(total - part)
        moved -= moved.mean(axis=1, keepdims=True)
        squares = sizes[:, None] * (counts @ (moved**2).T) - (counts @ moved.T) ** 2
        observed = 2 * squares / (sizes - 1)[:, None]
        own = np.arange(start, start + len(part))
        rest = observed.sum(axis=0) - observed[own, own - start]
        left = total - part
        readings = left.sum(axis=1)
        expected = 2 * (readings * (left * moved**2).sum(axis=1) - (left * moved).sum(axis=1) ** 2)
        without[own] = _one_minus(rest, expected, readings)
    return float(value), without


def _midranks(totals: Reals) -> Reals:
    """Readings below a value plus half of those at it, for every value (columns)."""
    return np.asarray(np.cumsum(totals, axis=1) - totals / 2, float)


def _counted(matrix: Reals) -> tuple[Reals, Reals]:
    """How often each case (row) has each distinct value, and the values in ascending order."""
    values, place = np.unique(matrix, return_inverse=True)
    rows = np.repeat(np.arange(len(matrix)), matrix.shape[1])
    cells = rows * len(values) + place.ravel()
    counts = np.bincount(cells, minlength=len(matrix) * len(values))
    return counts.reshape(len(matrix), len(values)).astype(float), values


def _two(matrix: Matrix) -> tuple[str, str] | None:
    return (matrix.readers[0], matrix.readers[1]) if len(matrix.readers) == 2 else None


def _of(data: ClassData | Ratings | Pairs, params: Mapping[str, ParamValue], *, level: Level) -> Estimate:
    return krippendorff_alpha(data, level=level, alpha=alpha_of(params))


def _table() -> dict[tuple[Form, str, str], Callable[..., Estimate]]:
    forms: tuple[Form, ...] = ("categories", "table", "ratings", "pairs")
    return {
        (form, "krippendorff_alpha", level): partial(_of, level=level) for form in forms for level in LEVELS
    }


STATISTICS = _table()
