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

_LEAST_RESIDUAL = 1e-7  # of the readings' variance: under it the residual counts as 0
_SHARE_END = 1e-6  # shares nearer to 0 or 1 count as that
_STICK_END = 1e-7
_FARTHEST = 1e6  # times the variance of the readings: a limit beyond is none
_BRENT_RTOL = 1e-12
_WIDEST = 60  # steps of the search for a limit
_FIT_TOLERANCE = 1e-9  # of the deviance
_PROFILE_TOLERANCE = 1e-8
Bounds = list[tuple[float, float]]


@dataclass(frozen=True)
class Fit:
    """Variances in the order of the likelihood's components, the deviance (−2 log likelihood) and its kind.

    `mean` is the generalized least squares mean; `perfect` says that the residual is 0: then the likelihood
    has no bound.
    """

    theta: Reals
    mean: float
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
    perfect = bool(theta[-1] <= 2 * _LEAST_RESIDUAL * scale)
    mean, deviance = likelihood.mean(theta), likelihood.deviance(theta, reml=reml)[0]
    if perfect:
        theta = np.where(theta <= 2 * _LEAST_RESIDUAL * scale, 0.0, theta)
    return Fit(theta, mean, deviance, reml, perfect)


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
    """The figure is the share of component number `index`, 0-1, in the sum of those that `among` marks.

    Free are that sum, the components outside it, and how the rest of the sum is divided (stick breaking).
    """

    index: int
    is_residual: bool
    among: tuple[bool, ...]

    def _rest(self) -> list[int]:
        return [number for number, there in enumerate(self.among) if there and number != self.index]

    def _outside(self) -> list[int]:
        return [number for number, there in enumerate(self.among) if not there]

    def figure(self, theta: Reals) -> float:
        total = float(theta[list(self.among)].sum())
        if total == 0:
            raise Undefined("zero_variance", "Nothing varies in what the share is taken of, so it is 0/0.")
        return float(theta[self.index] / total)

    def free(self, theta: Reals) -> Reals:
        total = theta[list(self.among)].sum()
        return np.concatenate([[total], theta[self._outside()], _sticks(theta[self._rest()])])

    def theta(self, t: float, free: Reals) -> tuple[Reals, Reals]:
        rest, outside = self._rest(), self._outside()
        total, own = float(free[0]), len(outside) + 1
        shares, by_stick = _shares(free[own:])
        theta = np.zeros(len(self.among))
        slope = np.zeros((len(free), len(self.among)))
        theta[self.index], theta[rest], theta[outside] = t * total, (1 - t) * total * shares, free[1:own]
        slope[0, self.index], slope[0, rest] = t, (1 - t) * shares
        slope[range(1, own), outside] = 1
        slope[own:, rest] = (1 - t) * total * by_stick
        return theta, slope

    def bounds(self, free: Reals) -> Bounds:
        outside = [(0.0, math.inf)] * len(self._outside())
        sticks = [(0.0, 1 - _STICK_END)] * (len(free) - len(outside) - 1)
        return [(_LEAST_RESIDUAL * float(free[0]), math.inf), *outside, *sticks]


@dataclass(frozen=True)
class SumPath:
    """The figure is the sum of all components but number 0 (the case), which is free.

    Free is also how the sum is divided; the residual, last, has what is left.
    """

    def figure(self, theta: Reals) -> float:
        return float(theta[1:].sum())

    def free(self, theta: Reals) -> Reals:
        return np.concatenate([theta[:1], _sticks(theta[1:])])

    def theta(self, t: float, free: Reals) -> tuple[Reals, Reals]:
        shares, by_stick = _shares(free[1:])
        slope = np.zeros((len(free), len(free) + 1))
        slope[0, 0] = 1
        slope[1:, 1:] = t * by_stick
        return np.append(free[0], t * shares), slope

    def bounds(self, free: Reals) -> Bounds:
        return [(0.0, math.inf)] + [(0.0, 1 - _STICK_END)] * (len(free) - 1)


def _sticks(parts: Reals) -> Reals:
    """Each part but the last, as a share of itself and those after it."""
    left = np.cumsum(parts[::-1])[::-1][:-1]
    return np.divide(parts[:-1], left, out=np.zeros(len(left)), where=left > 0)


