"""Scaling by a fixed grid: an output pixel has one value, whichever rectangle asks for it.

The grid starts at the picture's corner. Along one axis, output pixel i covers [i * p, (i + 1) * p) in
source pixels (edge coordinates). Every output pixel is the same sum of the same taps in the same order,
so rectangles computed apart fit together without a seam.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse

from ki67.types import ByteArray

WHITE = 255


@dataclass(frozen=True)
class Taps:
    """How outputs `start` … along one axis are made of the source pixels `first` … `first + length`.

    `weights` is outputs × length; `outside` marks outputs that lie outside the picture (white).
    """

    first: int
    length: int
    weights: sparse.csr_matrix
    outside: npt.NDArray[np.bool_]


def area_taps(start: int, count: int, *, px_per_out: float) -> Taps:
    """Area averages, for `px_per_out` >= 1: each source pixel weighs by the part of it that is covered."""
    edges = (start + np.arange(count + 1, dtype=np.float64)) * px_per_out
    low, high = edges[:-1, None], edges[1:, None]
    taps = math.ceil(px_per_out) + 1
    sources = np.floor(low).astype(np.int64) + np.arange(taps)
    covered = np.clip(np.minimum(high, sources + 1) - np.maximum(low, sources), 0, None)
    first = math.floor(edges[0])
    length = max(1, math.ceil(edges[-1]) - first)
    return Taps(first, length, _matrix(sources - first, covered / px_per_out, length), np.zeros(count, bool))


def bilinear_taps(start: int, count: int, *, px_per_out: float, size: int) -> Taps:
    """Linear interpolation between pixel centres, for `px_per_out` < 1; border pixels reach to the edge."""
    centres = (start + np.arange(count, dtype=np.float64) + 0.5) * px_per_out
    below = np.floor(centres - 0.5)
    fraction = centres - 0.5 - below
    sources = np.clip(np.stack([below, below + 1], axis=1).astype(np.int64), 0, size - 1)
    first, last = int(sources.min()), int(sources.max())
    weights = np.stack([1 - fraction, fraction], axis=1)
    outside = (centres < 0) | (centres >= size)
    return Taps(first, last - first + 1, _matrix(sources - first, weights, last - first + 1), outside)


def _matrix(
    columns: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], length: int
) -> sparse.csr_matrix:
    count = len(columns)
    kept = weights > 0
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return sparse.csr_matrix((weights[kept].astype(np.float32), columns[kept], starts), shape=(count, length))


def apply_taps(pixels: ByteArray, rows: Taps, columns: Taps) -> ByteArray:
    """Scales H×W×3 pixels (H = `rows.length`, W = `columns.length`) to rows × columns outputs."""
    height, width, channels = pixels.shape
    tall = rows.weights @ pixels.reshape(height, width * channels).astype(np.float32)
    turned = cv2.transpose(tall.reshape(-1, width, channels))
    wide = columns.weights @ turned.reshape(width, -1)
    rounded = cv2.convertScaleAbs(wide.reshape(-1, tall.shape[0], channels))
    out = np.asarray(cv2.transpose(rounded), np.uint8)
    out[rows.outside] = WHITE
    out[:, columns.outside] = WHITE
    return out


def block_mean(pixels: ByteArray, factor: int) -> ByteArray:
    """Means of `factor` × `factor` blocks: area averages for a whole `px_per_out`."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    return np.asarray(
        cv2.resize(pixels, (width // factor, height // factor), interpolation=cv2.INTER_AREA), np.uint8
    )
