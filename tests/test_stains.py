"""Beer–Lambert and color deconvolution against mixtures whose amounts are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ki67.stains import (
    DAB,
    EOSIN,
    HAEMATOXYLIN,
    Look,
    deconvolve,
    develop,
    develop_margin_px,
    haematoxylin_and_eosin,
    optical_density,
    random_look,
    transmitted,
    unit,
    white_point,
)

PLAIN = Look(blur_um=0.0, sharpening=0.0, contrast=1.0, noise=0.0)


def test_density_and_light_are_inverse_to_each_other_for_every_gray_level() -> None:
    rgb = np.stack([np.arange(1, 241, dtype=np.uint8)] * 3, axis=-1)[None]
    white = (240.0, 241.0, 242.0)
    assert np.array_equal(np.rint(transmitted(optical_density(rgb, white), white)), rgb)


def test_density_is_the_natural_logarithm_and_glass_has_none() -> None:
    rgb = np.array([[[255, 128, 0]]], np.uint8)
    od = optical_density(rgb)
    assert od[0, 0] == pytest.approx([0.0, np.log(255 / 128), np.log(255)], abs=1e-6)
    assert optical_density(np.full((1, 1, 3), 250, np.uint8), (240, 240, 240)).max() == 0


def test_deconvolution_recovers_the_amounts_of_a_mixture() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0, 1.5, (20, 30, 2)).astype(np.float32)
    od = amounts @ unit([HAEMATOXYLIN, DAB])
    assert deconvolve(od, [HAEMATOXYLIN, DAB]) == pytest.approx(amounts, abs=1e-4)
    three = rng.uniform(0, 1, (5, 5, 3)).astype(np.float32)
    stains = unit([HAEMATOXYLIN, EOSIN, DAB])
    assert deconvolve(three @ stains, stains) == pytest.approx(three, abs=1e-4)


def test_the_stain_vectors_of_a_picture_are_found_from_its_pixels() -> None:
    rng = np.random.default_rng(1)
    true = unit([(0.60, 0.75, 0.28), (0.15, 0.97, 0.18)])
    amounts = rng.exponential(0.5, (120, 120, 2)).astype(np.float32)
    amounts[:60, :, 1] *= 0.02
    amounts[60:, :, 0] *= 0.02
    found = haematoxylin_and_eosin((amounts @ true).astype(np.float32))
    degrees = np.degrees(np.arccos(np.clip((found * true).sum(axis=1), -1, 1)))
    assert degrees.max() < 4


def test_glass_and_a_single_stain_fall_back_to_the_standard_vectors() -> None:
    standard = unit([HAEMATOXYLIN, EOSIN])
    assert np.array_equal(haematoxylin_and_eosin(np.zeros((50, 50, 3), np.float32)), standard)
    amounts = np.random.default_rng(2).exponential(0.8, (80, 80, 1)).astype(np.float32)
    assert np.array_equal(haematoxylin_and_eosin(amounts * unit(HAEMATOXYLIN)), standard)


def test_the_white_point_is_that_of_the_glass() -> None:
    rgb = np.full((100, 100, 3), (120, 60, 130), np.uint8)
    rgb[:10] = (233, 229, 241)
    assert white_point(rgb) == pytest.approx([233, 229, 241], abs=0.5)


def test_developing_without_optics_is_beer_lambert() -> None:
    counterstain = np.array([[0.0, 0.8, 0.0]], np.float32)
    dab = np.array([[0.0, 0.0, 1.6]], np.float32)
    rgb = develop(counterstain, dab, np.zeros_like(dab), look=PLAIN, mpp=0.5)
    white = np.array(PLAIN.white)
    expected = [
        white,
        white * np.exp(-0.8 * unit(PLAIN.haematoxylin)),
        white * np.exp(-1.6 * unit(PLAIN.dab)),
    ]
    assert np.abs(rgb[0].astype(float) - np.array(expected)).max() <= 0.51


def test_a_tile_developed_with_its_margin_equals_the_same_part_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    amounts = [rng.exponential(0.4, (150, 170)).astype(np.float32) for _ in range(3)]
    noise = rng.standard_normal((150, 170), np.float32)
    look = replace(Look(), blur_um=0.6, sharpening=1.2, contrast=1.2)
    whole = develop(*amounts, look=look, mpp=0.5, noise=noise)
    margin = develop_margin_px(look, mpp=0.5)
    part = develop(*(a[20:90, 31:120] for a in amounts), look=look, mpp=0.5, noise=noise[20:90, 31:120])
    inner = part[margin:-margin, margin:-margin]
    assert np.array_equal(inner, whole[20 + margin : 90 - margin, 31 + margin : 120 - margin])


def test_every_random_look_is_a_plausible_laboratory() -> None:
    looks = [random_look(seed) for seed in range(200)]
    for look in looks:
        red, green, blue = look.haematoxylin
        assert red > blue, "haematoxylin is blue"
        assert look.dab[2] > look.dab[0], "DAB is brown"
        assert np.linalg.norm(look.haematoxylin) == pytest.approx(1, abs=1e-5)
        assert 0.2 <= look.counterstain <= 1.3
        assert 195 <= min(look.white) <= max(look.white) <= 254
        assert green > 0
    assert len(set(looks)) == 200
    assert random_look(7) == random_look(7)
