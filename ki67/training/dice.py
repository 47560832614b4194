"""Dice of a tumor net on a plate, at the scale of the nets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from ki67.pipeline.nets import SIDE_MULTIPLE
from ki67.training.patches import Plate
from ki67.training.targets import IGNORED, called_tumor
from ki67.types import ByteArray, FloatArray


@dataclass(frozen=True)
class Overlap:
    """Annotated pixels called tumor by both net and mask, and the sum of what each calls tumor."""

    both: int
    either: int

    @property
    def dice(self) -> float:
        """2·both / either; 1 where neither finds tumor."""
        return 2 * self.both / self.either if self.either else 1.0


def picture_dice(net: nn.Module, plate: Plate, *, border: float = 0.5) -> Overlap:
    """Run the net over the whole plate and compare at probability `border`."""
    was_training = net.training
    net.eval()
    called = 1 / (1 + np.exp(-logits_of(net, plate.rgb))) >= border
    net.train(was_training)
    known = plate.target != IGNORED
    truth = called_tumor(plate.target)
    both = int((called & truth & known).sum())
    return Overlap(both, int((called & known).sum()) + int((truth & known).sum()))


def logits_of(net: nn.Module, rgb: ByteArray) -> FloatArray:
    """The tumor net's logits (H×W) on a picture at 0.5 µm/px, mirrored to a multiple of 32 px."""
    height, width = rgb.shape[:2]
    below, right = -height % SIDE_MULTIPLE, -width % SIDE_MULTIPLE
    wide = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    device = next(net.parameters()).device
    with torch.inference_mode():
        batch = torch.from_numpy(wide).to(device).permute(2, 0, 1)[None].float() / 255
        return np.asarray(net(batch)[0, 0, :height, :width].cpu().numpy(), np.float32)
