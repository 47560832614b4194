"""What the nets shall learn to paint: five cell classes and a tumor mask, at the pixel size of the nets.

Cells from centroids: the nucleus is a disc of 2.1 µm, its membrane a ring out to 3.2 µm. A pixel
belongs to its nearest centre; where two centres are almost equally near it is membrane, so touching
nuclei stay apart. Cells from outlines: the nucleus is the part of the outline within 2.5 µm of its
centroid and more than 0.3 µm from its edge (so that discs and outlines teach the same peak), the
membrane the rest of the outline and 0.5 µm around it.
Tumor from centroids ("derived"): a pixel is tumor when its nearest nucleus is a tumor nucleus at most
8 µm away; not tumor when the nearest is another nucleus at most 8 µm away, or no tumor nucleus lies
within 16 µm; in between, and around nuclei of unknown kind, nothing is claimed. The mask is asked where
nuclei lie (the rule of counting): its pixels within 5 µm of one are marked, the loss weighs them more.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from ki67.training.folder import TUMOR_KINDS, Kind
from ki67.types import ByteArray

BACKGROUND, POSITIVE_NUCLEUS, POSITIVE_MEMBRANE, NEGATIVE_NUCLEUS, NEGATIVE_MEMBRANE = range(5)
CELL_CLASSES = (
    "background",
    "positive nucleus",
    "positive membrane",
    "negative nucleus",
    "negative membrane",
)
OTHER_NUCLEUS = 5  # background to the net, marked so that the loss can weigh it
IGNORED = 255
NOT_TUMOR, TUMOR, AT_OTHER, AT_TUMOR = range(4)  # tumor mask; the last two: at a nucleus of that kind

NUCLEUS_RADIUS_UM = 2.1
MEMBRANE_RADIUS_UM = 3.2
BETWEEN_UM = 0.75
CORE_RADIUS_UM = 2.5
EDGE_UM = 0.3
AROUND_OUTLINE_UM = 0.5
DERIVED_TUMOR_UM = 8.0
DERIVED_STROMA_UM = 16.0
AT_NUCLEUS_UM = 5.0

_NUCLEUS_CLASS = np.full(5, IGNORED, np.uint8)
_NUCLEUS_CLASS[[Kind.POSITIVE, Kind.NEGATIVE, Kind.OTHER]] = (
    POSITIVE_NUCLEUS,
    NEGATIVE_NUCLEUS,
    OTHER_NUCLEUS,
)
_MEMBRANE_CLASS = np.full(5, IGNORED, np.uint8)
_MEMBRANE_CLASS[[Kind.POSITIVE, Kind.NEGATIVE, Kind.OTHER]] = (
    POSITIVE_MEMBRANE,
    NEGATIVE_MEMBRANE,
    OTHER_NUCLEUS,
)


def cells_from_points(
    xy: npt.NDArray[np.float64], kind: npt.NDArray[np.int8], *, width: int, height: int, mpp: float
) -> ByteArray:
    """Five class mask, height × width, from centroids in pixels of `mpp` µm.

    Nuclei of unknown kind are 255, those that are not tumor `OTHER_NUCLEUS`.
    """
    target = np.zeros((height, width), np.uint8)
    if not len(xy):
        return target
    distance, nearest = _two_nearest(xy, width=width, height=height, limit=(MEMBRANE_RADIUS_UM + 1.0) / mpp)
    first, second = distance[..., 0] * mpp, distance[..., 1] * mpp
    owner = kind[np.minimum(nearest[..., 0], len(kind) - 1)]
    cell = first <= MEMBRANE_RADIUS_UM
    nucleus = (first <= NUCLEUS_RADIUS_UM) & (second > first + BETWEEN_UM)
    target[cell] = _MEMBRANE_CLASS[owner[cell]]
    target[nucleus] = _NUCLEUS_CLASS[owner[nucleus]]
    return target


def cells_from_outlines(
    labels: npt.NDArray[np.int32], kind_of: npt.NDArray[np.int8], *, mpp: float
) -> ByteArray:
    """Five class mask from a label map (H×W) whose label i is a nucleus of kind `kind_of[i]` (0: none)."""
    inside = labels > 0
    apart = _different_neighbour(labels)
    depth_um = cv2.distanceTransform((inside & ~apart).astype(np.uint8), cv2.DIST_L2, 5) * mpp
    rows, cols = np.mgrid[: labels.shape[0], : labels.shape[1]]
    present = np.unique(labels[inside])
    centres = np.zeros((len(kind_of), 2))
    centres[present] = np.reshape(ndimage.center_of_mass(inside, labels, present), (-1, 2))
    from_centre_um = np.hypot(rows - centres[labels, 0], cols - centres[labels, 1]) * mpp
    core = inside & (depth_um > EDGE_UM) & (from_centre_um <= CORE_RADIUS_UM)
    away, (near_row, near_col) = ndimage.distance_transform_edt(~inside, return_indices=True)
    owner = kind_of[labels[near_row, near_col]]
    cell = inside | (away * mpp <= AROUND_OUTLINE_UM)
    target = np.zeros(labels.shape, np.uint8)
    if inside.any():
        target[cell] = _MEMBRANE_CLASS[owner[cell]]
        target[core] = _NUCLEUS_CLASS[owner[core]]
    return target


def labels_from_areas(area: npt.NDArray[np.bool_], xy: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Label map from nucleus areas without labels: each pixel goes to the nearest centroid (index + 1).

    Areas that hold no centroid of their own within 6 px are left out (label 0).
    """
    labels = np.zeros(area.shape, np.int32)
    if not len(xy):
        return labels
    rows, cols = np.nonzero(area)
    distance, nearest = cKDTree(xy).query(np.column_stack((cols, rows)))
    labels[rows, cols] = nearest + 1
    parts, count = ndimage.label(area)
    reach = ndimage.minimum(_scatter(area.shape, rows, cols, distance), parts, np.arange(count + 1))
    labels[(np.asarray(reach) > 6)[parts]] = 0
    return labels