def _shares(sticks: Reals) -> tuple[Reals, Reals]:
    """Shares of one from `_sticks`, and their derivatives (a row a stick)."""
    left = np.concatenate([[1.0], np.cumprod(1 - sticks)])
    shares = np.append(sticks * left[:-1], left[-1])
    slope = np.zeros((len(sticks), len(shares)))
    for number, stick in enumerate(sticks):
        slope[number, number] = left[number]
        slope[number, number + 1 :] = -shares[number + 1 :] / (1 - stick)
    return shares, slope


def profile_limits(likelihood: Likelihood, best: Fit, path: Path, *, alpha: float) -> tuple[float, float]:
    """Lower and upper limit of the figure, confidence 1 − alpha; 0 where the profile does not fall enough.

    D. M. Bates et al., J Stat Softw 67 (2015) 1-48 (profiles of a fit). Undefined: zero_variance for a
    perfect fit, out_of_range where the profile never falls enough.
    """
    if best.perfect:
        raise Undefined("zero_variance", "Nothing is left over between the readings, so there are no limits.")
    needed = float(special.ndtri(1 - alpha / 2))
    line = _line_of(likelihood, best, path)

    def limit(*, upwards: bool, end: float | None) -> float:
        fall = _falls(likelihood, best, path)
        place = _crossing(lambda x: fall(line.figure(x)), line, needed, upwards=upwards)
        if place is None and end is None:
            raise Undefined("out_of_range", "The likelihood never falls enough for a limit.")
        return line.figure(place) if place is not None else end or 0.0

    share = isinstance(path, SharePath)
    low = 0.0 if line.at_zero else limit(upwards=False, end=0.0 if share or not _needs_more(path) else None)
    return low, limit(upwards=True, end=1.0 if share else None)


def _inside(end: float) -> float:
    return min(end, 1 - _SHARE_END)


@dataclass(frozen=True)
class _Line:
    """Where a figure's search runs: its logarithm, the logit of a share, itself for an estimate of 0."""

    figure: Callable[[float], float]
    start: float
    step: float
    least: float
    most: float
    at_zero: bool = False


def _line_of(likelihood: Likelihood, best: Fit, path: Path) -> _Line:
    centre = path.figure(best.theta)
    share = isinstance(path, SharePath)
    unit = 1.0 if share else likelihood.layout.variance()
    if centre <= 1e-9 * unit:
        return _Line(_inside if share else lambda x: x, 0.0, 0.01 * unit, 0.0, _FARTHEST * unit, at_zero=True)
    if not share:
        end = math.log(_FARTHEST * unit)
        return _Line(math.exp, math.log(centre), 0.25, math.log(_LEAST_RESIDUAL * unit), end)
    end = _logit(1 - _SHARE_END)
    return _Line(lambda x: _inside(_logistic(x)), _logit(_inside(centre)), 0.25, -end, end)


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


def _crossing(fall: Callable[[float], float], line: _Line, needed: float, *, upwards: bool) -> float | None:
    """Where the fall reaches `needed`, walking from the start (0 there) by the slope seen so far; None where
    it does not before the end of the line."""
    near, risen, step = line.start, 0.0, line.step
    for _ in range(_WIDEST):
        far = min(near + step, line.most) if upwards else max(near - step, line.least)
        risen_there = fall(far)
        if risen_there >= needed:
            return _between(fall, (near, risen), (far, risen_there), needed)
        if far in (line.least, line.most):
            break
        rate = (risen_there - risen) / step
        step = min(4 * step, 1.1 * (needed - risen_there) / rate) if rate > 0 else 2 * step
        near, risen = far, risen_there
    return None


def _between(
    fall: Callable[[float], float], near: tuple[float, float], far: tuple[float, float], needed: float
) -> float:
    """Where the fall is `needed` between two places whose falls are known (asked again, they may differ)."""
    known = dict((near, far))

    def excess(x: float) -> float:
        return (known[x] if x in known else fall(x)) - needed

    tolerance = 1e-8 * abs(far[0] - near[0])
    return float(optimize.brentq(excess, near[0], far[0], xtol=tolerance, rtol=_BRENT_RTOL))


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _logistic(line: float) -> float:
    return 1 / (1 + math.exp(-line)) if line >= 0 else math.exp(line) / (1 + math.exp(line))
