"""A straight line by ordinary least squares, with the intervals that its users need."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ki67.stats.blank import Blank, too_few
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Reals


@dataclass(frozen=True)
class Line:
    """y = intercept + slope·x through n points; `influence` rows (intercept, slope) move each point's part.

    `sigma2` is the residual variance, n − 2; None with two points. `influence` holds for each point how far
    leaving it out would move intercept and slope (HC3): their cross products sum to a variance that holds
    when the spread changes along x.
    """

    n: int
    intercept: float
    slope: float
    mean_x: float
    sxx: float
    sigma2: float | None
    residuals: Reals
    leverage: Reals
    influence: Reals

    def at(self, x: Reals) -> Reals:
        return self.intercept + self.slope * x

    def se_at(self, x: Reals) -> Reals:
        """The standard error of the line at x with one residual variance; needs three points."""
        return np.sqrt((self.sigma2 or 0.0) * (1 / self.n + (x - self.mean_x) ** 2 / self.sxx))

    def influence_at(self, x: Reals) -> Reals:
        """Each point's influence on the line at the levels x: points × levels."""
        return self.influence[:, :1] + self.influence[:, 1:] * x[None, :]


def fit_line(x: Reals, y: Reals) -> Line | None:
    """The least-squares line; None when x does not vary (fewer than two points do not)."""
    if x.size < 2 or np.ptp(x) == 0:
        return None
    mean_x = float(np.mean(x))
    centred = x - mean_x
    sxx = float(centred @ centred)
    slope = float(centred @ (y - np.mean(y))) / sxx
    intercept = float(np.mean(y)) - slope * mean_x
    residuals = y - intercept - slope * x
    leverage = 1 / x.size + centred**2 / sxx
    pushed = np.where(leverage < 1 - 1e-12, residuals / np.maximum(1 - leverage, 1e-12), 0.0)
    by_slope = centred / sxx * pushed
    influence = np.column_stack([pushed / x.size - by_slope * mean_x, by_slope])
    sigma2 = float(residuals @ residuals) / (x.size - 2) if x.size > 2 else None
    return Line(x.size, intercept, slope, mean_x, sxx, sigma2, residuals, leverage, influence)


def slope_estimate(x: Reals, y: Reals, blank: Blank, *, alpha: float) -> Estimate:
    """The slope with t(n − 2); two points give a slope without limits."""
    return coefficient_estimate(x, y, blank, which="slope", alpha=alpha)


def coefficient_estimate(x: Reals, y: Reals, blank: Blank, *, which: str, alpha: float) -> Estimate:
    """Slope or intercept of the least-squares line with t(n − 2)."""
    missing = blank.lacking(2, "A line")
    if missing is not None:
        return missing
    line = fit_line(x, y)
    if line is None:
        return blank.undefined("x_constant", "A line needs readings that vary along the horizontal axis.")
    value = line.slope if which == "slope" else line.intercept
    if line.sigma2 is None:
        return blank.without_limits(value, "too_few", too_few(line.n, need=3, what="Limits"))
    se = math.sqrt(line.sigma2 / line.sxx) if which == "slope" else float(line.se_at(np.zeros(1))[0])
    half = float(stats.t.ppf(1 - alpha / 2, line.n - 2)) * se
    return blank.filled(value, value - half, value + half)
