"""The sampling interval (Wilson, block bootstrap, the outer limits) and the total interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ki67.errors import ModelError
from ki67.index import ki67_index, wilson
from ki67.pipeline.error_model import ErrorModel, read_error_model
from ki67.pipeline.intervals import block_bootstrap, sampling_interval, total_interval
from ki67.types import Interval

SIDE_UM = 2000.0
CARD = {
    "scale": "arcsine",
    "laboratories": 4,
    "field_nuclei": 200,
    "levels": [
        {"from_percent": 0, "laboratory_sd": 0.02, "field_sd": 0.01},
        {"from_percent": 10, "laboratory_sd": 0.04, "field_sd": 0.03},
    ],
}


def places(count: int, seed: int):
    rng = np.random.default_rng(seed)
    return rng.random(count) * SIDE_UM, rng.random(count) * SIDE_UM


def clustered(count: int, seed: int, *, patch_um: float = 200.0):
    """Positive share 0.05 or 0.45 by patches of 200 µm, half of them each: 0.25 in the mean."""
    rng = np.random.default_rng(seed + 1000)
    x, y = places(count, seed)
    n = round(SIDE_UM / patch_um)
    high = rng.random((n, n)) < 0.5
    share = np.where(high[(y // patch_um).astype(int), (x // patch_um).astype(int)], 0.45, 0.05)
    return x, y, rng.random(count) < share


def wilson_of(positive):
    return wilson(int(positive.sum()), int((~positive).sum()))


def width(limits):
    return limits.high - limits.low


def test_the_bootstrap_is_wider_than_wilson_where_positives_cluster():
    x, y, positive = clustered(8000, 1)
    assert width(block_bootstrap(x, y, positive, seed=0)) > 2 * width(wilson_of(positive))


def test_the_bootstrap_is_about_wilson_where_labels_are_independent():
    x, y = places(8000, 2)
    positive = np.random.default_rng(3).random(8000) < 0.2
    assert width(block_bootstrap(x, y, positive, seed=0)) == pytest.approx(
        width(wilson_of(positive)), rel=0.3
    )


def test_the_same_seed_gives_the_same_interval_and_another_seed_nearly_the_same():
    x, y, positive = clustered(4000, 5)
    first = block_bootstrap(x, y, positive, seed=7)
    assert block_bootstrap(x, y, positive, seed=7) == first
    other = block_bootstrap(x, y, positive, seed=8)
    assert other != first
    assert other.low == pytest.approx(first.low, abs=0.01)


def test_fewer_than_ten_blocks_give_no_bootstrap():
    rng = np.random.default_rng(0)
    x, y = rng.random(400) * 370, rng.random(400) * 370  # 3 × 3 blocks of 125 µm
    assert block_bootstrap(x, y, x < 100, seed=0) is None
    assert block_bootstrap(x + 5 * (x > 369), y, x < 100, seed=0) is None
    assert block_bootstrap(np.zeros(0), np.zeros(0), np.zeros(0, bool), seed=0) is None


def test_ten_blocks_are_enough():
    x = np.arange(10) * 125.0 + 60
    limits = block_bootstrap(
        np.repeat(x, 5), np.full(50, 10.0), np.tile([True, False, False, False, False], 10), seed=0
    )
    assert limits == Interval(0.2, 0.2)  # every block alike: nothing varies between them


def test_the_sampling_interval_takes_the_outer_limits():
    assert sampling_interval(Interval(0.1, 0.2), Interval(0.12, 0.3)) == Interval(0.1, 0.3)
    assert sampling_interval(Interval(0.1, 0.2), Interval(0.2, 0.2)) == Interval(0.1, 0.2)
    assert sampling_interval(Interval(0.1, 0.2), None) == Interval(0.1, 0.2)
    assert sampling_interval(None, None) is None


def test_nine_of_ten_intervals_and_more_hold_the_share_of_a_patchy_tumor():
    covered_by_wilson, covered, repeats = 0, 0, 100
    for seed in range(repeats):
        x, y, positive = clustered(4000, 100 + seed, patch_um=100.0)
        counting = wilson_of(positive)
        limits = sampling_interval(counting, block_bootstrap(x, y, positive, seed=seed))
        covered += limits.low <= 0.25 <= limits.high
        covered_by_wilson += counting.low <= 0.25 <= counting.high
    assert covered >= 0.9 * repeats
    assert covered_by_wilson < covered


def test_the_total_interval_is_worked_out_by_hand_on_the_arcsine_scale():
    sampling = Interval(0.18, 0.22)
    limits = total_interval(0.2, sampling, read_error_model(CARD), nuclei=800)
    laboratory = 2.77645 * 0.04  # t(0.975; 4): errors about zero
    field = 1.95996 * 0.03 / 2  # four fields of 200 nuclei
    below = math.sqrt(
        (math.asin(math.sqrt(0.2)) - math.asin(math.sqrt(0.18))) ** 2 + laboratory**2 + field**2
    )
    assert limits.low == pytest.approx(math.sin(math.asin(math.sqrt(0.2)) - below) ** 2, abs=1e-5)
    assert limits.low < sampling.low
    assert limits.high > sampling.high


def test_the_level_below_the_index_decides_and_limits_stay_inside_zero_and_one():
    model = read_error_model(CARD)
    narrow = total_interval(0.09999, Interval(0.09, 0.11), model, nuclei=200)
    wide = total_interval(0.1, Interval(0.09, 0.11), model, nuclei=200)
    assert width(wide) > 1.5 * width(narrow)
    assert total_interval(0.0, Interval(0.0, 0.01), model, nuclei=200).low == 0.0
    points = ErrorModel("points", 3, 100, ((0, 0.1, 0.1),))
    assert total_interval(1.0, Interval(0.99, 1.0), points, nuclei=200).high == 1.0


def test_more_nuclei_shrink_the_field_part_and_never_the_laboratory_part():
    model = ErrorModel("points", 5, 100, ((0, 0.02, 0.05),))
    exact = Interval(0.3, 0.3)
    few, many, endless = (total_interval(0.3, exact, model, nuclei=n) for n in (100, 10_000, 10**12))
    assert width(few) == pytest.approx(2 * math.hypot(2.57058 * 0.02, 1.95996 * 0.05), rel=1e-4)
    assert width(many) == pytest.approx(2 * math.hypot(2.57058 * 0.02, 1.95996 * 0.005), rel=1e-4)
    assert width(endless) == pytest.approx(2 * 2.57058 * 0.02, rel=1e-4)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {**CARD, "scale": "decibel"},
        {**CARD, "laboratories": 1},
        {**CARD, "levels": []},
        {**CARD, "field_nuclei": 0},
        {**CARD, "levels": [{"from_percent": 5, "laboratory_sd": 0.1, "field_sd": 0.1}]},
        {**CARD, "levels": [{"from_percent": 0, "laboratory_sd": -0.1, "field_sd": 0.1}]},
        {**CARD, "levels": [{"from_percent": 0, "laboratory_sd": math.nan, "field_sd": 0.1}]},
    ],
)
def test_an_error_model_that_makes_no_sense_is_refused(broken):
    with pytest.raises(ModelError, match="restore the card"):
        read_error_model(broken)


def test_the_ratio_weighs_blocks_by_their_nuclei():
    # 20 blocks of 1 positive nucleus, 20 of 99 negative: the index is 1 %, not 50 %
    x = np.concatenate([np.arange(20) * 1000.0, np.repeat(np.arange(20, 40) * 1000.0, 99)])
    positive = np.arange(len(x)) < 20
    assert ki67_index(20, 1980) == 0.01
    assert block_bootstrap(x, np.zeros(len(x)), positive, seed=0).high < 0.03
