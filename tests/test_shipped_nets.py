"""What the shipped model set must hold on synthetic regions, and what its cards say.

The regions are drawn here, with a fixed look, and their truth is known nucleus by nucleus.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ki67.index import ki67_index
from ki67.pipeline.backends import choose_backend
from ki67.pipeline.cards import default_model_set, read_card, read_model_set
from ki67.pipeline.images import open_picture
from ki67.pipeline.measure import measure
from ki67.pipeline.run import score_picture
from ki67.stains import Look
from ki67.synthetic import SyntheticRegion, make_region
from ki67.synthetic_world import Architecture
from ki67.training.matching import match
from ki67.types import Measurement, Parameters, PixelSize, RunRecord

SET = default_model_set()
WITHIN_UM = 4.0


@pytest.fixture(scope="module")
def backend():
    return choose_backend(SET, device="cpu")


def score(region: SyntheticRegion, path: Path, backend) -> RunRecord:
    Image.fromarray(region.rgb).save(path)
    with open_picture(path) as picture:
        return score_picture(
            picture,
            pixel_size=PixelSize(region.mpp, "given"),
            models=read_model_set(SET),
            backend=backend,
            parameters=Parameters(),
            seed=0,
        )


@pytest.fixture(scope="module")
def regions(tmp_path_factory, backend) -> list[tuple[SyntheticRegion, RunRecord, Measurement]]:
    """Three regions of 0.2 mm² with nests, stroma and lymphocytes, at indices from 5 to 30 %, scored."""
    folder = tmp_path_factory.mktemp("regions")
    scored = []
    for seed, share in ((12, 0.2), (14, 0.3), (15, 0.05)):
        region = make_region(
            896, 896, mpp=0.5, seed=seed, positive_share=share, architecture=Architecture(), look=Look()
        )
        record = score(region, folder / f"{seed}.png", backend)
        scored.append((region, record, measure(record)))
    return scored


def test_the_shipped_nets_find_85_percent_of_the_tumor_nuclei_of_synthetic_regions(regions) -> None:
    hits = total = 0
    for region, record, measured in regions:
        tumor = region.nuclei.label != "other"
        counted, found = measured.counted, record.candidates
        truth = np.stack([region.nuclei.x_px[tumor], region.nuclei.y_px[tumor]], axis=1) * 0.5
        places = np.stack([found.x_px[counted], found.y_px[counted]], axis=1) * 0.5
        hits += int((match(truth, places, radius=WITHIN_UM) >= 0).sum())
        total += int(tumor.sum())
    assert total > 1500
    assert hits / total >= 0.85


def test_the_shipped_tumor_map_has_dice_of_80_percent_on_synthetic_regions(regions) -> None:
    both = either = 0
    for region, record, _ in regions:
        rows, cols = np.indices(region.tumor_mask.shape)
        found = record.tumor_map.at(cols.ravel(), rows.ravel()) >= 0.5
        truth = region.tumor_mask.ravel()
        both += int((found & truth).sum())
        either += int(found.sum()) + int(truth.sum())
    assert 2 * both / either >= 0.8


def test_the_index_of_synthetic_regions_up_to_30_percent_is_within_3_points_of_the_truth(regions) -> None:
    for region, _, measured in regions:
        label = region.nuclei.label
        truth = ki67_index(int((label == "positive").sum()), int((label == "negative").sum()))
        found = ki67_index(measured.positive, measured.negative)
        assert found is not None
        assert 100 * abs(found - truth) <= 3


def test_each_shipped_net_has_a_card_that_says_where_it_comes_from() -> None:
    for task in ("tumor", "cells"):
        card = read_card(SET / task)
        assert card.task == task
        assert card.mpp == 0.5
        assert card.encoder_init
        assert card.training_images
        assert all(source.terms for source in card.data)
        assert "research use only" in card.license_note.lower()
