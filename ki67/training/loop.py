"""The training loop: AdamW, warm-up and cosine, an average of the weights, checkpoints, a log to plot.

The same loop runs on a CPU (bf16 where the processor has it, else fp32), on one GPU (mixed
precision), and in every process that `torchrun` starts (gradients averaged, process 0 writes).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from ki67.errors import Cancelled, TrainingError
from ki67.pipeline.backend_openvino import best_precision
from ki67.pipeline.cards import Task
from ki67.pipeline.nets import Net
from ki67.training.losses import loss_of
from ki67.training.patches import Augmentation, Plate, draw_patch, sampling_shares
from ki67.types import IsCancelled, Progress, ReportProgress, never_cancelled, no_progress

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"


@dataclass(frozen=True)
class Plan:
    """Everything that decides a training besides its pictures and its first weights.

    `patches` is the length; the learning rate rises over `warmup` of it and falls to zero as a cosine.
    `synthetic_share` and `redrawn_share` are those of the patches (see `sampling_shares`).
    `average` is the longest memory of the averaged weights (decay per step).
    """

    task: Task
    patches: int
    seed: int
    batch: int = 8
    patch_px: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05
    average: float = 0.99
    synthetic_share: float = 0.15
    redrawn_share: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    device: str = "auto"
    threads: int | None = None
    save_every: int = 1000


@dataclass(frozen=True)
class Seat:
    """Which of how many processes this is, and where and how it computes."""

    rank: int
    processes: int
    device: torch.device
    precision: torch.dtype


Save = Callable[[nn.Module, int], None]


def take_seat(plan: Plan) -> Seat:
    """Join the processes that `torchrun` started (if it did) and choose device and precision."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    device = _device(plan.device)
    if plan.threads:
        torch.set_num_threads(plan.threads)
    if processes > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Seat(rank, processes, device, _precision(device))


def train_net(
    net: Net,
    plates: Sequence[Plate],
    plan: Plan,
    *,
    work: Path,
    resume: bool,
    save: Save,
    report: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> None:
    """Train `net` on patches of `plates`; `work` gets the checkpoint and the log, `save` the averaged net.

    `save(averaged, patches)` is called in process 0 every `plan.save_every` patches and at the end.
    Resumed from a checkpoint, the training ends with the weights it would have had uninterrupted.
    Raises TrainingError (a checkpoint of another plan), Cancelled (after writing a checkpoint).
    """
    seat = take_seat(plan)
    work.mkdir(parents=True, exist_ok=True)
    net.to(seat.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = AveragedModel(net, multi_avg_fn=_averaging(plan.average), use_buffers=True)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    done = _load(work, plan, net=net, averaged=averaged, optimizer=optimizer) if resume else 0
    if seat.rank == 0:
        _cut_log(work / LOG_NAME, done)
    parallel = DistributedDataParallel(net) if seat.processes > 1 else net
    loss_fn = loss_of(plan.task).to(seat.device)
    scaler = torch.amp.GradScaler(seat.device.type, enabled=seat.precision == torch.float16)
    step_patches = plan.batch * seat.processes
    since, began = 0, time.monotonic()
    parallel.train()
    for rgb, target in _batches(plates, plan, seat, first=done):
        rate = learning_rate(plan, done)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with _autocast(seat):
            logits = parallel(_to_input(rgb, seat))
        loss = loss_fn(logits.float(), target.to(seat.device).long())
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        averaged.update_parameters(net)
        done, since = done + step_patches, since + step_patches
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is no longer a number after {done} patches: train with a lower rate."
            )
        if seat.rank == 0:
            _log(work / LOG_NAME, done, loss.item(), rate, 1000 * (time.monotonic() - began) / since)
            report(Progress("train", min(done, plan.patches), plan.patches))
            if done // plan.save_every > (done - step_patches) // plan.save_every or done >= plan.patches:
                _store(work, plan, done, net=net, averaged=averaged, optimizer=optimizer)
                save(averaged.module, done)
        if cancelled():
            if seat.rank == 0:
                _store(work, plan, done, net=net, averaged=averaged, optimizer=optimizer)
            raise Cancelled(f"The training stopped after {done} patches: --resume goes on from there.")


def learning_rate(plan: Plan, done: int) -> float:
    """Rate after `done` patches: linear warm-up, then a cosine to zero at the end."""
    warm = plan.warmup * plan.patches
    if done < warm:
        return plan.learning_rate * (done + 1) / (warm + 1)
    part = (done - warm) / max(plan.patches - warm, 1)
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


class _Patches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, plates: Sequence[Plate], plan: Plan) -> None:
        self.plates, self.plan = plates, plan
        self.shares = sampling_shares(
            plates, synthetic_share=plan.synthetic_share, redrawn_share=plan.redrawn_share
        )

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        plan = self.plan
        rgb, target = draw_patch(
            self.plates,
            self.shares,
            size=plan.patch_px,
            seed=plan.seed,
            index=index,
            augmentation=plan.augmentation,
        )
        return torch.from_numpy(rgb), torch.from_numpy(target)


