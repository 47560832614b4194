"""Calibration of step 1: its 0.5 is put where few tumor nuclei fall outside, on labelled pictures.

The tumor map answers one question, whether a nucleus counts. A net trained on one mixture of pictures
gives its 0.5 to another place on the next: trained on drawn masks it hesitates at loose tumor cells. So
one number, the bias of its last layer, is moved until `MOST_OUTSIDE` of the tumor nuclei of the training
pictures lie below the border. The order of the pixels stays, and 0.5 stays the border of the map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ki67.errors import DataError
from ki67.pipeline.cards import ModelCard, read_card, write_model_folder
from ki67.pipeline.images import sha256_of
from ki67.pipeline.nets import load_net, net_state
from ki67.training.dice import logits_of
from ki67.training.folder import TUMOR_KINDS, AnnotatedField, Kind, read_nuclei, read_rgb
from ki67.training.material import at_net_scale, in_neutral_light, to_net

MOST_OUTSIDE = 0.03  # of the tumor nuclei: what a reader would hardly notice to be missing
CELL_PX = 4  # the map is stored in cells of 2 µm
CALIBRATED = "calibrated"


@dataclass(frozen=True)
class Calibration:
    """The shift of the logit, and what the labelled pictures say to it.

    Counts of nuclei: `tumor` and those of them outside the border after the shift, `other` (not tumor)
    and those of them inside it.
    """

    shift: float
    fields: int
    tumor: int
    tumor_outside: int
    other: int
    other_inside: int


def calibrate_tumor(
    folder: Path, fields: Sequence[AnnotatedField], *, most_outside: float = MOST_OUTSIDE
) -> ModelCard:
    """Shift the output of the tumor net in `folder`, write its weights and card anew; returns the card.

    The pictures count as training pictures from then on. Raises DataError when none has a tumor nucleus,
    ModelError for weights that are not those of the card.
    """
    net, card = load_net(folder), read_card(folder)
    levels = [level for field in fields for level in _at_nuclei(net, field, light=card.light)]
    found = calibration(
        np.concatenate([logits for logits, is_tumor in levels if is_tumor] or [np.zeros(0)]),
        np.concatenate([logits for logits, is_tumor in levels if not is_tumor] or [np.zeros(0)]),
        fields=len(fields),
        most_outside=most_outside,
    )
    shifted = with_shift(net_state(net), found.shift)
    seen = dataclasses.replace(
        card,
        figures={**card.figures, CALIBRATED: dataclasses.asdict(found)},
        training_patients=tuple(sorted({*card.training_patients, *(field.patient for field in fields)})),
        training_images=tuple(sorted({*card.training_images, *(sha256_of(field.image) for field in fields)})),
    )
    return write_model_folder(folder, seen, shifted)


def calibration(
    tumor: npt.NDArray[np.float64], other: npt.NDArray[np.float64], *, fields: int, most_outside: float
) -> Calibration:
    """The shift that leaves `most_outside` of the logits at tumor nuclei below zero.

    Raises DataError without a tumor nucleus.
    """
    if not len(tumor):
        raise DataError("No picture has tumor nuclei to calibrate step 1 on: add centroids with labels.")
    shift = -float(np.quantile(tumor, most_outside))
    return Calibration(
        shift=shift,
        fields=fields,
        tumor=len(tumor),
        tumor_outside=int((tumor + shift < 0).sum()),
        other=len(other),
        other_inside=int((other + shift >= 0).sum()),
    )


def with_shift(state: Mapping[str, npt.NDArray[Any]], shift: float) -> dict[str, npt.NDArray[Any]]:
    """The state of a tumor net whose logits are all `shift` higher."""
    name = "unet.segmentation_head.0.bias"
    return {**state, name: state[name] + np.float32(shift)}


def _at_nuclei(
    net: nn.Module, field: AnnotatedField, *, light: str
) -> list[tuple[npt.NDArray[np.float64], bool]]:
    """The logits at the tumor nuclei of a picture and at its other nuclei."""
    nuclei = read_nuclei(field)
    if nuclei is None:
        return []
    rgb = at_net_scale(field.mpp, read_rgb(field))
    with torch.inference_mode():
        logits = logits_of(net, in_neutral_light(rgb) if light == "divided out" else rgb)
    smooth = cv2.blur(logits, (CELL_PX, CELL_PX))
    last = np.array([rgb.shape[1], rgb.shape[0]]) - 1
    columns, rows = np.clip(np.rint(to_net(nuclei.xy_px, field.mpp)), 0, last).astype(int).T
    level = smooth[rows, columns].astype(np.float64)
    return [(level[np.isin(nuclei.kind, TUMOR_KINDS)], True), (level[nuclei.kind == Kind.OTHER], False)]
