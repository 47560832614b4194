"""Model folders: `weights.safetensors` with the `card.json` that says what they are. Without torch.

A model set is a folder with the model folders `tumor/` (step 1, optional) and `cells/` (step 2).
Matrices are stored in half precision; vectors (biases, batch-norm statistics, whose small values
half precision would lose) in single precision. A folder is written under a temporary name and then
renamed, so that a half-written model never exists.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as serialize_weights

from ki67.atomic import whole_folder, write_whole_file
from ki67.errors import ModelError
from ki67.pipeline.error_model import parse_error_model
from ki67.pipeline.looks import check_look_reference
from ki67.types import ModelRef

Task = Literal["tumor", "cells"]
TASKS: tuple[Task, ...] = ("tumor", "cells")

TUMOR_CLASSES = ("tumor",)
CELL_CLASSES = (
    "background",
    "positive nucleus",
    "positive membrane",
    "negative nucleus",
    "negative membrane",
)
BACKGROUND, POSITIVE_NUCLEUS, POSITIVE_MEMBRANE, NEGATIVE_NUCLEUS, NEGATIVE_MEMBRANE = range(5)

# Half the decoder of segmentation-models-pytorch's default: on a CPU it halves the cost of a pass.
DECODER_CHANNELS = (128, 64, 32, 16, 16)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NET_MPP = 0.5

WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "card.json"


@dataclass(frozen=True)
class NetSpec:
    """What a net is built from: everything about its shape, nothing about its training.

    `mean` and `std` normalize RGB of 0-1 inside the net.
    """

    task: Task
    encoder: str
    classes: tuple[str, ...]
    decoder_channels: tuple[int, ...] = DECODER_CHANNELS
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def default_spec(task: Task) -> NetSpec:
    """The method's net for a step: DenseNet-121 with one class, or ResNet-34 with five."""
    if task == "tumor":
        return NetSpec(task="tumor", encoder="densenet121", classes=TUMOR_CLASSES)
    return NetSpec(task="cells", encoder="resnet34", classes=CELL_CLASSES)


@dataclass(frozen=True)
class TrainingSource:
    """One body of pictures a model learned from, with the terms it came under."""

    source: str
    terms: str
    images: int


@dataclass(frozen=True)
class ModelCard:
    """Everything that must travel with a set of weights.

    `sha256` is that of the weights file and is filled in when the folder is written. `mpp` is the
    scale of the input in µm/px. `score_threshold`, `min_distance_um` and `smoothing_um` (Gaussian
    sigma) turn the maps of a cell net into nuclei; a tumor net leaves them at their defaults.
    `light` says whether the net sees a picture as it is or with its light divided out (see `light.py`).
    `training_images` are sha256 of picture files. `error_model` widens an index to its total
    interval (see `error_model.py`); None until one was estimated. `look_reference` says what the
    training fields look like (see `looks.py`). `figures` are free JSON (see `models/README.md`).
    """

    task: Task
    name: str
    version: str
    classes: tuple[str, ...]
    encoder: str
    encoder_init: str
    created_at: str
    software_version: str
    sha256: str = ""
    mpp: float = NET_MPP
    decoder_channels: tuple[int, ...] = DECODER_CHANNELS
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    score_threshold: float = 0.5
    min_distance_um: float = 3.0
    smoothing_um: float = 0.5
    light: Literal["as seen", "divided out"] = "as seen"
    seed: int = 0
    data: tuple[TrainingSource, ...] = ()
    training_patients: tuple[str, ...] = ()
    training_images: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    error_model: dict[str, Any] | None = None
    look_reference: dict[str, Any] | None = None
    known_failures: tuple[str, ...] = ()
    license_note: str = "Research use only"

    @property
    def spec(self) -> NetSpec:
        """The net these weights fit."""
        return NetSpec(self.task, self.encoder, self.classes, self.decoder_channels, self.mean, self.std)

    @property
    def ref(self) -> ModelRef:
        """Name, version and hash, as every number made with this model names it."""
        return ModelRef(self.name, self.version, self.sha256)


@dataclass(frozen=True)
class ModelSet:
    """The models of both steps; `tumor` is None where a set has only step 2."""

    folder: Path
    name: str
    tumor: ModelCard | None
    cells: ModelCard


def read_card(folder: Path) -> ModelCard:
    """The card of a model folder, checked for form; the weights are not read.

    Raises:
        ModelError: no such folder, no card, not JSON, or fields missing, unknown or out of range.
    """
    path = folder / CARD_NAME
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise ModelError(
            f"{folder}: there is no readable {CARD_NAME} in this model folder; give a folder written by "
            f"`python -m ki67 train`."
        ) from fault
    except ValueError as fault:
        raise ModelError(f"{path}: the model card is not valid JSON; copy the model folder again.") from fault
    if not isinstance(raw, dict):
        raise ModelError(f"{path}: the model card is not a JSON object; copy the model folder again.")
    return _card_from_json(raw, path)


def write_model_folder(folder: Path, card: ModelCard, weights: Mapping[str, npt.NDArray[Any]]) -> ModelCard:
    """Writes weights and card as a whole and returns the card with the hash of its weights.

    `weights` is a net's state (name → array). An older folder of the same name is replaced.
    """
    halved = {name: _stored_form(array) for name, array in weights.items()}
    data = serialize_weights(halved)
    finished = dataclasses.replace(card, sha256=hashlib.sha256(data).hexdigest())
    text = json.dumps(dataclasses.asdict(finished), indent=1, ensure_ascii=False, allow_nan=False)
    with whole_folder(folder) as scratch:
        (scratch / WEIGHTS_NAME).write_bytes(data)
        (scratch / CARD_NAME).write_text(text + "\n", "utf-8")
    return finished


