"""From a stored run to every number of a result. Deterministic: the same record gives the same integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ki67.index import ki67_index, wilson
from ki67.pipeline.error_model import ErrorModel, read_error_model
from ki67.pipeline.hotspot import Nuclei, find_hot_spot
from ki67.pipeline.intervals import (
    NO_ERROR_MODEL,
    block_bootstrap,
    sampling_interval,
    total_interval,
)
from ki67.pipeline.outlines import Outline, dice, rasterize
from ki67.pipeline.quality import Found, quality_flags
from ki67.pipeline.regions import (
    BoolArray,
    Region,
    TumorArea,
    area_mm2,
    cut_to_region,
    middles_of,
    probability_mask,
    region_of,
    share_not_covered,
    tumor_area,
)
from ki67.types import Interval, Measurement, RunRecord

NO_TISSUE = "no tissue found"
NO_TUMOR = "no tumor found"
NO_NUCLEI = "no tumor nuclei found"


def measure(
    record: RunRecord,
    *,
    outline: Outline | None = None,
    use_outline: bool = False,
    error_model: Mapping[str, Any] | None = None,
    score_threshold: float | None = None,
) -> Measurement:
    """Count a run and measure it.

    Steps: the tumor that counts (the stored map, or the outline with `use_outline`; exclusions of an
    outline always apply) → nuclei with score >= threshold whose centre lies in it → index with its
    sampling and total interval → areas → hot spot → flags → agreement of the outline with step 1.

    `error_model` is that of the cell model's card (None: no total interval, with the reason);
    `score_threshold` replaces the run's. Raises ModelError when the error model makes no sense,
    ValueError when `use_outline` comes without an outline.
    """
    threshold = _threshold(record, score_threshold)
    errors = read_error_model(error_model) if error_model is not None else None
    region, mpp = region_of(record), record.pixel_size.mpp
    area = tumor_area(record, outline=outline, use_outline=use_outline)
    found, counted = _count(record, region, area, threshold=threshold)
    nuclei = _nuclei(record, counted)
    positive = int(np.count_nonzero(nuclei.is_positive))
    negative = len(nuclei.is_positive) - positive
    intervals = _intervals(nuclei, region, mpp=mpp, seed=record.seed)
    total, total_reason = _total(positive, negative, sampling=intervals.sampling, errors=errors)
    tissue_mm2 = area_mm2(probability_mask(record.tissue_map, 0.5), region, mpp=mpp)
    tumor_mm2 = area_mm2(area.mask, region, mpp=mpp)
    uncovered = _uncovered_share(record, area)
    seen = Found(positive + negative, tissue_mm2, tumor_mm2, uncovered, everywhere=area.everything)
    spot, spot_reason = find_hot_spot(
        nuclei, area, record.tissue_map, mpp=mpp, seed=record.seed, error_model=errors
    )
    return Measurement(
        positive=positive,
        negative=negative,
        reason=None if positive + negative else _why_not(tissue_mm2, tumor_mm2),
        wilson=intervals.wilson,
        bootstrap=intervals.bootstrap,
        sampling=intervals.sampling,
        total=total,
        total_reason=total_reason,
        tumor_area_mm2=tumor_mm2,
        tissue_area_mm2=tissue_mm2,
        hot_spot=spot,
        hot_spot_reason=spot_reason,
        flags=quality_flags(record, seen),
        outline_dice=_outline_dice(record, region, outline),
        counted=counted,
        found=found,
        score_threshold=threshold,
        outline_used=use_outline,
    )


@dataclass(frozen=True)
class _Intervals:
    wilson: Interval | None
    bootstrap: Interval | None
    sampling: Interval | None


def _threshold(record: RunRecord, given: float | None) -> float:
    threshold = record.parameters.score_threshold if given is None else given
    if threshold is None:
        raise ValueError("a stored run holds the score threshold that was used")
    return threshold


def _count(
    record: RunRecord, region: Region, area: TumorArea, *, threshold: float
) -> tuple[BoolArray, BoolArray]:
    """Which candidates are nuclei of the region, and which of these count."""
    candidates = record.candidates
    found = region.contains(candidates.x_px, candidates.y_px) & (candidates.score >= threshold)
    return found, found & area.contains(candidates.x_px, candidates.y_px)


def _nuclei(record: RunRecord, counted: BoolArray) -> Nuclei:
    candidates = record.candidates
    return Nuclei(
        candidates.x_px[counted].astype(np.float64),
        candidates.y_px[counted].astype(np.float64),
        candidates.is_positive[counted],
    )


def _intervals(nuclei: Nuclei, region: Region, *, mpp: float, seed: int) -> _Intervals:
    positive = int(np.count_nonzero(nuclei.is_positive))
    counting = wilson(positive, len(nuclei.is_positive) - positive)
    resampled = block_bootstrap(
        (nuclei.x_px - region.left_px) * mpp,
        (nuclei.y_px - region.top_px) * mpp,
        nuclei.is_positive,
        seed=seed,
    )
    return _Intervals(counting, resampled, sampling_interval(counting, resampled))


def _total(
    positive: int, negative: int, *, sampling: Interval | None, errors: ErrorModel | None
) -> tuple[Interval | None, str | None]:
    index = ki67_index(positive, negative)
    if index is None or sampling is None:
        return None, NO_NUCLEI
    if errors is None:
        return None, NO_ERROR_MODEL
    return total_interval(index, sampling, errors, nuclei=positive + negative), None


def _why_not(tissue_mm2: float, tumor_mm2: float) -> str:
    if tissue_mm2 == 0:
        return NO_TISSUE
    return NO_NUCLEI if tumor_mm2 else NO_TUMOR


def _uncovered_share(record: RunRecord, area: TumorArea) -> float:
    """Share of an outline that replaces the map in which step 2 was not run; 0 when the map counts."""
    if area.outline is None:
        return 0.0
    return share_not_covered(record, *middles_of(area.mask))


def _outline_dice(record: RunRecord, region: Region, outline: Outline | None) -> float | None:
    """Dice of the outline with step 1, both in the region and without exclusions."""
    if outline is None or record.tumor_map is None:
        return None
    step_one = probability_mask(record.tumor_map, record.parameters.tumor_border)
    allowed = cut_to_region(step_one, region) & ~rasterize(outline.exclude, step_one)
    return dice((step_one.values > 0) & allowed, rasterize(outline.tumor, step_one) & allowed)
