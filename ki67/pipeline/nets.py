"""The two U-Nets, built from a spec or loaded from a model folder. Torch lives here.

Input: float RGB, N×3×H×W, 0-1, sides a multiple of 32. Output: logits, N×classes×H×W.
Normalization is part of the net, so that nobody can forget it or do it twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file
from torch import nn

from ki67.errors import ModelError
from ki67.pipeline.cards import (
    NEGATIVE_NUCLEUS,
    POSITIVE_NUCLEUS,
    WEIGHTS_NAME,
    NetSpec,
    Task,
    verify_weights,
)

SIDE_MULTIPLE = 32  # five halvings in the encoder


class Net(nn.Module):
    """A U-Net with its input normalization. `unet` is the trained part and all of the stored state."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, unet: nn.Module, spec: NetSpec) -> None:
        super().__init__()
        self.unet = unet
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """RGB 0-1, N×3×H×W → logits, N×classes×H×W."""
        logits: torch.Tensor = self.unet((rgb - self.mean) / self.std)
        return logits


def build_net(spec: NetSpec, *, encoder_weights: str | None = None) -> Net:
    """A fresh net; `encoder_weights` is handed to segmentation-models-pytorch ("imagenet" or None)."""
    unet = smp.Unet(
        spec.encoder,
        encoder_weights=encoder_weights,
        decoder_channels=spec.decoder_channels,
        classes=len(spec.classes),
    )
    return Net(unet, spec)


def load_net(folder: Path) -> Net:
    """The net of a model folder in single precision, in evaluation mode, on the CPU.

    Raises:
        ModelError: the weights are missing, not those of the card, or do not fit the net.
    """
    card = verify_weights(folder)
    net = build_net(card.spec)
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in load_file(folder / WEIGHTS_NAME).items()
    }
    try:
        net.load_state_dict(state)
    except RuntimeError as fault:
        raise ModelError(
            f"{folder}: the weights do not fit the net that the card describes "
            f"({card.encoder}, {len(card.classes)} classes); copy the model folder again."
        ) from fault
    return net.eval()


def net_state(net: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """A net's state as arrays, for `cards.write_model_folder`."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in net.state_dict().items()}


class ServedNet(nn.Module):
    """A net as the pipeline calls it: pixels in, probabilities out.

    Input: uint8 RGB, N×H×W×3. Output, float 0-1: for step 1 the tumor probability, N×H×W; for step 2
    those of positive and negative nucleus, N×2×H×W.
    """

    def __init__(self, net: Net, task: Task) -> None:
        super().__init__()
        self.net = net
        self.task = task

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 N×H×W×3 → probabilities."""
        rgb = pixels.permute(0, 3, 1, 2).to(self.net.mean.dtype) / 255
        logits = self.net(rgb)
        if self.task == "tumor":
            return torch.sigmoid(logits[:, 0])
        return torch.softmax(logits, dim=1)[:, [POSITIVE_NUCLEUS, NEGATIVE_NUCLEUS]]
