"""Reliability of the scores: does a nucleus with score 0.8 lie on a tumor nucleus eight times in ten?

Ten bins of the score of step 2, over every candidate, also those below the score threshold. A
candidate is true when it is matched, whatever its class, to a tumor nucleus within 4 µm; one on a
nucleus of unknown kind takes no part. The diagram draws the share of true ones against the mean score
(A. Niculescu-Mizil & R. Caruana, ICML 2005, 625-632); the calibration error is the mean distance of
the two, weighted by candidates (M. P. Naeini et al., AAAI 2015, 2901-2907).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67.index import wilson
from ki67.training.counting import RADIUS_UM, Found, on_unknown
from ki67.training.figures import BINS, FieldFigures, ScoreBins, Step
from ki67.training.folder import Kind, Nuclei
from ki67.training.matching import NONE, match


@dataclass(frozen=True)
class ReliabilityBin:
    """Candidates with a score from `score_from` to `score_to`: how many, the share of true ones with its
    95 % limits (Wilson), the mean score. None where the bin is empty.
    """

    score_from: float
    score_to: float
    candidates: int
    true: int
    share: float | None
    share_low: float | None
    share_high: float | None
    mean_score: float | None


@dataclass(frozen=True)
class Reliability:
    """The reliability diagram of one way of counting; `calibration_error` 0-1, None without a candidate."""

    step: Step
    fields: int
    bins: tuple[ReliabilityBin, ...]
    calibration_error: float | None


def bins_of(nuclei: Nuclei, candidates: Found, *, mpp: float) -> ScoreBins:
    """The candidates of one field by score; `candidates` are all of them, whatever their score."""
    truth = nuclei.of(Kind.POSITIVE, Kind.NEGATIVE) * mpp
    xy_um = candidates.xy_px * mpp
    partner = match(truth, xy_um, radius=RADIUS_UM)
    true = np.zeros(len(xy_um), bool)
    true[partner[partner != NONE]] = True
    free = np.flatnonzero(~true)
    takes_part = np.ones(len(xy_um), bool)
    takes_part[free] = ~on_unknown(
        nuclei, nuclei.xy_px * mpp, xy_um[free], outside=(Kind.POSITIVE, Kind.NEGATIVE), radius=RADIUS_UM
    )
    score = candidates.score[takes_part]
    at = np.clip(np.floor(score * BINS).astype(np.int64), 0, BINS - 1)
    return ScoreBins(
        candidates=tuple(np.bincount(at, minlength=BINS).tolist()),
        true=tuple(np.bincount(at[true[takes_part]], minlength=BINS).tolist()),
        score_sum=tuple(float(value) for value in np.bincount(at, score, minlength=BINS).tolist()),
    )


def reliability_of(figures: Sequence[FieldFigures], step: Step) -> Reliability | None:
    """Pool the bins of these fields; None where no field has any."""
    known = [counts.bins for field in figures if (counts := field.counts(step)) and counts.bins]
    if not known:
        return None
    pooled = sum(known[1:], known[0])
    bins = tuple(_bin(pooled, number) for number in range(BINS))
    total = sum(pooled.candidates)
    gaps = [
        bin.candidates * abs(bin.share - bin.mean_score)
        for bin in bins
        if bin.share is not None and bin.mean_score is not None
    ]
    return Reliability(step, len(known), bins, sum(gaps) / total if total else None)


def _bin(pooled: ScoreBins, number: int) -> ReliabilityBin:
    candidates, true = pooled.candidates[number], pooled.true[number]
    limits = wilson(true, candidates - true)
    return ReliabilityBin(
        score_from=number / BINS,
        score_to=(number + 1) / BINS,
        candidates=candidates,
        true=true,
        share=true / candidates if candidates else None,
        share_low=limits.low if limits else None,
        share_high=limits.high if limits else None,
        mean_score=pooled.score_sum[number] / candidates if candidates else None,
    )
