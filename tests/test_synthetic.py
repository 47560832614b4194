"""Synthetic regions: exact truth, the same tissue in every window, bounded memory."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ki67.errors import DataError
from ki67.stains import Look, deconvolve, optical_density
from ki67.synthetic import SyntheticRegion, make_region, write_annotated_folder, write_region
from ki67.synthetic_noise import Window, pixel_noise, smooth_noise, smooth_noise_at
from ki67.synthetic_world import Architecture, World
from ki67.types import FloatArray, Progress

CRISP = Look(blur_um=0.15, sharpening=0.0, noise=0.5)
NESTS = Architecture(nest_um=120.0)
ALL_TUMOR = Architecture(everywhere=True)


def _cores(region: SyntheticRegion, amount: FloatArray) -> FloatArray:
    """Mean of `amount` over the inner part of each nucleus."""
    result = []
    rows, cols = np.mgrid[: amount.shape[0], : amount.shape[1]]
    n = region.nuclei
    for i in range(len(n)):
        reach = float(n.semi_major_px[i]) + 1
        y0, x0 = max(int(n.y_px[i] - reach), 0), max(int(n.x_px[i] - reach), 0)
        box = (slice(y0, int(n.y_px[i] + reach) + 2), slice(x0, int(n.x_px[i] + reach) + 2))
        dx, dy = cols[box] - n.x_px[i], rows[box] - n.y_px[i]
        cos, sin = np.cos(n.angle[i]), np.sin(n.angle[i])
        radius = np.hypot(
            (dx * cos + dy * sin) / n.semi_major_px[i], (dy * cos - dx * sin) / n.semi_minor_px[i]
        )
        inner = radius < max(0.6, float(np.min(radius)) + 1e-3)
        result.append(amount[box][inner].mean())
    return np.array(result, np.float32)


def _unmix(region: SyntheticRegion, look: Look) -> FloatArray:
    return deconvolve(optical_density(region.rgb, look.white), [look.haematoxylin, look.dab])


def test_smooth_noise_is_the_same_at_points_as_in_windows_and_has_unit_spread() -> None:
    window = Window(-150, 40, 400, 300, 0.5)
    image = smooth_noise(window, seed=3, stream=1, period_um=7.0)
    x, y = np.meshgrid(window.x_um, window.y_um)
    points = smooth_noise_at(x.ravel(), y.ravel(), seed=3, stream=1, period_um=7.0)
    assert np.abs(points - image.ravel()).max() < 1e-5
    assert abs(float(image.mean())) < 0.15
    assert float(image.std()) == pytest.approx(1, abs=0.15)
    pixels = pixel_noise(Window(0, 0, 300, 300, 0.5), seed=3, stream=2)
    assert float(pixels.std()) == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(pixels[:, 1:].ravel(), pixels[:, :-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_window_is_identical_whatever_region_it_is_cut_from(seed: int) -> None:
    whole = make_region(1300, 700, seed=seed)
    part = make_region(333, 251, seed=seed, left_px=901, top_px=307)
    assert np.array_equal(part.rgb, whole.rgb[307 : 307 + 251, 901 : 901 + 333])
    assert np.array_equal(part.tumor_mask, whole.tumor_mask[307 : 307 + 251, 901 : 901 + 333])
    x, y = whole.nuclei.x_px - 901, whole.nuclei.y_px - 307
    inside = (x >= -0.5) & (x < 332.5) & (y >= -0.5) & (y < 250.5)
    order, own = np.lexsort((x[inside], y[inside])), np.lexsort((part.nuclei.x_px, part.nuclei.y_px))
    assert part.nuclei.x_px[own] == pytest.approx(x[inside][order], abs=1e-3)
    assert np.array_equal(part.nuclei.label[own], whole.nuclei.label[inside][order])


def test_a_seed_reproduces_its_region_and_another_seed_does_not() -> None:
    first, again, other = (make_region(128, 128, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(first.rgb, again.rgb)
    assert not np.array_equal(first.rgb, other.rgb)


def test_both_scales_show_the_same_nuclei_at_the_same_places() -> None:
    fine = make_region(512, 512, mpp=0.25, seed=9, architecture=NESTS)
    coarse = make_region(256, 256, mpp=0.5, seed=9, architecture=NESTS)
    assert len(fine.nuclei) == len(coarse.nuclei) > 20
    assert (fine.nuclei.x_px + 0.5) * 0.25 == pytest.approx((coarse.nuclei.x_px + 0.5) * 0.5, abs=1e-3)
    assert np.array_equal(fine.nuclei.label, coarse.nuclei.label)
    assert np.mean(fine.tumor_mask[::2, ::2] == coarse.tumor_mask) > 0.98


def test_positive_nuclei_are_brown_and_negative_ones_blue_under_deconvolution() -> None:
    region = make_region(900, 900, mpp=0.25, seed=4, positive_share=0.4, look=CRISP, architecture=NESTS)
    unmixed = _unmix(region, CRISP)
    blue, brown = _cores(region, unmixed[..., 0]), _cores(region, unmixed[..., 1])
    positive, negative = region.nuclei.label == "positive", region.nuclei.label == "negative"
    assert positive.sum() > 30
    assert negative.sum() > 50
    assert np.mean(brown[positive] > 0.35) > 0.99
    assert np.mean(brown[negative] < 0.3) > 0.97
    assert np.mean(blue[negative] > 0.3) > 0.97


def test_every_brown_nucleus_that_is_not_tumor_is_one_of_the_stated_few() -> None:
    clean = Architecture(nest_um=120.0, other_positive_share=0.0)
    region = make_region(900, 900, mpp=0.25, seed=4, positive_share=0.0, look=CRISP, architecture=clean)
    assert set(region.nuclei.label) == {"negative", "other"}
    assert np.percentile(_unmix(region, CRISP)[..., 1], 99.9) < 0.35


@pytest.mark.parametrize("share", [0.03, 0.2, 0.7])
def test_the_index_of_the_truth_is_the_share_asked_for_within_binomial_error(share: float) -> None:
    labels = make_region(1400, 1400, seed=8, positive_share=share, architecture=ALL_TUMOR).nuclei.label
    positive, total = int((labels == "positive").sum()), len(labels)
    assert total > 1500
    assert abs(positive / total - share) < 3.5 * np.sqrt(share * (1 - share) / total)


def test_hot_spots_leave_some_places_with_far_more_positives_than_others() -> None:
    def spread(hot_spots: float) -> float:
        world = World(3, Architecture(everywhere=True, hot_spots=hot_spots), 0.3)
        nuclei = world.nuclei(Window(0, 0, 3000, 700, 1.0))
        block = np.clip(nuclei.x_um // 250, 0, 11)
        return float(np.std([np.mean(nuclei.positive[block == b]) for b in range(12)]))

    assert spread(1.5) > 3 * spread(0.0)


def test_the_tumor_mask_holds_every_tumor_nucleus_and_others_in_it_are_the_stated_share() -> None:
    built = Architecture(nest_um=120.0, infiltrating_share=0.0)
    for seed in range(3):
        region = make_region(800, 800, seed=seed, architecture=built)
        n = region.nuclei
        inside = region.tumor_mask[np.rint(n.y_px).astype(int), np.rint(n.x_px).astype(int)]
        tumor = n.label != "other"
        assert inside[tumor].all()
        assert not inside[~tumor].any()
        assert 0.2 < region.tumor_mask.mean() < 0.9
    invaded = Architecture(nest_um=120.0, infiltrating_share=0.05)
    region = make_region(800, 800, seed=1, architecture=invaded)
    n = region.nuclei
    inside = region.tumor_mask[np.rint(n.y_px).astype(int), np.rint(n.x_px).astype(int)]
    assert 0.01 < np.mean(n.label[inside] == "other") < 0.15


def test_tumor_holds_as_many_nuclei_as_carcinomas_do_and_they_have_their_size() -> None:
    region = make_region(1400, 1400, seed=2, architecture=ALL_TUMOR)
    assert region.tumor_mask.all()
    assert set(region.nuclei.label) <= {"positive", "negative"}
    assert 2500 < len(region.nuclei) / (0.7**2) < 5500
    diameter = 2 * np.sqrt(region.nuclei.semi_major_px * region.nuclei.semi_minor_px) * 0.5
    assert 6 < np.percentile(diameter, 2) < np.percentile(diameter, 98) < 11


def test_random_architectures_differ_in_tumor_share_and_density() -> None:
    regions = [make_region(256, 256, seed=seed) for seed in range(12)]
    assert len({region.tumor_mask.mean() > 0.5 for region in regions}) == 2
    assert len({len(region.nuclei) for region in regions}) > 6
    assert np.std([region.rgb.mean() for region in regions]) > 5


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_region(0, 10, seed=1), "0 × 10 px"),
        (lambda: make_region(10, 10, mpp=50, seed=1), "50 µm/px"),
        (lambda: make_region(10, 10, seed=1, positive_share=20), "fraction from 0 to 1"),
        (lambda: write_region(Path("x.png"), 10, 10, seed=1), "x.png must be a TIFF"),
    ],
)
def test_a_region_that_makes_no_sense_is_refused_with_a_sentence(
    make: Callable[[], object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        make()


def test_a_written_region_is_the_one_in_memory_with_its_truth_beside_it(tmp_path: Path) -> None:
    stages: list[Progress] = []
    written = write_region(
        tmp_path / "a.tif",
        1300,
        1100,
        seed=6,
        architecture=NESTS,
        compression="deflate",
        progress=stages.append,
    )
    region = make_region(1300, 1100, mpp=0.25, seed=6, architecture=NESTS)
    assert np.array_equal(tifffile.imread(written.picture), region.rgb)
    with Image.open(written.tumor_png) as mask:
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), region.tumor_mask.astype(np.uint8) * 255)
    with written.nuclei_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(region.nuclei.label)
    assert [float(row["x_px"]) for row in rows] == pytest.approx(region.nuclei.x_px, abs=0.006)
    assert written.positive == int((region.nuclei.label == "positive").sum())
    assert written.tumor_area_mm2 == pytest.approx(region.tumor_mask.sum() * 0.25**2 / 1e6)
    assert stages[-1] == Progress("draw", 1100, 1100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.tif", "a.tumor.png"]


def test_a_written_region_carries_its_pixel_size_and_true_colors_as_jpeg_tiles(tmp_path: Path) -> None:
    write_region(tmp_path / "a.tif", 700, 600, mpp=0.25, seed=6, architecture=NESTS)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        assert page.is_tiled
        assert page.tags["XResolution"].value == (40000, 1)
        assert page.tags["ResolutionUnit"].value == 3
        rgb = page.asarray()
    region = make_region(700, 600, mpp=0.25, seed=6, architecture=NESTS)
    assert np.abs(rgb.astype(int) - region.rgb).mean() < 4
    assert np.abs(rgb.mean(axis=(0, 1)) - region.rgb.mean(axis=(0, 1))).max() < 1


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(step: Progress) -> None:
        if step.done > 0:
            raise RuntimeError("stopped in mid-write")

    with pytest.raises(RuntimeError, match="mid-write"):
        write_region(tmp_path / "a.tif", 300, 1100, seed=6, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_memory_of_writing_does_not_grow_with_the_area(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tiles a quarter as wide as usual, so that 16 times the area is drawn in seconds."""
    monkeypatch.setattr("ki67.synthetic._TILE_PX", 256)
    monkeypatch.setattr("ki67.synthetic._FILE_TILE_PX", 128)

    def peak(width: int, height: int) -> int:
        tracemalloc.start()
        write_region(tmp_path / f"{height}.tif", width, height, mpp=0.5, seed=1, architecture=NESTS)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    small = peak(256, 256)
    assert peak(256, 2048) < 1.15 * small
    assert peak(1024, 1024) < 1.5 * small


def test_an_annotated_folder_has_a_manifest_that_names_every_picture(tmp_path: Path) -> None:
    written = write_annotated_folder(tmp_path / "data", count=3, side_px=128, seed=10)
    with (tmp_path / "data" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [region.picture.name for region in written]
    assert {row["mpp"] for row in rows} == {"0.5"}
    assert len({row["patient"] for row in rows}) == 3
    assert all((tmp_path / "data" / row["image"]).exists() for row in rows)