def _batches(plates: Sequence[Plate], plan: Plan, seat: Seat, *, first: int) -> Iterator[list[torch.Tensor]]:
    whole = plan.batch * seat.processes
    starts = range(first, plan.patches, whole)
    mine = [
        list(range(start + seat.rank * plan.batch, start + (seat.rank + 1) * plan.batch)) for start in starts
    ]
    workers = min(8, (os.cpu_count() or 2) - 1) if seat.device.type == "cuda" else 0
    loader = DataLoader(
        _Patches(plates, plan), batch_sampler=mine, num_workers=workers, pin_memory=seat.device.type == "cuda"
    )
    return iter(loader)


def _to_input(rgb: torch.Tensor, seat: Seat) -> torch.Tensor:
    pixels = rgb.to(seat.device, non_blocking=True).permute(0, 3, 1, 2)
    return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)


def _device(wish: str) -> torch.device:
    if wish not in ("auto", "cpu", "cuda"):
        raise TrainingError(f"The device {wish!r} is not auto, cpu or cuda.")
    if wish == "cuda" and not torch.cuda.is_available():
        raise TrainingError("No CUDA GPU is found: train with --device cpu, or on a machine that has one.")
    if wish == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cuda", torch.cuda.current_device())


def _precision(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if best_precision() == "bf16" else torch.float32


def _autocast(seat: Seat) -> AbstractContextManager[object]:
    if seat.precision == torch.float32:
        return nullcontext()
    return torch.autocast(seat.device.type, dtype=seat.precision)


def _averaging(
    longest: float,
) -> Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor], torch.Tensor | int], None]:
    """Exponential average whose memory grows with the steps, so that early weights are soon forgotten."""

    @torch.no_grad()
    def update(kept: Sequence[torch.Tensor], new: Sequence[torch.Tensor], count: torch.Tensor | int) -> None:
        decay = min(longest, (1 + float(count)) / (10 + float(count)))
        for old, fresh in zip(kept, new, strict=True):
            if old.is_floating_point():
                old.lerp_(fresh.to(old.dtype), 1 - decay)
            else:
                old.copy_(fresh)

    return update


def _fingerprint(plan: Plan) -> dict[str, object]:
    """What must be equal to go on from a checkpoint; the length may change."""
    free = {"patches", "device", "threads", "save_every"}
    return {key: value for key, value in asdict(plan).items() if key not in free}


def _store(
    work: Path,
    plan: Plan,
    done: int,
    *,
    net: nn.Module,
    averaged: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = {
        "plan": _fingerprint(plan),
        "done": done,
        "net": net.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    scratch = work / (CHECKPOINT_NAME + ".new")
    with scratch.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(work / CHECKPOINT_NAME)


def _load(
    work: Path, plan: Plan, *, net: nn.Module, averaged: AveragedModel, optimizer: torch.optim.Optimizer
) -> int:
    path = work / CHECKPOINT_NAME
    if not path.is_file():
        raise TrainingError(f"{work} holds no checkpoint to resume from: start without --resume.")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["plan"] != _fingerprint(plan):
        changed = [key for key, value in _fingerprint(plan).items() if state["plan"].get(key) != value]
        raise TrainingError(
            f"{path} was made with another {', '.join(changed)}: resume with the same settings."
        )
    net.load_state_dict(state["net"])
    averaged.load_state_dict(state["averaged"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["done"])


def _log(path: Path, done: int, loss: float, rate: float, ms_per_patch: float) -> None:
    line = {
        "patches": done,
        "loss": round(loss, 5),
        "learning_rate": rate,
        "ms_per_patch": round(ms_per_patch, 1),
    }
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def _cut_log(path: Path, done: int) -> None:
    """Drop what was logged after the checkpoint (all of it, at the start of a training)."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["patches"] <= done]
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def mean_loss(path: Path, *, last: int = 50) -> float:
    """Mean loss of the last steps of a log."""
    lines = path.read_text("utf-8").splitlines()[-last:]
    return float(np.mean([json.loads(line)["loss"] for line in lines]))
