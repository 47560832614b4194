"""The hot spot: found where planted, wholly in tissue, half tumor, 500 nuclei; and its expected maximum."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ki67.index import wilson
from ki67.pipeline.measure import measure
from ki67.types import Parameters, Rect
from tests.records import make_record, scattered

SIDE_PX = 4000  # 2 mm at 0.5 µm/px


def planted(seed: int = 0, *, count: int = 20_000, at=(2500, 1500), radius_px=500):
    """10 % everywhere, 60 % within a disc."""
    rng = np.random.default_rng(seed + 1000)
    x, y = scattered(count, width_px=SIDE_PX, height_px=SIDE_PX, seed=seed)
    inside = np.hypot(x - at[0], y - at[1]) < radius_px
    return x, y, rng.random(count) < np.where(inside, 0.6, 0.1)


def spot_of(x, y, positive, **kwargs):
    return measure(make_record(x, y, positive, width_px=SIDE_PX, height_px=SIDE_PX, **kwargs))


def test_the_hot_spot_lies_where_it_was_planted_and_counts_its_circle():
    x, y, positive = planted()
    spot = spot_of(x, y, positive).hot_spot
    assert math.hypot(spot.x_px - 2500, spot.y_px - 1500) < 150
    assert spot.area_mm2 == pytest.approx(0.2)
    assert spot.radius_um == pytest.approx(252.3, abs=0.05)
    inside = np.hypot(x - spot.x_px, y - spot.y_px) <= spot.radius_um / 0.5
    assert spot.positive == np.count_nonzero(positive & inside)
    assert spot.positive + spot.negative == np.count_nonzero(inside) >= 500
    counting = wilson(spot.positive, spot.negative)
    assert spot.interval.low <= counting.low
    assert spot.interval.high >= counting.high


def test_the_circle_grows_until_it_holds_500_nuclei():
    for count, area in ((20_000, 0.2), (6000, 0.4), (3200, 0.8)):
        x, y, positive = planted(count=count)
        assert spot_of(x, y, positive).hot_spot.area_mm2 == pytest.approx(area)


def test_a_sparse_tumor_has_no_hot_spot_and_says_why():
    x, y, positive = planted(count=1500)
    measurement = spot_of(x, y, positive)
    assert measurement.hot_spot is None
    assert measurement.hot_spot_reason == "no circle of 0.8 mm² in the tumor holds 500 tumor nuclei"


def test_a_region_smaller_than_the_circle_has_none():
    x, y = scattered(3000, width_px=900, height_px=900, seed=0)
    measurement = measure(make_record(x, y, x < 90, width_px=900, height_px=900))
    assert measurement.hot_spot is None
    assert measurement.hot_spot_reason == "no circle of 0.8 mm² lies wholly in the tissue and in the region"


def test_a_spot_whose_circle_would_leave_the_tissue_is_moved_inside():
    x, y, positive = planted(at=(500, 2000))
    tissue = np.full((1000, 1000), 255, np.uint8)
    tissue[:, :100] = 0  # glass left of x = 400
    spot = spot_of(x, y, positive, tissue=tissue).hot_spot
    assert spot.x_px - spot.radius_um / 0.5 >= 399.5
    assert spot.x_px < 1100


def test_a_small_lumen_is_tissue_and_a_large_hole_is_not():
    x, y, positive = planted()
    tissue = np.full((1000, 1000), 255, np.uint8)
    tissue[355:395, 605:645] = 0  # 80 µm a side in the middle of the spot
    assert math.hypot(*_offset(spot_of(x, y, positive, tissue=tissue).hot_spot)) < 150
    tissue[300:450, 550:700] = 0  # 300 µm
    assert math.hypot(*_offset(spot_of(x, y, positive, tissue=tissue).hot_spot)) > 500


def _offset(spot):
    return spot.x_px - 2500, spot.y_px - 1500


def test_a_circle_that_is_less_than_half_tumor_does_not_qualify():
    x, y, positive = planted(count=60_000)
    tumor = np.full((1000, 1000), 255, np.uint8)
    tumor[:, :650] = 0  # tumor only right of x = 2600
    spot = spot_of(x, y, positive, tumor=tumor).hot_spot
    assert spot.x_px >= 2590
    tumor[:, :] = 0
    tumor[::4, :] = 255  # a quarter of the area everywhere
    measurement = spot_of(x, y, positive, tumor=tumor)
    assert measurement.hot_spot is None
    assert measurement.hot_spot_reason == "no circle of 0.8 mm² in the tissue is at least half tumor"


def test_the_circle_stays_inside_a_drawn_region():
    x, y, positive = planted()
    parameters = Parameters(roi=Rect(1000, 0, 1300, 4000))
    spot = spot_of(x, y, positive, parameters=parameters).hot_spot
    radius_px = spot.radius_um / 0.5
    assert spot.x_px - radius_px >= 999.5
    assert spot.x_px + radius_px <= 2299.5


@pytest.mark.parametrize(("share", "low", "high"), [(0.10, 0.138, 0.152), (0.03, 0.050, 0.059)])
def test_a_homogeneous_tumor_of_20000_nuclei_is_expected_to_read_well_above_its_index(share, low, high):
    """A circle of 500 among 20,000 nuclei: about 14.6 % for a true 10 %, 5.4 % for 3 %."""
    side_um = math.sqrt(20_000 / 500 * 0.2) * 1000 * 0.995
    side_px = round(side_um / 0.5)
    grid = np.linspace(0, side_px - 1, 142)
    rng = np.random.default_rng(1)
    x, y = (axis.ravel() + rng.normal(0, 4, axis.size) for axis in np.meshgrid(grid, grid))
    positive = rng.permutation(np.arange(len(x)) < share * len(x))
    record = make_record(x, y, positive, width_px=side_px, height_px=side_px)
    spot = measure(record).hot_spot
    assert spot.area_mm2 == pytest.approx(0.2)
    assert low < spot.expected_maximum < high
    assert spot.positive / (spot.positive + spot.negative) == pytest.approx(spot.expected_maximum, abs=0.025)


def test_a_planted_spot_reads_far_above_the_expected_maximum():
    spot = spot_of(*planted()).hot_spot
    assert spot.positive / (spot.positive + spot.negative) > 3 * spot.expected_maximum


def test_the_same_seed_finds_the_same_spot_with_the_same_numbers():
    x, y, positive = planted()
    assert spot_of(x, y, positive, seed=3).hot_spot == spot_of(x, y, positive, seed=3).hot_spot
