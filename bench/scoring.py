"""`python -m ki67 bench`: speed against MONAI, a large region, a large study, side by side in one run."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import Machine, this_machine
from bench.size import SizeReport, measure_size
from bench.speed import SpeedReport, compare_speed
from bench.study import measure_study, study_text
from bench.study_store import SEED, Size
from ki67.atomic import write_whole_file
from ki67.errors import ModelError
from ki67.pipeline.cards import ModelSet, default_model_set, read_model_set


@dataclass(frozen=True)
class _Sizes:
    speed_px: int
    repeats: int
    large_px: int
    parts_a_side: int
    small_px: int
    study: Size
    study_repeats: int
    draws: int


FULL = _Sizes(
    speed_px=4096,
    repeats=3,
    large_px=20_000,
    parts_a_side=4,
    small_px=4_000,
    study=Size(1_000, 30, 2),
    study_repeats=5,
    draws=2_000,
)
QUICK = _Sizes(
    speed_px=1024,
    repeats=1,
    large_px=2_000,
    parts_a_side=2,
    small_px=1_000,
    study=Size(40, 6, 2),
    study_repeats=1,
    draws=200,
)


def run_benchmark(
    *, json_path: Path | None, models: Path | None, quick: bool, parts: Sequence[str] = ()
) -> int:
    """Measures, prints, and writes the figures to `json_path` too; returns 0.

    Args:
        parts: of "speed", "size" and "study"; none: all three.

    Raises:
        ModelError: no model set, or one without the tumor net, where nets are run.
    """
    sizes = QUICK if quick else FULL
    machine = this_machine()
    data: dict[str, Any] = {"machine": dataclasses.asdict(machine)}
    nets = _models(models) if not parts or {"speed", "size"} & set(parts) else None
    with tempfile.TemporaryDirectory(prefix="ki67-bench-") as name:
        folder = Path(name)
        if nets is not None and (not parts or "speed" in parts):
            speed = compare_speed(nets, side_px=sizes.speed_px, repeats=sizes.repeats, folder=folder)
            print(_speed_text(machine, speed), flush=True)
            data["speed"] = dataclasses.asdict(speed)
        if nets is not None and (not parts or "size" in parts):
            size = measure_size(
                nets.folder,
                side_px=sizes.large_px,
                parts_a_side=sizes.parts_a_side,
                small_px=sizes.small_px,
                folder=folder,
            )
            print(_size_text(size), flush=True)
            data["size"] = dataclasses.asdict(size)
        if not parts or "study" in parts:
            study = measure_study(
                sizes.study, repeats=sizes.study_repeats, draws=sizes.draws, seed=SEED, folder=folder
            )
            print(study_text(study), flush=True)
            data["study"] = dataclasses.asdict(study)
    if json_path is not None:
        write_whole_file(json_path, (json.dumps(data, indent=1) + "\n").encode())
    return 0


def _models(models: Path | None) -> ModelSet:
    model_set = read_model_set(models or default_model_set())
    if model_set.tumor is None:
        raise ModelError(f"{model_set.folder}: the benchmark runs both nets; give a set with a tumor net.")
    return model_set


def _speed_text(machine: Machine, speed: SpeedReport) -> str:
    lines = [
        f"{machine.processor}, {machine.cores} cores; matrix product "
        + ", ".join(f"{peak:.0f} GFLOP/s {kind}" for kind, peak in speed.peaks_gflops.items()),
        f"Region of {speed.side_px:,}² px, all tumor, tiles of {speed.tile_px} px, both nets:",
        f"{'':10}{'precision':>10}{'seconds':>10}{'Mpx/s':>8}{'of peak':>9}{'besides the nets':>18}",
    ]
    lines += [
        f"{each.name:10}{each.precision:>10}{each.total_seconds:>10.1f}{each.megapixels_per_second:>8.2f}"
        f"{each.peak_share:>9.0%}{each.other_share:>18.0%}"
        for each in speed.contenders
    ]
    lines.append(
        f"MONAI takes {speed.default_ratio:.2f} × the time of the default backend (nets alone "
        f"{speed.default_nets_ratio:.2f} ×) and {speed.torch_ratio:.2f} × that of ours in torch."
    )
    return "\n".join(lines)


def _size_text(size: SizeReport) -> str:
    before, after = size.small_seconds_per_megapixel
    return (
        f"Region of {size.side_px:,}² px at 0.25 µm/px: peak memory {size.peak_bytes / 2**30:.2f} GiB, "
        f"{size.seconds:.0f} s, {size.seconds_per_megapixel:.3f} s/Mpx ({size.time_ratio:.2f} × the small "
        f"regions before and after it, {before:.3f} and {after:.3f}).\n"
        f"{size.whole_count:,} nuclei, {size.part_count:,} in its {size.parts} parts, borders aside: "
        f"{size.count_difference:.2%} apart."
    )
