"""Passing–Bablok regression, its equivariant form, and the test of linearity.

Passing H, Bablok W. J Clin Chem Clin Biochem 1983;21:709–720. Equivariant: Bablok W, Passing H, Bender R,
Schneider B. J Clin Chem Clin Biochem 1988;26:783–790, with the slopes' angles. Every pair of cases is
used: memory grows with the square of n (1,000 cases: half a million slopes).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from ki67.stats.blank import Blank, Compute, entry, paired
from ki67.stats.estimate import Estimate, Form
from ki67.stats.forms import Pairs, Reals

Coefficient = Literal["intercept", "slope"]
_VERTICAL = "Too many cases share a reading: the median slope is vertical."
_TIE = 1e-12  # relative: differences this small are 0, slopes this near −1 are −1


@dataclass(frozen=True)
class LinearityTest:
    """The largest |cusum| of the signs along the line and the probability of one so large."""

    cusum_max: Estimate
    p: Estimate


@dataclass(frozen=True)
class _Fit1983:
    """Slope and its limits, not finite where out of range; the readings for the intercept."""

    used: Pairs
    slope: float
    low: float
    high: float

    def intercept(self, slope: float) -> float:
        if not math.isfinite(slope):
            return math.nan
        return float(np.median(self.used.y - slope * self.used.x))

    @cached_property
    def intercepts(self) -> tuple[float, float, float]:
        """Intercept and its limits: from the slope's, crossed."""
        return self.intercept(self.slope), self.intercept(self.high), self.intercept(self.low)


def passing_bablok(pairs: Pairs, *, which: Coefficient, alpha: float = 0.05) -> Estimate:
    """Intercept or slope of Passing–Bablok regression (1983) with its rank limits.

    dx and dy are 0 and slopes −1 to 1e-12 relative; identical pairs and slopes of −1 are dropped, dx = 0
    is a slope of +∞; the median is shifted by the number K of slopes below −1. Limits at ranks M1 + K and
    N − M1 + 1 + K with M1 = round((N − C)/2), C = z·√(n(n − 1)(2n + 5)/18); a limit out of range is
    undefined. It supposes that the two methods measure the same thing in proportion (a positive slope).
    """
    used, blank = paired(
        pairs,
        f"passing_bablok_{which}",
        "1983",
        method="Passing–Bablok regression",
        params={"alpha": alpha},
    )
    missing = _undefined(used, blank)
    if missing is not None:
        return missing
    fit = _fit_1983(used, alpha=alpha)
    if fit is None or not math.isfinite(fit.slope):
        return blank.undefined("out_of_range", _VERTICAL)
    value, low, high = fit.intercepts if which == "intercept" else (fit.slope, fit.low, fit.high)
    return blank.half_open(value, low, high, "A limit lies beyond the slopes of so few cases.")


def pb_equivariant(pairs: Pairs, *, which: Coefficient) -> Estimate:
    """Intercept or slope of the equivariant form: slope tan(median arctan|S|); no limits by convention.

    Swapping the methods turns the slope into its reciprocal.
    """
    used, blank = paired(
        pairs, f"pb_equivariant_{which}", "radian", method="equivariant Passing–Bablok regression"
    )
    missing = _undefined(used, blank)
    if missing is not None:
        return missing
    slopes = _slopes(used)
    if slopes.size == 0:
        return blank.undefined("out_of_range", "No two cases give a slope.")
    angle = float(np.median(np.arctan(np.abs(slopes))))
    if angle >= math.pi / 2 - 1e-15:
        return blank.undefined("out_of_range", _VERTICAL)
    slope = math.tan(angle)
    return blank.filled(slope if which == "slope" else float(np.median(used.y - slope * used.x)))


def linearity(pairs: Pairs) -> LinearityTest:
    """Passing and Bablok's cusum test of linearity: do points above and below the line mix along it?

    Points above score √(l/L), below −√(L/l) (L above, l below, 0 on it), summed in the order of their
    projection on the line. The largest |sum| is √(L·l) times the two-sample Kolmogorov–Smirnov distance
    of the two groups' places, whose exact distribution gives the probability. A small one speaks against
    a line. The test is conservative, because the line was fitted to the same points.
    """
    used, blank = paired(
        pairs, "passing_bablok_cusum_max", "1983", method="cusum of signs along the Passing–Bablok line"
    )
    p_blank = replace(blank, statistic="passing_bablok_linearity_p", variant="Kolmogorov-Smirnov")
    missing = _undefined(used, blank)
    if missing is not None:
        return LinearityTest(missing, p_blank.undefined(missing.reason or "too_few", missing.message))
    fit = _fit_1983(used, alpha=0.05)
    if fit is None or not math.isfinite(fit.slope) or fit.slope == 0:
        message = "The line is flat or vertical: there is no direction to sort the cases along."
        return LinearityTest(
            blank.undefined("out_of_range", message), p_blank.undefined("out_of_range", message)
        )
    residual = used.y - fit.slope * used.x - fit.intercepts[0]
    tied = np.abs(residual) <= _TIE * np.maximum(np.abs(used.y), np.abs(fit.slope * used.x))
    place = stats.rankdata(np.round(used.y + used.x / fit.slope, 12))
    above, below = place[~tied & (residual > 0)], place[~tied & (residual < 0)]
    if not above.size or not below.size:
        message = "All cases lie on the line or on one side of it."
        return LinearityTest(
            blank.undefined("zero_variance", message), p_blank.undefined("zero_variance", message)
        )
    with warnings.catch_warnings():  # where rounding takes the exact probability above 1, it is asymptotic
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ks_2samp(above, below, method="exact" if used.x.size <= 2000 else "asymp")
    largest = math.sqrt(above.size * below.size) * float(test.statistic)
    return LinearityTest(blank.filled(largest), p_blank.filled(float(test.pvalue)))


