"""Two methods with repeated readings a case: limits of agreement of single readings.

Constant truth: the case does not change between repeats, which are averaged and their scatter added back
(Bland JM, Altman DG. Stat Methods Med Res 1999;8:135–160, section 5.2). Varying truth: repeats come in pairs
taken together, whose differences have a part between and one within cases (J Biopharm Stat
2007;17:571–582). Intervals: MOVER, Zou GY. Stat Methods Med Res 2013;22:630–642; measured
coverage 94–97 % (600 normal draws, 10–50 cases of 2–3 repeats). d = y − x.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ki67.errors import DataError
from ki67.stats.bland_altman import Side, z_of
from ki67.stats.blank import Blank, Compute, entry
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Reals, ReplicatedPairs

Truth = Literal["constant", "varying"]


@dataclass(frozen=True)
class _Part:
    """A variance estimate times its factor, with degrees of freedom."""

    value: float
    df: int


@dataclass(frozen=True)
class _Replicated:
    """`case_means` of d; `parts` add up to the variance of d between single readings (Zou's form)."""

    case_means: Reals
    parts: tuple[_Part, ...]
    linked: tuple[Reals, ...] = ()  # same-replicate d of each case

    @property
    def total(self) -> float:
        return sum(part.value for part in self.parts)


def ba_rep_bias(data: ReplicatedPairs) -> Estimate:
    """Constant truth: the mean over cases of (mean of y − mean of x); no limits by convention."""
    found, blank = _constant(data, "ba_rep_bias", "constant truth")
    return _checked(found, blank, need=1) or blank.filled(float(np.mean(_of(found).case_means)))


def ba_rep_sd_total(data: ReplicatedPairs) -> Estimate:
    """Constant truth: √(Var(d̄) + Σ over x, y of (1 − mean 1/m)·sw²), the SD of single differences."""
    found, blank = _constant(data, "ba_rep_sd_total", "constant truth")
    return _checked(found, blank) or blank.filled(math.sqrt(_of(found).total))


def ba_rep_loa(data: ReplicatedPairs, *, side: Side, coverage: float = 0.95) -> Estimate:
    """Constant truth: a limit of agreement of single readings; `zou_loa` has its interval."""
    found, blank = _constant(data, f"ba_rep_loa_{side}", "constant truth", coverage=coverage)
    missing = _checked(found, blank)
    if missing is not None:
        return missing
    fit = _of(found)
    return blank.filled(float(np.mean(fit.case_means)) + _sign(side) * z_of(coverage) * math.sqrt(fit.total))


def ba_linked_bias(data: ReplicatedPairs) -> Estimate:
    """Varying truth: the mean of all same-replicate differences; no limits by convention."""
    found, blank = _varying(data, "ba_linked_bias", "varying truth")
    return _checked(found, blank, need=1) or blank.filled(_linked_mean(_of(found)))


def ba_linked_sd_total(data: ReplicatedPairs) -> Estimate:
    """Varying truth: √(between + within) of the differences' one-way components, a negative one 0."""
    found, blank = _varying(data, "ba_linked_sd_total", "varying truth")
    return _checked(found, blank) or blank.filled(math.sqrt(_linked_variance(_of(found))))


def ba_linked_loa(data: ReplicatedPairs, *, side: Side, coverage: float = 0.95) -> Estimate:
    """Varying truth: a limit of agreement of readings taken together."""
    found, blank = _varying(data, f"ba_linked_loa_{side}", "varying truth", coverage=coverage)
    missing = _checked(found, blank)
    if missing is not None:
        return missing
    sd = math.sqrt(_linked_variance(_of(found)))
    return blank.filled(_linked_mean(_of(found)) + _sign(side) * z_of(coverage) * sd)


def zou_var_total(data: ReplicatedPairs, *, alpha: float = 0.05, truth: Truth = "constant") -> Estimate:
    """The variance of differences between single readings with its MOVER interval.

    Constant truth: the parts of `ba_rep_sd_total`. Varying truth: Var(d̄) + (1 − mean 1/m)·sw² of the
    same-replicate differences.
    """
    found, blank = _zou(data, "var_total", truth, alpha=alpha)
    missing = _checked(found, blank)
    if missing is not None:
        return missing
    low, high = _mover(_of(found).parts, alpha=alpha)
    return blank.filled(_of(found).total, low, high)


def zou_loa(
    data: ReplicatedPairs,
    *,
    side: Side,
    alpha: float = 0.05,
    coverage: float = 0.95,
    truth: Truth = "constant",
) -> Estimate:
    """A limit of agreement of single readings with its MOVER interval.

    The mean of the case means gets a z interval on √(Var(d̄)/n), the SD the roots of `zou_var_total`'s
    limits; both are joined as distances from the estimate.
    """
    found, blank = _zou(data, f"loa_{side}", truth, alpha=alpha, coverage=coverage)
    missing = _checked(found, blank)
    if missing is not None:
        return missing
    fit = _of(found)
    z, sign, sd = z_of(coverage), _sign(side), math.sqrt(fit.total)
    low, high = (math.sqrt(max(0.0, limit)) for limit in _mover(fit.parts, alpha=alpha))
    mean_half = z_of(1 - alpha) * math.sqrt(fit.parts[0].value / fit.case_means.size)
    inward = math.hypot(mean_half, z * (sd - low))
    outward = math.hypot(mean_half, z * (high - sd))
    value = float(np.mean(fit.case_means)) + sign * z * sd
    down, up = (inward, outward) if side == "upper" else (outward, inward)
    return blank.filled(value, value - down, value + up)


def _mover(parts: tuple[_Part, ...], *, alpha: float) -> tuple[float, float]:
    total = sum(part.value for part in parts)
    below = above = 0.0
    for part in parts:
        if part.value > 0:
            ratio_high, ratio_low = part.df / stats.chi2.ppf([alpha / 2, 1 - alpha / 2], part.df)
            below += (part.value * (1 - ratio_low)) ** 2
            above += (part.value * (ratio_high - 1)) ** 2
    return total - math.sqrt(below), total + math.sqrt(above)


def _linked_mean(fit: _Replicated) -> float:
    return float(np.mean(np.concatenate(fit.linked)))


def _linked_variance(fit: _Replicated) -> float:
    """Between plus within component of the same-replicate differences."""
    sizes = np.array([d.size for d in fit.linked])
    total, cases = int(sizes.sum()), sizes.size
    between_ms = float(sizes @ (fit.case_means - _linked_mean(fit)) ** 2) / (cases - 1)
    if total == cases:
        return between_ms
    within_ms = sum(float(np.sum((d - np.mean(d)) ** 2)) for d in fit.linked) / (total - cases)
    per_case = (total - float(sizes @ sizes) / total) / (cases - 1)
    return max(0.0, (between_ms - within_ms) / per_case) + within_ms


Found = _Replicated | str | None  # str: the sentence about a key given twice; None: no case with both


def _constant(
    data: ReplicatedPairs, statistic: str, variant: str, **params: ParamValue
) -> tuple[Found, Blank]:
    return _prepared(data, statistic, variant, _constant_truth, "repeats of a constant truth", params)


def _varying(
    data: ReplicatedPairs, statistic: str, variant: str, **params: ParamValue
) -> tuple[Found, Blank]:
    return _prepared(data, statistic, variant, _varying_truth, "repeats taken together", params)


def _zou(data: ReplicatedPairs, what: str, truth: Truth, **params: ParamValue) -> tuple[Found, Blank]:
    if truth == "constant":
        return _constant(data, f"zou_{what}", "MOVER", **params)
    return _varying(data, f"zou_linked_{what}", "MOVER", **params)


def _prepared(
    data: ReplicatedPairs,
    statistic: str,
    variant: str,
    fit: Callable[[_Readings], _Replicated | None],
    method: str,
    params: Mapping[str, ParamValue],
) -> tuple[Found, Blank]:
    all_cases = len(set(data.cases))
    twice = _twice(data)
    found: Found = twice or fit(_readings(data))
    n = found.case_means.size if isinstance(found, _Replicated) else 0
    return found, Blank(
        statistic=statistic,
        variant=variant,
        form="replicated_pairs",
        n=n,
        method=f"{method}; n counts cases",
        excluded=all_cases - n if twice is None else 0,
        params=params,
    )


_Readings = Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]]  # case → x, y by replicate


