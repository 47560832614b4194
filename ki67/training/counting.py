"""One field: true nuclei against found ones. Distances in µm, coordinates in full-resolution pixels.

Rules: optimal one-to-one matching within each class, at most 4.0 µm apart. What is left of the
detections is held against the nuclei that are not of that class, again one to one and nearest first
in sum: a detection that falls to a nucleus of unknown kind is ignored, every other one is false. So a
detection between an unknown nucleus and one that is not tumor belongs to the nearer of the two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ki67.training.figures import Faults, StepCounts, Tally
from ki67.training.folder import Kind, Nuclei
from ki67.training.matching import NONE, match

RADIUS_UM = 4.0
FIVE_PX_UM = 1.25
TEN_PX_UM = 2.5
Fault = Literal["", "missed", "wrong class", "on other", "doubled", "invented"]
_WORD = {Kind.POSITIVE: "positive", Kind.NEGATIVE: "negative", Kind.OTHER: "other", Kind.UNKNOWN: ""}


@dataclass(frozen=True)
class Found:
    """Detections that count: `xy_px` N×2, `positive` N bool, `score` N of 0-1.

    `in_tumor` N bool: which of them the mask lets through; None where there is no mask.
    """

    xy_px: npt.NDArray[np.float64]
    positive: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]
    in_tumor: npt.NDArray[np.bool_] | None = None

    def those(self, chosen: npt.NDArray[np.bool_]) -> Found:
        """The detections that `chosen` marks."""
        in_tumor = None if self.in_tumor is None else self.in_tumor[chosen]
        return Found(self.xy_px[chosen], self.positive[chosen], self.score[chosen], in_tumor)


@dataclass(frozen=True)
class MatchRow:
    """One truth or detection.

    `outcome`: matched, missed, false, ignored (a detection on a nucleus of unknown kind), or not counted
    (a true nucleus that is not tumor, or unknown). `fault` says what kind of error a missed or false
    row is: missed, wrong class (both rows of the pair), on other, doubled, invented; else "".
    `in_tumor` says for a detection whether the mask lets it through: False is what the mask removes,
    None where there is no mask.
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
    fault: Fault = ""
    in_tumor: bool | None = None


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
    faults = _faults(nuclei, truth_um, found_um, sides=(positive, negative))
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
        faults=faults.total,
    )
    rows = [row for side in (positive, negative) for row in _rows(side, faults, nuclei, found, mpp=mpp)]
    seen = {index for side in (positive, negative) for index in (*side.pairs[:, 1], *side.false)}
    rows += [
        _row(nuclei, found, outcome="ignored", found_at=i) for i in range(len(everything)) if i not in seen
    ]
    rows += [
        _row(nuclei, found, outcome="not counted", truth_at=int(i))
        for i in np.flatnonzero(_not_tumor(nuclei))
    ]
    return counts, tuple(rows)


def found_tumor(nuclei: Nuclei, found_xy_px: npt.NDArray[np.float64], *, mpp: float) -> npt.NDArray[np.bool_]:
    """Which of the true tumor nuclei (positive or negative, in their order) have a detection of any class."""
    truth = nuclei.of(Kind.POSITIVE, Kind.NEGATIVE)
    return np.asarray(match(truth * mpp, found_xy_px * mpp, radius=RADIUS_UM) != NONE)


def class_aware(nuclei: Nuclei, found: Found, *, mpp: float) -> Tally:
    """The class-aware tally at 4.0 µm alone, for counting many times."""
    return _class_aware(nuclei, found, mpp=mpp, radius=RADIUS_UM)


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
    ignored = on_unknown(nuclei, truth_um, found_um[own[free]], outside=kinds, radius=radius)
    false = free[~ignored]
    return _Class(
        truth=truth,
        found=own,
        pairs=np.column_stack((truth[hit], own[partner[hit]])),
        missed=truth[~hit],
        false=own[false],
    )


