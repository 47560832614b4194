"""The shipped nets give one answer: whatever the backend, the tile size, the place of the tiles, the size.

Regions are synthetic; GPU checks need a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from bench.size import SizeReport, measure_size
from ki67.index import ki67_index
from ki67.pipeline.backend_openvino import OpenVinoBackend
from ki67.pipeline.backends import choose_backend, cuda_present
from ki67.pipeline.cards import default_model_set, read_model_set
from ki67.pipeline.images import open_picture
from ki67.pipeline.measure import measure
from ki67.pipeline.run import score_picture
from ki67.stains import Look
from ki67.synthetic import make_region
from ki67.synthetic_world import Architecture
from ki67.types import FloatArray, Parameters, PixelSize

SET = default_model_set()
DEFAULTS = Parameters()
SIDE_PX = 5000  # at 0.25 µm/px
SHIFT_PX = 37


@dataclass(frozen=True)
class Nuclei:
    """The nuclei that count: places in full-resolution pixels, class."""

    x: FloatArray
    y: FloatArray
    positive: np.ndarray

    @property
    def index_percent(self) -> float:
        index = ki67_index(int(self.positive.sum()), int((~self.positive).sum()))
        assert index is not None
        return 100 * index


def score(path: Path, backend, *, mpp: float, parameters: Parameters = DEFAULTS) -> Nuclei:
    with open_picture(path) as picture:
        record = score_picture(
            picture,
            pixel_size=PixelSize(mpp, "given"),
            models=read_model_set(SET),
            backend=backend,
            parameters=parameters,
            seed=0,
        )
    counted, found = measure(record).counted, record.candidates
    return Nuclei(found.x_px[counted], found.y_px[counted], found.is_positive[counted])


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> Path:
    """Where the converted nets are kept between the tests of this module."""
    folder: Path = tmp_path_factory.mktemp("nets")
    return folder


@pytest.fixture(scope="module")
def backend(nets):
    return choose_backend(SET, device="cpu", cache=nets)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[Path, SizeReport]:
    """A region that is all tumor, scored whole and in four parts by processes of their own."""
    folder = tmp_path_factory.mktemp("large")
    return folder, measure_size(SET, side_px=SIDE_PX, parts_a_side=2, small_px=512, folder=folder)


@pytest.fixture(scope="module")
def whole(large) -> Nuclei:
    with np.load(large[0] / "large.npz") as stored:
        return Nuclei(stored["x"], stored["y"], stored["positive"])


def assert_same_counts(ours: Nuclei, theirs: Nuclei) -> None:
    assert len(theirs.x) >= 5000
    assert len(ours.x) == pytest.approx(len(theirs.x), rel=0.005)
    assert ours.index_percent == pytest.approx(theirs.index_percent, abs=0.3)


def test_a_large_region_stays_under_3_gb_and_counts_as_its_parts_do(large) -> None:
    _, report = large
    assert report.whole_count > 5000
    assert report.peak_bytes <= 3e9
    assert report.count_difference <= 0.005


def test_torch_in_single_precision_counts_what_the_default_backend_counts(large, whole) -> None:
    torch = choose_backend(SET, device="cpu", backend="torch")
    assert (torch.name, torch.precision) == ("torch", "f32")
    assert_same_counts(whole, score(large[0] / "large.tif", torch, mpp=0.25))


def test_openvino_in_single_precision_counts_what_the_default_backend_counts(
    large, whole, backend, nets
) -> None:
    if backend.precision == "f32":
        assert backend.name == "openvino"  # the default is what is asked for: nothing to compare
    else:
        single = OpenVinoBackend(SET, with_tumor=True, cache=nets, precision="f32")
        assert_same_counts(whole, score(large[0] / "large.tif", single, mpp=0.25))


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_present(), reason="needs a CUDA GPU")
def test_a_gpu_counts_what_the_default_backend_counts(large, whole) -> None:
    gpu = choose_backend(SET, device="cuda")
    assert_same_counts(whole, score(large[0] / "large.tif", gpu, mpp=0.25))


@pytest.fixture(scope="module")
def region(tmp_path_factory) -> Path:
    """A region of 0.5 mm² with nests and stroma."""
    path: Path = tmp_path_factory.mktemp("region") / "region.png"
    Image.fromarray(
        make_region(1400, 1400, mpp=0.5, seed=14, architecture=Architecture(), look=Look()).rgb
    ).save(path)
    return path


@pytest.fixture(scope="module")
def usual(region, backend) -> Nuclei:
    return score(region, backend, mpp=0.5)


def test_another_tile_size_gives_the_same_nuclei_and_index(region, usual, backend) -> None:
    other = score(region, backend, mpp=0.5, parameters=Parameters(tile_px=512))
    there = cKDTree(np.stack([other.x, other.y], axis=1))
    distance_px, _ = there.query(np.stack([usual.x, usual.y], axis=1))
    assert np.mean(distance_px * 0.5 <= 2) >= 0.995
    assert len(other.x) == pytest.approx(len(usual.x), rel=0.005)
    assert other.index_percent == pytest.approx(usual.index_percent, abs=0.3)


def test_a_shift_by_37_px_moves_the_index_of_the_common_area_by_at_most_1_point(
    region, usual, backend
) -> None:
    shifted = region.with_name("shifted.png")
    Image.fromarray(np.asarray(Image.open(region))[SHIFT_PX:, SHIFT_PX:]).save(shifted)
    moved = score(shifted, backend, mpp=0.5)
    common = (usual.x >= SHIFT_PX - 0.5) & (usual.y >= SHIFT_PX - 0.5)
    here = Nuclei(usual.x[common], usual.y[common], usual.positive[common])
    assert len(here.x) > 1000
    assert moved.index_percent == pytest.approx(here.index_percent, abs=1)
