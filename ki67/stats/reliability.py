"""How far readings of one case scatter: SEM, within-subject SD and CV, repeatability; W and overall CCC.

All take one reading per case and reader; the cases that every reader read are used. Figures in the unit of
the readings unless they are ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, cast

import numpy as np
from scipy import special, stats

from ki67.stats.anova import (
    Matrix,
    Readable,
    Transform,
    as_transform,
    complete_matrix,
    form_of,
    mean_squares,
    scaled_variant,
    transform_params,
    undefined,
)
from ki67.stats.estimate import Estimate, Form, ParamValue, Reason, Target
from ki67.stats.forms import Reals
from ki67.stats.undefined import Undefined

CvVariant = Literal["root mean square", "sw/mean", "exp(sw_log)-1", "sqrt(exp(sw_log^2)-1)"]
CV_VARIANTS: tuple[CvVariant, ...] = (
    "root mean square",
    "sw/mean",
    "exp(sw_log)-1",
    "sqrt(exp(sw_log^2)-1)",
)
Figures = tuple[float, float | None, float | None]


def sem_consistency(data: Readable, *, transform: Transform = "none", alpha: float | None = None) -> Estimate:
    """Standard error of measurement without the readers' own levels: √MSE.

    With `alpha` the variant is "chi-square" with limits on (n − 1)(k − 1) df; without, "plain", no limits.
    """

    def figures(matrix: Matrix) -> Figures:
        squares = mean_squares(matrix.values)
        error, df = float(squares.error), (squares.n - 1) * (squares.k - 1)
        return (math.sqrt(error), *_chi_square_limits(error, df, alpha=alpha))

    variant = "plain" if alpha is None else "chi-square"
    method = "square root of the residual mean square; n cases"
    return _estimate("sem_consistency", variant, data, figures, method, transform, alpha=alpha)


def sem_agreement(data: Readable, *, transform: Transform = "none", alpha: float | None = None) -> Estimate:
    """Standard error of measurement of a single reading by any reader: √(max(0, (MSC − MSE)/n) + MSE).

    H. C. de Vet et al., J Clin Epidemiol 59 (2006) 1033-1039. With `alpha` the variant is "modified large
    sample": limits of MSC/n + (1 − 1/n) MSE after F. A. Graybill & C.-M. Wang, JASA 75 (1980) 869-873.
    Measured cover of 95 % limits on the log scale: 95.2 % at 20 cases × 5 readers, 94.7 % at 50 × 10.
    """

    def figures(matrix: Matrix) -> Figures:
        squares = mean_squares(matrix.values)
        n, k = squares.n, squares.k
        error, readers = float(squares.error), float(squares.readers)
        value = math.sqrt(max(0.0, (readers - error) / n) + error)
        if alpha is None:
            return value, None, None
        terms = ((readers / n, k - 1), ((1 - 1 / n) * error, (n - 1) * (k - 1)))
        return (value, *_sum_limits(terms, alpha=alpha))

    variant = "truncated" if alpha is None else "modified large sample"
    method = "square root of the reader and residual variances; n cases"
    target: Target | None = None if alpha is None else "reader population"
    return _estimate("sem_agreement", variant, data, figures, method, transform, alpha=alpha, target=target)


def within_subject_sd(data: Readable, *, transform: Transform = "none", alpha: float = 0.05) -> Estimate:
    """SD of readings of one case, √MSW, with chi-square limits on n(k − 1) df.

    J. M. Bland & D. G. Altman, BMJ 313 (1996) 744. Meant for repeats; between readers the limits leave out
    that few readers share their levels.
    """
    method = "square root of the within-case mean square, chi-square limits; n cases"

    def figures(matrix: Matrix) -> Figures:
        return _within_sd(matrix, alpha=alpha)

    return _estimate(
        "within_subject_sd",
        "chi-square",
        data,
        figures,
        method,
        transform,
        alpha=alpha,
        target="these readers",
    )


def repeatability_coefficient(
    data: Readable, *, transform: Transform = "none", coverage: float = 0.95, alpha: float = 0.05
) -> Estimate:
    """Two readings of one case differ by less than this in the share `coverage` of cases: z √2 √MSW."""
    method = "z √2 times the within-subject SD; n cases"
    factor = math.sqrt(2) * float(special.ndtri((1 + coverage) / 2))

    def figures(matrix: Matrix) -> Figures:
        return _scaled(_within_sd(matrix, alpha=alpha), lambda sd: factor * sd)

    return _estimate(
        "repeatability_coefficient",
        "chi-square",
        data,
        figures,
        method,
        transform,
        alpha=alpha,
        target="these readers",
        extra={"coverage": coverage},
    )


def within_subject_cv(data: Readable, variant: CvVariant, *, alpha: float = 0.05) -> Estimate:
    """Within-subject coefficient of variation, a ratio (0.1 is 10 %), on the raw scale.

    J. M. Bland & D. G. Altman, BMJ 313 (1996) 106. "root mean square": √mean(s²/m²) over the cases;
    "sw/mean": within SD over the grand mean; the others from the within SD of the natural logarithm, with
    its chi-square limits. A mean of 0, or a logarithm of 0, is undefined.
    """

    def figures(matrix: Matrix) -> Figures:
        if variant == "root mean square":
            return _rms_cv(matrix.values), None, None
        if variant == "sw/mean":
            mean = float(matrix.values.mean())
            if mean <= 0:
                raise Undefined("nonpositive_value", "The mean reading is 0, so nothing is a share of it.")
            return _within_sd(matrix, alpha=alpha)[0] / mean, None, None
        log_sd = _within_sd(_logged(matrix), alpha=alpha)
        if variant == "exp(sw_log)-1":
            return _scaled(log_sd, math.expm1)
        return _scaled(log_sd, lambda sd: math.sqrt(math.expm1(sd * sd)))

    on_logs = variant not in ("root mean square", "sw/mean")
    method = "within-subject coefficient of variation; n cases"
    return _estimate(
        "within_subject_cv",
        variant,
        data,
        figures,
        method,
        "none",
        alpha=alpha if on_logs else None,
        target="these readers" if on_logs else None,
    )


def kendall_w(data: Readable) -> Estimate:
    """Kendall's coefficient of concordance of the readers' rankings, 0-1, corrected for ties; no limits.

    M. G. Kendall & B. Babington Smith, Ann Math Stat 10 (1939) 275-287. Undefined (zero_variance) where every
    reader gives one value throughout.
    """

    def figures(matrix: Matrix) -> Figures:
        n, k = matrix.values.shape
        if n < 2:
            raise Undefined("too_few", "A ranking needs at least two cases.")
        ranks = stats.rankdata(matrix.values, axis=0)
        spread = float(np.square(ranks.sum(axis=1) - k * (n + 1) / 2).sum())
        ties = sum(float((counts**3 - counts).sum()) for counts in _tied(matrix.values))
        most = (k * k * (n**3 - n) - k * ties) / 12
        if most <= 0:
            raise Undefined("zero_variance", "Every reader gave one value throughout: there is no ranking.")
        return spread / most, None, None

    return _estimate("kendall_W", "ties corrected", data, figures, "from ranks; n cases", "none", alpha=None)


def overall_ccc(data: Readable, *, transform: Transform = "none", alpha: float = 0.05) -> Estimate:
    """Overall concordance correlation of k readers, covariances /(n − 1).

    H. X. Barnhart, M. Haber & J. Song, Biometrics 58 (2002) 1020-1027. Limits: jackknife over the cases on
    Fisher's z, Student's t with n − 1 df: they hold for these readers, not for others; measured cover of 95 %
    limits on the log scale 94.8 % at 20 cases × 5 readers, 94.3 % at 50 × 10. Undefined
    (zero_variance) for constant equal readings.
    """

    def figures(matrix: Matrix) -> Figures:
        values = matrix.values
        n = len(values)
        if n < 2:
            raise Undefined("too_few", "A covariance needs at least two cases.")
        value = float(_ccc(values[None])[0])
        if math.isnan(value):
            raise Undefined("zero_variance", "The readings do not vary, so the overall CCC is 0/0.")
        if n < 3 or abs(value) >= 1:
            limit = value if abs(value) >= 1 else None
            return value, limit, limit
        left_out = _left_out_ccc(values)
        if np.any(~np.isfinite(left_out)) or np.any(np.abs(left_out) >= 1):
            return value, None, None
        pseudo = n * math.atanh(value) - (n - 1) * np.arctanh(left_out)
        half = float(special.stdtrit(n - 1, 1 - alpha / 2)) * float(pseudo.std(ddof=1)) / math.sqrt(n)
        return value, math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)

    method = "pairwise concordance, limits by jackknife over the cases on Fisher's z; n cases"
    return _estimate(
        "overall_ccc", "n-1", data, figures, method, transform, alpha=alpha, target="these readers"
    )


def _estimate(
    statistic: str,
    variant: str,
    data: Readable,
    figures: Callable[[Matrix], Figures],
    method: str,
    transform: Transform,
    *,
    alpha: float | None,
    target: Target | None = None,
    extra: Mapping[str, ParamValue] | None = None,
) -> Estimate:
    """The Estimate of `figures` on the complete cases; too_few where limits were asked for and none exist."""
    params: dict[str, ParamValue] = {**(extra or {}), **transform_params(transform)}
    params |= {} if alpha is None else {"alpha": alpha}
    variant = scaled_variant(variant, transform)
    try:
        matrix = complete_matrix(data, transform=transform)
        value, low, high = figures(matrix)
    except Undefined as why:
        return undefined(statistic, variant, data, why=why, method=method, params=params)
    missing = alpha is not None and low is None
    reason: Reason | None = "too_few" if missing else None
    return Estimate(
        statistic,
        variant,
        form_of(data),
        value,
        low,
        high,
        len(matrix.cases),
        method,
        reason=reason,
        message="The cases are too few, or too alike, for limits." if missing else "",
        excluded=len(matrix.left_out),
        params=params,
        target=target if low is not None else None,
    )


def _within_sd(matrix: Matrix, *, alpha: float) -> Figures:
    """√MSW and its chi-square limits; one case is enough."""
    values = matrix.values
    n, k = values.shape
    floor = 16 * np.finfo(np.float64).eps * float(np.abs(values).max())
    within = float(values.var(axis=1, ddof=1).mean())
    within = within if within > floor * floor else 0.0
    return (math.sqrt(within), *_chi_square_limits(within, n * (k - 1), alpha=alpha))


def _chi_square_limits(variance: float, df: int, *, alpha: float | None) -> tuple[float | None, float | None]:
    """Limits of the SD."""
    if alpha is None:
        return None, None
    low, high = special.chdtri(df, [alpha / 2, 1 - alpha / 2])
    return math.sqrt(df * variance / float(low)), math.sqrt(df * variance / float(high))


def _sum_limits(terms: tuple[tuple[float, int], ...], *, alpha: float) -> tuple[float, float]:
    """Limits of the square root of a sum of independent mean squares, each with its df."""
    total = sum(square for square, _ in terms)
    down = sum(((1 - df / float(special.chdtri(df, alpha / 2))) * square) ** 2 for square, df in terms)
    up = sum(((df / float(special.chdtri(df, 1 - alpha / 2)) - 1) * square) ** 2 for square, df in terms)
    return math.sqrt(max(0.0, total - math.sqrt(down))), math.sqrt(total + math.sqrt(up))


def _scaled(figures: Figures, scale: Callable[[float], float]) -> Figures:
    """An increasing function of a value and its limits."""
    value, low, high = figures
    return scale(value), None if low is None else scale(low), None if high is None else scale(high)


def _logged(matrix: Matrix) -> Matrix:
    if np.any(matrix.values <= 0):
        raise Undefined("nonpositive_value", "A reading of 0 has no logarithm.")
    return Matrix(matrix.cases, matrix.readers, np.log(matrix.values), matrix.left_out)


def _rms_cv(values: Reals) -> float:
    means = values.mean(axis=1)
    if np.any(means == 0):
        raise Undefined(
            "nonpositive_value", "A case with a mean reading of 0 has no coefficient of variation."
        )
    return math.sqrt(float(np.mean(values.var(axis=1, ddof=1) / means**2)))


def _tied(values: Reals) -> list[Reals]:
    return [np.unique(column, return_counts=True)[1].astype(np.float64) for column in values.T]


def _ccc(stack: Reals) -> Reals:
    """Overall CCC of each (n, k) matrix of a stack; NaN for 0/0."""
    k = stack.shape[-1]
    centred = stack - stack.mean(axis=-2, keepdims=True)
    n = stack.shape[-2]
    variances = np.square(centred).sum(axis=-2) / (n - 1)
    of_sum = np.square(centred.sum(axis=-1)).sum(axis=-1) / (n - 1)
    covariances = of_sum - variances.sum(axis=-1)  # twice the sum over pairs
    means = stack.mean(axis=-2)
    apart = k * np.square(means - means.mean(axis=-1, keepdims=True)).sum(axis=-1)
    below = (k - 1) * variances.sum(axis=-1) + apart
    floor = np.square(16 * np.finfo(np.float64).eps * np.abs(stack).max(axis=(-2, -1)))
    result = np.full(below.shape, np.nan)
    np.divide(covariances, below, out=result, where=below > floor)
    return result


def _left_out_ccc(values: Reals) -> Reals:
    """Overall CCC of (n, k) readings, three cases or more, with each case left out in turn; NaN for 0/0.

    From the moments of all cases; where next to nothing is left of them, from the readings themselves.
    """
    n, k = values.shape
    centred = values - values.mean(axis=0)
    sums = centred.sum(axis=1)
    lost = n / (n - 1)
    variances = (np.square(centred).sum(axis=0) - lost * np.square(centred)).sum(axis=1) / (n - 2)
    of_sum = (np.square(sums).sum() - lost * np.square(sums)) / (n - 2)
    means = values.mean(axis=0) - centred / (n - 1)
    apart = k * np.square(means - means.mean(axis=1, keepdims=True)).sum(axis=1)
    below = (k - 1) * variances + apart
    held = below > 1e-6 * below.max()
    left_out: Reals = np.divide(of_sum - variances, below, out=np.full(n, np.nan), where=held)
    for case in np.flatnonzero(~held):
        left_out[case] = _ccc(np.delete(values, case, axis=0)[None])[0]
    return left_out


Compute = Callable[[Readable, Mapping[str, ParamValue]], Estimate]


def _number(params: Mapping[str, ParamValue], name: str, default: float) -> float:
    return cast(float, params.get(name, default))


def _table(form: Form) -> dict[tuple[Form, str, str], Compute]:
    def scale(params: Mapping[str, ParamValue]) -> Transform:
        return as_transform(params.get("transform"))

    def alpha(params: Mapping[str, ParamValue]) -> float:
        return _number(params, "alpha", 0.05)

    table: dict[tuple[str, str], Compute] = {
        ("sem_consistency", "plain"): lambda d, p: sem_consistency(d, transform=scale(p)),
        ("sem_consistency", "chi-square"): lambda d, p: sem_consistency(
            d, transform=scale(p), alpha=alpha(p)
        ),
        ("sem_agreement", "truncated"): lambda d, p: sem_agreement(d, transform=scale(p)),
        ("sem_agreement", "modified large sample"): lambda d, p: sem_agreement(
            d, transform=scale(p), alpha=alpha(p)
        ),
        ("within_subject_sd", "chi-square"): lambda d, p: within_subject_sd(
            d, transform=scale(p), alpha=alpha(p)
        ),
        ("repeatability_coefficient", "chi-square"): lambda d, p: repeatability_coefficient(
            d, transform=scale(p), alpha=alpha(p), coverage=_number(p, "coverage", 0.95)
        ),
        ("kendall_W", "ties corrected"): lambda d, p: kendall_w(d),
        ("overall_ccc", "n-1"): lambda d, p: overall_ccc(d, transform=scale(p), alpha=alpha(p)),
    }
    for variant in CV_VARIANTS:
        table["within_subject_cv", variant] = _cv(variant)
    return {(form, *key): compute for key, compute in table.items()}


def _cv(variant: CvVariant) -> Compute:
    return lambda data, params: within_subject_cv(data, variant, alpha=_number(params, "alpha", 0.05))


STATISTICS: dict[tuple[Form, str, str], Compute] = {**_table("pairs"), **_table("ratings")}
