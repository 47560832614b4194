"""Simulated studies with known truth: what intervals are to cover, for all readers or for these readers.

ln x_ij = μ + case_i + reader_j + residual_ij (ln SDs 1.2, 0.35, 0.45); the algorithm
ln a_i = μ + 0.1 + case_i + residual_i (0.45); exp(μ) = 15 %. Spread "falling": every residual SD falls
linearly to half over the range of the cases (−2 to 2 SD). The log scale is ln, "raw" the percentage itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ki67.stats.forms import Reals

CASE_SD, RESIDUAL_SD, ALGORITHM_SD, ALGORITHM_BIAS, MEDIAN_PERCENT = 1.2, 0.45, 0.45, 0.1, 15.0
Z95 = float(stats.norm.ppf(0.975))
FRESH_CASES = 2000


@dataclass(frozen=True)
class Setting:
    """A design: cases × readers, the scale of the analysis, the spread, the SD between readers (ln)."""

    cases: int
    readers: int
    scale: Literal["log", "raw"] = "log"
    spread: Literal["equal", "falling"] = "equal"
    reader_sd: float = 0.35


@dataclass(frozen=True)
class Studies:
    """Studies on the scale: algorithm (N, n), readings (N, n, k); the readers' own ln biases (N, k)."""

    algorithm: Reals
    readings: Reals
    reader_effects: Reals

    @property
    def differences(self) -> Reals:
        return np.asarray(self.algorithm[..., None] - self.readings)


def simulate(setting: Setting, count: int, rng: np.random.Generator) -> Studies:
    """`count` independent studies."""
    n, k = setting.cases, setting.readers
    case = rng.normal(size=(count, n))
    shrink = _shrink(setting, case)
    readers = setting.reader_sd * rng.normal(size=(count, k))
    algorithm = CASE_SD * case + ALGORITHM_BIAS + shrink * ALGORITHM_SD * rng.normal(size=(count, n))
    residual = RESIDUAL_SD * rng.normal(size=(count, n, k))
    readings = CASE_SD * case[..., None] + readers[:, None, :] + shrink[..., None] * residual
    return Studies(_on_scale(setting, algorithm), _on_scale(setting, readings), readers)


def population_truth(setting: Setting) -> dict[str, float]:
    """What the intervals for the reader population are to cover, by integration over the cases."""
    case = np.linspace(-8, 8, 8001)
    weight = stats.norm.pdf(case)
    weight /= weight.sum()
    shrink = _shrink(setting, case)
    algorithm, reader = (shrink * ALGORITHM_SD) ** 2, (shrink * RESIDUAL_SD) ** 2
    if setting.scale == "log":
        bias = ALGORITHM_BIAS
        between = 2 * (setting.reader_sd**2 + float(weight @ reader))
        square = bias**2 + float(weight @ algorithm) + between / 2
        icc = CASE_SD**2 / (CASE_SD**2 + between / 2)
    else:
        level = MEDIAN_PERCENT * np.exp(CASE_SD * case)
        spread = setting.reader_sd**2 + reader
        a, y = level * np.exp(ALGORITHM_BIAS + algorithm / 2), level * np.exp(spread / 2)
        a_square = level**2 * np.exp(2 * ALGORITHM_BIAS + 2 * algorithm)
        y_square = level**2 * np.exp(2 * spread)
        bias = float(weight @ (a - y))
        between = float(weight @ (2 * (y_square - y**2)))
        square = float(weight @ (a_square + y_square - 2 * a * y))
        shared = float(weight @ y**2) - float(weight @ y) ** 2
        icc = shared / (float(weight @ y_square) - float(weight @ y) ** 2)
    spread_single = float(np.sqrt(square - bias**2))
    return {
        "ICC(2,1)": icc,
        "single_reader_bias": bias,
        "single_reader_loa_lower": bias - Z95 * spread_single,
        "single_reader_loa_upper": bias + Z95 * spread_single,
        "reader_reader_loa_upper": Z95 * float(np.sqrt(between)),
        "interch_msd_ai": square,
        "interch_msd_rr": between,
        "interch_iei": square - between,
        "interch_rms_ratio": float(np.sqrt(square / between)),
    }


