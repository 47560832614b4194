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
from scipy import optimize, special

from ki67.stats.descent import Descent
from ki67.stats.forms import Reals
from ki67.stats.mixed import Likelihood
from ki67.stats.undefined import Undefined

_LEAST_RESIDUAL = 1e-10  # of the readings' variance: under it the residual counts as 0
_SHARE_END = 1e-9
_BRENT_RTOL = 1e-12
_WIDEST = 60  # steps of the search for a limit
_FIT_TOLERANCE = 1e-9  # of the deviance
_PROFILE_TOLERANCE = 1e-8
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
    number = len(likelihood.layout.components)
    theta, exact = likelihood.start()
    if not (exact and reml):
        low = np.zeros(number)
        low[-1] = _LEAST_RESIDUAL
        descent = Descent(theta / scale, low, np.full(number, math.inf))

        def value(x: Reals) -> tuple[float, Reals]:
            found, slope = likelihood.deviance(x * scale, reml=reml)
            return found, slope * scale

        descent.minimise(value, tolerance=_FIT_TOLERANCE)
        theta = descent.x * scale
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
        least = _LEAST_RESIDUAL * float(free.sum())
        if self.is_residual:  # a share of nothing would be nothing
            return [(least, math.inf)] * len(free)
        return ComponentPath(self.index, False).bounds(free)


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
    needed = float(special.ndtri(1 - alpha / 2))
    line = _line_of(likelihood, best, path)

    def limit(direction: float) -> float:
        fall = _falls(likelihood, best, path)
        if direction < 0 and not _needs_more(path) and fall(0.0) < needed:
            return 0.0
        fall = _falls(likelihood, best, path)
        place = _crossing(
            lambda x: fall(line.figure(x)), line.start, line.step, needed=needed, direction=direction
        )
        return line.figure(place)

    low = 0.0 if line.at_zero else limit(-1.0)
    return low, 1.0 if line.at_one else limit(1.0)


@dataclass(frozen=True)
class _Line:
    """Where a figure's search runs: its logarithm, the logit of a share, itself for an estimate of 0."""

    figure: Callable[[float], float]
    start: float
    step: float
    at_zero: bool = False
    at_one: bool = False


def _line_of(likelihood: Likelihood, best: Fit, path: Path) -> _Line:
    centre = path.figure(best.theta)
    share = isinstance(path, SharePath)
    unit = 1.0 if share else likelihood.layout.variance()
    if centre <= 1e-9 * unit:
        return _Line(lambda x: x, 0.0, 0.01 * unit, at_zero=True)
    if not share:
        return _Line(math.exp, math.log(centre), 0.25)
    inside = min(centre, 1 - _SHARE_END)
    return _Line(_logistic, math.log(inside / (1 - inside)), 0.25, at_one=inside < centre)


def _needs_more(path: Path) -> bool:
    """Whether the figure cannot be 0, because the residual is in it."""
    return isinstance(path, SumPath) or bool(getattr(path, "is_residual", False))


def _falls(likelihood: Likelihood, best: Fit, path: Path) -> Callable[[float], float]:
    """t → √(profile deviance − least deviance), nearly linear in t's logarithm; each optimum starts from the
    last one."""
    total = likelihood.layout.variance()
    free = path.free(best.theta)
    low, high = (np.array(ends, np.float64) for ends in zip(*path.bounds(free), strict=True))
    scale = np.where(np.isinf(high), total, 1.0)
    descent = Descent(free / scale, low / scale, high / scale)

    def fall(t: float) -> float:
        def value(x: Reals) -> tuple[float, Reals]:
            theta, slope = path.theta(t, x * scale)
            found, gradient = likelihood.deviance(theta, reml=best.reml)
            return found - best.deviance, scale * (slope @ gradient)

        return math.sqrt(max(0.0, descent.minimise(value, tolerance=_PROFILE_TOLERANCE)))

    return fall


def _crossing(
    fall: Callable[[float], float], start: float, step: float, *, needed: float, direction: float
) -> float:
    """Where the fall reaches `needed`, walking from `start` (0 there) by the slope seen so far."""
    near, risen = start, 0.0
    for _ in range(_WIDEST):
        far = near + direction * step
        risen_there = fall(far)
        if risen_there >= needed:
            ends = sorted((near, far))
            return float(
                optimize.brentq(lambda x: fall(x) - needed, *ends, xtol=1e-8 * step, rtol=_BRENT_RTOL)
            )
        rate = (risen_there - risen) / step
        step = min(4 * step, 1.1 * (needed - risen_there) / rate) if rate > 0 else 2 * step
        near, risen = far, risen_there
    raise Undefined("out_of_range", "The likelihood never falls enough for a limit.")


def _logistic(line: float) -> float:
    return 1 / (1 + math.exp(-line)) if line >= 0 else math.exp(line) / (1 + math.exp(line))
