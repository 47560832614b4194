"""The verdict of the International Ki67 in Breast Cancer Working Group: do these readers agree well enough?

Rule: the lower 95 % limit of ICC(2,1) of log2(score + 0.1) lies above 0.80. Two-way random, absolute
agreement, a single reading, one session, pathologists only: never the algorithm as a reader, never an
average form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from scipy import optimize, special

from ki67.stats.anova import (
    MeanSquares,
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
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Ratings, Reals
from ki67.stats.icc import icc, icc_value
from ki67.stats.undefined import Undefined

Word = Literal["passes", "does not pass", "borderline: depends on the interval"]
CRITERION = 0.80
NEAR = 0.01  # an F limit this close to the criterion is borderline whatever the other limit says
SCALE: Transform = "log2(x+0.1)"
_NODES = 96


@dataclass(frozen=True)
class IkwgVerdict:
    """The verdict with both estimates behind it.

    `word` is None where ICC(2,1) is undefined, then `message` says why. `f_low` and `gpq_low` are the lower
    limits of `f` (McGraw–Wong) and `gpq` (generalized pivotal quantity). `sentence` shows both to four
    decimals.
    """

    criterion: float
    word: Word | None
    f_low: float | None
    gpq_low: float | None
    f: Estimate
    gpq: Estimate
    cases: int
    readers: int
    session: str | None
    sentence: str
    message: str = ""


def ikwg_verdict(
    data: Ratings,
    *,
    criterion: float = CRITERION,
    alpha: float = 0.05,
    algorithm: str = "algorithm",
    session: str | None = None,
) -> IkwgVerdict:
    """The verdict on percentages read by pathologists in one session (the first one unless said otherwise).

    The reader named `algorithm` is left out. Cases without a reading of every reader are left out and
    counted. Raises ValueError for a criterion outside 0-1.
    """
    if not 0 < criterion < 1:
        raise ValueError(f"the criterion is an ICC between 0 and 1, not {criterion}")
    chosen = session if session is not None else next(iter(data.sessions), None)
    panel = pathologists(data, algorithm=algorithm, session=chosen)
    f = icc(panel, "ICC(2,1)", transform=SCALE, alpha=alpha)
    gpq = icc_generalized_pivotal(panel, transform=SCALE, alpha=alpha)
    word = None
    if f.ci_low is not None and gpq.ci_low is not None:
        word = verdict_word(f_low=f.ci_low, gpq_low=gpq.ci_low, criterion=criterion)
    readers = len(set(panel.readers))
    sentence = _sentence(word, f, gpq, criterion, readers)
    message = "" if word else f.message
    return IkwgVerdict(criterion, word, f.ci_low, gpq.ci_low, f, gpq, f.n, readers, chosen, sentence, message)


def verdict_word(*, f_low: float, gpq_low: float, criterion: float = CRITERION) -> Word:
    """The word for two lower limits.

    Borderline where the limits fall on different sides of the criterion or the F limit lies within 0.01 of
    it; a limit on the criterion itself does not lie above it.
    """
    near = abs(f_low - criterion) <= NEAR + 1e-12
    if near or (f_low > criterion) != (gpq_low > criterion):
        return "borderline: depends on the interval"
    return "passes" if f_low > criterion else "does not pass"


def icc_generalized_pivotal(
    data: Readable, *, transform: Transform = "none", alpha: float = 0.05
) -> Estimate:
    """ICC(2,1) with generalized-pivotal limits: reader population, also with few readers.

    R. K. Burdick, C. M. Borror & D. C. Montgomery, Design and Analysis of Gauge R&R Studies (2005); for ICCs
    A. C. Ionan et al., BMC Med Res Methodol 14 (2014) 121. Each sum of squares over a chi-square variable
    stands for its variance; a negative component counts as 0. Integrated numerically instead of drawn: the
    limits are exact to about six decimals and need no seed. Measured cover of 95 % limits on the log scale:
    94.4 % at 20 cases × 5 readers, 95.0 % at 50 × 10.
    """
    variant = scaled_variant("generalized pivotal", transform)
    params: dict[str, ParamValue] = {"alpha": alpha, **transform_params(transform)}
    method = "two-way random effects, absolute agreement, single reading, generalized pivotal limits; n cases"
    try:
        matrix = complete_matrix(data, transform=transform)
        squares = mean_squares(matrix.values)
        value = icc_value(squares, "ICC(2,1)")
    except Undefined as why:
        return undefined("ICC(2,1)", variant, data, why=why, method=method, params=params)
    return Estimate(
        "ICC(2,1)",
        variant,
        form_of(data),
        value,
        pivotal_quantile(squares, alpha / 2),
        pivotal_quantile(squares, 1 - alpha / 2),
        len(matrix.cases),
        method,
        excluded=len(matrix.left_out),
        params=params,
        target="reader population",
    )


def pivotal_quantile(squares: MeanSquares, probability: float) -> float:
    """Quantile of the generalized pivotal quantity of ICC(2,1), 0-1."""
    below = pivotal_distribution(squares)

    def excess(rho: float) -> float:
        return below(rho) - probability

    top = 1 - 1e-12
    if excess(0.0) >= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, top, xtol=1e-9)) if excess(top) > 0 else 1.0


def pivotal_distribution(squares: MeanSquares) -> Callable[[float], float]:
    """Distribution function of the generalized pivotal quantity of ICC(2,1), for 0 ≤ rho < 1.

    Given reader and residual variance, the case part is one chi-square variable, whose distribution function
    is known; the other two are integrated on a grid of probabilities that is dense at both ends.
    """
    n, k = squares.n, squares.k
    nodes, weights = _grid()
    degrees = (k - 1, (n - 1) * (k - 1))
    variance = [
        df * float(square) / (2 * special.gammaincinv(df / 2, nodes))
        for df, square in zip(degrees, (squares.readers, squares.error), strict=True)
    ]
    error = variance[1][None, :]
    noise = np.maximum(0.0, (variance[0][:, None] - error) / n) + error
    of_cases = (n - 1) * float(squares.cases)
    if of_cases == 0 or not noise.any():
        return lambda rho: 0.0 if of_cases else 1.0

    def below(rho: float) -> float:
        spread = 2 * (k * rho / (1 - rho) * noise + error)
        upper = np.divide(of_cases, spread, out=np.full(spread.shape, np.inf), where=spread > 0)
        return float(weights @ special.gammaincc((n - 1) / 2, upper) @ weights)

    return below


def _grid() -> tuple[Reals, Reals]:
    """Probabilities and their weights: Gauss-Legendre nodes v through u = v²(3 − 2v), dense near 0 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (nodes + 1) / 2
    return half**2 * (3 - 2 * half), weights / 2 * 6 * half * (1 - half)


