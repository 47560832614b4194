"""H&E redrawn as Ki-67: made-up H&E fields in, brown where it was asked for, blue elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.stains import EOSIN, HAEMATOXYLIN, Look, deconvolve, optical_density, transmitted, unit
from ki67.training.redraw import TypedNuclei, redraw_as_ki67
from ki67.types import ByteArray, FloatArray, IntArray

LOOK = Look(blur_um=0.2, sharpening=0.0, noise=0.5)
SIDE, STEP = 320, 32


def _field() -> tuple[ByteArray, TypedNuclei]:
    """H&E with 81 round nuclei 9 µm across on a grid at 0.5 µm/px: left two thirds tumor, the rest other."""
    at = np.arange(STEP, SIDE, STEP)
    x, y = (part.ravel().astype(np.float64) for part in np.meshgrid(at, at))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    instances = np.zeros((SIDE, SIDE), np.int32)
    for i in range(len(x)):
        instances[np.hypot(cols - x[i], rows - y[i]) < 9] = i + 1
    rng = np.random.default_rng(0)
    haematoxylin = np.where(instances > 0, 1.0, 0.05) * rng.uniform(0.8, 1.2, instances.shape)
    eosin = np.where(instances > 0, 0.1, 0.5) * rng.uniform(0.8, 1.2, instances.shape)
    eosin[:, -12:] = 0
    haematoxylin[:, -12:] = 0
    od = np.stack([haematoxylin, eosin], axis=-1) @ unit([HAEMATOXYLIN, EOSIN])
    rgb = np.rint(transmitted(od.astype(np.float32), (245, 245, 245))).astype(np.uint8)
    kinds = np.where(x < 2 * SIDE / 3, "tumor", "other")
    return rgb, TypedNuclei(x, y, kinds, instances, np.arange(1, len(x) + 1, dtype=np.int32))


def _points(nuclei: TypedNuclei) -> TypedNuclei:
    return TypedNuclei(nuclei.x_px, nuclei.y_px, nuclei.kinds)


def _brown_and_blue(rgb: ByteArray, instances: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Mean DAB and counterstain of each nucleus."""
    assert instances is not None
    amounts = deconvolve(optical_density(rgb, LOOK.white), [LOOK.haematoxylin, LOOK.dab])
    counts = np.bincount(instances.ravel())[1:]
    blue, brown = (np.bincount(instances.ravel(), amounts[..., k].ravel())[1:] / counts for k in (0, 1))
    return brown.astype(np.float32), blue.astype(np.float32)


@pytest.mark.parametrize("outlined", [True, False])
def test_positives_come_out_brown_and_negatives_and_others_blue(outlined: bool) -> None:
    rgb, nuclei = _field()
    given = nuclei if outlined else _points(nuclei)
    drawn = redraw_as_ki67(rgb, mpp=0.5, seed=3, positive_share=0.4, nuclei=given, look=LOOK)
    assert drawn.labels is not None
    brown, blue = _brown_and_blue(drawn.rgb, nuclei.instances)
    positive = drawn.labels == "positive"
    assert 10 < positive.sum() < 45
    assert brown[positive].min() > 0.3  # weak positives are among them
    assert brown[~positive].max() < 0.25
    assert np.median(brown[positive]) > 1.0
    assert blue[~positive].min() > 0.3


def test_labels_follow_the_kinds_and_the_share() -> None:
    rgb, nuclei = _field()
    kinds = nuclei.kinds.copy().astype("<U8")
    kinds[:5] = "unknown"
    given = TypedNuclei(nuclei.x_px, nuclei.y_px, kinds)
    none = redraw_as_ki67(rgb, mpp=0.5, seed=3, positive_share=0.0, nuclei=given).labels
    every = redraw_as_ki67(rgb, mpp=0.5, seed=3, positive_share=1.0, nuclei=given).labels
    assert none is not None
    assert every is not None
    assert set(none[kinds == "tumor"]) == {"negative"}
    assert set(every[kinds == "tumor"]) == {"positive"}
    assert set(every[kinds == "other"]) == set(none[kinds == "other"]) == {"other"}
    assert set(every[kinds == "unknown"]) == {""}
    shares = []
    for seed in range(12):
        labels = redraw_as_ki67(rgb, mpp=0.5, seed=seed, positive_share=0.3, nuclei=given).labels
        assert labels is not None
        shares.append(np.mean(labels[kinds == "tumor"] == "positive"))
    total = 12 * int((kinds == "tumor").sum())
    assert abs(float(np.mean(shares)) - 0.3) < 3.5 * np.sqrt(0.3 * 0.7 / total)


