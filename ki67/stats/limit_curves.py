"""Bias and limits of agreement along the index: what "limits opening with the index" are drawn from.

Where the spread grows with the mean, limits of one width for all levels are wrong at both ends. Limits
made on the log2(value + 0.1) scale, or by regression, give at each level of the index their own width in
points. The level is the mean of both readings. Euser AM, Dekker FW, le Cessie S. J Clin Epidemiol
2008;61:978–982 (limits from a log scale); Bland JM, Altman DG. Stat Methods Med Res 1999;8:135–160,
section 3.2 (regression).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ki67.stats.bland_altman import LoaVariant, Side, ba_bias, ba_loa, ba_percent_bias
from ki67.stats.bland_altman_more import ba_percent_limit
from ki67.stats.blank import LOG2_OFFSET, on_log2
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs, Reals
from ki67.stats.regression_limits import ba_reg_bias, ba_reg_loa, fit_limits

CurveScale = Literal["raw", "log2(x+0.1)", "percent", "regression"]


@dataclass(frozen=True)
class Curve:
    """A line over the levels with its pointwise limits, in points; None where its estimate is undefined.

    A regression's limits end where their fitted spread does: NaN beyond.
    """

    value: Reals | None
    low: Reals | None
    high: Reals | None


@dataclass(frozen=True)
class LimitCurves:
    """Bias and limits of agreement in points at each level (percent; the mean of both readings).

    `estimates`: bias, lower and upper limit on the scale they were made on (for regression at the middle
    level), with n, method and the reason when undefined.
    """

    levels: Reals
    scale: CurveScale
    bias: Curve
    lower: Curve
    upper: Curve
    estimates: tuple[Estimate, Estimate, Estimate]


def limit_curves(
    pairs: Pairs,
    *,
    levels: Sequence[float],
    scale: CurveScale = "log2(x+0.1)",
    variant: LoaVariant = "ba1999",
    alpha: float = 0.05,
    coverage: float = 0.95,
) -> LimitCurves:
    """Bias and limits of y − x with intervals at every level (`levels` in percent).

    raw: the same at every level. log2(x+0.1): a ratio at every level. percent: in proportion to the level,
    limits by ba1999's formula. regression: bias and spread are lines of the level, HC3 limits; a limit is
    undefined at a level where the fitted spread is negative.
    """
    at = np.asarray(levels, float)
    if scale == "regression":
        return _regression_curves(pairs, at, alpha=alpha, coverage=coverage)
    if scale == "percent":
        made = (
            ba_percent_bias(pairs, alpha=alpha),
            ba_percent_limit(pairs, side="lower", alpha=alpha, coverage=coverage),
            ba_percent_limit(pairs, side="upper", alpha=alpha, coverage=coverage),
        )
        bias, lower, upper = (percent_curve(estimate, at) for estimate in made)
        return LimitCurves(at, scale, bias, lower, upper, made)
    scaled = on_log2(pairs) if scale == "log2(x+0.1)" else pairs
    made = (
        ba_bias(scaled, alpha=alpha),
        ba_loa(scaled, side="lower", variant=variant, alpha=alpha, coverage=coverage),
        ba_loa(scaled, side="upper", variant=variant, alpha=alpha, coverage=coverage),
    )
    draw = curve_from_log2 if scale == "log2(x+0.1)" else _level_curve
    bias, lower, upper = (draw(estimate, at) for estimate in made)
    return LimitCurves(at, scale, bias, lower, upper, made)


def points_at(log2_difference: npt.ArrayLike, levels: npt.ArrayLike) -> Reals:
    """The difference y − x in points that a difference of log2(value + 0.1) means at mean level m.

    With r = 2^difference the ratio of y + 0.1 to x + 0.1 and (x + y)/2 = m: 2(m + 0.1)(r − 1)/(r + 1).
    Antisymmetric in the difference, so swapping the methods only turns the sign. Arrays broadcast.
    """
    half = np.asarray(log2_difference, float) * (np.log(2) / 2)
    return np.asarray(2 * (np.asarray(levels, float) + LOG2_OFFSET) * np.tanh(half))


def curve_from_log2(estimate: Estimate, levels: npt.ArrayLike) -> Curve:
    """An estimate of a log2 difference (bias or limit, whoever made it) in points at each level.

    The transform is monotone at every level, so its limits keep their coverage.
    """
    at = np.asarray(levels, float)
    return _curve(estimate, lambda number: points_at(number, at))


def percent_curve(estimate: Estimate, levels: npt.ArrayLike) -> Curve:
    """An estimate in percent of the mean of both readings, in points at each level."""
    at = np.asarray(levels, float)
    return _curve(estimate, lambda number: number / 100 * at)


def in_points(estimate: Estimate, level: float) -> Estimate:
    """An estimate of a log2 difference as one in points at an index of `level` percent."""

    def lifted(number: float | None) -> float | None:
        return None if number is None else float(points_at(number, level))

    return replace(
        estimate,
        value=lifted(estimate.value),
        ci_low=lifted(estimate.ci_low),
        ci_high=lifted(estimate.ci_high),
        method=f"{estimate.method}; on log2(x + 0.1), in points at a mean of {level:g} %",
        params={**estimate.params, "transform": "log2(x+0.1)", "level": level},
    )


def _level_curve(estimate: Estimate, at: Reals) -> Curve:
    return _curve(estimate, lambda number: np.full(at.shape, number))


def _curve(estimate: Estimate, drawn: Callable[[float], Reals]) -> Curve:
    value, low, high = (
        None if number is None else drawn(number)
        for number in (estimate.value, estimate.ci_low, estimate.ci_high)
    )
    return Curve(value, low, high)


def _regression_curves(pairs: Pairs, at: Reals, *, alpha: float, coverage: float) -> LimitCurves:
    sides: tuple[Side, Side] = ("lower", "upper")
    middle = float(np.median(at))
    made = (
        ba_reg_bias(pairs, level=middle, alpha=alpha),
        ba_reg_loa(pairs, side=sides[0], level=middle, alpha=alpha, coverage=coverage),
        ba_reg_loa(pairs, side=sides[1], level=middle, alpha=alpha, coverage=coverage),
    )
    fit = fit_limits(pairs.complete(), coverage=coverage)
    if fit is None:
        nothing = Curve(None, None, None)
        return LimitCurves(at, "regression", nothing, nothing, nothing, made)
    drawn = [fit.bias_at(at, alpha=alpha), *(fit.limit_at(at, side=side, alpha=alpha) for side in sides)]
    bias, lower, upper = (Curve(line.value, line.low, line.high) for line in drawn)
    return LimitCurves(at, "regression", bias, lower, upper, made)