def pathologists(data: Ratings, *, algorithm: str = "algorithm", session: str | None = None) -> Ratings:
    """The readings of the pathologists in one session (all where None), the algorithm's left out."""
    sessions = data.sessions or ("1",) * len(data.cases)
    keep = [
        number
        for number, (reader, held) in enumerate(zip(data.readers, sessions, strict=True))
        if reader != algorithm and (session is None or not data.sessions or held == session)
    ]
    return Ratings(
        tuple(data.cases[number] for number in keep),
        tuple(data.readers[number] for number in keep),
        data.values[keep],
        tuple(sessions[number] for number in keep) if data.sessions else (),
        tuple(data.replicates[number] for number in keep) if data.replicates else (),
    )


def _sentence(word: Word | None, f: Estimate, gpq: Estimate, criterion: float, readers: int) -> str:
    if word is None:
        return f"No verdict: {f.message}"
    shown = {
        "passes": "The readers agree well enough",
        "does not pass": "The readers do not agree well enough",
        "borderline: depends on the interval": "Borderline, it depends on the interval",
    }[word]
    return (
        f"{shown}: ICC(2,1) {f.value:.4f} on {f.n} cases × {readers} readers, lower limit {f.ci_low:.4f} "
        f"(F), {gpq.ci_low:.4f} (generalized pivotal), against {criterion:.2f}."
    )


Compute = Callable[[Readable, Mapping[str, ParamValue]], Estimate]


def _pivotal(data: Readable, params: Mapping[str, ParamValue]) -> Estimate:
    alpha = cast(float, params.get("alpha", 0.05))
    return icc_generalized_pivotal(data, transform=as_transform(params.get("transform")), alpha=alpha)


STATISTICS: dict[tuple[Form, str, str], Compute] = {
    ("pairs", "ICC(2,1)", "generalized pivotal"): _pivotal,
    ("ratings", "ICC(2,1)", "generalized pivotal"): _pivotal,
}
