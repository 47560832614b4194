"""The algorithm's own variability: its values on several images of the same case.

A deterministic algorithm repeats itself on the same picture, so a second run says nothing. What varies are
replicate *images* of a case: another scanner, a restain, a serial section, another region, another model set.
Without them the variability is not measured, and it is never reported as an ICC of 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import stats

from ki67.stats.bland_altman import z_of
from ki67.stats.blank import Blank
from ki67.stats.estimate import Estimate, ParamValue
from ki67.stats.forms import Reals
from ki67.stats.panel_table import RAW, on_scale
from ki67.stats.undefined import Undefined

NOT_MEASURED = (
    "The algorithm's own variability is not measured: it needs two images of the same case "
    "(another scanner, restain, section or region)."
)


def algorithm_image_sd(
    images: Reals | None, *, alpha: float = 0.05, transform: str = RAW, label: str = ""
) -> Estimate:
    """SD of the algorithm within a case over its images, chi-square limits; n counts cases with two or more.

    `images`: (cases, images) percentages, NaN where there is none; None or no case with two: not_measured.
    `label` says what the images differ in ("scanner"). The limits hold for images like these.
    """
    return _spread("algorithm_image_sd", images, 1.0, {"alpha": alpha, "transform": transform}, alpha, label)


def algorithm_image_coefficient(
    images: Reals | None,
    *,
    alpha: float = 0.05,
    coverage: float = 0.95,
    transform: str = RAW,
    label: str = "",
) -> Estimate:
    """z√2 times `algorithm_image_sd`: two images of a case differ by less in `coverage` of the cases."""
    params: dict[str, ParamValue] = {"alpha": alpha, "transform": transform, "coverage": coverage}
    factor = z_of(coverage) * math.sqrt(2)
    return _spread("algorithm_image_coefficient", images, factor, params, alpha, label)


def _spread(
    statistic: str,
    images: Reals | None,
    factor: float,
    params: Mapping[str, ParamValue],
    alpha: float,
    label: str,
) -> Estimate:
    over = f"over images that differ in {label}" if label else "over replicate images"
    method = f"√ of the mean square within cases, {over}, chi-square limits; n cases"
    blank = Blank(statistic, "chi-square", "ratings", 0, method, 0, params)
    if images is None or images.ndim != 2 or not images.size:
        return _aimed(blank.undefined("not_measured", NOT_MEASURED))
    counts = np.isfinite(images).sum(axis=1)
    used = counts >= 2
    blank = replace(blank, n=int(used.sum()), excluded=int((~used).sum()))
    if not used.any():
        return _aimed(blank.undefined("not_measured", NOT_MEASURED))
    try:
        values = on_scale(images[used], str(params["transform"]))
    except Undefined as why:
        return _aimed(blank.undefined(why.reason, why.message))
    squares = float(np.nansum((values - np.nanmean(values, axis=1, keepdims=True)) ** 2))
    df = int(counts[used].sum() - used.sum())
    low, high = (math.sqrt(squares / stats.chi2.ppf(p, df)) for p in (1 - alpha / 2, alpha / 2))
    return _aimed(blank.filled(factor * math.sqrt(squares / df), factor * low, factor * high))


def _aimed(estimate: Estimate) -> Estimate:
    return replace(estimate, readers=("algorithm", "algorithm"))