def rewrite_card(folder: Path, card: ModelCard) -> ModelCard:
    """Replaces the card of a model folder whose weights stay as they are; returns the card.

    Raises:
        ModelError: the new card is of other weights, or ill-formed.
    """
    if card.sha256 != read_card(folder).sha256:
        raise ModelError(f"{folder}: the new card is of other weights; write the whole model folder.")
    path = folder / CARD_NAME
    text = json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False, allow_nan=False)
    checked = _card_from_json(json.loads(text), path)
    write_whole_file(path, (text + "\n").encode())
    return checked


def verify_weights(folder: Path) -> ModelCard:
    """The card of a folder whose weights have the hash that the card names.

    Raises:
        ModelError: the weights are missing or are not those of the card.
    """
    card = read_card(folder)
    path = folder / WEIGHTS_NAME
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as fault:
        raise ModelError(f"{path}: the weights cannot be read; copy the model folder again.") from fault
    if found != card.sha256:
        raise ModelError(
            f"{path}: the weights are not those of their card (sha256 {found[:12]}…, the card says "
            f"{card.sha256[:12]}…); copy the model folder again."
        )
    return card


def read_model_set(folder: Path) -> ModelSet:
    """The cards of a model set: `folder/cells` and, where there is one, `folder/tumor`.

    Raises:
        ModelError: no model for step 2, a card at fault, or a model of the wrong step or scale.
    """
    if not (folder / "cells").is_dir():
        raise ModelError(
            f"{folder}: this is not a model set, it has no folder cells; give a folder that holds cells "
            f"and tumor."
        )
    cells = _card_of_task(folder / "cells", "cells")
    tumor = _card_of_task(folder / "tumor", "tumor") if (folder / "tumor").is_dir() else None
    return ModelSet(folder=folder, name=folder.resolve().name, tumor=tumor, cells=cells)


def default_model_set() -> Path:
    """The newest model set shipped in `models/`: the last by name of those with a model for step 2.

    Raises:
        ModelError: none is there.
    """
    root = Path(__file__).resolve().parents[2] / "models"
    found = sorted(path.parent.parent for path in root.glob(f"*/cells/{CARD_NAME}"))
    if not found:
        raise ModelError(f"{root}: no model set is installed; name one with --models.")
    return found[-1]


def _card_of_task(folder: Path, task: Task) -> ModelCard:
    card = read_card(folder)
    if card.task != task:
        raise ModelError(
            f"{folder}: the card says that this is a model for '{card.task}', not '{task}'; put each model "
            f"into the folder of its step."
        )
    return card


def _card_from_json(raw: dict[str, Any], path: Path) -> ModelCard:
    """Builds a card from JSON; lists become tuples. Raises ModelError that names the field."""
    fields = {each.name: each for each in dataclasses.fields(ModelCard)}
    unknown = sorted(set(raw) - set(fields))
    missing = sorted(
        name
        for name, each in fields.items()
        if name not in raw
        and each.default is dataclasses.MISSING
        and each.default_factory is dataclasses.MISSING
    )
    for names, fault in ((unknown, "unknown"), (missing, "missing")):
        if names:
            raise ModelError(
                f"{path}: the card's field {', '.join(names)} is {fault}; use a card of this version."
            )
    try:
        values = {name: _tuples(value) if name != "figures" else value for name, value in raw.items()}
        values["data"] = tuple(TrainingSource(**each) for each in raw.get("data", ()))
        card = ModelCard(**values)
        _check(card)
    except (TypeError, ValueError) as fault:
        raise ModelError(f"{path}: the card is ill-formed ({fault}); copy the model folder again.") from fault
    return card


def _check(card: ModelCard) -> None:
    """Raises ValueError for a card that no net can be built from."""
    if card.task not in TASKS:
        raise ValueError(f"task is {card.task!r}, not one of {', '.join(TASKS)}")
    expected = default_spec(card.task).classes
    if card.classes != expected:
        raise ValueError(f"classes are not {', '.join(expected)}")
    if card.mpp != NET_MPP:
        raise ValueError(f"mpp is {card.mpp}, not {NET_MPP}")
    if not 0 < card.score_threshold < 1:
        raise ValueError("score_threshold is not between 0 and 1")
    if not (math.isfinite(card.min_distance_um) and card.min_distance_um > 0):
        raise ValueError("min_distance_um is not positive")
    if not (math.isfinite(card.smoothing_um) and card.smoothing_um >= 0):
        raise ValueError("smoothing_um is negative")
    if card.light not in ("as seen", "divided out"):
        raise ValueError(f"light is {card.light!r}, neither 'as seen' nor 'divided out'")
    if card.error_model is not None:
        parse_error_model(card.error_model)
    if card.look_reference is not None:
        check_look_reference(card.look_reference)
    if len(card.mean) != 3 or len(card.std) != 3 or min(card.std) <= 0:
        raise ValueError("mean and std are not three numbers each")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def _stored_form(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    halve = array.ndim >= 2 and np.issubdtype(array.dtype, np.floating)
    return np.ascontiguousarray(array.astype(np.float16) if halve else array)
