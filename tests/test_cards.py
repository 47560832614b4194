"""Model folders: what is written is what is read, and what does not fit is refused with a sentence."""

import dataclasses
import json
import os

import numpy as np
import pytest

from ki67.errors import ModelError
from ki67.pipeline.cards import (
    CARD_NAME,
    WEIGHTS_NAME,
    ModelCard,
    TrainingSource,
    read_card,
    read_model_set,
    verify_weights,
    write_model_folder,
)
from tests.pipeline_fakes import fake_card

WEIGHTS = {
    "unet.conv.weight": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 2, 2),
    "unet.norm.running_var": np.array([1e-9, 7e4], np.float32),
    "unet.norm.num_batches_tracked": np.array(12),
}


ERROR_MODEL = {
    "scale": "arcsine",
    "laboratories": 4,
    "field_nuclei": 150.0,
    "levels": [{"from_percent": 0.0, "laboratory_sd": 0.03, "field_sd": 0.02}],
}


def full_card() -> ModelCard:
    return fake_card(
        "cells",
        data=(TrainingSource("field set", "CC BY 4.0", 12),),
        training_patients=("P1", "P2"),
        training_images=("ab" * 32,),
        figures={"f1": {"pooled": 0.8, "by_source": [0.7, 0.9]}},
        error_model=ERROR_MODEL,
        known_failures=("benign epithelium is called tumor",),
        score_threshold=0.45,
    )


def test_a_card_comes_back_as_it_was_written_with_the_hash_of_its_weights(tmp_path):
    written = write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    assert len(written.sha256) == 64
    assert written == dataclasses.replace(full_card(), sha256=written.sha256)
    assert read_card(tmp_path / "cells") == written
    assert verify_weights(tmp_path / "cells") == written


def test_matrices_are_stored_in_half_precision_and_statistics_in_single(tmp_path):
    from safetensors.numpy import load_file

    write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    stored = load_file(tmp_path / "cells" / WEIGHTS_NAME)
    assert stored["unet.conv.weight"].dtype == np.float16
    assert stored["unet.norm.running_var"].tolist() == WEIGHTS["unet.norm.running_var"].tolist()
    assert stored["unet.norm.num_batches_tracked"] == 12


def test_writing_over_a_model_replaces_it_whole_and_leaves_nothing_else(tmp_path):
    write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    newer = dataclasses.replace(full_card(), version="2")
    changed = {name: value + 1 for name, value in WEIGHTS.items()}
    write_model_folder(tmp_path / "cells", newer, changed)
    assert verify_weights(tmp_path / "cells").version == "2"
    assert os.listdir(tmp_path) == ["cells"]


def test_a_failure_while_writing_keeps_the_older_model(tmp_path):
    older = write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    broken = dataclasses.replace(full_card(), figures={"f1": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        write_model_folder(tmp_path / "cells", broken, WEIGHTS)
    assert verify_weights(tmp_path / "cells") == older
    assert os.listdir(tmp_path) == ["cells"]


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path):
    write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    path = tmp_path / "cells" / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(
        ModelError, match=r"weights\.safetensors: the weights are not those of their card .*copy"
    ):
        verify_weights(tmp_path / "cells")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "red"}, "colour is unknown"),
        ({"version": None}, "version is missing"),
        ({"task": "nuclei"}, "task is 'nuclei'"),
        ({"classes": ["a", "b"]}, "classes are not background"),
        ({"mpp": 0.25}, "mpp is 0.25, not 0.5"),
        ({"score_threshold": 1.5}, "score_threshold is not between 0 and 1"),
        ({"std": [0.2, 0.2, 0]}, "mean and std"),
        ({"min_distance_um": "wide"}, "ill-formed"),
        ({"data": [{"source": "x"}]}, "ill-formed"),
    ],
)
def test_a_card_at_fault_is_refused_with_the_field_named(tmp_path, change, says):
    write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    path = tmp_path / "cells" / CARD_NAME
    raw = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({name: value for name, value in raw.items() if value is not None}))
    with pytest.raises(ModelError, match=says):
        read_card(tmp_path / "cells")


def test_a_folder_without_a_card_and_a_card_that_is_no_json_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no readable card\.json"):
        read_card(tmp_path)
    (tmp_path / CARD_NAME).write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        read_card(tmp_path)


def test_a_model_set_needs_cells_and_takes_tumor_where_it_is(tmp_path):
    with pytest.raises(ModelError, match="not a model set"):
        read_model_set(tmp_path)
    write_model_folder(tmp_path / "cells", full_card(), WEIGHTS)
    assert read_model_set(tmp_path).tumor is None
    write_model_folder(tmp_path / "tumor", fake_card("tumor"), WEIGHTS)
    both = read_model_set(tmp_path)
    assert both.tumor is not None
    assert (both.name, both.tumor.task, both.cells.task) == (tmp_path.name, "tumor", "cells")


def test_a_model_in_the_folder_of_the_other_step_is_refused(tmp_path):
    write_model_folder(tmp_path / "cells", fake_card("tumor"), WEIGHTS)
    with pytest.raises(ModelError, match="a model for 'tumor', not 'cells'"):
        read_model_set(tmp_path)