def on_unknown(
    nuclei: Nuclei,
    truth_um: npt.NDArray[np.float64],
    free_um: npt.NDArray[np.float64],
    *,
    outside: tuple[Kind, ...],
    radius: float,
) -> npt.NDArray[np.bool_]:
    """Which of the detections left over fall to a nucleus of unknown kind, among all `outside` the class."""
    ignored = np.zeros(len(free_um), bool)
    if not (nuclei.kind == Kind.UNKNOWN).any():
        return ignored
    rest = np.flatnonzero(~np.isin(nuclei.kind, [int(kind) for kind in outside]))
    partner = match(truth_um[rest], free_um, radius=radius)
    unknown = (partner != NONE) & (nuclei.kind[rest] == Kind.UNKNOWN)
    ignored[partner[unknown]] = True
    return ignored


@dataclass(frozen=True)
class _Faults:
    """The kind of error of every true nucleus and of every detection ("" for none), and their sums."""

    of_truth: tuple[Fault, ...]
    of_found: tuple[Fault, ...]

    @property
    def total(self) -> Faults:
        truth, found = Counter(self.of_truth), Counter(self.of_found)
        return Faults(
            missed=truth["missed"],
            wrong_class=truth["wrong class"],
            on_other=found["on other"],
            doubled=found["doubled"],
            invented=found["invented"],
        )


def _faults(
    nuclei: Nuclei,
    truth_um: npt.NDArray[np.float64],
    found_um: npt.NDArray[np.float64],
    *,
    sides: tuple[_Class, _Class],
) -> _Faults:
    """Missed and false ones that lie together are one nucleus in the wrong class; for the other false ones
    the nearest nucleus within the radius says what happened.
    """
    of_truth: list[Fault] = [""] * len(truth_um)
    of_found: list[Fault] = [""] * len(found_um)
    missed = np.concatenate([side.missed for side in sides])
    false = np.concatenate([side.false for side in sides])
    partner = match(truth_um[missed], found_um[false], radius=RADIUS_UM)
    for truth_at, found_at in zip(missed, partner, strict=True):
        of_truth[truth_at] = "missed" if found_at == NONE else "wrong class"
        if found_at != NONE:
            of_found[false[found_at]] = "wrong class"
    rest = np.array([index for index in false if not of_found[index]], np.int64)
    known = np.flatnonzero(nuclei.kind != Kind.UNKNOWN)
    if len(rest) and len(known):
        distance, nearest = cKDTree(truth_um[known]).query(found_um[rest], distance_upper_bound=RADIUS_UM)
        near = np.isfinite(distance)
        other = np.zeros(len(rest), bool)
        other[near] = nuclei.kind[known[nearest[near]]] == Kind.OTHER
    else:
        near = other = np.zeros(len(rest), bool)
    for index, is_near, is_other in zip(rest, near, other, strict=True):
        of_found[index] = "on other" if is_other else "doubled" if is_near else "invented"
    return _Faults(tuple(of_truth), tuple(of_found))


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


def _rows(side: _Class, faults: _Faults, nuclei: Nuclei, found: Found, *, mpp: float) -> list[MatchRow]:
    rows = [
        _row(nuclei, found, outcome="matched", truth_at=int(i), found_at=int(j), mpp=mpp)
        for i, j in side.pairs
    ]
    rows += [
        _row(nuclei, found, outcome="missed", truth_at=int(i), fault=faults.of_truth[i]) for i in side.missed
    ]
    rows += [
        _row(nuclei, found, outcome="false", found_at=int(j), fault=faults.of_found[j]) for j in side.false
    ]
    return rows


def _row(
    nuclei: Nuclei,
    found: Found,
    *,
    outcome: str,
    truth_at: int | None = None,
    found_at: int | None = None,
    mpp: float = 1.0,
    fault: Fault = "",
) -> MatchRow:
    truth = None if truth_at is None else nuclei.xy_px[truth_at]
    place = None if found_at is None else found.xy_px[found_at]
    let_through = None if found_at is None or found.in_tumor is None else bool(found.in_tumor[found_at])
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
        fault=fault,
        in_tumor=let_through,
    )
