"""What the losses weigh: nuclei that are not tumor, and the places where the tumor map is asked."""

from __future__ import annotations

import pytest
import torch

from ki67.training.losses import NUCLEUS_FACTOR, CellLoss, TumorLoss
from ki67.training.targets import (
    AT_OTHER,
    AT_TUMOR,
    BACKGROUND,
    IGNORED,
    NEGATIVE_NUCLEUS,
    NOT_TUMOR,
    OTHER_NUCLEUS,
    TUMOR,
)


def certain(target: torch.Tensor, classes: int = 5, strength: float = 12.0) -> torch.Tensor:
    """Logits N×C×H×W that are sure of `target`."""
    return strength * torch.nn.functional.one_hot(target, classes).permute(0, 3, 1, 2).float()


def test_a_right_answer_costs_almost_nothing_and_an_other_nucleus_is_background() -> None:
    target = torch.full((1, 8, 8), BACKGROUND)
    target[0, :3, :3] = OTHER_NUCLEUS
    target[0, 5:, 5:] = NEGATIVE_NUCLEUS
    seen = target.masked_fill(target == OTHER_NUCLEUS, BACKGROUND)
    assert CellLoss()(certain(seen), target).item() < 0.05


def test_calling_an_other_nucleus_negative_costs_more_than_calling_background_negative() -> None:
    loss = CellLoss()
    plain = torch.full((1, 16, 16), BACKGROUND)
    plain[0, 12:, 12:] = NEGATIVE_NUCLEUS
    marked = plain.clone()
    marked[0, :3, :3] = OTHER_NUCLEUS
    called = plain.clone()
    called[0, :3, :3] = NEGATIVE_NUCLEUS
    assert loss(certain(called), marked).item() > 1.5 * loss(certain(called), plain).item()


def test_a_batch_without_annotation_costs_nothing_and_still_has_a_gradient() -> None:
    for loss, classes in ((CellLoss(), 5), (TumorLoss(), 1)):
        logits = torch.zeros(1, classes, 8, 8, requires_grad=True)
        value = loss(logits, torch.full((1, 8, 8), IGNORED))
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-6)


def test_ignored_pixels_do_not_change_the_loss() -> None:
    target = torch.full((1, 8, 8), BACKGROUND)
    target[0, 4:, 4:] = NEGATIVE_NUCLEUS
    target[0, :2] = IGNORED
    right = certain(target.masked_fill(target == IGNORED, BACKGROUND))
    wrong = right.clone()
    wrong[0, :, :2] = certain(torch.full((1, 2, 8), NEGATIVE_NUCLEUS))[0]
    assert CellLoss()(right, target).item() == pytest.approx(CellLoss()(wrong, target).item(), abs=1e-6)


def test_the_tumor_loss_reads_both_kinds_of_tumor_and_of_not_tumor() -> None:
    target = torch.tensor([[[NOT_TUMOR, TUMOR, AT_OTHER, AT_TUMOR]]])
    logits = torch.tensor([[[[-12.0, 12.0, -12.0, 12.0]]]])
    assert TumorLoss()(logits, target).item() < 0.05


def test_a_mistake_at_a_nucleus_weighs_as_many_times_more_as_stated() -> None:
    target = torch.tensor([[[NOT_TUMOR, AT_OTHER, TUMOR, TUMOR]]])
    logits = torch.full((1, 1, 1, 4), -6.0)
    logits[..., 2:] = 6.0
    elsewhere, at_nucleus = logits.clone(), logits.clone()
    elsewhere[..., 0], at_nucleus[..., 1] = 6.0, 6.0
    loss, base = TumorLoss(), TumorLoss()(logits, target).item()
    extra = (loss(at_nucleus, target).item() - base, loss(elsewhere, target).item() - base)
    dice = extra[1] - 6.0 / (3 + NUCLEUS_FACTOR)
    assert (extra[0] - dice) / (extra[1] - dice) == pytest.approx(NUCLEUS_FACTOR, rel=0.02)
