"""Agreement of the index found with the index counted, in percentage points: Bland–Altman over fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67.index import ki67_index
from ki67.stats.bland_altman import ba_bias, ba_loa, ba_sd
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs
from ki67.training.figures import FEWEST_FOR_INDEX, FieldFigures, Step
from ki67.training.report_intervals import Limits


@dataclass(frozen=True)
class IndexPair:
    """One field with at least 50 tumor nuclei: its index counted by people and found by the nets, percent."""

    image: str
    patient: str
    counted_percent: float
    found_percent: float


@dataclass(frozen=True)
class IndexAgreement:
    """Bias and 95 % limits of agreement of found minus counted, in points, each with its 95 % limits.

    The limits take fields as independent; those of the bias over patients are in `Intervals`. All
    but pairs and bias are None where the fields are too few.
    """

    pairs: tuple[IndexPair, ...]
    bias: float
    bias_limits: Limits | None
    sd: float | None
    lower: float | None
    lower_limits: Limits | None
    upper: float | None
    upper_limits: Limits | None


def index_pairs(figures: Sequence[FieldFigures], step: Step) -> tuple[IndexPair, ...]:
    """The fields that have an index of both kinds and at least 50 tumor nuclei counted."""
    pairs = []
    for field in figures:
        counts = field.counts(step)
        if counts is None or field.truth_positive + field.truth_negative < FEWEST_FOR_INDEX:
            continue
        truth = ki67_index(field.truth_positive, field.truth_negative)
        found = ki67_index(counts.found_positive, counts.found_negative)
        if truth is not None and found is not None:
            pairs.append(IndexPair(field.image, field.patient, 100 * truth, 100 * found))
    return tuple(pairs)


def index_agreement(
    figures: Sequence[FieldFigures], step: Step, *, with_limits: bool = True
) -> IndexAgreement | None:
    """None where no field has at least 50 tumor nuclei and an index found.

    `with_limits` False: fields too few to say how far errors reach; pairs and bias alone.
    """
    pairs = index_pairs(figures, step)
    if not pairs:
        return None
    data = Pairs(
        tuple(pair.image for pair in pairs),
        np.array([pair.counted_percent for pair in pairs]),
        np.array([pair.found_percent for pair in pairs]),
    )
    mean = float(np.mean(data.y - data.x))
    if not with_limits:
        return IndexAgreement(pairs, mean, None, None, None, None, None, None)
    bias, lower, upper = ba_bias(data), ba_loa(data, side="lower"), ba_loa(data, side="upper")
    return IndexAgreement(
        pairs=pairs,
        bias=mean,
        bias_limits=_limits(bias),
        sd=ba_sd(data).value,
        lower=lower.value,
        lower_limits=_limits(lower),
        upper=upper.value,
        upper_limits=_limits(upper),
    )


def _limits(estimate: Estimate) -> Limits | None:
    if estimate.ci_low is None or estimate.ci_high is None:
        return None
    return Limits(estimate.ci_low, estimate.ci_high)