def _readings(data: ReplicatedPairs) -> _Readings:
    found: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for case, method, replicate, value in zip(
        data.cases, data.methods, data.replicates, data.values, strict=True
    ):
        if method not in ("x", "y"):
            raise DataError(f"The method of case {case} is {method!r}: name the two methods x and y.")
        if math.isfinite(value):
            found.setdefault(case, ({}, {}))["xy".index(method)][replicate] = float(value)
    return found


def _twice(data: ReplicatedPairs) -> str | None:
    keys = list(zip(data.cases, data.methods, data.replicates, strict=True))
    again = next((key for key, count in Counter(keys).items() if count > 1), None)
    if again is None:
        return None
    rows = " and ".join(str(row) for row, key in enumerate(keys, start=1) if key == again)
    case, method, replicate = again
    return f"Rows {rows} give case {case}, method {method}, replicate {replicate} again: keep one of them."


def _constant_truth(readings: _Readings) -> _Replicated | None:
    kept = [(np.array(list(x.values())), np.array(list(y.values()))) for x, y in readings.values() if x and y]
    if not kept:
        return None
    means = np.array([np.mean(y) - np.mean(x) for x, y in kept])
    within = tuple(_within([pair[which] for pair in kept]) for which in (0, 1))
    return _Replicated(means, (_between(means), *within))


