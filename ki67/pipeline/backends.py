"""Which machinery runs the nets: OpenVINO on a processor, torch on a CUDA GPU, or as asked.

Torch and OpenVINO are imported only by the backend chosen.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal, Protocol

from ki67.errors import ModelError, SettingsError
from ki67.pipeline.cards import read_model_set
from ki67.types import ByteArray, FloatArray

Device = Literal["auto", "cpu", "cuda"]
BackendName = Literal["auto", "torch", "openvino"]


class Backend(Protocol):
    """Both nets, ready to run. Not for use from two threads at once.

    `name`, `device` and `precision` are stored with every run. `batch_size` tiles are worth giving
    at a time; any number is accepted. Sides are multiples of 32.
    """

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    def tumor(self, batch: ByteArray) -> FloatArray:
        """Tumor probability, N×H×W of 0-1, of RGB tiles N×H×W×3."""
        ...

    def cells(self, batch: ByteArray) -> FloatArray:
        """Probability of positive and of negative nucleus, N×2×H×W of 0-1, of RGB tiles N×H×W×3."""
        ...


def choose_backend(
    models: Path,
    *,
    device: Device = "auto",
    backend: BackendName = "auto",
    with_tumor: bool = True,
    cache: Path | None = None,
) -> Backend:
    """Loads the nets of a model set onto the fastest machinery there is, or onto the one named.

    "auto" takes a CUDA GPU where one is present, else OpenVINO in the best precision that keeps the
    counts. `cache` is a folder that keeps converted nets between starts; None keeps none.

    Raises:
        SettingsError: no CUDA GPU though asked for, or OpenVINO asked for on one.
        ModelError: a model is missing, or its weights are not those of its card.
    """
    model_set = read_model_set(models)
    if with_tumor and model_set.tumor is None:
        raise ModelError(
            f"{models}: this model set has no net for the tumor step; score without the tumor mask or "
            f"take another set."
        )
    if device == "cuda" and backend == "openvino":
        raise SettingsError("OpenVINO runs on the processor; choose the backend torch for the device cuda.")
    if device == "cuda" and not cuda_present():
        raise SettingsError("No CUDA GPU was found on this machine; choose the device cpu or auto.")
    on_gpu = device == "cuda" or (device == "auto" and backend != "openvino" and cuda_present())
    if on_gpu or backend == "torch":
        from ki67.pipeline.backend_torch import TorchBackend

        return TorchBackend(models, device="cuda" if on_gpu else "cpu", with_tumor=with_tumor)
    from ki67.pipeline.backend_openvino import OpenVinoBackend

    return OpenVinoBackend(models, with_tumor=with_tumor, cache=cache)


def cuda_present() -> bool:
    """Whether a CUDA GPU can be used; torch is imported only where a driver is installed."""
    if not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists()):
        return False
    import torch

    return torch.cuda.is_available()
