"""Lin's concordance correlation of two methods and its two parts: precision and accuracy.

Lin LI. Biometrics 1989;45:255–268 (and its correction, 2000;56:324–325); Lin, Hedayat, Sinha, Yang.
J Am Stat Assoc 2002;97:257–270. With ρ Pearson's correlation, w = SD(y)/SD(x) and the location shift
v = (mean y − mean x)/√(SD(x)·SD(y)): accuracy C = 2/(w + 1/w + v²), concordance ρ·C; moments over n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ki67.stats.blank import Blank, Compute, entry, paired, too_few
from ki67.stats.correlation import pearson, pearson_r
from ki67.stats.estimate import Estimate, Form
from ki67.stats.forms import Pairs


@dataclass(frozen=True)
class Concordance:
    """Lin's coefficient and what it is made of; value of `ccc` = `precision` × `accuracy`."""

    ccc: Estimate
    precision: Estimate
    accuracy: Estimate
    scale_shift: Estimate
    location_shift: Estimate


@dataclass(frozen=True)
class _Parts:
    """ρ, C, w and v of the module's docstring."""

    rho: float
    accuracy: float
    scale: float
    shift: float


def lin_ccc(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """Lin's concordance correlation; limits on Fisher's z scale, its variance over n − 2.

    Limits need three pairs. One method constant: 0 by the formula, without limits; both: undefined.
    Perfect concordance of varying readings is 1 with both limits 1. Measured coverage (3,000
    normal pairs of ρ 0.9, w 1.2, v 0.3): 92.8, 93.9, 94.8 % with 10, 20, 50 cases.
    """
    used, blank = paired(
        pairs, "lin_ccc", "z-transform", method="Lin concordance, z transform", params={"alpha": alpha}
    )
    missing = _undefined(used, blank)
    if missing is not None:
        return missing
    if np.ptp(used.x) == 0 or np.ptp(used.y) == 0:
        return blank.without_limits(
            0.0, "zero_variance", "All readings of one method are equal: the limits are 0/0."
        )
    parts = _parts(used)
    ccc = parts.rho * parts.accuracy
    if blank.n < 3:
        return blank.without_limits(ccc, "too_few", too_few(blank.n, need=3, what="Limits"))
    if abs(ccc) >= 1 - 1e-14:
        return blank.filled(ccc, ccc, ccc)
    half = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(_z_variance(parts, ccc) / (blank.n - 2))
    return blank.filled(ccc, math.tanh(math.atanh(ccc) - half), math.tanh(math.atanh(ccc) + half))


def lin_precision(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """The precision part: Pearson's correlation, how close the points lie to some line."""
    return replace(pearson(pairs, alpha=alpha), statistic="lin_precision", method="precision part of Lin's")


def lin_accuracy(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """The accuracy part C (0–1): how close that line is to the identity; limits on the logit scale.

    The variance is Lin's (2002), over n − 2; coverage as above 90.8, 92.6, 94.5 %. C = 1 exactly has no limit
    (`zero_variance`).
    """
    used, blank = _blank(pairs, "lin_accuracy", "logit", "accuracy part of Lin's, logit", alpha=alpha)
    missing = _undefined(used, blank, varying=True)
    if missing is not None:
        return missing
    parts = _parts(used)
    c, rho, v2 = parts.accuracy, parts.rho, parts.shift**2
    if blank.n < 3:
        return blank.without_limits(c, "too_few", too_few(blank.n, need=3, what="Limits"))
    if c >= 1 - 1e-14:
        return blank.without_limits(c, "zero_variance", "Means and spreads agree exactly: limits are 0/0.")
    w2 = parts.scale**2 + parts.scale**-2
    spread = v2 * c**2 * (parts.scale + 1 / parts.scale - 2 * rho)
    spread += c**2 * (w2 + 2 * rho**2) / 2 + (1 + rho**2) * (c * v2 - 1)
    se = math.sqrt(max(spread, 0.0) / (blank.n - 2)) / (1 - c)
    half = float(stats.norm.ppf(1 - alpha / 2)) * se
    logit = math.log(c / (1 - c))
    low, high = (1 / (1 + math.exp(-(logit + side * half))) for side in (-1, 1))
    return blank.filled(c, low, high)


def lin_scale_shift(pairs: Pairs, *, alpha: float = 0.05) -> Estimate:
    """SD(y)/SD(x); exact limits for normal pairs from the correlation of sum and difference.

    Pitman EJG, Morgan WA. Biometrika 1939;31: with K = 1 + 2(1 − r²)t²/(n − 2) the squared ratio's limits
    are w²(K ± √(K² − 1)).
    """
    used, blank = _blank(pairs, "lin_scale_shift", "Pitman-Morgan", "ratio of the SDs, y over x", alpha=alpha)
    missing = _undefined(used, blank, varying=True)
    if missing is not None:
        return missing
    parts = _parts(used)
    if blank.n < 3:
        return blank.without_limits(parts.scale, "too_few", too_few(blank.n, need=3, what="Limits"))
    t = float(stats.t.ppf(1 - alpha / 2, blank.n - 2))
    k = 1 + 2 * (1 - parts.rho**2) * t**2 / (blank.n - 2)
    wide = math.sqrt(k + math.sqrt(k**2 - 1))
    return blank.filled(parts.scale, parts.scale / wide, parts.scale * wide)


def lin_location_shift(pairs: Pairs) -> Estimate:
    """(mean y − mean x)/√(SD(x)·SD(y)); no limits by convention."""
    used, blank = _blank(pairs, "lin_location_shift", "plain", "difference of the means in units of the SD")
    missing = _undefined(used, blank, varying=True)
    return missing or blank.filled(_parts(used).shift)


def concordance(pairs: Pairs, *, alpha: float = 0.05) -> Concordance:
    """All of them at once."""
    return Concordance(
        ccc=lin_ccc(pairs, alpha=alpha),
        precision=lin_precision(pairs, alpha=alpha),
        accuracy=lin_accuracy(pairs, alpha=alpha),
        scale_shift=lin_scale_shift(pairs, alpha=alpha),
        location_shift=lin_location_shift(pairs),
    )


def _blank(
    pairs: Pairs, statistic: str, variant: str, method: str, *, alpha: float | None = None
) -> tuple[Pairs, Blank]:
    params = {} if alpha is None else {"alpha": alpha}
    return paired(pairs, statistic, variant, method=method, params=params)


def _undefined(used: Pairs, blank: Blank, *, varying: bool = False) -> Estimate | None:
    missing = blank.lacking(2, "A concordance")
    if missing is not None:
        return missing
    constant = (np.ptp(used.x) == 0, np.ptp(used.y) == 0)
    if any(constant) if varying else (all(constant) and np.mean(used.x) == np.mean(used.y)):
        return blank.undefined("zero_variance", "The readings of a method do not vary.")
    return None


def _parts(used: Pairs) -> _Parts:
    sd_x, sd_y = float(np.std(used.x)), float(np.std(used.y))
    scale = sd_y / sd_x
    shift = float(np.mean(used.y) - np.mean(used.x)) / math.sqrt(sd_x * sd_y)
    return _Parts(pearson_r(used.x, used.y), 2 / (scale + 1 / scale + shift**2), scale, shift)


def _z_variance(parts: _Parts, ccc: float) -> float:
    """(n − 2) times the variance of atanh of the concordance, written without dividing by ρ."""
    left, v2, c = 1 - ccc**2, parts.shift**2, parts.accuracy
    variance = (1 - parts.rho**2) * c**2 / left
    variance += 2 * ccc**2 * c * (1 - ccc) * v2 / left**2
    variance -= ccc**2 * c**2 * v2**2 / (2 * left**2)
    return max(variance, 0.0)


STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    ("pairs", "lin_ccc", "z-transform"): entry(lin_ccc, "alpha"),
    ("pairs", "lin_precision", "Fisher z"): entry(lin_precision, "alpha"),
    ("pairs", "lin_accuracy", "logit"): entry(lin_accuracy, "alpha"),
    ("pairs", "lin_scale_shift", "Pitman-Morgan"): entry(lin_scale_shift, "alpha"),
    ("pairs", "lin_location_shift", "plain"): entry(lin_location_shift),
}
