"""What the nets learn to paint: class masks from centroids and outlines, tumor masks from centroids."""

from __future__ import annotations

import numpy as np

from ki67.training.folder import Kind
from ki67.training.targets import (
    AT_OTHER,
    AT_TUMOR,
    BACKGROUND,
    IGNORED,
    NEGATIVE_MEMBRANE,
    NEGATIVE_NUCLEUS,
    OTHER_NUCLEUS,
    POSITIVE_MEMBRANE,
    POSITIVE_NUCLEUS,
    called_tumor,
    cells_from_outlines,
    cells_from_points,
    derived_tumor,
    labels_from_areas,
    tumor_from_drawn,
)

MPP = 0.5


def points(*xy: tuple[float, float]) -> np.ndarray:
    return np.array(xy, np.float64).reshape(-1, 2)


def kinds(*names: Kind) -> np.ndarray:
    return np.array(names, np.int8)


def test_a_centroid_becomes_a_disc_of_2_1_um_and_a_ring_out_to_3_2_um() -> None:
    mask = cells_from_points(points((20, 20)), kinds(Kind.POSITIVE), width=41, height=41, mpp=MPP)
    rows, cols = np.mgrid[:41, :41]
    distance_um = np.hypot(rows - 20, cols - 20) * MPP
    assert np.array_equal(mask == POSITIVE_NUCLEUS, distance_um <= 2.1)
    assert np.array_equal(mask == POSITIVE_MEMBRANE, (distance_um > 2.1) & (distance_um <= 3.2))
    assert set(np.unique(mask)) == {BACKGROUND, POSITIVE_NUCLEUS, POSITIVE_MEMBRANE}


def test_two_touching_cells_are_kept_apart_by_membrane_of_their_own_class() -> None:
    mask = cells_from_points(
        points((16, 20), (23, 20)), kinds(Kind.POSITIVE, Kind.NEGATIVE), width=41, height=41, mpp=MPP
    )
    line = mask[20, 14:26].tolist()
    assert mask[20, 16] == POSITIVE_NUCLEUS
    assert mask[20, 23] == NEGATIVE_NUCLEUS
    assert mask[20, 19] == POSITIVE_MEMBRANE
    assert mask[20, 20] == NEGATIVE_MEMBRANE
    between = line[line.index(POSITIVE_MEMBRANE) : line.index(NEGATIVE_MEMBRANE) + 1]
    assert POSITIVE_NUCLEUS not in between
    assert NEGATIVE_NUCLEUS not in between


def test_other_nuclei_are_background_and_cut_into_their_neighbour_and_unknown_ones_are_ignored() -> None:
    xy = points((10, 20), (30, 20))
    mask = cells_from_points(xy, kinds(Kind.OTHER, Kind.UNKNOWN), width=41, height=41, mpp=MPP)
    assert set(np.unique(mask[:, :20])) == {BACKGROUND, OTHER_NUCLEUS}
    assert mask[20, 10] == OTHER_NUCLEUS
    assert mask[20, 30] == IGNORED
    near = cells_from_points(
        points((18, 20), (22, 20)), kinds(Kind.NEGATIVE, Kind.OTHER), width=41, height=41, mpp=MPP
    )
    assert near[20, 18] == NEGATIVE_NUCLEUS
    assert near[20, 22] == OTHER_NUCLEUS
    assert near[20, 21] == OTHER_NUCLEUS


def test_no_nuclei_give_an_empty_mask() -> None:
    assert not cells_from_points(points(), kinds(), width=9, height=7, mpp=MPP).any()


def test_outlines_give_a_core_around_the_centroid_and_membrane_for_the_rest() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[10:50, 20:36] = 1
    mask = cells_from_outlines(labels, kinds(Kind.UNKNOWN, Kind.NEGATIVE), mpp=MPP)
    rows, cols = np.nonzero(mask == NEGATIVE_NUCLEUS)
    assert np.hypot(rows - 29.5, cols - 27.5).max() * MPP <= 2.5
    assert abs(rows.mean() - 29.5) < 0.5
    assert mask[12, 28] == NEGATIVE_MEMBRANE
    assert mask[9, 28] == NEGATIVE_MEMBRANE
    assert mask[8, 28] == BACKGROUND


def test_touching_outlines_stay_apart_and_outlines_without_a_row_are_ignored() -> None:
    labels = np.zeros((30, 40), np.int32)
    labels[8:22, 6:16] = 1
    labels[8:22, 16:26] = 2
    labels[8:22, 30:38] = 3
    mask = cells_from_outlines(
        labels, kinds(Kind.UNKNOWN, Kind.POSITIVE, Kind.NEGATIVE, Kind.UNKNOWN), mpp=MPP
    )
    assert mask[15, 15] == POSITIVE_MEMBRANE
    assert mask[15, 16] == NEGATIVE_MEMBRANE
    assert mask[15, 11] == POSITIVE_NUCLEUS
    assert mask[15, 21] == NEGATIVE_NUCLEUS
    assert mask[15, 34] == IGNORED


def test_areas_without_labels_are_shared_out_by_the_nearest_centroid() -> None:
    area = np.zeros((20, 40), bool)
    area[5:15, 4:24] = True
    area[5:15, 32:38] = True
    labels = labels_from_areas(area, points((8, 10), (19, 10)))
    assert labels[10, 5] == 1
    assert labels[10, 22] == 2
    assert labels[10, 13] == 1
    assert labels[10, 14] == 2
    assert not labels[:, 32:].any()


def test_a_derived_mask_is_tumor_near_tumor_nuclei_and_claims_nothing_in_between() -> None:
    mask = derived_tumor(
        points((40, 40), (60, 40)), kinds(Kind.NEGATIVE, Kind.OTHER), width=160, height=80, mpp=MPP
    )
    assert mask[40, 40] == AT_TUMOR
    assert mask[40, 40 - 9] == AT_TUMOR  # 4.5 µm to the left
    assert mask[40, 40 - 16] == 1  # 8 µm to the left
    assert mask[40, 40 - 18] == IGNORED
    assert mask[40, 40 - 34] == 0  # 17 µm to the left
    assert mask[40, 49] == AT_TUMOR
    assert mask[40, 51] == AT_OTHER  # nearer to the other nucleus
    assert mask[40, 150] == 0


def test_without_tumor_nuclei_a_derived_mask_holds_no_tumor() -> None:
    mask = derived_tumor(points((5, 5)), kinds(Kind.OTHER), width=40, height=40, mpp=MPP)
    assert not called_tumor(mask).any()
    assert mask[5, 5] == AT_OTHER
    assert mask[30, 30] == 0


def test_a_derived_mask_claims_nothing_on_a_nucleus_of_unknown_kind() -> None:
    mask = derived_tumor(
        points((40, 40), (50, 40)), kinds(Kind.NEGATIVE, Kind.UNKNOWN), width=80, height=80, mpp=MPP
    )
    assert mask[40, 40] == AT_TUMOR
    assert mask[40, 50] == IGNORED


def test_a_drawn_mask_keeps_its_three_meanings() -> None:
    assert tumor_from_drawn(np.array([[0, 128, 255]], np.uint8)).tolist() == [[0, IGNORED, 1]]
