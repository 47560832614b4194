"""The Ki-67 index: the one formula, and its counting (binomial) interval."""

from __future__ import annotations

import math
from statistics import NormalDist

from ki67.types import Interval


def ki67_index(positive: int, negative: int) -> float | None:
    """Positive tumor nuclei / (positive + negative tumor nuclei), a fraction 0-1.

    None when there is no tumor nucleus: not assessable is not zero. Negative counts raise ValueError.
    """
    if positive < 0 or negative < 0:
        raise ValueError(f"counts of nuclei cannot be negative: {positive}, {negative}")
    total = positive + negative
    return positive / total if total else None


def wilson(positive: int, negative: int, *, confidence: float = 0.95) -> Interval | None:
    """Score interval of the index as if every nucleus were drawn independently (fractions 0-1).

    E. B. Wilson, J Am Stat Assoc 22 (1927) 209-212; method 3 of R. G. Newcombe, Stat Med 17 (1998)
    857-872. None when there is no tumor nucleus.
    """
    index = ki67_index(positive, negative)
    if index is None:
        return None
    total = positive + negative
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (index + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(index * (1 - index) / total + z * z / (4 * total * total))
    low = 0.0 if positive == 0 else max(0.0, centre - half)
    high = 1.0 if negative == 0 else min(1.0, centre + half)
    return Interval(low, high)
