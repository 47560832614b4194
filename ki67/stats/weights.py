"""Weights of agreement between classes: 1 on the diagonal, less the further two classes lie apart."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ki67.stats.forms import Reals

Weighting = Literal["unweighted", "linear weights", "quadratic weights", "ordinal weights"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)


def agreement_weights(weighting: Weighting, classes: int) -> Reals:
    """The `classes` × `classes` weights w_ij; classes count by their position, used or not.

    unweighted: 1 on the diagonal, else 0. Linear: 1 - |i - j| / (q - 1). Quadratic: 1 - (i - j)² /
    (q - 1)². Ordinal: 1 - C(|i - j| + 1, 2) / C(q, 2) (K. L. Gwet, Handbook of inter-rater
    reliability, 4th ed. 2014, section 3.5).
    """
    apart = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(float)
    if weighting == "unweighted" or classes < 2:
        return np.asarray(apart == 0, float)
    if weighting == "linear weights":
        return 1 - apart / (classes - 1)
    if weighting == "quadratic weights":
        return 1 - (apart / (classes - 1)) ** 2
    return np.asarray(1 - (apart + 1) * apart / (classes * (classes - 1)), float)
