"""The twenty variations and the gate's list: what is changed is what is said, and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bench import robustness
from bench.gate import LIST, MEANT, Judged, report
from bench.gate_pictures import list_csv, read_list, red_instead_of_brown, under_pen
from bench.robustness import Pair
from bench.variations import DAB, HAEMATOXYLIN, mix, unmix, variations


def stained(amounts):
    """A flat picture 16 × 16 with these amounts of haematoxylin and DAB (decadic density)."""
    unit = [np.array(vector) / np.linalg.norm(vector) for vector in (HAEMATOXYLIN, DAB)]
    density = amounts[0] * unit[0] + amounts[1] * unit[1]
    return np.full((16, 16, 3), np.rint(255 * 10**-density), np.uint8)


def amounts_of(rgb):
    return unmix(rgb)[0].mean(axis=0)


def test_there_are_the_twenty_and_each_keeps_the_size():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    found = variations()
    assert len(found) == 20
    for name, vary in found.items():
        varied = vary(rgb, 0.5)
        assert varied.shape == rgb.shape, name
        assert varied.dtype == np.uint8, name
        assert not np.array_equal(varied, rgb), name


def test_unmixing_and_mixing_give_the_picture_back():
    rgb = np.random.default_rng(1).integers(1, 256, (20, 30, 3), np.uint8)
    amounts, vectors = unmix(rgb)
    assert np.abs(mix(amounts, vectors, shape=rgb.shape).astype(int) - rgb).max() <= 1


@pytest.mark.parametrize("percent", [-30, -15, 15, 30])
@pytest.mark.parametrize("stain", [0, 1])
def test_a_stains_concentration_changes_by_its_percentage_and_the_others_does_not(stain, percent):
    name = f"{('counterstain', 'DAB')[stain]} {percent:+d} %"
    before, after = stained((0.4, 0.5)), variations()[name](stained((0.4, 0.5)), 0.5)
    ratio = amounts_of(after)[:2] / amounts_of(before)[:2]
    assert ratio[stain] == pytest.approx(1 + percent / 100, abs=0.03)
    assert ratio[1 - stain] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("stain", "amounts"), [("counterstain", (0.5, 0.0)), ("DAB", (0.0, 0.5))])
def test_the_hue_turns_by_ten_degrees_and_the_total_density_stays(stain, amounts):
    before = -np.log10(stained(amounts)[0, 0] / 255)
    after = -np.log10(variations()[f"{stain} hue +10°"](stained(amounts), 0.5)[0, 0] / 255)
    assert after.sum() == pytest.approx(before.sum(), rel=0.03)
    flat = [density - density.mean() for density in (before, after)]
    cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert np.degrees(np.arccos(cosine)) == pytest.approx(10, abs=1.5)


def test_glass_stays_glass_under_any_stain():
    glass = np.full((8, 8, 3), 255, np.uint8)
    for name, vary in variations().items():
        if name.startswith(("counterstain", "DAB", "gamma", "blur")):
            assert np.array_equal(vary(glass, 0.5), glass), name


def test_light_gamma_and_blur_are_those_named():
    rgb = np.full((32, 32, 3), 200, np.uint8)
    assert variations()["white point blue"](rgb, 0.5)[0, 0].tolist() == [176, 184, 200]
    assert variations()["gamma 1.25"](rgb, 0.5)[0, 0, 0] == round(255 * (200 / 255) ** 1.25)
    edge = np.zeros((8, 96, 3), np.uint8)
    edge[:, 48:] = 240
    slope = np.diff(variations()["blur 1 µm"](edge, 0.25)[4, :, 0].astype(float))
    middle = (slope * np.arange(95)).sum() / slope.sum()
    variance = (slope * (np.arange(95) - middle) ** 2).sum() / slope.sum()
    assert variance == pytest.approx(16, rel=0.05)  # (1 µm at 0.25 µm/px)²


def test_a_pair_holds_within_two_points_or_where_a_blur_is_flagged():
    near = Pair("a", "gamma 0.8", 100, 10.0, 12.0, ())
    far = Pair("a", "blur 1 µm", 100, 10.0, 15.0, ())
    flagged = Pair("a", "blur 1 µm", 100, 10.0, None, ("blur",))
    assert [pair.holds for pair in (near, far, flagged)] == [True, False, True]
    assert Pair("a", "JPEG 50", 100, 10.0, 15.0, ("blur",)).holds is False
    text = robustness.report([near, far, flagged])
    assert text.startswith("66.7 % of 3 pairs (1 fields)")


def test_the_committed_list_has_thirty_for_tuning_and_thirty_to_test_of_every_kind():
    items = read_list(LIST)
    assert Counter(item.half for item in items) == {"tuning": 30, "test": 30}
    kinds = {half: {item.transform for item in items if item.half == half} for half in ("tuning", "test")}
    assert kinds["tuning"] == kinds["test"] == set(MEANT)
    assert list_csv(items) == LIST.read_text("utf-8")
    assert len({(item.file, item.transform) for item in items}) == 60


def test_recoloring_turns_brown_red_and_leaves_the_counterstain():
    brown, blue = 255 * 10 ** (-1.0 * np.array(DAB)), 255 * 10 ** (-0.5 * np.array(HAEMATOXYLIN))
    rgb = np.full((60, 60, 3), 250, np.uint8)
    rgb[5:25, 5:55], rgb[35:55, 5:55] = brown, blue
    red = red_instead_of_brown(rgb)
    densities = -np.log(np.maximum(red[15, 30], 1) / 250.0)
    assert densities[1] == pytest.approx(densities[2], rel=0.1)  # green and blue light alike: red
    assert np.abs(red[45, 30].astype(int) - rgb[45, 30]).max() <= 12
    assert np.abs(red[0, 0].astype(int) - 250).max() <= 1


def test_the_pen_covers_a_stroke_and_the_rest_stays():
    rgb = np.full((400, 400, 3), 220, np.uint8)
    inked = under_pen(rgb, mpp=0.5, seed=1)
    assert 0.1 < (inked.min(axis=2) < 190).mean() < 0.6
    assert (inked == 220).all(axis=2).mean() > 0.2


def test_the_report_counts_flags_by_name_and_gives_the_exact_interval():
    judged = [Judged(f"{n}.png", "test", "none", "h_and_e", ("h_and_e",), {}) for n in range(9)]
    judged.append(Judged("9.png", "test", "none", "h_and_e", (), {}))
    text = report(judged)
    assert "test: 9 of 10 (55.5–99.7 %) flagged" in text  # Clopper–Pearson
    assert "h_and_e: 9 of 10, 9 by that name" in text
    assert "9.png (none): no flag" in text
