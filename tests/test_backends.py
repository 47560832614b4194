"""Backends on small random nets: OpenVINO and torch give the same, and a wrong wish gets a sentence."""

import dataclasses
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from ki67.errors import ModelError, SettingsError
from ki67.pipeline.backend_openvino import OpenVinoBackend, best_precision
from ki67.pipeline.backend_torch import TorchBackend
from ki67.pipeline.backends import choose_backend, cuda_present
from ki67.pipeline.cards import WEIGHTS_NAME, default_spec, read_model_set, write_model_folder
from ki67.pipeline.nets import build_net, load_net, net_state
from ki67.pipeline.run import score_picture
from ki67.types import Parameters, PixelSize
from tests.pipeline_fakes import draw_scene, fake_card

SMALL = {"encoder": "resnet18", "decoder_channels": (16, 16, 8, 8, 8)}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model set of two small nets with random weights and spread-out outputs."""
    folder = tmp_path_factory.mktemp("models") / "small"
    for task in ("tumor", "cells"):
        torch.manual_seed(1)
        net = build_net(dataclasses.replace(default_spec(task), **SMALL))
        with torch.no_grad():
            net.unet.segmentation_head[0].weight.mul_(3)
        write_model_folder(folder / task, fake_card(task, **SMALL), net_state(net))
    return folder


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Where converted nets are kept between the tests."""
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="module")
def tiles():
    noise = np.random.default_rng(0).integers(0, 256, (2, 128, 96, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in noise])


def test_the_served_nets_are_the_nets_with_normalization_and_probabilities(models, tiles):
    backend = TorchBackend(models, device="cpu", with_tumor=True)
    rgb = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        logits = load_net(models / "cells").unet(
            (rgb - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
            / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        )
    expected = torch.softmax(logits, 1)[:, [1, 3]].numpy()
    assert backend.cells(tiles) == pytest.approx(expected, abs=1e-4)
    assert expected.std() > 0.01
    tumor = backend.tumor(tiles)
    assert tumor.shape == (2, 128, 96)
    assert ((tumor > 0) & (tumor < 1)).all()


def test_openvino_in_single_precision_gives_what_torch_gives(models, tiles, nets):
    ours = OpenVinoBackend(models, with_tumor=True, precision="f32", cache=nets)
    theirs = TorchBackend(models, device="cpu", with_tumor=True)
    assert ours.cells(tiles) == pytest.approx(theirs.cells(tiles), abs=1e-3)
    assert ours.tumor(tiles) == pytest.approx(theirs.tumor(tiles), abs=1e-3)
    assert (ours.name, ours.device, ours.precision) == ("openvino", "cpu", "f32")
    assert (theirs.name, theirs.device, theirs.precision) == ("torch", "cpu", "f32")


def test_a_net_from_the_cache_gives_the_same_and_imports_no_torch(models, tiles, tmp_path):
    first = choose_backend(models, device="cpu", cache=tmp_path / "nets")
    kept = sorted(path.name for path in (tmp_path / "nets").iterdir())
    assert [name.split("-")[0] for name in kept] == ["cells", "tumor"]
    np.save(tmp_path / "tiles.npy", tiles)
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from ki67.pipeline.backends import choose_backend\n"
        f"nets = Path({str(tmp_path / 'nets')!r})\n"
        f"backend = choose_backend(Path({str(models)!r}), device='cpu', cache=nets)\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, backend.cells(np.load({str(tmp_path / 'tiles.npy')!r})))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.load(tmp_path / "out.npy") == pytest.approx(first.cells(tiles), abs=1e-6)
    assert sorted(path.name for path in (tmp_path / "nets").iterdir()) == kept


def test_each_shape_of_tile_is_served(models, nets):
    backend = OpenVinoBackend(models, with_tumor=False, cache=nets)
    for height, width in ((64, 96), (96, 64), (64, 64), (64, 96)):
        assert backend.cells(np.zeros((1, height, width, 3), np.uint8)).shape == (1, 2, height, width)


def test_the_precision_is_bf16_only_where_the_processor_has_it(models, nets):
    import openvino as ov

    has_it = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert best_precision() == ("bf16" if has_it else "f32")
    assert OpenVinoBackend(models, with_tumor=False, cache=nets).precision == best_precision()


def test_a_run_gives_the_same_nuclei_with_both_backends(models, nets):
    scene = draw_scene(400, 300, seed=3)
    records = [
        score_picture(
            scene.picture,
            pixel_size=PixelSize(0.5, "given"),
            models=read_model_set(models),
            backend=choose_backend(models, device="cpu", backend=name, cache=nets),
            parameters=Parameters(tile_px=256, overlap_px=32),
            seed=0,
        )
        for name in ("openvino", "torch")
    ]
    ours, theirs = (record.candidates for record in records)
    assert len(theirs) > 20
    assert len(ours) == pytest.approx(len(theirs), rel=0.03)
    assert [record.backend for record in records] == ["openvino", "torch"]
    difference = records[0].tumor_map.values.astype(int) - records[1].tumor_map.values
    assert np.abs(difference).max() <= 1


def test_weights_that_are_not_those_of_the_card_are_refused_by_every_backend(models, tmp_path):
    shutil.copytree(models, tmp_path / "set")
    path = tmp_path / "set" / "cells" / WEIGHTS_NAME
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    for name in ("torch", "openvino"):
        with pytest.raises(ModelError, match="not those of their card"):
            choose_backend(tmp_path / "set", device="cpu", backend=name, cache=tmp_path / "nets")


def test_weights_of_another_net_are_refused(models, tmp_path):
    net = build_net(dataclasses.replace(default_spec("cells"), **SMALL))
    write_model_folder(tmp_path / "cells", fake_card("cells", encoder="resnet34"), net_state(net))
    with pytest.raises(ModelError, match="do not fit the net"):
        load_net(tmp_path / "cells")


def test_a_set_without_step_1_is_refused_unless_the_mask_is_off(models, tmp_path):
    shutil.copytree(models / "cells", tmp_path / "cells")
    with pytest.raises(ModelError, match="no net for the tumor step"):
        choose_backend(tmp_path, device="cpu")
    backend = choose_backend(tmp_path, device="cpu", backend="torch", with_tumor=False)
    with pytest.raises(ValueError, match="without the tumor net"):
        backend.tumor(np.zeros((1, 32, 32, 3), np.uint8))


def test_openvino_on_a_gpu_and_a_gpu_that_is_not_there_are_refused(models, nets):
    with pytest.raises(SettingsError, match="choose the backend torch"):
        choose_backend(models, device="cuda", backend="openvino")
    if not cuda_present():
        with pytest.raises(SettingsError, match="No CUDA GPU"):
            choose_backend(models, device="cuda")
        assert choose_backend(models, cache=nets).name == "openvino"


@pytest.mark.gpu
def test_a_gpu_in_half_precision_gives_what_torch_gives_in_single(models, tiles):
    if not cuda_present():
        pytest.skip("needs a CUDA GPU")
    ours = choose_backend(models)
    theirs = TorchBackend(models, device="cpu", with_tumor=True)
    assert (ours.name, ours.device, ours.precision) == ("torch", "cuda", "f16")
    assert ours.cells(tiles) == pytest.approx(theirs.cells(tiles), abs=0.02)
    assert ours.tumor(tiles) == pytest.approx(theirs.tumor(tiles), abs=0.02)
