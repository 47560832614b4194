"""One field: true nuclei against found ones. Distances in µm, coordinates in full-resolution pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ki67.training.figures import StepCounts, Tally
from ki67.training.folder import Kind, Nuclei
from ki67.training.matching import NONE, match

RADIUS_UM = 4.0
FIVE_PX_UM = 1.25
TEN_PX_UM = 2.5
_WORD = {Kind.POSITIVE: "positive", Kind.NEGATIVE: "negative", Kind.OTHER: "other", Kind.UNKNOWN: ""}


@dataclass(frozen=True)
class Found:
    """Detections that count: `xy_px` N×2, `positive` N bool, `score` N of 0-1."""

    xy_px: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]


@dataclass(frozen=True)
class MatchRow:
    """One truth or detection.

    `outcome`: matched, missed, false, ignored (a detection on a nucleus of unknown kind), or not counted
    (a true nucleus that is not tumor, or unknown).
    """

    outcome: str
    truth_label: str
    truth_x_px: float | None
    truth_y_px: float | None
    found_label: str
    found_x_px: float | None
    found_y_px: float | None
    score: float | None
    distance_um: float | None


@dataclass(frozen=True)
class _Class:
    """The matching of one class: indices into the truth and the detections."""

    truth: npt.NDArray[np.int64]
    found: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]
    false: npt.NDArray[np.int64]

    @property
    def tally(self) -> Tally:
        return Tally(len(self.pairs), len(self.false), len(self.missed))


def count_field(
    nuclei: Nuclei, found: Found, *, mpp: float, width_px: int, height_px: int
) -> tuple[StepCounts, tuple[MatchRow, ...]]:
    """Match within each class at 4.0 µm and count; detections on nuclei of unknown kind are ignored."""
    truth_um, found_um = nuclei.xy_px * mpp, found.xy_px * mpp
    positive = _match_class(nuclei, found, truth_um, found_um, kinds=(Kind.POSITIVE,), called=found.positive)
    negative = _match_class(nuclei, found, truth_um, found_um, kinds=(Kind.NEGATIVE,), called=~found.positive)
    tumor = (Kind.POSITIVE, Kind.NEGATIVE)
    everything = np.ones(len(found.positive), bool)
    any_class = _match_class(nuclei, found, truth_um, found_um, kinds=tumor, called=everything)
    counts = StepCounts(
        positive=positive.tally,
        negative=negative.tally,
        any=any_class.tally,
        inner=_inner(positive, nuclei, found, mpp=mpp, width_px=width_px, height_px=height_px)
        + _inner(negative, nuclei, found, mpp=mpp, width_px=width_px, height_px=height_px),
        within_1_25_um=_class_aware(nuclei, found, mpp=mpp, radius=FIVE_PX_UM),
        within_2_5_um=_class_aware(nuclei, found, mpp=mpp, radius=TEN_PX_UM),
        other_counted=int((match(nuclei.of(Kind.OTHER) * mpp, found_um, radius=RADIUS_UM) != NONE).sum()),
        found_positive=int(found.positive.sum()),
        found_negative=int((~found.positive).sum()),
    )
    rows = [*_rows(positive, nuclei, found, mpp=mpp), *_rows(negative, nuclei, found, mpp=mpp)]
    seen = {index for side in (positive, negative) for index in (*side.pairs[:, 1], *side.false)}
    rows += [
        _row(nuclei, found, outcome="ignored", found_at=i) for i in range(len(everything)) if i not in seen
    ]
    rows += [
        _row(nuclei, found, outcome="not counted", truth_at=int(i))
        for i in np.flatnonzero(_not_tumor(nuclei))
    ]
    return counts, tuple(rows)


def _match_class(
    nuclei: Nuclei,
    found: Found,
    truth_um: npt.NDArray[np.float64],
    found_um: npt.NDArray[np.float64],
    *,
    kinds: tuple[Kind, ...],
    called: npt.NDArray[np.bool_],
    radius: float = RADIUS_UM,
) -> _Class:
    truth = np.flatnonzero(np.isin(nuclei.kind, [int(kind) for kind in kinds]))
    own = np.flatnonzero(called)
    partner = match(truth_um[truth], found_um[own], radius=radius)
    hit = partner != NONE
    free = np.setdiff1d(np.arange(len(own)), partner[hit])
    unknown = truth_um[nuclei.kind == Kind.UNKNOWN]
    ignored = match(unknown, found_um[own[free]], radius=radius)
    false = np.delete(free, ignored[ignored != NONE])
    return _Class(
        truth=truth,
        found=own,
        pairs=np.column_stack((truth[hit], own[partner[hit]])),
        missed=truth[~hit],
        false=own[false],
    )


def _class_aware(nuclei: Nuclei, found: Found, *, mpp: float, radius: float) -> Tally:
    sides = ((Kind.POSITIVE, found.positive), (Kind.NEGATIVE, ~found.positive))
    return sum(
        (
            _match_class(
                nuclei,
                found,
                nuclei.xy_px * mpp,
                found.xy_px * mpp,
                kinds=(kind,),
                called=called,
                radius=radius,
            ).tally
            for kind, called in sides
        ),
        Tally(),
    )


def _inner(side: _Class, nuclei: Nuclei, found: Found, *, mpp: float, width_px: int, height_px: int) -> Tally:
    """The tally without what lies within one radius of the border (a pair lies where its truth does)."""
    margin = RADIUS_UM / mpp

    def inside(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        x, y = xy[:, 0] + 0.5, xy[:, 1] + 0.5
        return np.asarray((x >= margin) & (x < width_px - margin) & (y >= margin) & (y < height_px - margin))

    return Tally(
        tp=int(inside(nuclei.xy_px[side.pairs[:, 0]]).sum()),
        fp=int(inside(found.xy_px[side.false]).sum()),
        fn=int(inside(nuclei.xy_px[side.missed]).sum()),
    )


def _not_tumor(nuclei: Nuclei) -> npt.NDArray[np.bool_]:
    return np.asarray((nuclei.kind == Kind.OTHER) | (nuclei.kind == Kind.UNKNOWN))


def _rows(side: _Class, nuclei: Nuclei, found: Found, *, mpp: float) -> list[MatchRow]:
    rows = [
        _row(nuclei, found, outcome="matched", truth_at=int(i), found_at=int(j), mpp=mpp)
        for i, j in side.pairs
    ]
    rows += [_row(nuclei, found, outcome="missed", truth_at=int(i)) for i in side.missed]
    rows += [_row(nuclei, found, outcome="false", found_at=int(j)) for j in side.false]
    return rows


def _row(
    nuclei: Nuclei,
    found: Found,
    *,
    outcome: str,
    truth_at: int | None = None,
    found_at: int | None = None,
    mpp: float = 1.0,
) -> MatchRow:
    truth = None if truth_at is None else nuclei.xy_px[truth_at]
    place = None if found_at is None else found.xy_px[found_at]
    return MatchRow(
        outcome=outcome,
        truth_label="" if truth_at is None else _WORD[Kind(int(nuclei.kind[truth_at]))],
        truth_x_px=None if truth is None else float(truth[0]),
        truth_y_px=None if truth is None else float(truth[1]),
        found_label="" if found_at is None else "positive" if found.positive[found_at] else "negative",
        found_x_px=None if place is None else float(place[0]),
        found_y_px=None if place is None else float(place[1]),
        score=None if found_at is None else float(found.score[found_at]),
        distance_um=None if truth is None or place is None else float(np.linalg.norm(truth - place)) * mpp,
    )
