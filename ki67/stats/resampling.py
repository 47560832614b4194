"""Standard errors and limits by leaving out or drawing again: patients, and readers where they are random.

The unit is the patient: all cases of one go together. Jackknife: Efron B, Stein C. Ann Stat 1981;9:586–596;
for crossed samples the variances over patients and over readers add up (the part that both share is counted
twice, which errs on the wide side). Two-way bootstrap: patients and readers drawn independently, percentile
limits: Owen AB. Ann Appl Stat 2007;1:386–411 ("pigeonhole").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from ki67.stats.forms import Reals

Statistic = Callable[[Reals, Reals], Reals]
"""From case weights (draws, n) and reader weights (draws, k) to one value per draw."""


@dataclass(frozen=True)
class StandardError:
    """Of a jackknife, with the degrees of freedom of its t; NaN where a left-out table has no value."""

    value: float
    df: float


def jackknife(statistic: Statistic, *, units: np.ndarray, readers: int, two_way: bool) -> StandardError:
    """Leave each patient out; with `two_way` each reader too, the two variances added.

    Degrees of freedom: units − 1, or Satterthwaite's of the sum. NaN below 2 patients (or readers).
    """
    names = np.unique(units)
    left = (units[None, :] != names[:, None]).astype(float)
    over_cases = statistic(left, np.ones((names.size, readers)))
    if not two_way:
        return standard_error(over_cases)
    over_readers = statistic(np.ones((readers, units.size)), 1.0 - np.eye(readers))
    return standard_error(over_cases, over_readers)


def standard_error(over_cases: Reals, over_readers: Reals | None = None) -> StandardError:
    """From the values with each patient (and each reader) left out in turn."""
    variance, df = _variance(over_cases)
    if over_readers is None:
        return StandardError(np.sqrt(variance), df)
    more, more_df = _variance(over_readers)
    total = variance + more
    if not np.isfinite(total):
        return StandardError(np.nan, np.nan)
    spread = variance**2 / df + more**2 / more_df
    return StandardError(np.sqrt(total), total**2 / spread if spread > 0 else df)


def t_limits(value: float, error: StandardError, *, alpha: float) -> tuple[float, float]:
    """value ± t·SE."""
    half = float(special.stdtrit(error.df, 1 - alpha / 2)) * error.value
    return value - half, value + half


def bootstrap(
    statistic: Statistic, *, units: np.ndarray, readers: int, two_way: bool, draws: int, seed: int
) -> Reals:
    """The statistic on `draws` tables drawn with replacement, 250 at a time; NaN where undefined."""
    rng = np.random.default_rng(seed)
    names, place = np.unique(units, return_inverse=True)
    values = []
    for start in range(0, draws, 250):
        size = min(250, draws - start)
        cases = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size)[:, place]
        drawn = (
            rng.multinomial(readers, np.full(readers, 1 / readers), size)
            if two_way
            else np.ones((size, readers))
        )
        values.append(statistic(cases.astype(float), drawn.astype(float)))
    return np.concatenate(values)


def percentile_limits(values: Reals, *, alpha: float) -> tuple[float, float]:
    """The alpha/2 and 1 − alpha/2 quantiles of the defined draws; NaN without any."""
    defined = values[np.isfinite(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def _variance(left_out: Reals) -> tuple[float, float]:
    size = left_out.size
    if size < 2 or not np.isfinite(left_out).all():
        return float("nan"), float("nan")
    return (size - 1) / size * float(((left_out - left_out.mean()) ** 2).sum()), size - 1
