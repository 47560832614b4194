"""Step 2: nuclei from the class probabilities of a tile.

A nucleus is a peak of the two nucleus classes together; the membrane classes, which take
probability from them, part nuclei that touch.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ki67.pipeline.tiling import Tile
from ki67.types import Candidates, FloatArray

CLASS_RADIUS_PX = 2  # the class is read over a disc of 1 µm around the peak
BORDER_BAND_PX = 2  # neighbours both report a nucleus this close to their common border


@dataclass(frozen=True)
class PeakRules:
    """How peaks are found, in net pixels; `floor` is the lowest score kept."""

    smoothing_px: float
    min_distance_px: float
    floor: float


def find_nuclei(probabilities: FloatArray, rules: PeakRules) -> Candidates:
    """Nuclei of one tile, in its own pixels ((0, 0) the centre of the first), ordered by y, then x.

    `probabilities` is 2×H×W: positive and negative nucleus. The score of a nucleus is the smoothed
    sum of the two at the peak; the larger class score equals it, the smaller stands to it as the two
    classes stand to each other on a small disc around the peak.
    """
    heat = _smooth(probabilities[0] + probabilities[1], rules.smoothing_px)
    x, y = _peaks(heat, rules.floor)
    cols = np.minimum(np.rint(x).astype(np.intp), heat.shape[1] - 1)
    rows = np.minimum(np.rint(y).astype(np.intp), heat.shape[0] - 1)
    score = np.clip(heat[rows, cols], 0, 1)
    keep = strongest(x, y, score, min_distance=rules.min_distance_px)
    x, y, score, cols, rows = x[keep], y[keep], score[keep], cols[keep], rows[keep]
    positive, negative = (_disc_mean(channel, rows, cols) for channel in probabilities)
    larger = np.maximum(np.maximum(positive, negative), np.float32(1e-12))
    scale = np.asarray(score / larger, np.float32)
    order = np.lexsort((x, y))
    return Candidates(
        x_px=x[order],
        y_px=y[order],
        positive_score=(positive * scale)[order],
        negative_score=(negative * scale)[order],
    )


def strongest(
    x: FloatArray, y: FloatArray, score: FloatArray, *, min_distance: float, settled: int = 0
) -> npt.NDArray[np.bool_]:
    """Which points stay when every point closer than `min_distance` to a stronger one that stays goes.

    Ties go to the upper, then the left point. The first `settled` points are never dropped.
    """
    keep = np.ones(len(x), bool)
    if len(x) < 2:
        return keep
    newer = np.arange(len(x)) >= settled
    rank = np.empty(len(x), np.intp)
    rank[np.lexsort((x, y, -score, newer))] = np.arange(len(x))
    pairs = cKDTree(np.column_stack((x, y))).query_pairs(min_distance, output_type="ndarray")
    if not len(pairs):
        return keep
    first_wins = rank[pairs[:, 0]] < rank[pairs[:, 1]]
    winner = np.where(first_wins, pairs[:, 0], pairs[:, 1])
    loser = np.where(first_wins, pairs[:, 1], pairs[:, 0])
    for index in np.argsort(rank[winner], kind="stable"):
        if keep[winner[index]] and loser[index] >= settled:
            keep[loser[index]] = False
    return keep


def owned(found: Candidates, tile: Tile) -> Candidates:
    """The nuclei of a tile that lie in its core or a hair beyond, moved to net pixels.

    Two tiles may see a nucleus near their border on different sides of it. Both report it, none can
    lose it, and `strongest` over the whole picture leaves one.
    """
    x, y = found.x_px + np.float32(tile.x.start), found.y_px + np.float32(tile.y.start)
    inside = np.ones(len(found), bool)
    for span, at in ((tile.x, x + np.float32(0.5)), (tile.y, y + np.float32(0.5))):
        low = span.core_start - (BORDER_BAND_PX if span.fade_in else 0)
        high = span.core_stop + (BORDER_BAND_PX if span.fade_out else 0)
        inside &= (at >= low) & (at < high)
    return Candidates(x[inside], y[inside], found.positive_score[inside], found.negative_score[inside])


def joined(parts: list[Candidates]) -> Candidates:
    """Several lists of nuclei as one, in their order."""
    names = ("x_px", "y_px", "positive_score", "negative_score")
    empty = np.zeros(0, np.float32)
    return Candidates(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in names))


def chosen(candidates: Candidates, keep: npt.NDArray[np.bool_]) -> Candidates:
    """The nuclei that `keep` marks, in their order."""
    return Candidates(
        candidates.x_px[keep],
        candidates.y_px[keep],
        candidates.positive_score[keep],
        candidates.negative_score[keep],
    )


def _smooth(values: FloatArray, sigma: float) -> FloatArray:
    if sigma <= 0:
        return values
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _peaks(heat: FloatArray, floor: float) -> tuple[FloatArray, FloatArray]:
    """Local maxima of at least `floor`: x and y, refined to a fraction of a pixel.

    Neighbouring pixels of equal height make one peak at their middle.
    """
    highest = cv2.dilate(heat, np.ones((3, 3), np.uint8))
    peak = ((heat >= highest) & (heat >= floor)).astype(np.uint8)
    _, _, stats, middles = cv2.connectedComponentsWithStats(peak, connectivity=8, ltype=cv2.CV_32S)
    area, middles = stats[1:, cv2.CC_STAT_AREA], middles[1:]
    x, y = middles[:, 0].astype(np.float32), middles[:, 1].astype(np.float32)
    single = area == 1
    cols, rows = x[single].astype(np.intp), y[single].astype(np.intp)
    bordered = np.pad(heat, 1, mode="edge")
    middle = heat[rows, cols]
    x[single] += _vertex(bordered[rows + 1, cols], middle, bordered[rows + 1, cols + 2])
    y[single] += _vertex(bordered[rows, cols + 1], middle, bordered[rows + 2, cols + 1])
    return x, y


def _vertex(before: FloatArray, middle: FloatArray, after: FloatArray) -> FloatArray:
    """Where a parabola through three neighbours peaks, from the middle one, within half a pixel."""
    bend = 2 * (2 * middle - before - after)
    rise = np.divide(after - before, bend, out=np.zeros_like(bend), where=bend > 1e-6)
    return np.asarray(np.clip(rise, -0.5, 0.5), np.float32)


def _disc_mean(values: FloatArray, rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]) -> FloatArray:
    """Mean over a small disc around each point; beyond the border the nearest pixel stands in."""
    reach = range(-CLASS_RADIUS_PX, CLASS_RADIUS_PX + 1)
    disc = [(dy, dx) for dy in reach for dx in reach if dx * dx + dy * dy <= CLASS_RADIUS_PX**2]
    height, width = values.shape
    total = np.zeros(len(rows), np.float32)
    for dy, dx in disc:
        total += values[np.clip(rows + dy, 0, height - 1), np.clip(cols + dx, 0, width - 1)]
    return total / np.float32(len(disc))
