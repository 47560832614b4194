"""Intervals that carry cases and readers: the two-way analysis of the differences algorithm − reader.

With a_i the algorithm's value of case i and y_ij reader j's, d_ij = a_i − y_ij = β + u_i + r_j + e_ij with
cases and readers random: β the bias against a reader of the population, u the case part, r the readers'
own biases, e the rest (one reading a cell, so case × reader and repeat cannot be told apart). Balanced
tables only. Everything follows from the mean and three mean squares:

    E MS_case = σ²e + kσ²u,  E MS_reader = σ²e + nσ²r,  E MS_error = σ²e    (n cases, k readers)

- bias: Var = σ²u/n + σ²r/k + σ²e/nk, Student's t with Satterthwaite's degrees of freedom;
- algorithm − one reader: V = σ²u + σ²r + σ²e; limits β ± z√V;
- one reader − another: D = 2(σ²r + σ²e); limits ± z√D;
- interchangeability (individual equivalence index): E(a − y)² − E(y − y')² = β² + V − D.

The case and the error mean square have their nominal degrees of freedom where the spread is equal over the
cases, and fewer where a few cases carry it: 2·MS²/Var(MS), the variance from the spread of the cases' own
parts (Box GEP. Ann Math Stat 1954;25:290–302), never above the nominal nor below 2. It costs nothing where
the spread is equal and is much less wrong where it grows with the mean.

Generalized pivotal quantities put SS/χ² in the place of each mean square (Weerahandi S. J Am Stat Assoc
1993;88:899–905), here over a scrambled Sobol sequence, so that the same seed gives the same limits to about
three digits. MOVER: Zou GY. Stat Methods Med Res 2013;22:630–642, with the modified large-sample variance
interval of Graybill FA, Wang CM. J Am Stat Assoc 1980;75:869–873.

Arrays have any leading shape (…): one table, or thousands of simulated ones. Measured coverage of each
interval (`python -m bench.coverage`) stands in the docstring of the statistic that uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special
from scipy.stats import qmc

from ki67.stats.forms import Reals

DEFAULT_DRAWS = 4096
WILSON_HILFERTY_FROM = 100.0


@dataclass(frozen=True)
class Limits:
    """Lower and upper confidence limits, arrays of the leading shape."""

    low: Reals
    high: Reals


@dataclass(frozen=True)
class MeanSquares:
    """The two-way analysis of differences of shape (…, n_cases, n_readers); the arrays have shape (…).

    `case_df`, `error_df`: degrees of freedom of those two mean squares, at most n − 1 and (n − 1)(k − 1);
    the reader mean square has k − 1. `generalized` uses the same fields for pivotal quantities.
    """

    n_cases: int
    n_readers: int
    mean: Reals
    case: Reals
    reader: Reals
    error: Reals
    case_df: Reals
    error_df: Reals

    @property
    def mean_variance(self) -> Reals:
        """Variance of the mean over cases and readers; negative components count as 0."""
        both = np.maximum(self.case, self.error) + np.maximum(self.reader, self.error) - self.error
        return np.asarray(both / (self.n_cases * self.n_readers))

    @property
    def single_variance(self) -> Reals:
        """V: variance of algorithm − reader for a new case and a new reader (unbiased)."""
        n, k = self.n_cases, self.n_readers
        return np.asarray(self.case / k + self.reader / n + (1 - 1 / k - 1 / n) * self.error)

    @property
    def reader_variance(self) -> Reals:
        """D: mean squared difference of two readers in the same case (unbiased)."""
        return np.asarray(2 * (self.reader + (self.n_cases - 1) * self.error) / self.n_cases)


def mean_squares(differences: Reals) -> MeanSquares:
    """The analysis of variance of (…, n, k) differences. ValueError below 2 cases or 2 readers."""
    n, k = differences.shape[-2:]
    if n < 2 or k < 2:
        raise ValueError(f"a two-way analysis needs 2 cases and 2 readers, not {n} and {k}")
    mean = differences.mean(axis=(-2, -1))
    cases = differences.mean(axis=-1) - mean[..., None]
    readers = differences.mean(axis=-2) - mean[..., None]
    rest = differences - mean[..., None, None] - cases[..., :, None] - readers[..., None, :]
    case_parts = k * n * cases**2 / (n - 1)
    error_parts = n * (rest**2).sum(axis=-1) / ((n - 1) * (k - 1))
    return MeanSquares(
        n,
        k,
        mean,
        case_parts.mean(axis=-1),
        n * (readers**2).sum(axis=-1) / (k - 1),
        error_parts.mean(axis=-1),
        _effective_df(case_parts, n - 1),
        _effective_df(error_parts, (n - 1) * (k - 1)),
    )


def _effective_df(parts: Reals, nominal: int) -> Reals:
    """Degrees of freedom of the mean of `parts` (…, n) as a multiple of a chi-square."""
    variance = parts.var(axis=-1, ddof=1) / parts.shape[-1]
    known = variance > 0
    df = np.where(known, 2 * parts.mean(axis=-1) ** 2 / np.where(known, variance, 1.0), nominal)
    return np.minimum(np.maximum(df, 2.0), nominal)


def mean_limits(squares: MeanSquares, *, alpha: float) -> Limits:
    """The mean ± t·SE, cases and readers random; Satterthwaite's degrees of freedom.

    Satterthwaite FE. Biometrics Bull 1946;2:110–114. Nothing varies: both limits are the mean.
    """
    n, k = squares.n_cases, squares.n_readers
    variance = squares.mean_variance
    spread = squares.case**2 / (n - 1) + squares.reader**2 / (k - 1) + squares.error**2 / ((n - 1) * (k - 1))
    varies = spread > 0
    df = np.where(varies, (variance * n * k) ** 2 / np.where(varies, spread, 1.0), 1.0)
    half = special.stdtrit(np.maximum(df, 1.0), 1 - alpha / 2) * np.sqrt(variance)
    return Limits(squares.mean - half, squares.mean + half)


def single_variance_limits(squares: MeanSquares, *, alpha: float) -> Limits:
    """V with the modified large-sample interval of a sum of mean squares (Graybill–Wang)."""
    n, k = squares.n_cases, squares.n_readers
    parts = (
        (squares.case / k, squares.case_df),
        (squares.reader / n, k - 1),
        (squares.error * (1 - 1 / k - 1 / n), squares.error_df),
    )
    return _sum_limits(parts, alpha=alpha)


def reader_variance_limits(squares: MeanSquares, *, alpha: float) -> Limits:
    """D with the modified large-sample interval of a sum of mean squares (Graybill–Wang)."""
    n, k = squares.n_cases, squares.n_readers
    parts = ((2 * squares.reader / n, k - 1), (2 * squares.error * (1 - 1 / n), squares.error_df))
    return _sum_limits(parts, alpha=alpha)


def single_reader_mover(squares: MeanSquares, *, z: float, alpha: float) -> Limits:
    """Limits of mean + z√V (z negative: the lower limit of agreement) by MOVER."""
    value = np.sqrt(squares.single_variance)
    mean, variance = mean_limits(squares, alpha=alpha), single_variance_limits(squares, alpha=alpha)
    centre = squares.mean + z * value
    inwards, outwards = abs(z) * (value - np.sqrt(variance.low)), abs(z) * (np.sqrt(variance.high) - value)
    below, above = (inwards, outwards) if z >= 0 else (outwards, inwards)
    return Limits(
        centre - np.hypot(squares.mean - mean.low, below), centre + np.hypot(mean.high - squares.mean, above)
    )


@dataclass(frozen=True)
class Pivots:
    """What pivotal quantities draw from, shape (draws,): a standard normal and three uniforms."""

    normal: Reals
    case: Reals
    reader: Reals
    error: Reals


def pivots(*, draws: int = DEFAULT_DRAWS, seed: int = 0) -> Pivots:
    """`draws` is rounded up to a power of 2 (Sobol)."""
    power = max(1, (draws - 1).bit_length())
    uniform = qmc.Sobol(4, rng=np.random.default_rng(seed)).random_base2(power).clip(1e-12, 1 - 1e-12)
    return Pivots(special.ndtri(uniform[:, 0]), uniform[:, 1], uniform[:, 2], uniform[:, 3])


def generalized(squares: MeanSquares, drawn: Pivots) -> MeanSquares:
    """The generalized pivotal quantities of the mean and the mean squares, shape (…, draws)."""

    def quantity(mean_square: Reals, df: Reals | int, uniform: Reals) -> Reals:
        size = np.asarray(df, float)[..., None]
        return np.asarray(mean_square[..., None] * size / _chi_square(size, uniform))

    spread = MeanSquares(
        squares.n_cases,
        squares.n_readers,
        squares.mean[..., None],
        quantity(squares.case, squares.case_df, drawn.case),
        quantity(squares.reader, squares.n_readers - 1, drawn.reader),
        quantity(squares.error, squares.error_df, drawn.error),
        squares.case_df[..., None],
        squares.error_df[..., None],
    )
    return replace(spread, mean=spread.mean - drawn.normal * np.sqrt(spread.mean_variance))


def _chi_square(df: Reals, upper_tail: Reals) -> Reals:
    """Quantiles of chi-square, broadcast; above 100 degrees of freedom by Wilson–Hilferty (within 0.1 %)."""
    normal = -special.ndtri(upper_tail)
    part = 2 / (9 * df)
    near = df * (1 - part + normal * np.sqrt(part)) ** 3
    small = np.broadcast_to(df <= WILSON_HILFERTY_FROM, near.shape)
    if small.any():
        near[small] = special.chdtri(
            np.broadcast_to(df, near.shape)[small], np.broadcast_to(upper_tail, near.shape)[small]
        )
    return np.asarray(near)


def mean_square_difference(quantity: MeanSquares) -> Reals:
    """Pivotal quantity of E(a − y)² = β² + V.

    The square of the mean's quantity counts the variance of the mean twice, once from the sample and once
    from the draw: both are taken off, not below 0.
    """
    return np.maximum(quantity.mean**2 - 2 * quantity.mean_variance, 0.0) + quantity.single_variance


def quantile_limits(quantity: Reals, *, alpha: float) -> Limits:
    """The alpha/2 and 1 − alpha/2 quantiles over the last axis (draws)."""
    low, high = np.quantile(quantity, [alpha / 2, 1 - alpha / 2], axis=-1)
    return Limits(low, high)


def _sum_limits(parts: Sequence[tuple[Reals, Reals | int]], *, alpha: float) -> Limits:
    """Each part is a multiple of a mean square, with its degrees of freedom."""
    total, below, above = (np.zeros_like(parts[0][0]) for _ in range(3))
    for part, df in parts:
        total = total + part
        below = below + ((1 - df / special.chdtri(df, alpha / 2)) * part) ** 2
        above = above + ((df / special.chdtri(df, 1 - alpha / 2) - 1) * part) ** 2
    return Limits(np.maximum(total - np.sqrt(below), 0.0), total + np.sqrt(above))
