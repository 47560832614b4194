"""Our pipeline against MONAI's sliding window on a region that is all tumor, side by side in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch.utils.flop_counter import FlopCounterMode

from bench.machine import matrix_peak_gflops
from ki67.pipeline.backends import Backend, choose_backend
from ki67.pipeline.cards import TASKS, ModelSet
from ki67.pipeline.images import open_picture
from ki67.pipeline.nets import load_net
from ki67.pipeline.plan import make_plan
from ki67.pipeline.run import score_picture
from ki67.synthetic import write_region
from ki67.synthetic_world import Architecture
from ki67.types import Parameters, PixelSize, Rect, RunRecord

SCALE = PixelSize(0.5, "metadata")
EVERYWHERE = Parameters(step2_from_probability=0.0)  # both nets see every tile, whatever they find
FLOP_SIDE = 256


@dataclass(frozen=True)
class Contender:
    """One way to run both nets: medians over the repeats, in seconds.

    `megapixels_per_second` counts the region's pixels at 0.5 µm, both nets. `peak_share` is the share
    of the matrix-product peak in the same precision that the nets reach on the pixels they see.
    `other_share` is reading, pre- and post-processing as a share of the total.
    """

    name: str
    precision: str
    total_seconds: float
    net_seconds: float
    megapixels_per_second: float
    peak_share: float
    other_share: float


@dataclass(frozen=True)
class SpeedReport:
    """All contenders of one run; ratios are MONAI's total seconds over ours."""

    side_px: int
    tile_px: int
    overlap_px: int
    peaks_gflops: dict[str, float]
    contenders: tuple[Contender, ...]
    default_ratio: float
    torch_ratio: float
    default_nets_ratio: float


def compare_speed(models: ModelSet, *, side_px: int, repeats: int, folder: Path) -> SpeedReport:
    """Measures the default backend, ours in torch fp32 and MONAI in turns on one region of `side_px`².

    MONAI's `SlidingWindowInferer` has its defaults (torch fp32, NCHW, the picture already in memory)
    but our tile and overlap; ours reads the picture from disk and goes on to the nuclei.
    """
    path = folder / "all-tumor.tif"
    write_region(path, side_px, side_px, mpp=SCALE.mpp, seed=1, architecture=Architecture(everywhere=True))
    with open_picture(path) as picture:
        layout = make_plan(picture.info, SCALE, EVERYWHERE).layout
        whole = picture.read(Rect(0, 0, side_px, side_px))
    tile = layout.tile_width
    ours = {
        "default": choose_backend(models.folder, device="cpu", cache=folder / "nets"),
        "torch": choose_backend(models.folder, device="cpu", backend="torch"),
    }
    runs: dict[str, Callable[[], tuple[float, float]]] = {
        name: _ours(path, models, backend) for name, backend in ours.items()
    }
    runs["monai"] = _monai(models, whole, tile=tile, overlap=2 * EVERYWHERE.overlap_px / tile)
    precision = {"default": ours["default"].precision, "torch": "f32", "monai": "f32"}
    peaks = {kind: matrix_peak_gflops(kind) for kind in sorted(set(precision.values()))}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(repeats):
        for name in list(runs) if turn % 2 == 0 else list(runs)[::-1]:
            times[name].append(runs[name]())
    seen = len(layout.tiles) * tile * layout.tile_height / 1e6
    gflop = seen * sum(_gflop_per_megapixel(models.folder / task) for task in TASKS)
    peaks = {kind: max(peak, matrix_peak_gflops(kind)) for kind, peak in peaks.items()}
    contenders = {}
    for name, pairs in times.items():
        total, nets = (statistics.median(column) for column in zip(*pairs, strict=True))
        contenders[name] = Contender(
            name=name,
            precision=precision[name],
            total_seconds=total,
            net_seconds=nets,
            megapixels_per_second=side_px**2 / 1e6 / total,
            peak_share=gflop / nets / peaks[precision[name]],
            other_share=1 - nets / total,
        )
    monai = contenders["monai"]
    return SpeedReport(
        side_px=side_px,
        tile_px=tile,
        overlap_px=EVERYWHERE.overlap_px,
        peaks_gflops=peaks,
        contenders=tuple(contenders.values()),
        default_ratio=monai.total_seconds / contenders["default"].total_seconds,
        torch_ratio=monai.total_seconds / contenders["torch"].total_seconds,
        default_nets_ratio=monai.net_seconds / contenders["default"].net_seconds,
    )


def _ours(path: Path, models: ModelSet, backend: Backend) -> Callable[[], tuple[float, float]]:
    def run() -> tuple[float, float]:
        with open_picture(path) as picture:
            record: RunRecord = score_picture(
                picture, pixel_size=SCALE, models=models, backend=backend, parameters=EVERYWHERE, seed=0
            )
        return record.seconds["total"], record.seconds["tumor"] + record.seconds["cells"]

    with open_picture(path) as picture:
        warm_up = Parameters(step2_from_probability=0.0, roi=Rect(0, 0, 512, 512))
        score_picture(picture, pixel_size=SCALE, models=models, backend=backend, parameters=warm_up, seed=0)
    return run


def _monai(
    models: ModelSet, rgb: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, tile: int, overlap: float
) -> Callable[[], tuple[float, float]]:
    nets = [load_net(models.folder / task) for task in TASKS]
    heads: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda batch: torch.sigmoid(nets[0](batch)),
        lambda batch: torch.softmax(nets[1](batch), dim=1),
    ]
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None].float().div(255).contiguous()
    inferer = SlidingWindowInferer(roi_size=(tile, tile), overlap=overlap)

    def run() -> tuple[float, float]:
        begun = time.perf_counter()
        with torch.inference_mode():
            for head in heads:
                inferer(picture, head)
        seconds = time.perf_counter() - begun
        return seconds, seconds

    return run


def _gflop_per_megapixel(folder: Path) -> float:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        load_net(folder)(torch.zeros(1, 3, FLOP_SIDE, FLOP_SIDE))
    return float(counter.get_total_flops()) / FLOP_SIDE**2 / 1e3