def passing_bablok_cusum_max(pairs: Pairs) -> Estimate:
    """The largest |cusum| of `linearity`."""
    return linearity(pairs).cusum_max


def passing_bablok_linearity_p(pairs: Pairs) -> Estimate:
    """The probability of `linearity`."""
    return linearity(pairs).p


def _undefined(used: Pairs, blank: Blank) -> Estimate | None:
    missing = blank.lacking(2, "A line")
    if missing is not None:
        return missing
    if np.ptp(used.x) == 0:
        return blank.undefined("x_constant", "A line needs readings of the first method that vary.")
    return None


def _slopes(used: Pairs) -> Reals:
    """All slopes between two cases but those of identical pairs; dx = 0 is +∞."""
    if "slopes" not in used.computed:
        used.computed["slopes"] = _all_slopes(used)
    found: Reals = used.computed["slopes"]
    return found


def _all_slopes(used: Pairs) -> Reals:
    above = np.triu(np.ones((used.x.size, used.x.size), bool), 1)
    (dx, x_size), (dy, y_size) = _difference(used.x, above), _difference(used.y, above)
    kept = (dx != 0) | (dy != 0)
    dx, dy, size = dx[kept], dy[kept], np.maximum(x_size, y_size)[kept]
    upright = dx == 0
    slopes: Reals = np.divide(dy, dx, out=np.full(dx.size, np.inf), where=~upright)
    slopes[~upright & (np.abs(dx + dy) <= _TIE * size)] = -1.0
    return slopes


def _difference(values: Reals, above: npt.NDArray[np.bool_]) -> tuple[Reals, Reals]:
    """Later minus earlier value of each two cases, row by row, and the larger of their absolute values."""
    d: Reals = (values[None, :] - values[:, None])[above]
    size = np.abs(values)
    larger: Reals = np.maximum(size[None, :], size[:, None])[above]
    d[np.abs(d) <= _TIE * larger] = 0.0
    return d, larger


def _fit_1983(used: Pairs, *, alpha: float) -> _Fit1983 | None:
    """The fit of one table, kept with it."""
    key = ("Passing–Bablok", alpha)
    if key not in used.computed:
        used.computed[key] = _fitted_1983(used, alpha=alpha)
    found: _Fit1983 | None = used.computed[key]
    return found


def _fitted_1983(used: Pairs, *, alpha: float) -> _Fit1983 | None:
    slopes = _slopes(used)
    slopes = slopes[slopes != -1.0]
    n, count = used.x.size, slopes.size
    if count == 0:
        return None
    shift = int((slopes < -1.0).sum())  # K
    c = float(stats.norm.ppf(1 - alpha / 2)) * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    m1 = round((count - c) / 2)
    middle, low, high = (count + 1) // 2 + shift, m1 + shift, count - m1 + 1 + shift
    wanted = (middle, middle + 1, low, high)
    places = sorted({rank - 1 for rank in wanted if 1 <= rank <= count})
    ordered = np.partition(slopes, places) if places else slopes

    def ranked(rank: int) -> float:
        return float(ordered[rank - 1]) if 1 <= rank <= count else math.nan

    slope = ranked(middle) if count % 2 else (ranked(middle) + ranked(middle + 1)) / 2
    if m1 < 1:
        return _Fit1983(used, slope, math.nan, math.nan)
    return _Fit1983(used, slope, ranked(low), ranked(high))


STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    **{
        ("pairs", f"passing_bablok_{which}", "1983"): entry(passing_bablok, "alpha", which=which)
        for which in ("intercept", "slope")
    },
    **{
        ("pairs", f"pb_equivariant_{which}", "radian"): entry(pb_equivariant, which=which)
        for which in ("intercept", "slope")
    },
    ("pairs", "passing_bablok_cusum_max", "1983"): entry(passing_bablok_cusum_max),
    ("pairs", "passing_bablok_linearity_p", "Kolmogorov-Smirnov"): entry(passing_bablok_linearity_p),
}
