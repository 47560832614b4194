"""Scaling: what an output pixel is, and that it does not depend on the rectangle asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from ki67.pipeline import images
from ki67.pipeline.images import OpenedPicture, open_picture
from ki67.types import ByteArray, Rect
from tests.picture_files import colors, smooth, write_svs, write_tiff

WIDTH, HEIGHT = 331, 277
SCALES = [0.5, 0.8, 1, 1.0001, 1.7, 2, 2.19, 3, 4.016, 7.3, 16]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedPicture]:
    path = tmp_path_factory.mktemp("scaled") / "a.tif"
    with open_picture(write_tiff(path, colors(WIDTH, HEIGHT), tile=(64, 64))) as opened:
        yield opened


@pytest.fixture(scope="module")
def with_levels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedPicture]:
    full = smooth(WIDTH, HEIGHT)
    path = tmp_path_factory.mktemp("levels") / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2, 4, 8):
            level = full[: HEIGHT // step * step : step, : WIDTH // step * step : step].copy()
            writer.write(level, photometric="rgb", tile=(64, 64), subfiletype=int(step > 1), metadata=None)
    with open_picture(path) as opened:
        yield opened


def area_average(pixels: ByteArray, x: int, y: int, *, px_per_out: float) -> np.ndarray:
    """One output pixel by its definition: the mean over its square, white outside."""
    x_edges, y_edges = (np.array([i, i + 1]) * px_per_out for i in (x, y))
    columns = np.arange(int(np.floor(x_edges[0])), int(np.ceil(x_edges[1])))
    rows = np.arange(int(np.floor(y_edges[0])), int(np.ceil(y_edges[1])))
    x_part = np.minimum(columns + 1, x_edges[1]) - np.maximum(columns, x_edges[0])
    y_part = np.minimum(rows + 1, y_edges[1]) - np.maximum(rows, y_edges[0])
    total = np.zeros(3)
    for row, row_part in zip(rows, y_part, strict=True):
        for column, column_part in zip(columns, x_part, strict=True):
            inside = 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]
            total += row_part * column_part * (pixels[row, column] if inside else 255.0)
    return total / px_per_out**2


@pytest.mark.parametrize("px_per_out", [1.0001, 1.7, 2, 2.19, 3, 7.3])
def test_an_output_pixel_is_the_mean_over_its_square(picture: OpenedPicture, px_per_out: float) -> None:
    pixels = colors(WIDTH, HEIGHT)
    width, height = int(WIDTH / px_per_out) + 2, int(HEIGHT / px_per_out) + 2
    scaled = picture.read_scaled(-1, -1, width + 1, height + 1, px_per_out=px_per_out)
    places = [(0, 0), (-1, 3), (5, 8), (width - 2, 4), (width - 3, height - 3), (width - 2, height - 2)]
    for x, y in places:
        expected = area_average(pixels, x, y, px_per_out=px_per_out)
        np.testing.assert_allclose(scaled[y + 1, x + 1], expected, atol=0.51)


def test_full_resolution_is_unchanged(picture: OpenedPicture) -> None:
    np.testing.assert_array_equal(
        picture.read_scaled(3, 4, 50, 60, px_per_out=1), colors(WIDTH, HEIGHT)[4:64, 3:53]
    )


def test_enlarging_interpolates_between_pixel_centres_and_is_white_outside(picture: OpenedPicture) -> None:
    pixels = colors(WIDTH, HEIGHT).astype(float)
    scaled = picture.read_scaled(-2, 0, 20, 2, px_per_out=0.5)
    assert (scaled[:, :2] == 255).all()
    np.testing.assert_array_equal(scaled[0, 2], pixels[0, 0])  # the border pixel reaches to the edge
    between = 0.75 * pixels[0, 0] + 0.25 * pixels[0, 1]
    np.testing.assert_allclose(scaled[0, 3], between, atol=0.51)
    beyond = picture.read_scaled(2 * WIDTH - 1, 0, 3, 1, px_per_out=0.5)
    np.testing.assert_array_equal(beyond[0, 0], pixels[0, -1])
    assert (beyond[0, 1:] == 255).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), px_per_out=st.sampled_from(SCALES))
def test_any_rectangle_equals_the_crop_of_the_whole(
    picture: OpenedPicture, data: st.DataObject, px_per_out: float
) -> None:
    check_crop(picture, data, px_per_out)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), px_per_out=st.sampled_from([3.9, 4.016, 5.5, 8, 8.3, 20.1]))
def test_any_rectangle_equals_the_crop_of_the_whole_with_levels(
    with_levels: OpenedPicture, data: st.DataObject, px_per_out: float
) -> None:
    check_crop(with_levels, data, px_per_out)


def check_crop(picture: OpenedPicture, data: st.DataObject, px_per_out: float) -> None:
    margin = 2
    width, height = int(WIDTH / px_per_out) + 2 * margin, int(HEIGHT / px_per_out) + 2 * margin
    whole = picture.read_scaled(-margin, -margin, width, height, px_per_out=px_per_out)
    left = data.draw(st.integers(0, width - 1))
    top = data.draw(st.integers(0, height - 1))
    across = data.draw(st.integers(1, width - left))
    down = data.draw(st.integers(1, height - top))
    part = picture.read_scaled(left - margin, top - margin, across, down, px_per_out=px_per_out)
    np.testing.assert_array_equal(part, whole[top : top + down, left : left + across])


@pytest.mark.parametrize("px_per_out", [0.8, 1.7, 2, 2.19, 7.3])
def test_working_in_small_blocks_gives_the_same_pixels(
    picture: OpenedPicture, monkeypatch: pytest.MonkeyPatch, px_per_out: float
) -> None:
    size = int(250 / px_per_out)
    at_once = picture.read_scaled(1, 2, size, size, px_per_out=px_per_out)
    monkeypatch.setattr(images, "BLOCK_SIDE_PX", 37)
    np.testing.assert_array_equal(picture.read_scaled(1, 2, size, size, px_per_out=px_per_out), at_once)


def test_a_stored_level_serves_low_power_and_never_what_the_nets_see(with_levels: OpenedPicture) -> None:
    full = smooth(WIDTH, HEIGHT).astype(float)
    below = with_levels.read_scaled(0, 0, 80, 60, px_per_out=3.9)
    expected = area_average(smooth(WIDTH, HEIGHT), 7, 9, px_per_out=3.9)
    np.testing.assert_allclose(below[9, 7], expected, atol=0.51)
    low = with_levels.read_scaled(0, 0, 41, 34, px_per_out=8)
    reference = full[: 34 * 8, : 41 * 8].reshape(34, 8, 41, 8, 3).mean((1, 3))
    assert np.abs(low - reference).mean() < 3


def test_a_slide_s_rectangle_equals_the_crop_of_the_whole(tmp_path: Path) -> None:
    with open_picture(write_svs(tmp_path / "a.svs", smooth(700, 500))) as slide:
        for px_per_out in (1, 1.7, 2, 5.3):
            width, height = int(700 / px_per_out), int(500 / px_per_out)
            whole = slide.read_scaled(0, 0, width, height, px_per_out=px_per_out)
            part = slide.read_scaled(31, 17, 60, 70, px_per_out=px_per_out)
            np.testing.assert_array_equal(part, whole[17:87, 31:91])


def test_a_slide_s_levels_serve_low_power_without_seams(tmp_path: Path) -> None:
    pixels = smooth(1333, 1207)
    with open_picture(write_svs(tmp_path / "a.svs", pixels, levels=3)) as slide:
        assert slide.info.levels == 3
        for px_per_out in (4.1, 5.3, 16, 20):
            width, height = int(1333 / px_per_out), int(1207 / px_per_out)
            whole = slide.read_scaled(0, 0, width, height, px_per_out=px_per_out)
            part = slide.read_scaled(7, 11, 40, 45, px_per_out=px_per_out)
            np.testing.assert_array_equal(part, whole[11:56, 7:47])
            expected = area_average(pixels, 20, 30, px_per_out=px_per_out)
            np.testing.assert_allclose(whole[30, 20], expected, atol=8)


def test_two_by_two_blocks_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::2, ::2] = 7  # mean 1.75
    with open_picture(write_tiff(tmp_path / "a.tif", pixels)) as picture:
        assert (picture.read_scaled(0, 0, 32, 32, px_per_out=2) == 2).all()
        assert picture.read(Rect(0, 0, 2, 2)).sum() == 21
