"""Fitting variance components and their profile-likelihood limits.

A limit of a figure (a component, its share of the total, a sum of components) is where twice the log
likelihood, maximised over everything else, has fallen by the chi-square quantile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import optimize, stats

from ki67.stats.forms import Reals
from ki67.stats.mixed import Likelihood
from ki67.stats.undefined import Undefined

_LEAST_RESIDUAL = 1e-10  # of the readings' variance: under it the residual counts as 0
_SHARE_END = 1e-9
_WIDEST = 60  # doublings of the search for a limit
Bounds = list[tuple[float, float]]


@dataclass(frozen=True)
class Fit:
    """Variances in the order of the likelihood's components, the deviance (−2 log likelihood) and its kind.

    `perfect` says that the residual is 0: then the likelihood has no bound.
    """

    theta: Reals
    deviance: float
    reml: bool
    perfect: bool


def fit(likelihood: Likelihood, *, reml: bool) -> Fit:
    """The (restricted) maximum likelihood estimate, no component below 0.

    Undefined: zero_variance where no reading differs, no_convergence.
    """
    scale = likelihood.layout.variance()
    if scale <= np.square(1e-13 * np.abs(likelihood.layout.means).max()):
        raise Undefined("zero_variance", "The readings do not vary.")
    exact = likelihood.closed_form()
    number = len(likelihood.layout.components)
    start = exact / scale if exact is not None else np.full(number, 1 / number)
    theta = start * scale
    if exact is None or not reml:
        bounds = [(0.0, math.inf)] * (number - 1) + [(_LEAST_RESIDUAL, math.inf)]
        for _ in range(2):
            start = _minimise(lambda x: _scaled(likelihood, x, scale, reml=reml), start, bounds)
        theta = start * scale
    perfect = bool(theta[-1] <= 10 * _LEAST_RESIDUAL * scale)
    theta = np.where(np.arange(number) == number - 1, 0.0 if perfect else theta[-1], theta)
    deviance = likelihood.deviance(theta, reml=reml)[0] if not perfect else 0.0
    return Fit(theta, deviance, reml, perfect)


class Path(Protocol):
    """How variances depend on the figure t and on what is left free."""

    def figure(self, theta: Reals) -> float:
        """The figure of an estimate."""

    def free(self, theta: Reals) -> Reals:
        """The free parameters at an estimate."""

    def theta(self, t: float, free: Reals) -> tuple[Reals, Reals]:
        """The variances, and their derivatives by the free parameters (rows)."""

    def bounds(self, free: Reals) -> Bounds:
        """Limits of the free parameters."""


@dataclass(frozen=True)
class ComponentPath:
    """The figure is component number `index`."""

    index: int
    is_residual: bool

    def figure(self, theta: Reals) -> float:
        return float(theta[self.index])

    def free(self, theta: Reals) -> Reals:
        return np.delete(theta, self.index)

    def theta(self, t: float, free: Reals) -> tuple[Reals, Reals]:
        return np.insert(free, self.index, t), np.delete(np.eye(len(free) + 1), self.index, axis=0)

    def bounds(self, free: Reals) -> Bounds:
        least = 0.0 if self.is_residual else _LEAST_RESIDUAL * float(free.sum())
        return [(0.0, math.inf)] * (len(free) - 1) + [(least, math.inf)]


@dataclass(frozen=True)
class SharePath:
    """The figure is the share of component number `index`, 0-1, in the sum of those `among` marks with 1."""

    index: int
    is_residual: bool
    among: tuple[float, ...]

    def figure(self, theta: Reals) -> float:
        return float(theta[self.index] / (theta @ np.array(self.among)))

    def free(self, theta: Reals) -> Reals:
        return np.delete(theta, self.index)

    def theta(self, t: float, free: Reals) -> tuple[Reals, Reals]:
        odds = t / (1 - t) * np.delete(np.array(self.among), self.index)
        slope = np.delete(np.eye(len(free) + 1), self.index, axis=0)
        slope[:, self.index] = odds
        return np.insert(free, self.index, odds @ free), slope

    def bounds(self, free: Reals) -> Bounds:
        return ComponentPath(self.index, self.is_residual).bounds(free)


@dataclass(frozen=True)
class SumPath:
    """The figure is the sum of all components but number 0 (the case), which is free.

    The others are the sum times shares by stick breaking; the residual, last, has what is left.
    """

    def figure(self, theta: Reals) -> float:
        return float(theta[1:].sum())

    def free(self, theta: Reals) -> Reals:
        left = np.cumsum(theta[:0:-1])[::-1]
        return np.concatenate([theta[:1], theta[1:-1] / left[:-1]])

    def theta(self, t: float, free: Reals) -> tuple[Reals, Reals]:
        sticks = free[1:]
        left = np.concatenate([[1.0], np.cumprod(1 - sticks)])
        shares = np.append(sticks * left[:-1], left[-1])
        slope = np.zeros((len(free), len(free) + 1))
        slope[0, 0] = 1
        for number, stick in enumerate(sticks):
            slope[number + 1, number + 1] = t * left[number]
            slope[number + 1, number + 2 :] = -t * shares[number + 1 :] / (1 - stick)
        return np.append(free[0], t * shares), slope

    def bounds(self, free: Reals) -> Bounds:
        return [(0.0, math.inf)] + [(0.0, 1 - _SHARE_END)] * (len(free) - 1)


def profile_limits(likelihood: Likelihood, best: Fit, path: Path, *, alpha: float) -> tuple[float, float]:
    """Lower and upper limit of the figure, confidence 1 − alpha; 0 where the profile does not fall enough.

    D. M. Bates et al., J Stat Softw 67 (2015) 1-48 (profiles of a fit). Undefined: zero_variance for a
    perfect fit, out_of_range where the profile never falls enough.
    """
    if best.perfect:
        raise Undefined("zero_variance", "Nothing is left over between the readings, so there are no limits.")
    allowed = best.deviance + float(stats.chi2.ppf(1 - alpha, 1))
    share = isinstance(path, SharePath)
    top = 1 - _SHARE_END if share else math.inf
    to_line, from_line = (_logit, _logistic) if share else (math.log, math.exp)
    centre = path.figure(best.theta)
    excess = _excess(likelihood, best, path, allowed)
    least = 1e-9 * (1.0 if share else likelihood.layout.variance())
    low = 0.0
    middle = to_line(min(max(centre, 100 * least), top))
    if centre > least and (_needs_more(path) or excess(0.0) > 0):
        low = from_line(_crossing(lambda x: excess(from_line(x)), middle, direction=-1.0))
    excess = _excess(likelihood, best, path, allowed)
    if share and centre >= top:
        return low, 1.0
    return low, from_line(_crossing(lambda x: excess(from_line(x)), middle, direction=1.0))


def _needs_more(path: Path) -> bool:
    """Whether the figure cannot be 0, because the residual is in it."""
    return isinstance(path, SumPath) or bool(getattr(path, "is_residual", False))


def _excess(likelihood: Likelihood, best: Fit, path: Path, allowed: float) -> Callable[[float], float]:
    """t → profile deviance − `allowed`; each optimum starts from the last one."""
    total = likelihood.layout.variance()
    last = path.free(best.theta)
    bounds = path.bounds(last)
    scale = np.array([total if high == math.inf else 1.0 for _, high in bounds])
    boxes = [(low / unit, high / unit) for (low, high), unit in zip(bounds, scale.tolist(), strict=True)]

    def excess(t: float) -> float:
        nonlocal last

        def value(x: Reals) -> tuple[float, Reals]:
            theta, slope = path.theta(t, x * scale)
            found, gradient = likelihood.deviance(theta, reml=best.reml)
            return found - best.deviance, scale * (slope @ gradient)

        found = _minimise(value, last / scale, boxes)
        last = found * scale
        return value(found)[0] + best.deviance - allowed

    return excess


def _crossing(excess: Callable[[float], float], start: float, *, direction: float) -> float:
    """Where the excess crosses 0, walking from `start` (excess below 0) in growing steps."""
    step, near = 0.25, start
    for _ in range(_WIDEST):
        far = near + direction * step
        if excess(far) > 0:
            return float(optimize.brentq(excess, *sorted((near, far)), xtol=1e-8))
        near, step = far, 1.5 * step
    raise Undefined("out_of_range", "The likelihood never falls enough for a limit.")


def _scaled(likelihood: Likelihood, x: Reals, scale: float, *, reml: bool) -> tuple[float, Reals]:
    value, slope = likelihood.deviance(x * scale, reml=reml)
    return value, slope * scale


def _minimise(value: Callable[[Reals], tuple[float, Reals]], start: Reals, bounds: Bounds) -> Reals:
    """Bounded quasi-Newton minimum; Undefined (no_convergence) where it finds none."""
    if not len(start):
        return start
    inside = np.clip(start, [low for low, _ in bounds], [high for _, high in bounds])
    found = optimize.minimize(
        value,
        inside,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-7, "maxiter": 500},
    )
    if not np.all(np.isfinite(found.x)) or not math.isfinite(found.fun):
        raise Undefined("no_convergence", "The fit of the variance components did not settle.")
    return np.asarray(found.x, np.float64)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _logistic(line: float) -> float:
    return 1 / (1 + math.exp(-line)) if line >= 0 else math.exp(line) / (1 + math.exp(line))
