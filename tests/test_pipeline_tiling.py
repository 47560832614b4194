"""Tiles share out a region: properties for any size."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ki67.pipeline.tiling import Region, blend_weights, lay_tiles, spans

TILES = st.sampled_from([(256, 32), (512, 64), (1024, 64), (1024, 128), (320, 16)])


@given(size=st.integers(1, 20_000), tile=TILES)
def test_cores_share_out_the_whole_axis_without_gap_or_overlap(size, tile):
    laid = spans(0, size, size, tile_px=tile[0], overlap_px=tile[1])
    assert laid[0].core_start == 0
    assert laid[-1].core_stop == size
    assert all(a.core_stop == b.core_start for a, b in itertools.pairwise(laid))
    assert all(each.core_start < each.core_stop for each in laid)


@given(
    size=st.integers(1, 20_000), tile=TILES, part=st.tuples(st.floats(0, 1), st.floats(0, 1)), cell=st.just(4)
)
def test_every_core_sees_its_overlap_or_reaches_the_picture_border(size, tile, part, cell):
    start, stop = sorted(int(share * size) // cell * cell for share in part)
    stop = max(stop, start + cell)
    for each in spans(start, stop, size, tile_px=tile[0], overlap_px=tile[1]):
        assert each.core_start - each.start >= tile[1] or each.start == 0
        assert each.stop - each.core_stop >= tile[1] or each.stop >= size


@given(size=st.integers(1, 20_000), tile=TILES)
def test_tiles_start_on_multiples_of_32_have_one_size_and_none_is_larger_than_asked(size, tile):
    laid = spans(0, size, size, tile_px=tile[0], overlap_px=tile[1])
    assert {each.start % 32 for each in laid} == {0}
    assert len({each.size for each in laid}) == 1
    assert laid[0].size % 32 == 0
    assert laid[0].size <= tile[0]


@given(size=st.integers(1, 20_000), tile=TILES)
def test_tiles_of_every_size_end_at_the_same_place_beyond_the_picture(size, tile):
    laid = spans(0, size, size, tile_px=tile[0], overlap_px=tile[1])
    assert laid[0].start == 0
    assert laid[-1].stop == -(-size // 32) * 32


@given(size=st.integers(1, 20_000), tile=TILES)
def test_inner_cores_start_on_the_grid_of_map_cells(size, tile):
    laid = spans(0, size, size, tile_px=tile[0], overlap_px=tile[1])
    assert all(each.core_start % 16 == 0 for each in laid)


@given(size=st.integers(1, 3_000), tile=TILES)
def test_blend_weights_of_overlapping_tiles_sum_to_one_everywhere(size, tile):
    laid = spans(0, size, size, tile_px=tile[0], overlap_px=tile[1])
    total = np.zeros(laid[-1].stop // 4)
    for each in laid:
        total[each.start // 4 : each.stop // 4] += blend_weights(each, 4)
    assert total == pytest.approx(1, abs=1e-5)


def test_a_small_picture_costs_one_small_tile():
    layout = lay_tiles(Region(0, 256, 0, 200), 256, 200, tile_px=1024, overlap_px=64)
    assert (layout.tile_width, layout.tile_height, len(layout.tiles)) == (256, 224, 1)


def test_2048_px_need_three_tiles_no_larger_than_needed():
    laid = spans(0, 2048, 2048, tile_px=1024, overlap_px=64)
    assert [(each.start, each.stop) for each in laid] == [(0, 768), (640, 1408), (1280, 2048)]
    assert [(each.core_start, each.core_stop) for each in laid] == [(0, 704), (704, 1344), (1344, 2048)]


@pytest.mark.parametrize(("tile_px", "overlap_px"), [(1000, 64), (1024, 60), (256, 64), (256, -16)])
def test_tile_sizes_that_do_not_fit_the_nets_are_refused(tile_px, overlap_px):
    with pytest.raises(ValueError, match="cannot be laid"):
        spans(0, 100, 100, tile_px=tile_px, overlap_px=overlap_px)
