"""The gate on synthetic pictures with a known answer: size of nuclei, chromogen, ink, likeness."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from ki67.errors import DataError, ModelError
from ki67.pipeline.colors import chromogen_hue, covered_share, read_pixels
from ki67.pipeline.light import estimate_light
from ki67.pipeline.looks import PARTS, check_look_reference, look_distances, look_reference
from ki67.pipeline.plan import make_plan
from ki67.pipeline.quality import look_flags
from ki67.pipeline.samples import SAMPLE_PX, measure_picture, read_samples
from ki67.pipeline.texture import nucleus_width_um, red_density
from ki67.stains import Look
from ki67.synthetic import SyntheticRegion, make_region
from ki67.synthetic_world import Architecture
from ki67.types import GridMap, Parameters, PixelSize
from tests.pipeline_fakes import ArrayPicture

BROWN = Look().dab
AEC = (0.274, 0.680, 0.680)
FAST_RED = (0.214, 0.851, 0.478)


@cache
def region(dab=BROWN, seed=3) -> SyntheticRegion:
    """All tumor, a third of it positive, 0.25 µm/px."""
    look = replace(Look(), dab=dab)
    return make_region(
        800,
        800,
        mpp=0.25,
        seed=seed,
        positive_share=0.3,
        look=look,
        architecture=Architecture(everywhere=True),
    )


def inputs_of(rgb, mpp=0.25):
    return measure_picture(ArrayPicture(np.ascontiguousarray(rgb)), PixelSize(mpp, "given"))


def codes_of(rgb, mpp=0.25):
    return [flag.code for flag in look_flags(inputs_of(rgb, mpp))]


def test_the_measured_width_of_nuclei_is_near_the_true_one():
    drawn = region()
    truth = drawn.nuclei
    true_um = 2 * np.sqrt(np.median(truth.semi_major_px * truth.semi_minor_px)) * drawn.mpp
    assert inputs_of(drawn.rgb)["nucleus_width_um"] == pytest.approx(true_um, rel=0.2)


@pytest.mark.parametrize(("factor", "word"), [(2.0, "large"), (0.5, "small")])
def test_a_pixel_size_wrong_by_a_factor_of_two_is_flagged_with_the_direction(factor, word):
    assert codes_of(region().rgb) == []
    flags = list(look_flags(inputs_of(region().rgb, mpp=0.25 * factor)))
    assert "pixel_size_off" in [flag.code for flag in flags]
    assert f"too {word}" in next(flag.message for flag in flags if flag.code == "pixel_size_off")


def test_discs_of_a_known_width_measure_that_width_and_touching_ones_are_left_out():
    density = np.zeros((256, 256), np.float32)
    for x in range(20, 250, 40):
        for y in range(20, 250, 40):
            cv2.circle(density, (x, y), 8, 0.8, -1)
    assert nucleus_width_um([density]) == pytest.approx(8.2, abs=0.5)
    for x in range(20, 250, 40):
        cv2.circle(density, (x, 20), 8, 0.8, -1)
        cv2.circle(density, (x + 15, 20), 8, 0.8, -1)
    assert nucleus_width_um([density]) == pytest.approx(8.2, abs=0.5)


def test_glass_and_fewer_than_five_nuclei_have_no_width():
    few = np.zeros((128, 128), np.float32)
    cv2.circle(few, (60, 60), 8, 0.8, -1)
    assert nucleus_width_um([few]) is None
    assert nucleus_width_um([]) is None
    assert nucleus_width_um([red_density(np.full((64, 64, 3), 250, np.uint8), (250.0, 250.0, 250.0))]) is None


def test_a_red_chromogen_is_flagged_and_brown_is_not():
    assert "red_chromogen" not in codes_of(region().rgb)
    assert "red_chromogen" in codes_of(region(dab=AEC).rgb)
    assert codes_of(region(dab=FAST_RED).rgb) in (["red_chromogen"], ["h_and_e"])


def test_the_hue_of_the_chromogen_is_that_of_its_vector_whatever_counterstain_lies_under_it():
    for vector in ((0.27, 0.57, 0.78), AEC):
        patches = []
        for counterstain in (0.0, 0.3, 0.6):
            density = 1.8 * np.array(vector) + counterstain * np.array((0.65, 0.70, 0.29))
            patches.append(np.full((32, 32, 3), np.rint(240 * np.exp(-density)), np.uint8))
        hues = [chromogen_hue(read_pixels([patch], (240.0, 240.0, 240.0))) for patch in patches]
        assert hues[0] == pytest.approx(np.log(vector[2] / vector[1]), abs=0.1)
        assert hues[2] == pytest.approx(hues[0], abs=0.15)


@pytest.mark.parametrize("light", [(1.0, 1.0, 0.85), (0.88, 0.92, 1.0), (0.55, 0.75, 1.0)])
def test_colored_light_raises_no_flag(light):
    lit = np.clip(region().rgb * np.array(light), 0, 255).astype(np.uint8)
    assert codes_of(lit) == []


@pytest.mark.parametrize("ink", [(25, 140, 70), (25, 50, 150), (15, 15, 20)])
def test_a_stroke_of_a_pen_is_flagged(ink):
    rgb = region().rgb.astype(np.float32)
    rgb[300:560] *= np.array(ink, np.float32) / 255
    assert "pen" in codes_of(rgb.astype(np.uint8))


def test_covered_share_is_the_share_under_the_ink():
    tile = np.full((256, 256, 3), 235, np.uint8)
    tile[:, :64] = (20, 20, 20)
    glass = np.full((8, 8, 3), 235, np.uint8)
    share = covered_share(glass, np.ones((8, 8), bool), [tile], light=(235.0, 235.0, 235.0))
    assert share == pytest.approx(0.25, abs=0.03)


def test_samples_lie_within_the_region_and_not_on_top_of_one_another():
    picture = ArrayPicture(np.full((700, 900, 3), 120, np.uint8))
    plan = make_plan(picture.info, PixelSize(0.25, "given"), Parameters())
    tissue = GridMap(np.full((22, 29), 255, np.uint8), 32.0)
    tiles = read_samples(picture, plan, tissue)
    assert 1 <= len(tiles) <= 12
    for tile in tiles:
        assert tile.shape == (SAMPLE_PX, SAMPLE_PX, 3)
        assert (tile == 120).all()  # no white from beyond the picture


def test_a_region_smaller_than_a_sample_gives_one_sample_of_its_size():
    picture = ArrayPicture(np.full((200, 300, 3), 120, np.uint8))
    plan = make_plan(picture.info, PixelSize(0.5, "given"), Parameters())
    tiles = read_samples(picture, plan, GridMap(np.full((13, 19), 255, np.uint8), 16.0))
    assert [tile.shape for tile in tiles] == [(200, 256, 3)]


def fields_like(seed, count=40, **shift):
    """Quality inputs of fields that scatter about a middle; `shift` moves a number (by a factor)."""
    rng = np.random.default_rng(seed)
    middle = {
        "red_share": 0.35,
        "blue_share": 0.3,
        "stain_density": 0.6,
        "nucleus_width_um": 8.0,
        "texture_um": 2.5,
        "sharpness_fine": 0.6,
        "sharpness_medium": 0.4,
    }
    return [
        {key: value * shift.get(key, 1.0) * np.exp(rng.normal(0, 0.1)) for key, value in middle.items()}
        for _ in range(count)
    ]


def test_a_picture_like_the_training_fields_is_near_and_one_of_another_color_is_far_in_color_alone():
    reference = json.loads(json.dumps(look_reference(fields_like(0))))
    check_look_reference(reference)
    near = look_distances(fields_like(1, 1)[0], reference)
    far = look_distances(fields_like(1, 1, red_share=1.8)[0], reference)
    assert max(near.values()) < 1.3
    assert far["unlike_color"] > 2
    assert far["unlike_texture"] == near["unlike_texture"]
    assert [flag.code for flag in look_flags(near)] == []
    message = next(look_flags(far)).message
    assert "(stain color)" in message
    assert "size" not in message


def test_the_distance_is_mahalanobis_with_the_scatter_granted_to_any_laboratory():
    fields = fields_like(2)
    reference = look_reference(fields)
    rows = np.array([[f["red_share"], f["blue_share"], np.log(f["stain_density"])] for f in fields])
    own = np.diag(np.square(list(PARTS["color"].values())))
    away = rows[7] - rows.mean(axis=0)
    expected = np.sqrt(away @ np.linalg.inv(np.cov(rows.T) + own) @ away) / reference["color"]["limit"]
    assert look_distances(fields[7], reference)["unlike_color"] == pytest.approx(expected)


def test_every_training_field_is_within_the_limit_of_its_own_reference():
    fields = fields_like(4)
    reference = look_reference(fields)
    assert max(max(look_distances(field, reference).values()) for field in fields) <= 1.0


def test_what_was_not_measured_has_no_distance_and_raises_no_flag():
    reference = look_reference(fields_like(0))
    assert look_distances({}, reference) == {}
    assert list(look_flags({})) == []


def test_too_few_fields_and_a_spoilt_reference_are_refused_with_a_sentence():
    with pytest.raises(DataError, match="at least 10"):
        look_reference(fields_like(0, count=4))
    for spoil in (lambda r: r.pop("color"), lambda r: r["color"].update(limit=0.0)):
        reference = look_reference(fields_like(0))
        spoil(reference)
        with pytest.raises(ModelError, match="restore the card"):
            check_look_reference(reference)


def test_the_light_of_a_picture_without_glass_does_not_hide_h_and_e():
    look = replace(
        Look(), dab=(0.07, 0.99, 0.11), tissue=(0.07, 0.99, 0.11), background=0.5, dab_background=0.3
    )
    pink = make_region(
        700, 700, mpp=0.5, seed=5, positive_share=0.0, look=look, architecture=Architecture(everywhere=True)
    ).rgb
    light = estimate_light(pink)
    assert light[1] < light[0]  # the light itself looks pink
    assert "h_and_e" in codes_of(pink, mpp=0.5)
