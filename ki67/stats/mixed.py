"""Variance components of crossed readings: the likelihood of a random-effects model without other covariates.

Reading = mean + case + reader + case × reader + session (of one reader) + case × reader × session + residual,
every effect normal and independent; a design has those of them that its readings can tell apart. Two
implementations of one likelihood: `Balanced` from the mean squares of a complete design, `Sparse` for missing
cells, where the cases are eliminated one by one and only a matrix of readers × sessions is factored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from ki67.stats.forms import Reals

Component = Literal["case", "reader", "case_reader", "session", "case_reader_session", "residual"]
Complexes = npt.NDArray[np.complex128]
_STEP = 1e-30  # of complex-step derivatives: exact, nothing is subtracted
_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Layout:
    """Readings by (case, reader, session): how many (0: missing) and their means; `within` is the sum of
    squares of repeats about these means; `components` are the effects of the model, the residual last."""

    counts: Reals
    means: Reals
    within: float
    components: tuple[Component, ...]

    @property
    def readings(self) -> int:
        return int(self.counts.sum())

    @property
    def is_balanced(self) -> bool:
        return bool(np.all(self.counts == self.counts.flat[0]))

    def grand_mean(self) -> float:
        return float((self.counts * self.means).sum() / self.counts.sum())

    def variance(self) -> float:
        """Variance of all readings about their mean, the scale of every component."""
        spread = (self.counts * np.square(self.means - self.grand_mean())).sum() + self.within
        return float(spread) / max(1, self.readings - 1)


class Likelihood(Protocol):
    """−2 log likelihood of variances in the order of `components`."""

    @property
    def layout(self) -> Layout: ...

    def deviance(self, theta: Reals, *, reml: bool) -> tuple[float, Reals]:
        """The deviance and its gradient."""

    def mean(self, theta: Reals) -> float:
        """The generalized least squares mean."""

    def start(self) -> tuple[Reals, bool]:
        """Variances to start from, and whether they are the REML estimate already."""


def likelihood_of(layout: Layout) -> Likelihood:
    """The fast likelihood for complete designs, the general one for the others."""
    return Balanced(layout, *_strata(layout)) if layout.is_balanced else Sparse(layout)


@dataclass(frozen=True)
class Balanced:
    """Complete designs: independent mean squares whose expectations are `weights` @ theta.

    `df` and `squares` (sums of squares) per stratum; `of_mean` the expectation of the mean's own stratum.
    S. R. Searle, G. Casella & C. E. McCulloch, Variance Components (1992), chapter 4.
    """

    layout: Layout
    df: Reals
    squares: Reals
    weights: Reals
    of_mean: Reals

    def deviance(self, theta: Reals, *, reml: bool) -> tuple[float, Reals]:
        expected = self.weights @ theta
        readings = self.layout.readings
        value = float((self.df * np.log(expected) + self.squares / expected).sum())
        slope = (self.df / expected - self.squares / expected**2) @ self.weights
        if reml:
            return value + math.log(readings) + (readings - 1) * _LOG_2PI, slope
        of_mean = float(self.of_mean @ theta)
        return value + math.log(of_mean) + readings * _LOG_2PI, slope + self.of_mean / of_mean

    def mean(self, theta: Reals) -> float:
        return self.layout.grand_mean()

    def start(self) -> tuple[Reals, bool]:
        """The analysis-of-variance estimates, which are REML's where none is negative."""
        theta: Reals = np.linalg.lstsq(self.weights, self.squares / self.df, rcond=None)[0].astype(np.float64)
        exact = len(self.df) == len(theta) and theta[-1] > 0 and bool(np.all(theta >= 0))
        return (theta, True) if exact else (np.maximum(theta, 0.01 * self.layout.variance()), False)


