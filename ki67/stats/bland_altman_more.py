"""Two methods beyond golden's list: non-parametric limits, normality, deviation index, proportional bias.

d = y − x. Measured coverage of nominal 95 % intervals by simulation (20,000 draws, normal d with bias 0, 0.5
and 2 SDs, n 10–50) stands with each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ki67.stats.bland_altman import (
    LoaVariant,
    Side,
    ba_prop_bias_slope,
    limit_estimate,
    percent_differences,
    shapiro,
    t_of,
)
from ki67.stats.blank import Blank, Compute, entry, paired, too_few
from ki67.stats.estimate import Estimate, Form
from ki67.stats.forms import Pairs, Reals
from ki67.stats.regression import deming_jackknife, undefined_line

TdiVariant = Literal["normal", "nonparametric"]
PropBiasWord = Literal["none shown", "shown", "not interpretable"]
_TDI = "A total deviation index"


@dataclass(frozen=True)
class ProportionalBias:
    """Does y − x change in proportion to the level?

    `slope`: d on (x + y)/2, as it is usually plotted; `corrected`: Deming's slope − 1, None without an error
    ratio; `word` answers, `sentence` says why.
    """

    slope: Estimate
    corrected: Estimate | None
    word: PropBiasWord
    sentence: str


def ba_shapiro_p(pairs: Pairs) -> Estimate:
    """The probability of a Shapiro–Wilk W this small under normal d; no limits."""
    used, blank = paired(pairs, "ba_shapiro_p", "plain", method="Shapiro–Wilk test of the differences")
    w, p = shapiro(used, blank)
    return w if p is None else blank.filled(p)


def ba_loa_nonparametric(
    pairs: Pairs, *, side: Side, alpha: float = 0.05, coverage: float = 0.95
) -> Estimate:
    """The (1 ∓ coverage)/2 quantile of d without a distribution (Bland & Altman 1999, section 3.3).

    Quantile: median-unbiased, Hyndman RJ, Fan Y. Am Stat 1996;50:361–365, type 8. Limits: the two order
    statistics that hold at least 1 − alpha by the binomial; one that lies beyond the sample is undefined
    (`out_of_range`: for 2.5 % and 95 % below 146 cases the outer one). Coverage never below nominal.
    """
    used, blank = paired(
        pairs,
        f"ba_loa_{side}",
        "nonparametric",
        method="quantile of the differences, order statistics",
        params={"alpha": alpha, "coverage": coverage},
    )
    share = (1 + coverage) / 2 if side == "upper" else (1 - coverage) / 2
    return blank.lacking(2, "A quantile") or _quantile(used.y - used.x, share, blank, alpha=alpha)


def ba_percent_limit(
    pairs: Pairs,
    *,
    side: Side,
    variant: LoaVariant = "ba1999",
    alpha: float = 0.05,
    coverage: float = 0.95,
) -> Estimate:
    """A limit of agreement of the percent differences with the interval that `ba_loa` has."""
    percents, blank = percent_differences(
        pairs, f"ba_percent_loa_{side}", variant, alpha=alpha, coverage=coverage
    )
    return blank.lacking(2, "A limit of agreement") or limit_estimate(
        percents, blank, side=side, variant=variant, alpha=alpha, coverage=coverage
    )


def tdi(
    pairs: Pairs, *, variant: TdiVariant = "normal", alpha: float = 0.05, coverage: float = 0.9
) -> Estimate:
    """The total deviation index: `coverage` of all |d| lie within it (points), two-sided limits.

    - normal: q with Φ((q − mean)/s) − Φ((−q − mean)/s) = coverage, exact where `ba_tdi90_normal_approx` is
      not; t limits on ln q by the delta method (Choudhary PK, Nagaraja HN. J Stat Plan Inference
      2007;137:279–290). Measured coverage 94.7–97.2 %; with t5 errors 81–93 %, with 50 cases 69–74 % where
      the spread itself varies: then use the other.
    - nonparametric: the quantile of |d| with order-statistic limits, never below nominal.
    """
    used, blank = _tdi_blank(pairs, "tdi", variant, alpha=alpha, coverage=coverage)
    missing = blank.lacking(2, _TDI)
    if missing is not None:
        return missing
    d = used.y - used.x
    if variant == "nonparametric":
        return _quantile(np.abs(d), coverage, blank, alpha=alpha)
    q, relative = _normal_tdi(d, coverage)
    wide = math.exp(t_of(alpha, d.size - 1) * relative)
    return blank.filled(q, q / wide, q * wide)


def tdi_upper_bound(
    pairs: Pairs, *, variant: TdiVariant = "normal", alpha: float = 0.05, coverage: float = 0.9
) -> Estimate:
    """The one-sided upper bound of `tdi`: with confidence 1 − alpha `coverage` of all |d| lie within it.

    This is the number to hold against a margin. Measured coverage of the normal one 92.1–95.0 %.
    """
    used, blank = _tdi_blank(pairs, "tdi_upper_bound", variant, alpha=alpha, coverage=coverage)
    missing = blank.lacking(2, _TDI)
    if missing is not None:
        return missing
    d = used.y - used.x
    if variant == "normal":
        q, relative = _normal_tdi(d, coverage)
        return blank.filled(q * math.exp(t_of(2 * alpha, d.size - 1) * relative))
    rank = int(stats.binom.ppf(1 - alpha, d.size, coverage)) + 1
    if rank > d.size:
        return blank.undefined("out_of_range", "A bound without a distribution needs more cases.")
    return blank.filled(float(np.sort(np.abs(d))[rank - 1]))


def coverage_probability(pairs: Pairs, *, within: float = 5.0, alpha: float = 0.05) -> Estimate:
    """The share of all differences expected within ± `within` points, for normal d (Lin et al. 2002).

    t limits on the logit by the delta method: measured coverage 95.5–98.4 %. Without a distribution:
    `acceptance.share_within_points`.
    """
    used, blank = paired(
        pairs,
        "coverage_probability",
        "normal",
        method=f"share of differences within ± {within:g} points, normal, logit",
        params={"alpha": alpha, "within": within},
    )
    missing = blank.lacking(2, "A coverage probability")
    if missing is not None:
        return missing
    d = used.y - used.x
    n, mean, sd = d.size, float(np.mean(d)), float(np.std(d, ddof=1))
    if np.ptp(d) == 0:
        inside = 1.0 if abs(mean) <= within else 0.0
        return blank.filled(inside, inside, inside)
    upper, lower = (within - mean) / sd, (-within - mean) / sd
    share = float(stats.norm.cdf(upper) - stats.norm.cdf(lower))
    by_mean = float(stats.norm.pdf(lower) - stats.norm.pdf(upper))
    by_sd = float(lower * stats.norm.pdf(lower) - upper * stats.norm.pdf(upper))
    if not 1e-12 < share < 1 - 1e-12:
        return blank.without_limits(
            share, "out_of_range", "The share is 0 or 1 to rounding: the logit has no limits there."
        )
    se = math.sqrt(by_mean**2 / n + by_sd**2 / (2 * (n - 1))) / (share * (1 - share))
    centre, half = math.log(share / (1 - share)), t_of(alpha, n - 1) * se
    return blank.filled(share, float(_logistic(centre - half)), float(_logistic(centre + half)))


def ba_prop_bias_corrected(pairs: Pairs, *, ratio: float = 1.0, alpha: float = 0.05) -> Estimate:
    """Deming's slope − 1: the proportional bias when the errors' variances have `ratio` (x over y).

    Jackknife limits. 0.1: y grows by 1.1 points for each point of x.
    """
    used, blank = paired(
        pairs,
        "ba_prop_bias_corrected",
        "Deming",
        method="Deming slope − 1, jackknife",
        params={"alpha": alpha, "ratio": ratio},
    )
    missing = undefined_line(used, blank)
    if missing is not None:
        return missing
    fitted = deming_jackknife(used, ratio=ratio)
    if not np.isfinite(fitted.full).all():
        return blank.undefined("zero_variance", "The readings do not vary together: the line has no slope.")
    return fitted.estimate(np.array([0.0, 1.0]), blank, alpha=alpha, shift=-1.0)


def proportional_bias(
    pairs: Pairs, *, error_ratio: float | None = None, alpha: float = 0.05
) -> ProportionalBias:
    """The slope of d on the mean with a word on what it may be read as.

    It is 0 when SD(x) = SD(y): errors of different size tilt it without any proportional bias. With
    `error_ratio` = Var(error x)/Var(error y), known from repeats or from readers against each other, Deming's
    slope answers; without one a slope off 0 is "not interpretable". (A slope that shows nothing may hide a
    bias too: "none shown" is no proof.)
    """
    slope = ba_prop_bias_slope(pairs, alpha=alpha)
    if error_ratio is not None:
        corrected = ba_prop_bias_corrected(pairs, ratio=error_ratio, alpha=alpha)
        if corrected.ci_low is None or corrected.ci_high is None:
            return ProportionalBias(slope, corrected, "not interpretable", corrected.message)
        shown = corrected.ci_low > 0 or corrected.ci_high < 0
        sentence = "Corrected for the reference's own error, the difference " + (
            "changes in proportion to the index." if shown else "shows no change in proportion to the index."
        )
        return ProportionalBias(slope, corrected, "shown" if shown else "none shown", sentence)
    if slope.ci_low is None or slope.ci_high is None:
        return ProportionalBias(slope, None, "not interpretable", slope.message)
    if slope.ci_low <= 0 <= slope.ci_high:
        return ProportionalBias(
            slope, None, "none shown", "The difference shows no change in proportion to the index."
        )
    return ProportionalBias(
        slope,
        None,
        "not interpretable",
        "The slope may come from the reference's own error: without repeated readings of both it is not "
        "interpretable.",
    )


def _tdi_blank(
    pairs: Pairs, statistic: str, variant: TdiVariant, *, alpha: float, coverage: float
) -> tuple[Pairs, Blank]:
    method = f"total deviation index, {variant}"
    return paired(pairs, statistic, variant, method=method, params={"alpha": alpha, "coverage": coverage})


def _normal_tdi(d: Reals, coverage: float) -> tuple[float, float]:
    """The normal index q and the standard error of ln q."""
    n, mean = d.size, abs(float(np.mean(d)))
    sd = float(np.std(d, ddof=1)) if np.ptp(d) > 0 else 0.0
    if sd == 0:
        return mean, 0.0
    if mean > 40 * sd:  # no difference has the other sign: one tail
        q = mean + sd * float(stats.norm.ppf(coverage))
    else:
        q = sd * math.sqrt(float(stats.ncx2.ppf(coverage, 1, (mean / sd) ** 2)))
    near, far = (q - mean) / sd, (q + mean) / sd
    density = stats.norm.pdf([near, far])
    by_mean = (density[0] - density[1]) / density.sum()
    by_sd = (density[0] * near + density[1] * far) / density.sum()
    return q, sd * math.sqrt(by_mean**2 / n + by_sd**2 / (2 * (n - 1))) / q


def _quantile(values: Reals, share: float, blank: Blank, *, alpha: float) -> Estimate:
    ordered, n = np.sort(values), values.size
    low = int(stats.binom.ppf(alpha / 2, n, share))  # P(fewer than low below the quantile) ≤ alpha/2
    high = int(stats.binom.ppf(1 - alpha / 2, n, share)) + 1
    return blank.half_open(
        float(np.quantile(values, share, method="median_unbiased")),
        float(ordered[low - 1]) if low >= 1 else math.nan,
        float(ordered[high - 1]) if high <= n else math.nan,
        too_few_for_tail(n, share, alpha=alpha),
    )


def too_few_for_tail(n: int, share: float, *, alpha: float) -> str:
    """The sentence for an order-statistic limit that lies beyond a sample of n."""
    need = math.ceil(math.log(alpha / 2) / math.log(max(share, 1 - share)))
    return too_few(n, need=need, what="Limits")


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0


_SIDES: tuple[Side, Side] = ("lower", "upper")
STATISTICS: Mapping[tuple[Form, str, str], Compute] = {
    ("pairs", "ba_shapiro_p", "plain"): entry(ba_shapiro_p),
    ("pairs", "coverage_probability", "normal"): entry(coverage_probability, "within", "alpha"),
    ("pairs", "ba_prop_bias_corrected", "Deming"): entry(ba_prop_bias_corrected, "ratio", "alpha"),
    **{
        ("pairs", f"ba_loa_{side}", "nonparametric"): entry(
            ba_loa_nonparametric, "alpha", "coverage", side=side
        )
        for side in _SIDES
    },
    **{
        ("pairs", f"ba_percent_loa_{side}", "ba1999"): entry(ba_percent_limit, "alpha", "coverage", side=side)
        for side in _SIDES
    },
    **{
        ("pairs", statistic, variant): entry(function, "alpha", "coverage", variant=variant)
        for statistic, function in (("tdi", tdi), ("tdi_upper_bound", tdi_upper_bound))
        for variant in ("normal", "nonparametric")
    },
}
