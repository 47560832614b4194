"""`train`: annotated folders in, a model folder (weights and card) out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ki67 import __version__
from ki67.atomic import check_replaceable
from ki67.errors import TrainingError
from ki67.pipeline.cards import (
    CARD_NAME,
    ModelCard,
    Task,
    TrainingSource,
    default_spec,
    read_card,
    write_model_folder,
)
from ki67.pipeline.images import sha256_of
from ki67.pipeline.nets import Net, build_net, load_net, net_state
from ki67.training.folder import AnnotatedField, read_folder, split_by_patient
from ki67.training.loop import LOG_NAME, Plan, mean_loss, take_seat, train_net
from ki67.training.material import REDRAWN, plates_of, synthetic_plates, usable_for
from ki67.training.patches import Plate
from ki67.types import IsCancelled, ReportProgress, never_cancelled, no_progress

WORK_FOLDER = "training"
UNSTATED_TERMS = "not stated in the annotated folder; ask whoever provided it"
KNOWN_FAILURES: dict[Task, tuple[str, ...]] = {
    "tumor": (
        "Benign epithelium is taken for tumor: nothing in the training data tells the two apart.",
        "In situ carcinoma is not told from invasive.",
        "Tumor masks derived from centroids are coarse: borders are uncertain by about 8 µm.",
    ),
    "cells": (
        "Nuclei of unmarked stroma and lymphocytes are counted where step 1 lets them through.",
        "Nuclei at the border of positive (faint brown) may fall on either side.",
    ),
}


@dataclass(frozen=True)
class Start:
    """First weights: `encoder_weights` is imagenet, none or a file for the encoder; `init` model folders.

    Of several model folders the mean of the weights is taken: nets fine-tuned from one base average well
    (Wortsman et al., Model soups, ICML 2022).
    """

    encoder_weights: str = "none"
    init: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Naming:
    """What the card says beyond what the training knows; `terms` maps a source to its terms of use."""

    name: str
    version: str = __version__
    terms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """What is sampled besides the pictures: redraws of each H&E picture, synthetic regions and their side.

    `base_only`: typed nuclei without Ki-67 labels are enough, the net is a base for fine-tuning.
    """

    redraws: int = 3
    base_only: bool = False
    synthetic_regions: int = 200
    synthetic_side_px: int = 384


DEFAULT_MATERIAL = Material()


def train_model(
    task: Task,
    *,
    data: Sequence[Path],
    out: Path,
    plan: Plan,
    start: Start,
    naming: Naming,
    material: Material = DEFAULT_MATERIAL,
    hold_out_folds: int = 5,
    resume: bool = False,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> ModelCard:
    """Train one net on annotated folders and write the model folder `out`; returns its card.

    The steps: read the folders; for the tumor net hold out one of `hold_out_folds` groups of patients
    with drawn masks (seeded) and measure Dice on it afterwards; train; write weights and card.
    The cell net learns from every picture: its figures come from `cross_validate`.
    Raises DataError, TrainingError, Cancelled.
    """
    fields = [field for folder in data for field in read_folder(folder)]
    held_out: tuple[AnnotatedField, ...] = ()
    drawn = [field for field in fields if field.tumor_file is not None]
    if task == "tumor" and hold_out_folds > 1 and len({field.patient for field in drawn}) >= hold_out_folds:
        held_out = split_by_patient(drawn, folds=hold_out_folds, seed=plan.seed)[0]
    patients = {field.patient for field in held_out}
    return train_on(
        task,
        fields=[field for field in fields if field.patient not in patients],
        held_out=held_out,
        out=out,
        plan=plan,
        start=start,
        naming=naming,
        material=material,
        resume=resume,
        report=report,
        cancelled=cancelled,
    )


def train_on(
    task: Task,
    *,
    fields: Sequence[AnnotatedField],
    held_out: Sequence[AnnotatedField],
    out: Path,
    plan: Plan,
    start: Start,
    naming: Naming,
    material: Material = DEFAULT_MATERIAL,
    resume: bool = False,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> ModelCard:
    """Train on these pictures, never on `held_out`; the work (checkpoint, log) lies beside `out`."""
    if plan.task != task:
        raise TrainingError(f"The plan is for the {plan.task} net, not for the {task} net.")
    check_replaceable(out, holds=CARD_NAME)
    net, origin = first_net(task, start=start, seed=plan.seed)
    plates = plates_of(task, fields, seed=plan.seed, redraws=material.redraws, base_only=material.base_only)
    if plan.synthetic_share > 0:
        plates += synthetic_plates(
            task,
            count=material.synthetic_regions,
            side_px=material.synthetic_side_px,
            seed=plan.seed + 100_000,
        )
    card = _card(task, fields=fields, plates=plates, plan=plan, naming=naming, origin=origin)
    card = _with_seen_before(card, start)
    work = work_folder(out)
    seat = take_seat(plan)

    def save(averaged: nn.Module, done: int) -> None:
        figures: dict[str, Any] = {"patches": done, "training_loss": round(mean_loss(work / LOG_NAME), 4)}
        if done >= plan.patches and held_out:
            figures |= held_out_dice(averaged, held_out, seed=plan.seed)
        write_model_folder(out, dataclasses.replace(card, figures=figures), net_state(averaged))

    train_net(net, plates, plan, work=work, resume=resume, save=save, report=report, cancelled=cancelled)
    if seat.processes > 1:
        torch.distributed.barrier()
    return read_card(out)


def work_folder(out: Path) -> Path:
    """Where the checkpoint and the log of a model folder lie while it is trained."""
    return out.parent / f"{out.name}.{WORK_FOLDER}"


def first_net(task: Task, *, start: Start, seed: int) -> tuple[Net, str]:
    """The net before training, and what its card says about it (`encoder_init`).

    Raises TrainingError when ImageNet weights cannot be fetched or a file does not fit the encoder.
    """
    torch.manual_seed(seed)
    spec = default_spec(task)
    if start.init:
        return _mean_net(task, start.init)
    if start.encoder_weights == "none":
        return build_net(spec), "random"
    if start.encoder_weights == "imagenet":
        return _imagenet_net(task), "imagenet"
    return _net_with_encoder(task, Path(start.encoder_weights))


def _mean_net(task: Task, folders: Sequence[Path]) -> tuple[Net, str]:
    nets, origins = [], []
    for folder in folders:
        card = read_card(folder)
        if card.task != task:
            raise TrainingError(f"{folder} is a {card.task} net: give --init a {task} net.")
        nets.append(load_net(folder))
        origins.append(f"{card.name} {card.version} ({card.sha256[:12]}): {card.encoder_init}")
    states = [net.state_dict() for net in nets]
    mean = {
        name: torch.stack([state[name] for state in states]).double().mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
    nets[0].load_state_dict(mean)
    if len(origins) == 1:
        return nets[0], f"from {origins[0]}"
    return nets[0], f"from the mean of {len(origins)} nets: {'; '.join(origins)}"


def _imagenet_net(task: Task) -> Net:
    logging.getLogger("huggingface_hub").setLevel(
        logging.ERROR
    )  # its retries; our sentence tells the outcome
    try:
        return build_net(default_spec(task), encoder_weights="imagenet")
    except (OSError, RuntimeError, ValueError) as fault:
        raise TrainingError(
            "The ImageNet weights could not be fetched (no connection to the model hub?): use "
            "--encoder-weights FILE with a local copy, or --encoder-weights none for random weights."
        ) from fault


def _net_with_encoder(task: Task, path: Path) -> tuple[Net, str]:
    if not path.is_file():
        raise TrainingError(
            f"{path} is not a file: --encoder-weights takes imagenet, none or a file of encoder weights."
        )
    net = build_net(default_spec(task))
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        net.unet.encoder.load_state_dict(state)  # type: ignore[union-attr]
    except (
        RuntimeError,
        SafetensorError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
    ) as fault:
        raise TrainingError(
            f"{path} does not hold the weights of a {default_spec(task).encoder} encoder: give the file that "
            "torchvision or segmentation-models-pytorch saves for it."
        ) from fault
    return net, f"file {path.name} ({sha256_of(path)[:12]})"


def held_out_dice(net: nn.Module, fields: Sequence[AnnotatedField], *, seed: int) -> dict[str, Any]:
    """Dice of the tumor net on held-out pictures with drawn masks, redrawn as Ki-67 once each.

    Pooled over pixels, threshold 0.5; also the mean over pictures.
    """
    from ki67.training.dice import picture_dice

    plates = [plate for plate in plates_of("tumor", fields, seed=seed + 500_000, redraws=1) if plate.redrawn]
    if not plates:
        return {}
    rows = [picture_dice(net, plate) for plate in plates]
    both, either = sum(row.both for row in rows), sum(row.either for row in rows)
    return {
        "held_out_dice": round(2 * both / max(either, 1), 4),
        "held_out_dice_mean": round(sum(row.dice for row in rows) / len(rows), 4),
        "held_out_pictures": [plate.name for plate in plates],
        "held_out_patients_known": all(field.patient_known for field in fields),
        "held_out_how": "pictures with drawn masks, never trained on, redrawn as Ki-67; pooled pixels at 0.5",
    }


def _card(
    task: Task,
    *,
    fields: Sequence[AnnotatedField],
    plates: Sequence[Plate],
    plan: Plan,
    naming: Naming,
    origin: str,
) -> ModelCard:
    spec = default_spec(task)
    used = {plate.name for plate in plates}
    seen = [field for field in fields if usable_for(task, field) and field.name in used]
    sources = sorted({field.source for field in seen})
    data = [
        TrainingSource(
            source=_how(task, source, plates),
            terms=naming.terms.get(source, UNSTATED_TERMS),
            images=sum(field.source == source for field in seen),
        )
        for source in sources
    ]
    synthetic = sum(plate.synthetic for plate in plates)
    if synthetic:
        data.append(TrainingSource("synthetic regions", "made by this project, Apache-2.0", synthetic))
    return ModelCard(
        task=task,
        name=naming.name,
        version=naming.version,
        classes=spec.classes,
        encoder=spec.encoder,
        encoder_init=origin,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        software_version=__version__,
        decoder_channels=spec.decoder_channels,
        light="divided out",
        mean=spec.mean,
        std=spec.std,
        seed=plan.seed,
        data=tuple(data),
        training_patients=tuple(sorted({field.patient for field in seen})),
        training_images=tuple(sorted({sha256_of(field.image) for field in seen})),
        known_failures=KNOWN_FAILURES[task],
    )


def _with_seen_before(card: ModelCard, start: Start) -> ModelCard:
    """The card with the patients and pictures that the first weights were trained on, as seen too."""
    before = [read_card(folder) for folder in start.init]
    patients = {patient for each in before for patient in each.training_patients}
    images = {image for each in before for image in each.training_images}
    return dataclasses.replace(
        card,
        training_patients=tuple(sorted({*card.training_patients, *patients})),
        training_images=tuple(sorted({*card.training_images, *images})),
    )


def _how(task: Task, source: str, plates: Sequence[Plate]) -> str:
    """The source with what was done to it."""
    notes = []
    if any(plate.source == source + REDRAWN for plate in plates):
        notes.append("H&E redrawn as Ki-67")
    if task == "tumor" and source not in _drawn_sources(plates):
        notes.append("tumor masks derived from centroids")
    return f"{source} ({'; '.join(notes)})" if notes else source


def _drawn_sources(plates: Sequence[Plate]) -> set[str]:
    return {plate.source.removesuffix(REDRAWN) for plate in plates if plate.drawn}