def _strata(layout: Layout) -> tuple[Reals, Reals, Reals, Reals]:
    """df, sums of squares, expectations by component and that of the mean, of a complete design."""
    a, b, s = layout.counts.shape
    m = int(layout.counts.flat[0])
    y = layout.means - layout.grand_mean()
    case, reader, cell = y.mean(axis=(1, 2)), y.mean(axis=(0, 2)), y.mean(axis=2)
    session = y.mean(axis=0)
    crossed = cell - case[:, None] - reader[None, :]
    drift = session - reader[:, None]
    rest = y - cell[:, :, None] - drift[None]
    unit = {"case_reader_session": m, "residual": 1}
    every = {"case_reader": s * m, **unit}
    of_case, of_reader = {"case": b * s * m}, {"reader": a * s * m, "session": a * m}
    strata: list[tuple[int, float, dict[str, int]]] = [
        (a - 1, b * s * m * np.square(case).sum(), {**of_case, **every}),
        (b - 1, a * s * m * np.square(reader).sum(), {**of_reader, **every}),
        ((a - 1) * (b - 1), s * m * np.square(crossed).sum(), every),
        (b * (s - 1), a * m * np.square(drift).sum(), {"session": a * m, **unit}),
        ((a - 1) * b * (s - 1), m * np.square(rest).sum(), unit),
        (a * b * s * (m - 1), layout.within, {"residual": 1}),
    ]
    rows = [
        (df, float(square), [parts.get(name, 0) for name in layout.components])
        for df, square, parts in strata
        if df > 0
    ]
    merged: dict[tuple[int, ...], tuple[int, float]] = {}
    for df, square, row in rows:  # strata that the model cannot tell apart are one
        known = merged.get(tuple(row), (0, 0.0))
        merged[tuple(row)] = (known[0] + df, known[1] + square)
    of_mean = {**of_case, **of_reader, **every}
    return (
        np.array([df for df, _ in merged.values()], np.float64),
        np.array([square for _, square in merged.values()]),
        np.array(list(merged), np.float64),
        np.array([of_mean[name] for name in layout.components], np.float64),
    )


@dataclass(frozen=True)
class _Forms:
    """log |V|, 1'V⁻¹1, 1'V⁻¹y and y'V⁻¹y, y about its mean."""

    log_det: Complexes
    one: Complexes
    cross: Complexes
    square: Complexes


@dataclass(frozen=True)
class Sparse:
    """Designs with missing cells, every reading used.

    The covariance is diagonal within (case, reader, session), plus a block per cell, plus the cases, plus
    the readers and their sessions: each step is the Woodbury identity, so that a value costs
    cases × (readers × sessions)² operations. Derivatives by complex step (W. Squire & G. Trapp, SIAM Rev 40
    (1998) 110-112).
    """

    layout: Layout

    def deviance(self, theta: Reals, *, reml: bool) -> tuple[float, Reals]:
        forms = self._forms(theta + 1j * _STEP * np.eye(len(theta)))
        readings = self.layout.readings
        value = forms.log_det + forms.square - forms.cross**2 / forms.one
        value = value + np.log(forms.one) + (readings - 1) * _LOG_2PI if reml else value + readings * _LOG_2PI
        return float(value[0].real), np.asarray(value.imag / _STEP)

    def mean(self, theta: Reals) -> float:
        forms = self._forms(theta[None].astype(np.complex128))
        return self.layout.grand_mean() + float((forms.cross / forms.one)[0].real)

    def start(self) -> tuple[Reals, bool]:
        """The analysis-of-variance estimates of the design with its missing cells filled in additively."""
        layout = self.layout
        counts, there = layout.counts, layout.counts > 0
        middle = layout.grand_mean()
        apart = np.where(there, layout.means - middle, 0.0)
        case = apart.sum(axis=(1, 2)) / there.sum(axis=(1, 2))
        reader = apart.sum(axis=(0, 2)) / there.sum(axis=(0, 2))
        filled = np.where(there, layout.means, middle + case[:, None, None] + reader[None, :, None])
        repeats = max(1.0 + (counts.max() > 1), np.round(counts[there].mean()))
        left = layout.readings - int(there.sum())
        within = layout.within / left * counts.size * (repeats - 1) if left else 0.0
        whole = Layout(np.full(counts.shape, repeats), filled, within, layout.components)
        theta, _ = Balanced(whole, *_strata(whole)).start()
        return np.maximum(theta, 0.01 * layout.variance()), False

    def _forms(self, theta: Complexes) -> _Forms:
        """The quadratic forms for each row of `theta`, rows that differ in their imaginary parts only."""
        layout = self.layout
        part = {name: theta[:, number] for number, name in enumerate(layout.components)}
        nothing = np.zeros(len(theta), np.complex128)
        there = layout.counts > 0
        n = np.where(there, layout.counts, 1.0)
        y = np.where(there, layout.means - layout.grand_mean(), 0.0)
        sessions = layout.counts.shape[2] > 1
        unit = part.get("case_reader_session" if sessions else "case_reader", nothing)
        cell = part.get("case_reader", nothing) if sessions else nothing
        residual = part["residual"]

        spread = unit[:, None, None, None] + residual[:, None, None, None] / n
        w = there / spread
        repeats = layout.readings - int(there.sum())
        log_det = repeats * np.log(residual) + np.log(n[there]).sum() + np.log(spread[:, there]).sum(axis=1)
        square = layout.within / residual + (w * y**2).sum(axis=(1, 2, 3))

        in_cell, sum_y = w.sum(axis=3), (w * y).sum(axis=3)
        grown = 1 + cell[:, None, None] * in_cell
        shrink = cell[:, None, None] / grown
        log_det = log_det + np.log(grown).sum(axis=(1, 2))
        square = square - (shrink * sum_y**2).sum(axis=(1, 2))
        eased = w / grown[..., None]
        to_y = (w * (y - (shrink * sum_y)[..., None])).sum(axis=1).reshape(len(theta), -1)
        blocks = _reader_blocks(w, shrink if sessions else None)

        of_case, of_case_y = (in_cell / grown).sum(axis=2), (sum_y / grown).sum(axis=2)
        case = part.get("case", nothing)[:, None]
        taller = 1 + case * of_case
        log_det = log_det + np.log(taller).sum(axis=1)
        one = (of_case / taller).sum(axis=1)
        cross = (of_case_y / taller).sum(axis=1)
        square = square - (case / taller * of_case_y**2).sum(axis=1)
        crossed = eased.reshape(len(theta), layout.counts.shape[0], -1)
        turned = crossed.transpose(0, 2, 1)
        to_one = (turned / taller[:, None, :]).sum(axis=2)
        to_y = to_y - (turned * (case / taller * of_case_y)[:, None, :]).sum(axis=2)
        middle = blocks - _gram(crossed, case / taller)

        prior = _ReaderPrior(
            part.get("reader", nothing), part.get("session", nothing), layout.counts.shape[2]
        )
        sides = np.stack([to_one, to_y], axis=-1)
        log_abs, taken = _eliminated(middle, prior, sides)
        log_det = log_det + log_abs
        return _Forms(log_det, one - taken[:, 0, 0], cross - taken[:, 0, 1], square - taken[:, 1, 1])