def derived_tumor(
    xy: npt.NDArray[np.float64], kind: npt.NDArray[np.int8], *, width: int, height: int, mpp: float
) -> ByteArray:
    """Tumor mask derived from centroids in pixels of `mpp` µm.

    1 and 3 are tumor, 0 and 2 are not, 255 is ignored; 3 and 2 lie at a nucleus.
    """
    known = kind != Kind.UNKNOWN
    unknown = xy[~known]
    xy, is_tumor = xy[known], np.isin(kind[known], TUMOR_KINDS)
    if not is_tumor.any():
        empty = np.zeros((height, width), np.uint8)
        if len(xy):
            empty[_distance_to(xy, width=width, height=height) * mpp <= AT_NUCLEUS_UM] = AT_OTHER
        return _unclaimed(empty, unknown, mpp=mpp)
    to_tumor = _distance_to(xy[is_tumor], width=width, height=height) * mpp
    mask = np.full((height, width), IGNORED, np.uint8)
    mask[to_tumor > DERIVED_STROMA_UM] = 0
    to_other = (
        _distance_to(xy[~is_tumor], width=width, height=height) * mpp
        if not is_tumor.all()
        else np.full_like(to_tumor, np.inf)
    )
    mask[(to_tumor <= DERIVED_TUMOR_UM) & (to_tumor <= to_other)] = 1
    mask[(to_other <= DERIVED_TUMOR_UM) & (to_other < to_tumor)] = 0
    mask[(to_tumor <= AT_NUCLEUS_UM) & (to_tumor <= to_other)] = AT_TUMOR
    mask[(to_other <= AT_NUCLEUS_UM) & (to_other < to_tumor)] = AT_OTHER
    return _unclaimed(mask, unknown, mpp=mpp)


def called_tumor(target: ByteArray) -> npt.NDArray[np.bool_]:
    """Where a tumor target says tumor, at a nucleus or elsewhere."""
    return np.asarray((target == TUMOR) | (target == AT_TUMOR))


def tumor_from_drawn(mask: ByteArray) -> ByteArray:
    """Drawn mask (255 tumor, 0 not, 128 not annotated) → 1, 0, 255 (ignored)."""
    return np.where(mask == 255, 1, np.where(mask == 128, IGNORED, 0)).astype(np.uint8)


def _unclaimed(mask: ByteArray, unknown: npt.NDArray[np.float64], *, mpp: float) -> ByteArray:
    """Nothing is claimed within a nucleus's reach of one whose kind is unknown."""
    if len(unknown):
        mask[_distance_to(unknown, width=mask.shape[1], height=mask.shape[0]) * mpp <= MEMBRANE_RADIUS_UM] = (
            IGNORED
        )
    return mask


def _two_nearest(
    xy: npt.NDArray[np.float64], *, width: int, height: int, limit: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    rows, cols = np.mgrid[:height, :width]
    grid = np.column_stack((cols.ravel(), rows.ravel()))
    distance, nearest = cKDTree(xy).query(grid, k=2, distance_upper_bound=limit)
    return distance.reshape(height, width, 2), nearest.reshape(height, width, 2)


def _distance_to(xy: npt.NDArray[np.float64], *, width: int, height: int) -> npt.NDArray[np.float32]:
    empty = np.ones((height, width), np.uint8)
    cols = np.clip(np.rint(xy[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.rint(xy[:, 1]).astype(int), 0, height - 1)
    empty[rows, cols] = 0
    return np.asarray(cv2.distanceTransform(empty, cv2.DIST_L2, 5), np.float32)


def _different_neighbour(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    highest = ndimage.maximum_filter(labels, 3)
    lowest = -ndimage.maximum_filter(np.where(labels > 0, -labels, np.iinfo(np.int32).min), 3)
    return np.asarray((labels > 0) & (highest != lowest))


def _scatter(
    shape: tuple[int, ...],
    rows: npt.NDArray[np.int64],
    cols: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    plane = np.full(shape, np.inf)
    plane[rows, cols] = values
    return plane
