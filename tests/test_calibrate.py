"""The border of step 1 put where a stated share of the tumor nuclei falls outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ki67.errors import DataError
from ki67.pipeline.cards import read_card, verify_weights, write_model_folder
from ki67.pipeline.images import sha256_of
from ki67.pipeline.nets import build_net, load_net, net_state
from ki67.training.calibrate import CALIBRATED, calibrate_tumor, calibration, with_shift
from ki67.training.finish import finish_model
from ki67.training.folder import read_folder
from tests.annotated import make_folder
from tests.pipeline_fakes import fake_card


def test_the_shift_leaves_the_stated_share_of_the_tumor_nuclei_outside() -> None:
    tumor = np.arange(-10.0, 90.0)
    other = np.array([-40.0, -6.5, 3.0])
    found = calibration(tumor, other, fields=2, most_outside=0.03)
    assert found.tumor_outside == 3
    assert (tumor + found.shift >= 0).sum() == 97
    assert (found.other, found.other_inside) == (3, 2)


def test_without_a_tumor_nucleus_there_is_nothing_to_calibrate_on() -> None:
    with pytest.raises(DataError, match="No picture has tumor nuclei"):
        calibration(np.zeros(0), np.ones(3), fields=1, most_outside=0.03)


def test_a_calibrated_net_answers_the_shift_higher_and_its_card_says_so(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", patients=["A", "B"], side=128)
    card = fake_card("tumor")
    net = build_net(card.spec)
    written = write_model_folder(tmp_path / "tumor", card, net_state(net))
    fields = read_folder(data)
    done = calibrate_tumor(tmp_path / "tumor", fields, most_outside=0.25)
    assert done == read_card(tmp_path / "tumor")
    assert verify_weights(tmp_path / "tumor").sha256 != written.sha256
    assert set(done.training_images) >= {sha256_of(field.image) for field in fields}
    noted = done.figures[CALIBRATED]
    assert 0 < noted["tumor_outside"] <= 0.25 * noted["tumor"] + 1
    before, after = net_state(net), net_state(load_net(tmp_path / "tumor"))
    bias = "unet.segmentation_head.0.bias"
    assert after[bias] - before[bias] == pytest.approx(noted["shift"], abs=1e-5)
    again = calibrate_tumor(tmp_path / "tumor", fields, most_outside=0.25)
    assert again.figures[CALIBRATED]["shift"] == pytest.approx(0, abs=0.02)


def test_only_the_last_bias_moves() -> None:
    state = {"unet.segmentation_head.0.bias": np.zeros(1, np.float32), "w": np.ones(3, np.float32)}
    moved = with_shift(state, 1.5)
    assert moved["unet.segmentation_head.0.bias"] == pytest.approx(1.5)
    assert moved["w"] is state["w"]


def test_a_finished_cell_net_carries_its_tuning_and_says_what_its_pictures_look_like(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data", patients=[f"P{i}" for i in range(10)], side=160)
    card = fake_card("cells")
    write_model_folder(tmp_path / "set" / "cells", card, net_state(build_net(card.spec)))
    done = finish_model("cells", tmp_path / "set" / "cells", read_folder(data), device="cpu", backend="torch")
    assert done == read_card(tmp_path / "set" / "cells")
    assert done.figures["tuned_on_training_pictures"]["fields"] == 10
    assert done.score_threshold == done.figures["tuned_on_training_pictures"]["score_threshold"]
    assert done.look_reference is not None
    assert done.look_reference["color"]["fields"] == 10


def test_a_cell_net_in_a_folder_of_another_name_is_not_tuned(tmp_path: Path) -> None:
    fields = read_folder(make_folder(tmp_path / "data", patients=["A"], side=64))
    with pytest.raises(DataError, match="name its folder cells"):
        finish_model("cells", tmp_path / "mine", fields)
