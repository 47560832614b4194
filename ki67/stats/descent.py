"""Bounded Newton minimisation of a family of smooth functions that change little from one to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize

from ki67.stats.forms import Reals
from ki67.stats.undefined import Undefined

Valued = Callable[[Reals], tuple[float, Reals]]
_STEPS = 60
_HALVINGS = 20
_ROUNDING = 1e-10  # of function values
_LAST_DIGITS = 1e-6  # a promised gain that rounding may stand in the way of
_RENEW = 5  # steps after which the curvature is taken again


class Descent:
    """A point between bounds and the curvature there, kept from one function to the next.

    The curvature comes from differences of the exact gradient and is updated by each step (BFGS), so that the
    next function of the family needs a few evaluations. Projected Newton steps with backtracking: D. P.
    Bertsekas, SIAM J Control Optim 20 (1982) 221-246. Parameters are of the order of 1.
    """

    def __init__(self, start: Reals, low: Reals, high: Reals) -> None:
        self.low, self.high = low, high
        self.x = np.clip(start, low, high)
        self._curvature: Reals | None = None

    def minimise(self, value: Valued, *, tolerance: float) -> float:
        """Move to the minimum and give the value there, to about `tolerance`.

        Undefined (no_convergence) where none is found.
        """
        if not len(self.x):
            return value(self.x)[0]
        found, slope = value(self.x)
        fresh = self._curvature is None
        if self._curvature is None:
            self._curvature = self._differences(value, slope)
        for number in range(1, _STEPS + 1):
            step = self._step(slope)
            if -(slope @ step) <= tolerance:
                self.x = np.clip(self.x + step, self.low, self.high)  # the last step needs no check
                return found
            taken = self._search(value, found, slope, step)
            if taken is None:
                if fresh:
                    if -(slope @ step) <= _LAST_DIGITS:
                        return found
                    self._curvature = np.diag(np.abs(np.diag(self._curvature)) + 1e-12)
                    taken = self._search(value, found, slope, self._step(slope))
                if taken is None and fresh:
                    break
            if taken is None or number % _RENEW == 0:
                self.x, found, slope = taken or (self.x, found, slope)
                self._curvature, fresh = self._differences(value, slope), True
                continue
            self._update(taken[0] - self.x, taken[2] - slope)
            self.x, found, slope = taken
            fresh = False
        return self._slowly(value)

    def _slowly(self, value: Valued) -> float:
        """The minimum by limited-memory steps, where the curvature leads nowhere."""
        bounds = list(zip(self.low.tolist(), self.high.tolist(), strict=True))
        lost = Undefined("no_convergence", "The fit of the variance components did not settle.")
        try:
            found = optimize.minimize(
                value, self.x, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}
            )
        except np.linalg.LinAlgError:  # a trial so far away that a covariance has no inverse
            raise lost from None
        if not (np.all(np.isfinite(found.x)) and np.isfinite(found.fun)):
            raise lost
        self.x, self._curvature = np.asarray(found.x, np.float64), None
        return float(found.fun)

    def _step(self, slope: Reals) -> Reals:
        """The Newton step of the parameters that are not held by a bound."""
        held = ((self.x <= self.low) & (slope > 0)) | ((self.x >= self.high) & (slope < 0))
        free = np.flatnonzero(~held)
        step = np.zeros(len(self.x))
        if len(free) and self._curvature is not None:
            sizes, axes = np.linalg.eigh(self._curvature[np.ix_(free, free)])
            sizes = np.maximum(np.abs(sizes), 1e-9 * np.abs(sizes).max() + 1e-12)
            step[free] = -axes @ ((axes.T @ slope[free]) / sizes)
        return step

    def _search(
        self, value: Valued, found: float, slope: Reals, step: Reals
    ) -> tuple[Reals, float, Reals] | None:
        """The first point along the step, cut at the bounds, that is low enough."""
        size = 1.0
        for _ in range(_HALVINGS):
            x = np.clip(self.x + size * step, self.low, self.high)
            new, new_slope = value(x)
            if np.isfinite(new) and new <= found + _ROUNDING + 1e-4 * min(0.0, float(slope @ (x - self.x))):
                return (x, new, new_slope) if np.any(x != self.x) else None
            size /= 2
        return None

    def _differences(self, value: Valued, slope: Reals) -> Reals:
        """Second derivatives at the point, by differences of the gradient into the allowed region."""
        number = len(self.x)
        rows = np.empty((number, number))
        for index in range(number):
            width = 1e-5 * max(abs(self.x[index]), 1e-3)
            moved = self.x.copy()
            moved[index] += width if moved[index] + width <= self.high[index] else -width
            rows[index] = (value(moved)[1] - slope) / (moved[index] - self.x[index])
        return np.asarray((rows + rows.T) / 2)

    def _update(self, move: Reals, change: Reals) -> None:
        """The BFGS update, where the curvature along the move is positive."""
        if self._curvature is None:
            return
        along = float(move @ change)
        turned = self._curvature @ move
        before = float(move @ turned)
        if along > 1e-12 and before > 1e-12 and np.sqrt(along * before) > 1e-10 * np.linalg.norm(move):
            self._curvature = (
                self._curvature + np.outer(change, change) / along - np.outer(turned, turned) / before
            )
