"""Bland–Altman: the mean difference of two methods and the limits between which differences lie.

d = y − x throughout (x reference or first, y test or second), s its standard deviation (n − 1), z the
normal quantile of (1 + coverage)/2, t Student's quantile with n − 1 degrees of freedom.

Bland JM, Altman DG. Lancet 1986;327:307–310; Stat Methods Med Res 1999;8:135–160. Exact intervals:
Carkeet A. Optom Vis Sci 2015;92:e71–e80.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from ki67.stats.blank import Blank, Compute, entry, paired, too_few
from ki67.stats.estimate import Estimate, Form
from ki67.stats.forms import Pairs, Reals
from ki67.stats.least_squares import slope_estimate

Side = Literal["lower", "upper"]
LoaVariant = Literal["ba1986", "ba1999", "exact individual", "exact pair"]
_SD_NEEDS = "A standard deviation"


def ba_bias(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """The mean of d with mean ± t·s/√n (points). Normal differences: exact.

    One pair gives the value without limits.
    """
    used, blank = paired(pairs, "ba_bias", "t", method="mean difference, t interval", params={"alpha": alpha})
    return blank.lacking(1, "A mean difference") or mean_estimate(used.y - used.x, blank, alpha=alpha)


def ba_sd(pairs: Pairs) -> Estimate:
    """The standard deviation s of d, n − 1 (points); no limits by convention."""
    used, blank = paired(pairs, "ba_sd", "plain", method="standard deviation of the differences")
    return blank.lacking(2, _SD_NEEDS) or blank.filled(_sd(used.y - used.x))


def ba_n(pairs: Pairs) -> Estimate:
    """The number of cases with both readings."""
    used, blank = paired(pairs, "ba_n", "plain", method="cases with both readings")
    return blank.filled(used.x.size)


def ba_loa(
    pairs: Pairs,
    *,
    side: Side,
    variant: LoaVariant = "ba1999",
    alpha: float = 0.05,
    coverage: float = 0.95,
) -> Estimate:
    """A limit of agreement, mean ± z·s, with the interval that `variant` names.

    ba1986: SE² = 3s²/n. ba1999: SE² = s²(1/n + z²/(2(n − 1))); both with t. Exact individual: noncentral t
    for the one limit. Exact pair: from the factors k for which the pair mean ± k·s holds at least
    `coverage` of all differences with probability 1 − alpha/2 (outer) and alpha/2 (inner). All but the
    exact ones are approximate for normal d.
    """
    used, blank = paired(
        pairs,
        f"ba_loa_{side}",
        variant,
        method=f"limit of agreement, {variant}",
        params={"alpha": alpha, "coverage": coverage},
    )
    return blank.lacking(2, "A limit of agreement") or limit_estimate(
        used.y - used.x, blank, side=side, variant=variant, alpha=alpha, coverage=coverage
    )


def ba_prop_bias_slope(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """The slope of d on (x + y)/2 by least squares, t(n − 2).

    It is not zero either when the two methods have errors of different size: see
    `bland_altman_more.proportional_bias` for what it may be read as.
    """
    used, blank = paired(
        pairs, "ba_prop_bias_slope", "t", method="slope of d on the mean of both", params={"alpha": alpha}
    )
    return slope_estimate((used.x + used.y) / 2, used.y - used.x, blank, alpha=alpha)


def ba_log_ratio_gm(pairs: Pairs, *, alpha: float = 0.05, offset: float = 0.0) -> Estimate:
    """The geometric mean of the ratio y/x: the mean of ln(y + offset) − ln(x + offset), exponentiated.

    A reading that is not above −offset makes it undefined (`nonpositive_value`): nothing is dropped.
    """
    used, blank = paired(
        pairs,
        "ba_log_ratio_gm",
        "t",
        method="geometric mean of y/x, t interval of the logarithm",
        params={"alpha": alpha, "offset": offset},
    )
    missing = blank.lacking(1, "A mean ratio") or _not_positive(used, blank, offset=offset)
    return missing or _exponentiated(mean_estimate(_log_ratio(used, offset), blank, alpha=alpha))


def ba_log_ratio_loa(
    pairs: Pairs, *, side: Side, alpha: float = 0.05, coverage: float = 0.95, offset: float = 0.0
) -> Estimate:
    """A limit of agreement of the ratio y/x: ba1999 limits of the logarithms' difference, exponentiated."""
    used, blank = paired(
        pairs,
        f"ba_log_ratio_loa_{side}",
        "ba1999",
        method="limit of agreement of y/x, ba1999 on the logarithm",
        params={"alpha": alpha, "coverage": coverage, "offset": offset},
    )
    missing = blank.lacking(2, "A limit of agreement") or _not_positive(used, blank, offset=offset)
    return missing or _exponentiated(
        limit_estimate(
            _log_ratio(used, offset), blank, side=side, variant="ba1999", alpha=alpha, coverage=coverage
        )
    )


