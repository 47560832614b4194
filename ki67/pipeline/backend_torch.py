"""The nets in torch: half precision in batches on a CUDA GPU, single precision on a processor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ki67.pipeline.cards import Task
from ki67.pipeline.nets import ServedNet, load_net
from ki67.types import ByteArray, FloatArray

GPU_BATCH = 4


class TorchBackend:
    """Both nets of a model set in channels-last memory order (see `backends.Backend`)."""

    name = "torch"

    def __init__(self, models: Path, *, device: Literal["cpu", "cuda"], with_tumor: bool) -> None:
        self.device = device
        self.precision = "f16" if device == "cuda" else "f32"
        self.batch_size = GPU_BATCH if device == "cuda" else 1
        self._cells = self._load(models / "cells", "cells")
        self._tumor = self._load(models / "tumor", "tumor") if with_tumor else None

    def tumor(self, batch: ByteArray) -> FloatArray:
        """Tumor probability, N×H×W."""
        if self._tumor is None:
            raise ValueError("this backend was loaded without the tumor net")
        return self._run(self._tumor, batch)

    def cells(self, batch: ByteArray) -> FloatArray:
        """Probability of positive and of negative nucleus, N×2×H×W."""
        return self._run(self._cells, batch)

    def _load(self, folder: Path, task: Task) -> ServedNet:
        dtype = torch.float16 if self.device == "cuda" else torch.float32
        net = ServedNet(load_net(folder), task).eval().to(self.device, dtype)
        return net.to(memory_format=torch.channels_last)

    def _run(self, net: ServedNet, batch: ByteArray) -> FloatArray:
        with torch.inference_mode():
            output = net(torch.from_numpy(batch).to(self.device))
            return np.asarray(output.float().cpu().numpy(), np.float32)
