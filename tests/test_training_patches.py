"""Patches: what is sampled, and that picture and target move together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ki67.training.patches import Augmentation, Plate, draw_patch, recolor, sampling_shares, warp

STILL = Augmentation(
    scale_low=1.0,
    scale_high=1.0,
    stain_sd=0.0,
    stain_turn=0.0,
    channel_sd=0.0,
    common_sd=0.0,
    white_sd=0.0,
    light_sd=0.0,
    hue_degrees=0.0,
    saturation_sd=0.0,
    blur_px=0.31,
    noise_levels=0.0,
    jpeg_lowest=100,
)


def plate(
    name: str = "p", *, source: str = "s", weight: float = 1.0, side: int = 96, synthetic: bool = False
) -> Plate:
    """Brown squares on white; the target is 1 on the squares."""
    target = np.zeros((side, side), np.uint8)
    target[20:40, 10:30] = 1
    target[60:80, 50:90] = 1
    rgb = np.where(target[..., None] == 1, np.array([120, 70, 40]), np.array([245, 245, 245])).astype(
        np.uint8
    )
    return Plate(name, source, rgb, target, weight, synthetic)


def test_a_patch_is_a_function_of_its_number_and_seed() -> None:
    plates = [plate("a"), plate("b", source="t")]
    shares = sampling_shares(plates, synthetic_share=0.0)

    def patch(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        return draw_patch(plates, shares, size=64, seed=seed, index=index, augmentation=Augmentation())

    first, again = patch(3, 7), patch(3, 7)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], patch(3, 8)[0])
    assert not np.array_equal(first[0], patch(4, 7)[0])
    assert first[0].shape == (64, 64, 3)
    assert first[1].shape == (64, 64)


def test_the_target_follows_the_picture_through_rotation_flip_and_scale() -> None:
    for seed in range(20):
        rgb, target = warp(plate(), size=64, rng=np.random.default_rng(seed), augmentation=Augmentation())
        brown = rgb[..., 2] < 142
        assert (brown == (target == 1)).mean() > 0.99


def test_scale_changes_the_size_of_what_is_seen() -> None:
    target = np.zeros((200, 200), np.uint8)
    target[90:110, 90:110] = 1
    square = Plate("q", "s", np.repeat(target[..., None] * 200, 3, axis=2), target, 1.0)
    for scale in (0.8, 1.25):
        zoom = Augmentation(scale_low=scale, scale_high=scale)
        areas = [
            (warp(square, size=200, rng=np.random.default_rng(seed), augmentation=zoom)[1] == 1).sum()
            for seed in range(10)
        ]
        assert np.median(areas) == pytest.approx(400 * scale**2, rel=0.08)


def test_a_picture_smaller_than_the_patch_is_mirrored_and_never_padded_with_black() -> None:
    rgb, target = warp(plate(side=96), size=160, rng=np.random.default_rng(0), augmentation=STILL)
    assert rgb.min() >= 39
    assert (target == 1).mean() > 0.05


def test_color_augmentation_without_spread_changes_nothing() -> None:
    rgb = plate().rgb
    for seed in range(20):
        changed = recolor(rgb, rng=np.random.default_rng(seed), augmentation=STILL).astype(int)
        flat = np.abs(changed - rgb)[24:36, 14:26]
        assert flat.max() <= 1


def test_a_denser_stain_darkens_brown_and_leaves_white_glass_nearly_white() -> None:
    dense = dataclasses.replace(STILL, common_sd=0.5)
    rgb = np.full((8, 16, 3), 255, np.uint8)
    rgb[:, 8:] = 128
    seen = [recolor(rgb, rng=np.random.default_rng(seed), augmentation=dense) for seed in range(40)]
    assert all((picture[:, 2] == 255).all() for picture in seen)
    stained = np.array([picture[4, 13, 0] for picture in seen])
    power = np.log(stained / 255) / np.log(128 / 255)
    assert np.std(np.log(power)) == pytest.approx(0.5, rel=0.35)


def test_sources_are_sampled_by_the_root_of_what_they_hold_and_synthetic_plates_by_their_share() -> None:
    plates = [
        plate("a", source="large", weight=300),
        plate("b", source="large", weight=100),
        plate("c", source="small", weight=100),
        plate("d", source="synthetic", synthetic=True),
        plate("e", source="synthetic", synthetic=True),
    ]
    shares = sampling_shares(plates, synthetic_share=0.2)
    assert shares.sum() == pytest.approx(1)
    assert shares[3:].tolist() == pytest.approx([0.1, 0.1])
    assert shares[0] == pytest.approx(shares[1])
    assert shares[:2].sum() / shares[2] == pytest.approx(2.0)


def test_redrawn_plates_get_the_share_that_is_asked_for() -> None:
    plates = [
        plate("a", source="real", weight=300),
        plate("b", source="small", weight=100),
        dataclasses.replace(plate("c", source="h (redrawn)", weight=9000), redrawn=True),
        plate("d", source="synthetic", synthetic=True),
    ]
    shares = sampling_shares(plates, synthetic_share=0.1, redrawn_share=0.25)
    assert shares[3] == pytest.approx(0.1)
    assert shares[2] == pytest.approx(0.25)
    assert shares[0] / shares[1] == pytest.approx(np.sqrt(3))
    without = sampling_shares(plates[:2], synthetic_share=0.1, redrawn_share=0.25)
    assert without.sum() == pytest.approx(1)
    assert without[0] / without[1] == pytest.approx(np.sqrt(3))


def test_synthetic_plates_alone_take_everything() -> None:
    shares = sampling_shares([plate("a", synthetic=True), plate("b", synthetic=True)], synthetic_share=0.2)
    assert shares.tolist() == pytest.approx([0.5, 0.5])