def test_the_pink_of_eosin_is_gone() -> None:
    rgb, nuclei = _field()
    drawn = redraw_as_ki67(rgb, mpp=0.5, seed=3, positive_share=0.0, nuclei=nuclei, look=LOOK)
    background = nuclei.instances == 0
    background[:, -20:] = False
    before, after = rgb[background].mean(axis=0), drawn.rgb[background].mean(axis=0)
    assert before[0] - before[1] > 40
    assert abs(after[0] - after[1]) < 15
    assert after.min() > 190


def test_without_nuclei_only_blobs_inside_the_tumor_mask_turn_brown() -> None:
    rgb, nuclei = _field()
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 2] = 255
    mask[:, SIDE // 2 : SIDE // 2 + 10] = 128
    drawn = redraw_as_ki67(rgb, mpp=0.5, seed=3, positive_share=1.0, tumor_mask=mask, look=LOOK)
    assert drawn.labels is None
    brown, _ = _brown_and_blue(drawn.rgb, nuclei.instances)
    inside = nuclei.x_px < SIDE // 2 - 8
    assert brown[inside].min() > 0.35
    assert brown[nuclei.x_px > SIDE // 2 + 12].max() < 0.25
    bare = redraw_as_ki67(rgb, mpp=0.5, seed=3, positive_share=1.0, tumor_mask=mask > 999, look=LOOK)
    assert _brown_and_blue(bare.rgb, nuclei.instances)[0].max() < 0.25


def test_a_seed_reproduces_its_redrawing_and_another_changes_hue_and_positives() -> None:
    rgb, nuclei = _field()
    first, again, other = (
        redraw_as_ki67(rgb, mpp=0.5, seed=seed, positive_share=0.5, nuclei=nuclei) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert np.abs(first.rgb.mean(axis=(0, 1)) - other.rgb.mean(axis=(0, 1))).max() > 1


def test_bare_glass_and_a_field_without_nuclei_stay_bare() -> None:
    glass = np.full((64, 48, 3), 244, np.uint8)
    empty = TypedNuclei(np.zeros(0), np.zeros(0), np.zeros(0, "<U8"))
    for drawn in (
        redraw_as_ki67(glass, mpp=0.5, seed=1, positive_share=0.5, nuclei=empty, look=LOOK),
        redraw_as_ki67(
            glass, mpp=0.5, seed=1, positive_share=0.5, tumor_mask=np.ones((64, 48), bool), look=LOOK
        ),
    ):
        assert drawn.rgb.shape == glass.shape
        assert drawn.rgb.min() > 200


def test_arrays_that_do_not_fit_together_are_refused_with_a_sentence() -> None:
    rgb, nuclei = _field()
    with pytest.raises(DataError, match="fraction from 0 to 1"):
        redraw_as_ki67(rgb, mpp=0.5, seed=1, positive_share=30, nuclei=nuclei)
    with pytest.raises(DataError, match="convert it to RGB"):
        redraw_as_ki67(rgb[..., 0], mpp=0.5, seed=1, positive_share=0.3, nuclei=nuclei)
    with pytest.raises(DataError, match="tumor mask is"):
        redraw_as_ki67(rgb, mpp=0.5, seed=1, positive_share=0.3, tumor_mask=np.ones((5, 5), bool))
    short = TypedNuclei(nuclei.x_px[:3], nuclei.y_px, nuclei.kinds)
    unnamed = TypedNuclei(nuclei.x_px, nuclei.y_px, nuclei.kinds, nuclei.instances)
    with pytest.raises(DataError, match="differ in number"):
        redraw_as_ki67(rgb, mpp=0.5, seed=1, positive_share=0.3, nuclei=short)
    with pytest.raises(DataError, match="give `ids`"):
        redraw_as_ki67(rgb, mpp=0.5, seed=1, positive_share=0.3, nuclei=unnamed)
