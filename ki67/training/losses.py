"""Losses of the two nets, from segmentation-models-pytorch and torch. 255 in a target is not annotated."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import torch
from torch import nn

from ki67.pipeline.cards import Task
from ki67.training.targets import (
    AT_OTHER,
    AT_TUMOR,
    BACKGROUND,
    IGNORED,
    NEGATIVE_MEMBRANE,
    NEGATIVE_NUCLEUS,
    OTHER_NUCLEUS,
    POSITIVE_MEMBRANE,
    POSITIVE_NUCLEUS,
    TUMOR,
)

# Background, then nucleus and membrane of positive and of negative cells. The two kinds of nucleus weigh
# the same: a class that weighs more is called more often, and the index would carry that as a bias.
CLASS_WEIGHTS = (0.5, 1.5, 0.8, 1.5, 0.8)
NUCLEUS_FACTOR = 4.0  # the tumor map is asked at nuclei, and there it must be right
OTHER_FACTOR = 3.0  # a nucleus that is not tumor is the background that is hardest to tell


class CellLoss(nn.Module):
    """Weighted cross-entropy plus soft Dice over the cell classes. Logits N×5×H×W, target N×H×W int64.

    `OTHER_NUCLEUS` in a target is background that weighs `OTHER_FACTOR` times as much.
    """

    weight: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(CLASS_WEIGHTS), persistent=False)
        classes = [POSITIVE_NUCLEUS, POSITIVE_MEMBRANE, NEGATIVE_NUCLEUS, NEGATIVE_MEMBRANE]
        self.dice = smp.losses.DiceLoss("multiclass", classes=classes, ignore_index=IGNORED)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean loss; a batch without any annotated pixel costs nothing."""
        known = target != IGNORED
        if not bool(known.any()):
            return logits.sum() * 0
        other = target == OTHER_NUCLEUS
        classes = target.masked_fill(other, BACKGROUND)
        pixels = self.weight[classes.masked_fill(~known, BACKGROUND)] * known
        pixels = torch.where(other, pixels * OTHER_FACTOR, pixels)
        entropy = nn.functional.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="none")
        total: torch.Tensor = (entropy * pixels).sum() / pixels.sum() + self.dice(logits, classes)
        return total


class TumorLoss(nn.Module):
    """Binary cross-entropy plus soft Dice on annotated pixels. Logits N×1×H×W, target N×H×W int64.

    1 and 3 are tumor, 0 and 2 are not, 255 is ignored; 2 and 3 (at a nucleus) weigh `NUCLEUS_FACTOR`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dice = smp.losses.DiceLoss("binary", ignore_index=IGNORED)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The mean loss; a batch without any annotated pixel costs nothing."""
        at_nucleus = (target == AT_TUMOR) | (target == AT_OTHER)
        weight = torch.where(at_nucleus, NUCLEUS_FACTOR, 1.0) * (target != IGNORED)
        truth = (target == TUMOR) | (target == AT_TUMOR)
        entropy = nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], truth.float(), weight=weight, reduction="sum"
        ) / weight.sum().clamp(min=1)
        classes = truth.long().masked_fill(target == IGNORED, IGNORED)
        total: torch.Tensor = entropy + self.dice(logits, classes[:, None])
        return total


def loss_of(task: Task) -> nn.Module:
    """The loss of a task."""
    return CellLoss() if task == "cells" else TumorLoss()
