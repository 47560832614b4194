"""Optimal one-to-one matching of found nuclei to true ones, within a radius.

Among all one-to-one matchings with every pair at most `radius` apart, the one with the most pairs is
taken and, among those, the one with the smallest sum of distances. Pairs within reach fall into small
connected groups; the assignment problem (Hungarian method) is solved in each, so that large fields
stay fast and the answer is that of the whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

NONE = -1
_OUT_OF_REACH = 1e6


def match(
    truth: npt.NDArray[np.float64], found: npt.NDArray[np.float64], *, radius: float
) -> npt.NDArray[np.int64]:
    """For each true point (N×2) the index of its partner among `found` (M×2), -1 without one.

    `radius` in the unit of the points; a pair exactly `radius` apart may match.
    """
    partner = np.full(len(truth), NONE, np.int64)
    if not len(truth) or not len(found):
        return partner
    near = cKDTree(truth).query_ball_point(found, radius)
    cols = np.repeat(np.arange(len(found)), [len(rows) for rows in near])
    rows = np.concatenate([np.asarray(each, np.int64) for each in near])
    if not len(rows):
        return partner
    size = len(truth) + len(found)
    graph = coo_matrix((np.ones(len(rows)), (rows, cols + len(truth))), shape=(size, size))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[rows], kind="stable")
    borders = np.flatnonzero(np.diff(group[rows][order])) + 1
    for pairs in np.split(order, borders):
        _assign(partner, truth, found, rows[pairs], cols[pairs])
    return partner


def _assign(
    partner: npt.NDArray[np.int64],
    truth: npt.NDArray[np.float64],
    found: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
) -> None:
    """Solve one connected group; writes into `partner`."""
    own_rows, row = np.unique(rows, return_inverse=True)
    own_cols, col = np.unique(cols, return_inverse=True)
    cost = np.full((len(own_rows), len(own_cols)), _OUT_OF_REACH)
    cost[row, col] = np.linalg.norm(truth[rows] - found[cols], axis=1)
    best_rows, best_cols = linear_sum_assignment(cost)
    real = cost[best_rows, best_cols] < _OUT_OF_REACH
    partner[own_rows[best_rows[real]]] = own_cols[best_cols[real]]