def absolute_truth(setting: Setting) -> dict[str, float]:
    """Mean absolute differences and Williams' index for the reader population, log scale."""
    case = np.linspace(-8, 8, 2001)[:, None]
    weight = stats.norm.pdf(case[:, 0]) / stats.norm.pdf(case[:, 0]).sum()
    shrink = _shrink(setting, case)
    algorithm = (ALGORITHM_SD**2 + RESIDUAL_SD**2) * shrink**2
    reader = 2 * RESIDUAL_SD**2 * shrink**2
    spread = setting.reader_sd
    mad_ai = float(weight @ _folded(ALGORITHM_BIAS, np.sqrt(algorithm + spread**2))[:, 0])
    mad_rr = float(weight @ _folded(0.0, np.sqrt(reader + 2 * spread**2))[:, 0])
    node, share = np.polynomial.hermite_e.hermegauss(61)
    share /= share.sum()
    own = weight @ _folded(ALGORITHM_BIAS - spread * node, np.sqrt(algorithm))
    other = weight @ _folded(np.sqrt(2) * spread * node, np.sqrt(reader))
    return {
        "interch_mad_diff": mad_ai - mad_rr,
        "williams_index": float(share @ (1 / own)) / float(share @ (1 / other)),
    }


def _folded(mean: Reals | float, sd: Reals) -> Reals:
    """E|X| of a normal X."""
    ratio = mean / sd
    return np.asarray(
        sd * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + mean * (1 - 2 * stats.norm.cdf(-ratio))
    )


def panel_truth(setting: Setting, reader_effects: Reals, rng: np.random.Generator) -> dict[str, Reals]:
    """For each study: bias, limits and CCC of the algorithm with its readers' (N, k) median, over new cases.

    Exact in the algorithm's own residual; 4,000 drawn residuals of each reader over an even grid of cases,
    the same for all studies.
    """
    grid = np.linspace(-5, 5, FRESH_CASES)
    weight = np.tile(stats.norm.pdf(grid), 2)
    weight /= weight.sum()
    case, shrink = np.tile(grid, 2), np.tile(_shrink(setting, grid), 2)
    k = reader_effects.shape[1]
    half = rng.normal(size=(FRESH_CASES, k))
    residual = RESIDUAL_SD * np.concatenate([half, -half])  # each with its mirror image
    base = CASE_SD * case[:, None] + shrink[:, None] * residual
    first, second = _algorithm_moments(setting, case, shrink)
    mean_a = float(weight @ first)
    variance_a = float(weight @ second) - mean_a**2
    found = []
    for effects in reader_effects:
        readings = np.sort(_on_scale(setting, base + effects), axis=1)
        panel = (readings[:, (k - 1) // 2] + readings[:, k // 2]) / 2
        mean = float(weight @ panel)
        variance = float(weight @ panel**2) - mean**2
        both = float(weight @ (first * panel)) - mean_a * mean
        bias, sd = mean_a - mean, float(np.sqrt(variance_a + variance - 2 * both))
        ccc = 2 * both / (variance_a + variance + bias**2)
        found.append((bias, bias - Z95 * sd, bias + Z95 * sd, ccc))
    columns = np.array(found).T
    return dict(zip(("panel_bias", "panel_loa_lower", "panel_loa_upper", "panel_ccc"), columns, strict=True))


def _algorithm_moments(setting: Setting, case: Reals, shrink: Reals) -> tuple[Reals, Reals]:
    """Mean and mean square of the algorithm's value given the case, on the scale."""
    centre, variance = CASE_SD * case + ALGORITHM_BIAS, (shrink * ALGORITHM_SD) ** 2
    if setting.scale == "log":
        return centre, centre**2 + variance
    first = MEDIAN_PERCENT * np.exp(centre + variance / 2)
    return first, MEDIAN_PERCENT**2 * np.exp(2 * centre + 2 * variance)


def readers_truth(setting: Setting, reader_effects: Reals) -> dict[str, Reals]:
    """Per study, these readers kept and the cases new: bias and interchangeability on the log scale."""
    case = np.linspace(-8, 8, 2001)
    weight = stats.norm.pdf(case)
    mean_shrink = float(weight @ _shrink(setting, case) ** 2 / weight.sum())
    apart = ALGORITHM_BIAS - reader_effects
    square = (apart**2).mean(axis=1) + mean_shrink * (ALGORITHM_SD**2 + RESIDUAL_SD**2)
    between = 2 * (reader_effects.var(axis=1, ddof=1) + mean_shrink * RESIDUAL_SD**2)
    return {"single_reader_bias": apart.mean(axis=1), "interch_iei": square - between}


def _shrink(setting: Setting, case: Reals) -> Reals:
    if setting.spread == "equal":
        return np.ones_like(case)
    return np.asarray(1 - 0.5 * np.clip((case + 2) / 4, 0, 1))


def _on_scale(setting: Setting, ln: Reals) -> Reals:
    return np.asarray(MEDIAN_PERCENT * np.exp(ln)) if setting.scale == "raw" else ln
