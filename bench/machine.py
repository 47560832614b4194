"""What the machine can do: its processor and its matrix-product peak in a precision."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

PEAK_SIDE = 2048
PEAK_RUNS = 6


@dataclass(frozen=True)
class Machine:
    """The processor that a benchmark ran on."""

    processor: str
    cores: int


def this_machine() -> Machine:
    """Name of the processor and number of cores this process may use."""
    name = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        lines = [line for line in listing.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return Machine(
        name, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def matrix_peak_gflops(precision: str) -> float:
    """Best of a few products of two 2,048² matrices, in 10⁹ operations a second ("f32" or "bf16")."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(PEAK_SIDE, PEAK_SIDE).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(PEAK_RUNS):
        begun = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - begun)
    return 2 * PEAK_SIDE**3 / best / 1e9
