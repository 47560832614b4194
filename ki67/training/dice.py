"""Dice of a tumor net on a plate, at the scale of the nets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import torch
from torch import nn

from ki67.pipeline.nets import SIDE_MULTIPLE
from ki67.training.patches import Plate
from ki67.training.targets import IGNORED, called_tumor


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
    """Run the net over the whole plate (mirrored to a multiple of 32) and compare at probability `border`."""
    height, width = plate.target.shape
    below, right = -height % SIDE_MULTIPLE, -width % SIDE_MULTIPLE
    rgb = cv2.copyMakeBorder(plate.rgb, 0, below, 0, right, cv2.BORDER_REFLECT_101)
    device = next(net.parameters()).device
    was_training = net.training
    net.eval()
    with torch.inference_mode():
        batch = torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None].float() / 255
        called = net(batch)[0, 0, :height, :width].sigmoid().cpu().numpy() >= border
    net.train(was_training)
    known = plate.target != IGNORED
    truth = called_tumor(plate.target)
    both = int((called & truth & known).sum())
    return Overlap(both, int((called & known).sum()) + int((truth & known).sum()))
