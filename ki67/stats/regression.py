"""A straight line between two methods: least squares, Deming and weighted Deming regression.

Deming's ratio is Var(error of x)/Var(error of y); its limits come from leaving each case out in turn
(jackknife), centred on the full estimate, t(n − 2). Linnet K. Stat Med 1990;9:1463–1473; Clin Chem
1993;39:424–432. Weighted: weights 1/((x̂ + ŷ)/2)² at the fitted values, for errors that grow in proportion
to the reading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from ki67.stats.blank import Blank, Compute, entry, paired, too_few
from ki67.stats.estimate import Estimate, Form
from ki67.stats.forms import Pairs, Reals
from ki67.stats.least_squares import coefficient_estimate

Coefficient = Literal["intercept", "slope"]
_NO_SLOPE = "The readings do not vary together: the line has no slope."
_CHUNK = 2_000_000  # elements of a leave-one-out weight matrix held at a time


@dataclass(frozen=True)
class Jackknifed:
    """A line and the lines without each case in turn: `full` (2,), `left_out` (n, 2); intercept, slope.

    NaN where a line is undefined (readings that do not vary, weights that are not finite).
    """

    full: Reals
    left_out: Reals

    def estimate(self, combination: Reals, blank: Blank, *, alpha: float, shift: float = 0.0) -> Estimate:
        """combination · (intercept, slope) + shift with its jackknife limits."""
        value = float(self.full @ combination) + shift
        if blank.n < 3:
            return blank.without_limits(value, "too_few", too_few(blank.n, need=3, what="Limits"))
        parts = self.left_out @ combination
        if not np.isfinite(parts).all():
            return blank.without_limits(
                value, "x_constant", "Without one of the cases the readings do not vary: there are no limits."
            )
        se = math.sqrt((blank.n - 1) * float(np.var(parts)))
        half = float(stats.t.ppf(1 - alpha / 2, blank.n - 2)) * se
        return blank.filled(value, value - half, value + half)


def ols(pairs: Pairs, *, which: Coefficient, alpha: float = 0.05) -> Estimate:
    """Intercept or slope of y on x by least squares, t(n − 2). Supposes that x has no error of its own."""
    used, blank = paired(
        pairs, f"ols_{which}", "t", method="least squares of y on x", params={"alpha": alpha}
    )
    return coefficient_estimate(used.x, used.y, blank, which=which, alpha=alpha)


def deming(pairs: Pairs, *, which: Coefficient, alpha: float = 0.05, ratio: float = 1.0) -> Estimate:
    """Intercept or slope of Deming regression with jackknife limits (normal: 94–95 % with 10–50 cases)."""
    used, blank = paired(
        pairs,
        f"deming_{which}",
        "jackknife",
        method="Deming regression, jackknife",
        params={"alpha": alpha, "ratio": ratio},
    )
    return undefined_line(used, blank) or _coefficient(
        deming_jackknife(used, ratio=ratio), blank, which=which, alpha=alpha
    )


def weighted_deming(
    pairs: Pairs,
    *,
    which: Coefficient,
    alpha: float = 0.05,
    ratio: float = 1.0,
    iter_max: int = 30,
    threshold: float = 1e-6,
) -> Estimate:
    """Intercept or slope of weighted Deming regression with jackknife limits.

    Starts from Deming's line and reweights at most `iter_max` times, until intercept and slope both move
    by less than `threshold`. A case fitted at 0 or below makes it undefined; one near 0 gets nearly all
    the weight, so readings of 0 call for the log2(x + 0.1) scale instead.
    """
    used, blank = paired(
        pairs,
        f"weighted_deming_{which}",
        "jackknife",
        method="weighted Deming regression, jackknife",
        params={"alpha": alpha, "ratio": ratio, "iter_max": iter_max, "threshold": threshold},
    )
    missing = undefined_line(used, blank)
    if missing is not None:
        return missing
    if not np.isfinite(deming_jackknife(used, ratio=ratio).full).all():
        return blank.undefined("zero_variance", _NO_SLOPE)
    fitted = weighted_deming_jackknife(used, ratio=ratio, iter_max=iter_max, threshold=threshold)
    if not _level(used, fitted.full[None, :], ratio=ratio).min() > 0:  # also where it is not a number
        return blank.undefined(
            "nonpositive_value", "Weights in proportion to the level need fitted values above 0; one is not."
        )
    return _coefficient(fitted, blank, which=which, alpha=alpha)


def deming_jackknife(used: Pairs, *, ratio: float = 1.0) -> Jackknifed:
    """Deming's line of complete pairs and those without each case, from sums less one case's share."""
    x, y, n = used.x, used.y, used.x.size
    a, b = x - np.mean(x), y - np.mean(y)
    full = _line(np.mean(x), np.mean(y), a @ a, b @ b, a @ b, ratio=ratio)
    if n < 3:
        return Jackknifed(full, np.full((n, 2), np.nan))
    share = n / (n - 1)
    sums = (a @ a - share * a**2, b @ b - share * b**2, a @ b - share * a * b)
    flat = sums[0] <= 1e-13 * (a @ a)  # what is left of x does not vary
    left_out = _line(np.mean(x) - a / (n - 1), np.mean(y) - b / (n - 1), *sums, ratio=ratio)
    return Jackknifed(full, np.where(flat[:, None], np.nan, left_out))


def weighted_deming_jackknife(
    used: Pairs, *, ratio: float = 1.0, iter_max: int = 30, threshold: float = 1e-6
) -> Jackknifed:
    """The weighted line of complete positive pairs and those without each case; kept with the pairs."""
    key = ("weighted Deming", ratio, iter_max, threshold)
    if key not in used.computed:
        n = used.x.size
        start = deming_jackknife(used, ratio=ratio)
        reweight = partial(_reweighted, used, ratio=ratio, iter_max=iter_max, threshold=threshold)
        full = reweight(np.ones((1, n)), start.full[None, :])[0]
        rows = max(1, _CHUNK // n)
        parts = [
            reweight(1.0 - np.eye(n)[first : first + rows], start.left_out[first : first + rows])
            for first in range(0, n, rows)
        ]
        used.computed[key] = Jackknifed(full, np.concatenate(parts))
    found: Jackknifed = used.computed[key]
    return found


def undefined_line(used: Pairs, blank: Blank) -> Estimate | None:
    """Why a line with errors in both methods has no slope, or None when it has one."""
    missing = blank.lacking(2, "A line")
    if missing is not None:
        return missing
    if np.ptp(used.x) == 0:
        return blank.undefined("x_constant", "A line needs readings of the first method that vary.")
    return None


def _coefficient(fitted: Jackknifed, blank: Blank, *, which: Coefficient, alpha: float) -> Estimate:
    if not np.isfinite(fitted.full).all():
        return blank.undefined("zero_variance", _NO_SLOPE)
    return fitted.estimate(np.array([1.0, 0.0] if which == "intercept" else [0.0, 1.0]), blank, alpha=alpha)


def _line(
    mean_x: npt.ArrayLike,
    mean_y: npt.ArrayLike,
    sxx: npt.ArrayLike,
    syy: npt.ArrayLike,
    sxy: npt.ArrayLike,
    *,
    ratio: float,
) -> Reals:
    """(…, 2) intercepts and slopes from (weighted) means and sums of squares; NaN where vertical."""
    x2, y2, xy = (np.asarray(total, float) for total in (sxx, syy, sxy))
    u = ratio * y2 - x2
    root = np.sqrt(u**2 + 4 * ratio * xy**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(u <= 0, 2 * xy / (root - u), (u + root) / (2 * ratio * xy))
    slope = np.where(np.isfinite(slope), slope, np.nan)
    return np.stack([np.asarray(mean_y) - slope * np.asarray(mean_x), slope], axis=-1)


def _level(used: Pairs, lines: Reals, *, ratio: float) -> Reals:
    """(x̂ + ŷ)/2 of every case (columns) at its fitted values on each line (rows)."""
    intercept, slope = lines[:, 0], lines[:, 1]
    pull = (ratio * slope - 1) / (1 + ratio * slope**2)  # of the distance from the line, in x̂ + ŷ
    parts = np.column_stack((-pull * intercept, 1 - pull * slope, 1 + pull)) / 2
    level: Reals = parts @ np.stack((np.ones_like(used.x), used.x, used.y))
    return level


def _reweighted(
    used: Pairs, included: Reals, start: Reals, *, ratio: float, iter_max: int, threshold: float
) -> Reals:
    """Lines (rows × 2) after reweighting; `included` (rows × n) is 0 for the case left out."""
    lines = start.copy()
    middle_x, middle_y = np.mean(used.x), np.mean(used.y)
    a, b = used.x - middle_x, used.y - middle_y
    powers = np.column_stack((np.ones_like(a), a, b, a * a, b * b, a * b))
    moving = np.asarray(np.isfinite(lines).all(axis=1))
    for _ in range(int(iter_max)):
        rows = np.flatnonzero(moving)
        if rows.size == 0:
            break
        level = _level(used, lines[rows], ratio=ratio)
        with np.errstate(all="ignore"):
            total, *sums = ((included[rows] / level**2) @ powers).T
            mean_a, mean_b, aa, bb, ab = (each / total for each in sums)
            squares = (aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b)
            new = _line(middle_x + mean_a, middle_y + mean_b, *squares, ratio=ratio)
        moving[rows] = (np.abs(new - lines[rows]) >= threshold).any(axis=1)
        lines[rows] = new
    return lines


STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    **{("pairs", f"ols_{which}", "t"): entry(ols, "alpha", which=which) for which in ("intercept", "slope")},
    **{
        ("pairs", f"deming_{which}", "jackknife"): entry(deming, "alpha", "ratio", which=which)
        for which in ("intercept", "slope")
    },
    **{
        ("pairs", f"weighted_deming_{which}", "jackknife"): entry(
            weighted_deming, "alpha", "ratio", "iter_max", "threshold", which=which
        )
        for which in ("intercept", "slope")
    },
}
