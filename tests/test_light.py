"""The light of a picture is estimated channel by channel and divided out before the nets."""

import dataclasses

import numpy as np
import pytest

from ki67.pipeline.artifacts import load_run, save_run
from ki67.pipeline.light import LIGHT_TARGET, NeutralPicture, estimate_light, without_light
from ki67.pipeline.run import score_picture
from ki67.training.material import in_neutral_light
from ki67.types import Parameters, PixelSize
from tests.pipeline_fakes import ArrayPicture, ColorBackend, draw_scene, fake_models

CASTS = {"yellow": (1.0, 1.0, 0.85), "blue": (0.88, 0.92, 1.0), "gray": (0.88, 0.88, 0.88)}
SMALL = Parameters(tile_px=256, overlap_px=32)


def under(rgb: np.ndarray, cast: tuple[float, float, float]) -> np.ndarray:
    return np.rint(rgb * np.array(cast)).astype(np.uint8)


def models(light: str):
    shipped = fake_models()
    return dataclasses.replace(
        shipped,
        cells=dataclasses.replace(shipped.cells, light=light),
        tumor=dataclasses.replace(shipped.tumor, light=light),
    )


def run(picture, light: str, *, parameters: Parameters = SMALL):
    return score_picture(
        picture,
        pixel_size=PixelSize(0.5, "given"),
        models=models(light),
        backend=ColorBackend(),
        parameters=parameters,
        seed=0,
    )


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
def test_a_factor_on_a_channel_is_the_same_factor_on_the_estimate(cast) -> None:
    rgb = np.random.default_rng(0).integers(90, 250, (60, 80, 3)).astype(np.uint8)
    expected = np.array(estimate_light(rgb)) * cast
    assert estimate_light(under(rgb, cast)) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
def test_a_picture_under_another_light_looks_the_same_afterwards(cast) -> None:
    rgb = draw_scene(320, 320, seed=4).rgb
    plain, lit = in_neutral_light(rgb), in_neutral_light(under(rgb, cast))
    assert np.abs(plain.astype(int) - lit).max() <= 3


def test_the_light_itself_becomes_the_target_and_what_is_brighter_clips() -> None:
    rgb = np.array([[[200, 180, 160], [250, 250, 250]]], np.uint8)
    seen = without_light(rgb, (200.0, 180.0, 160.0))
    assert seen[0, 0].tolist() == [LIGHT_TARGET] * 3
    assert seen[0, 1].tolist() == [255, 255, 255]


def test_a_stack_of_tiles_keeps_its_shape() -> None:
    tiles = np.full((2, 5, 7, 3), 120, np.uint8)
    assert without_light(tiles, (240.0, 240.0, 240.0)).shape == tiles.shape
    assert (without_light(tiles, (240.0, 240.0, 240.0)) == 120).all()


def test_a_dark_picture_is_not_lifted_without_bound() -> None:
    assert estimate_light(np.full((20, 20, 3), 10, np.uint8)) == (60.0, 60.0, 60.0)


def test_a_net_that_wants_it_sees_a_neutral_picture_and_the_run_stores_the_light() -> None:
    scene = draw_scene(400, 400, seed=2)
    neutral = ArrayPicture(in_neutral_light(scene.rgb))
    given = Parameters(tile_px=256, overlap_px=32, light=(LIGHT_TARGET, LIGHT_TARGET, LIGHT_TARGET))
    expected = run(neutral, "divided out", parameters=given)
    blue = ArrayPicture(under(scene.rgb, CASTS["blue"]))
    found = run(blue, "divided out")
    assert found.parameters.light is not None
    assert found.parameters.light[2] > found.parameters.light[1] > found.parameters.light[0]
    assert len(found.candidates) == pytest.approx(len(expected.candidates), abs=2)
    assert len(found.candidates) > 100


def test_a_net_that_does_not_want_it_sees_the_picture_as_it_is() -> None:
    scene = draw_scene(400, 400, seed=2)
    plain = run(scene.picture, "as seen")
    given = run(scene.picture, "as seen", parameters=dataclasses.replace(SMALL, light=(90.0, 90.0, 90.0)))
    assert np.array_equal(plain.candidates.x_px, given.candidates.x_px)


def test_a_given_light_is_kept_and_survives_storing(tmp_path) -> None:
    parameters = dataclasses.replace(SMALL, light=(230.0, 231.0, 232.0))
    record = run(draw_scene(300, 300, seed=3).picture, "divided out", parameters=parameters)
    save_run(tmp_path / "run", record)
    assert load_run(tmp_path / "run").parameters.light == (230.0, 231.0, 232.0)


def test_a_neutral_picture_reads_as_the_picture_does_with_the_light_divided_out() -> None:
    picture = draw_scene(300, 200, seed=5).picture
    seen = NeutralPicture(picture, (200.0, 210.0, 220.0))
    direct = picture.read_scaled(5, 7, 40, 30, px_per_out=2.0)
    assert seen.info == picture.info
    assert np.array_equal(
        seen.read_scaled(5, 7, 40, 30, px_per_out=2.0), without_light(direct, (200.0, 210.0, 220.0))
    )