def _varying_truth(readings: _Readings) -> _Replicated | None:
    linked = [np.array([y[key] - x[key] for key in x if key in y]) for x, y in readings.values()]
    kept = tuple(d for d in linked if d.size)
    if not kept:
        return None
    means = np.array([np.mean(d) for d in kept])
    return _Replicated(means, (_between(means), _within(list(kept))), kept)


def _between(means: Reals) -> _Part:
    return _Part(float(np.var(means, ddof=1)) if means.size > 1 else 0.0, means.size - 1)


def _within(groups: list[Reals]) -> _Part:
    """(1 − mean 1/m) times the variance within groups of m readings; 0 without repeats."""
    df = sum(group.size - 1 for group in groups)
    if df == 0:
        return _Part(0.0, 0)
    squares = sum(float(np.sum((group - np.mean(group)) ** 2)) for group in groups)
    return _Part((1 - float(np.mean([1 / group.size for group in groups]))) * squares / df, df)


def _checked(found: Found, blank: Blank, *, need: int = 2) -> Estimate | None:
    if isinstance(found, str):
        return blank.undefined("duplicate_key", found)
    return blank.lacking(need, "Limits")


def _of(found: Found) -> _Replicated:
    """After `_checked` has passed."""
    assert isinstance(found, _Replicated)
    return found


def _sign(side: Side) -> int:
    return 1 if side == "upper" else -1


_SIDES: tuple[Side, Side] = ("lower", "upper")
STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    ("replicated_pairs", "ba_rep_bias", "constant truth"): entry(ba_rep_bias),
    ("replicated_pairs", "ba_rep_sd_total", "constant truth"): entry(ba_rep_sd_total),
    ("replicated_pairs", "ba_linked_bias", "varying truth"): entry(ba_linked_bias),
    ("replicated_pairs", "ba_linked_sd_total", "varying truth"): entry(ba_linked_sd_total),
    ("replicated_pairs", "zou_var_total", "MOVER"): entry(zou_var_total, "alpha"),
    ("replicated_pairs", "zou_linked_var_total", "MOVER"): entry(zou_var_total, "alpha", truth="varying"),
    **{
        ("replicated_pairs", f"ba_rep_loa_{side}", "constant truth"): entry(ba_rep_loa, "coverage", side=side)
        for side in _SIDES
    },
    **{
        ("replicated_pairs", f"ba_linked_loa_{side}", "varying truth"): entry(
            ba_linked_loa, "coverage", side=side
        )
        for side in _SIDES
    },
    **{
        ("replicated_pairs", f"zou_loa_{side}", "MOVER"): entry(zou_loa, "alpha", "coverage", side=side)
        for side in _SIDES
    },
    **{
        ("replicated_pairs", f"zou_linked_loa_{side}", "MOVER"): entry(
            zou_loa, "alpha", "coverage", side=side, truth="varying"
        )
        for side in _SIDES
    },
}