def ba_percent_bias(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """The mean of 100·d/((x + y)/2) with its t interval, in percent of the mean of both readings.

    A case whose two readings have mean 0 (0/0) is left out and counted.
    """
    percents, blank = percent_differences(pairs, "ba_percent_bias", "t", alpha=alpha)
    return blank.lacking(1, "A mean difference") or mean_estimate(percents, blank, alpha=alpha)


def ba_percent_loa(pairs: Pairs, *, side: Side, coverage: float = 0.95) -> Estimate:
    """A limit of agreement of the percent differences, mean ± z·s; no limits by convention."""
    percents, blank = percent_differences(pairs, f"ba_percent_loa_{side}", "plain", coverage=coverage)
    missing = blank.lacking(2, "A limit of agreement")
    return missing or blank.filled(_limit(percents, side=side, coverage=coverage))


def ba_shapiro_w(pairs: Pairs) -> Estimate:
    """Shapiro and Wilk's W of d: near 1 for normal differences (`ba_shapiro_p` has its probability).

    Needs three pairs; undefined when all differences are equal.
    """
    used, blank = paired(pairs, "ba_shapiro_W", "plain", method="Shapiro–Wilk W of the differences")
    return shapiro(used, blank)[0]


def ba_tdi90_normal_approx(pairs: Pairs, *, coverage: float = 0.9) -> Estimate:
    """Lin's approximate total deviation index z·√(mean d²): `coverage` of all |d| lie within it.

    Lin LI. Stat Med 2000;19:255–270. Good when the bias is small beside s; the exact one is `tdi`.
    """
    used, blank = paired(
        pairs,
        "ba_tdi90_normal_approx",
        "plain",
        method="total deviation index, normal approximation",
        params={"coverage": coverage},
    )
    d = used.y - used.x
    return blank.lacking(1, "A total deviation index") or blank.filled(
        z_of(coverage) * math.sqrt(float(np.mean(d**2)))
    )


def ba_loa_ci_halfwidth_over_sd(n: int, *, coverage: float = 0.95, alpha: float = 0.05) -> float:
    """Half the width of a ba1999 interval of a limit of agreement, in units of s, with n ≥ 2 pairs."""
    return t_of(alpha, n - 1) * math.sqrt(1 / n + z_of(coverage) ** 2 / (2 * (n - 1)))


@cache
def pair_factors(n: int, *, coverage: float = 0.95, alpha: float = 0.05) -> tuple[float, float]:
    """(inner, outer) factors k of the exact pair of limits for n ≥ 2 normal differences.

    mean ± k·s holds at least `coverage` of the population with probability alpha/2 (inner) and
    1 − alpha/2 (outer): two-sided tolerance factors (Carkeet 2015; Odeh 1978). The probability is
    integrated over the mean's distribution by Gauss–Legendre quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(160)
    u = 4.5 * (nodes + 1)  # the mean lies within 9 standard errors; symmetric, so one half
    reach = np.sqrt(stats.ncx2.ppf(coverage, 1, u**2 / n))
    density = 2 * 4.5 * weights * stats.norm.pdf(u)

    def surplus(log_k: float, wanted: float) -> float:
        held = stats.chi2.sf((n - 1) * (reach / math.exp(log_k)) ** 2, n - 1)
        return float(density @ held) - wanted

    inner, outer = (
        math.exp(optimize.brentq(surplus, math.log(1e-4), math.log(1e8), args=(wanted,), xtol=1e-13))
        for wanted in (alpha / 2, 1 - alpha / 2)
    )
    return inner, outer


def z_of(coverage: float) -> float:
    """The normal quantile of (1 + coverage)/2."""
    return float(stats.norm.ppf((1 + coverage) / 2))


def t_of(alpha: float, df: float) -> float:
    """Student's quantile of 1 − alpha/2."""
    return float(stats.t.ppf(1 - alpha / 2, df))


def mean_estimate(d: Reals, blank: Blank, *, alpha: float) -> Estimate:
    """The mean of at least one value with its t interval; one value has no limits."""
    mean = float(np.mean(d))
    if d.size < 2:
        return blank.without_limits(mean, "too_few", too_few(d.size, need=2, what="Limits"))
    half = t_of(alpha, d.size - 1) * _sd(d) / math.sqrt(d.size)
    return blank.filled(mean, mean - half, mean + half)


def limit_estimate(
    d: Reals, blank: Blank, *, side: Side, variant: LoaVariant, alpha: float, coverage: float
) -> Estimate:
    """A limit of agreement of at least two differences, as `ba_loa` explains it."""
    n, mean, sd, z = d.size, float(np.mean(d)), _sd(d), z_of(coverage)
    sign = 1 if side == "upper" else -1
    if variant == "exact individual":
        near, far = stats.nct.ppf([alpha / 2, 1 - alpha / 2], n - 1, z * math.sqrt(n)) / math.sqrt(n)
    elif variant == "exact pair":
        near, far = pair_factors(n, coverage=coverage, alpha=alpha)
    else:
        squared = 3 / n if variant == "ba1986" else 1 / n + z**2 / (2 * (n - 1))
        half = t_of(alpha, n - 1) * math.sqrt(squared)
        near, far = z - half, z + half
    low, high = sorted((mean + sign * near * sd, mean + sign * far * sd))
    return blank.filled(mean + sign * z * sd, low, high)


def shapiro(used: Pairs, blank: Blank) -> tuple[Estimate, float | None]:
    """W of the differences and its probability under normality (None where W is undefined)."""
    d = used.y - used.x
    missing = blank.lacking(3, "The Shapiro–Wilk test")
    if missing is not None:
        return missing, None
    if np.ptp(d) <= 1e-12 * max(np.abs(used.x).max(), np.abs(used.y).max()):
        return blank.undefined("zero_variance", "All differences are equal."), None
    w, p = stats.shapiro(d)
    return blank.filled(float(w)), float(p)


def _sd(d: Reals) -> float:
    return float(np.std(d, ddof=1)) if np.ptp(d) > 0 else 0.0


def _limit(d: Reals, *, side: Side, coverage: float) -> float:
    return float(np.mean(d)) + (1 if side == "upper" else -1) * z_of(coverage) * _sd(d)


def _log_ratio(used: Pairs, offset: float) -> Reals:
    return np.log(used.y + offset) - np.log(used.x + offset)


def _not_positive(used: Pairs, blank: Blank, *, offset: float) -> Estimate | None:
    bad = (used.x + offset <= 0) | (used.y + offset <= 0)
    if not bad.any():
        return None
    case = used.cases[int(np.argmax(bad))]
    return blank.undefined(
        "nonpositive_value",
        f"A ratio needs readings above 0 and case {case} has one that is not: use the log2(x + 0.1) scale.",
    )


def _exponentiated(estimate: Estimate) -> Estimate:
    def lifted(number: float | None) -> float | None:
        return None if number is None else math.exp(number)

    return replace(
        estimate,
        value=lifted(estimate.value),
        ci_low=lifted(estimate.ci_low),
        ci_high=lifted(estimate.ci_high),
    )


def percent_differences(pairs: Pairs, statistic: str, variant: str, **params: float) -> tuple[Reals, Blank]:
    """100·d/((x + y)/2) of the cases that have one, and the blank that counts the others as excluded."""
    used, blank = paired(pairs, statistic, variant, method="difference in percent of the mean", params=params)
    mean = (used.x + used.y) / 2
    kept = mean != 0
    percents = 100 * (used.y - used.x)[kept] / mean[kept]
    left_out = int(used.x.size - percents.size)
    return percents, replace(blank, n=percents.size, excluded=blank.excluded + left_out)


_PLAIN: Mapping[str, Compute] = {
    "ba_sd": entry(ba_sd),
    "ba_n": entry(ba_n),
    "ba_shapiro_W": entry(ba_shapiro_w),
    "ba_tdi90_normal_approx": entry(ba_tdi90_normal_approx, "coverage"),
    "ba_percent_loa_lower": entry(ba_percent_loa, "coverage", side="lower"),
    "ba_percent_loa_upper": entry(ba_percent_loa, "coverage", side="upper"),
}
_T: Mapping[str, Compute] = {
    "ba_bias": entry(ba_bias, "alpha"),
    "ba_prop_bias_slope": entry(ba_prop_bias_slope, "alpha"),
    "ba_log_ratio_gm": entry(ba_log_ratio_gm, "alpha", "offset"),
    "ba_percent_bias": entry(ba_percent_bias, "alpha"),
}
STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    **{("pairs", name, "plain"): compute for name, compute in _PLAIN.items()},
    **{("pairs", name, "t"): compute for name, compute in _T.items()},
    **{
        ("pairs", f"ba_loa_{side}", variant): entry(ba_loa, "alpha", "coverage", side=side, variant=variant)
        for side in ("lower", "upper")
        for variant in ("ba1986", "ba1999", "exact individual", "exact pair")
    },
    **{
        ("pairs", f"ba_log_ratio_loa_{side}", "ba1999"): entry(
            ba_log_ratio_loa, "alpha", "coverage", "offset", side=side
        )
        for side in ("lower", "upper")
    },
}