@dataclass(frozen=True)
class _ReaderPrior:
    """Covariance of the effects of readers and their sessions, of which each reader has `sessions`."""

    reader: Complexes
    session: Complexes
    sessions: int

    def times(self, rows: Complexes) -> Complexes:
        """Matrices (…, anything, readers × sessions) times the covariance."""
        apart = rows.reshape(*rows.shape[:-1], -1, self.sessions)
        together = np.broadcast_to(apart.sum(axis=-1, keepdims=True), apart.shape).reshape(rows.shape)
        return np.asarray(self.reader[:, None, None] * together + self.session[:, None, None] * rows)


def _eliminated(middle: Complexes, prior: _ReaderPrior, sides: Complexes) -> tuple[Complexes, Complexes]:
    """log |I + MP| and s'P(I + MP)⁻¹s of each row.

    The rows share their real parts, so one real inverse serves all: imaginary parts, which are derivatives,
    follow by the product rule.
    """
    inner = prior.times(middle)
    inverse = np.linalg.inv(np.eye(inner.shape[-1]) + inner[0].real)
    real = sides[0].real
    solved = inverse @ real
    weighed = prior.times(solved.T[None].astype(np.complex128)).transpose(0, 2, 1)
    level = weighed[0].real
    log_abs = -np.linalg.slogdet(inverse)[1] + 1j * np.einsum("ij,pji->p", inverse, inner.imag)
    outer = sides.imag.transpose(0, 2, 1) @ level
    change = real.T @ weighed.imag - (level.T @ inner.imag) @ solved
    return log_abs, real.T @ level + 1j * (outer + outer.transpose(0, 2, 1) + change)


def _gram(rows: Complexes, weights: Complexes) -> Complexes:
    """R' diag(weights) R of each row of the batch, by real products: the real parts are shared."""
    real, weight = rows[0].real, weights[0].real[:, None]
    half = (rows.imag * weight + real * weights.imag[:, :, None] / 2).transpose(0, 2, 1) @ real
    return np.asarray(real.T @ (weight * real) + 1j * (half + half.transpose(0, 2, 1)))


def _reader_blocks(w: Complexes, shrink: Complexes | None) -> Complexes:
    """Z'V₀⁻¹Z of readers × sessions: diagonal, and within a reader where cells tie its sessions."""
    rows, _, b, s = w.shape
    diagonal = w.sum(axis=1).reshape(rows, -1)
    result = np.zeros((rows, b * s, b * s), np.complex128)
    index = np.arange(b * s)
    result[:, index, index] = diagonal
    if shrink is not None:
        within = np.einsum("pabs,pabt->pbst", w * shrink[..., None], w)
        for reader in range(b):
            place = slice(reader * s, (reader + 1) * s)
            result[:, place, place] -= within[:, reader]
    return result
