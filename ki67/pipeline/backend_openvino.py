"""The nets in OpenVINO, the default on a processor: bf16 where the processor has it, else single precision.

A net is converted from torch once (a few seconds) and can be kept in a cache folder; torch is then
not imported at all. It is compiled for each shape of tile, which takes a tenth of a second and
makes it twice as fast as one compiled for any shape.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import numpy as np
import openvino as ov
import openvino.properties.hint as hint

from ki67.atomic import whole_folder
from ki67.pipeline.cards import Task, verify_weights
from ki67.types import ByteArray, FloatArray

Precision = Literal["auto", "f32", "bf16"]
SHAPES_KEPT = 2  # compiled nets hold a copy of their weights
GRAPH_REVISION = 1  # raise when what is around the net (`nets.ServedNet`) changes
EXAMPLE_SIDE = 256


class OpenVinoBackend:
    """Both nets of a model set on the processor (see `backends.Backend`)."""

    name = "openvino"
    device = "cpu"
    batch_size = 1

    def __init__(
        self, models: Path, *, with_tumor: bool, cache: Path | None = None, precision: Precision = "auto"
    ) -> None:
        self._core = ov.Core()
        self.precision = best_precision() if precision == "auto" else precision
        self._models = {"cells": _converted(self._core, models / "cells", "cells", cache)}
        if with_tumor:
            self._models["tumor"] = _converted(self._core, models / "tumor", "tumor", cache)
        self._compiled: OrderedDict[tuple[Task, tuple[int, ...]], ov.CompiledModel] = OrderedDict()

    def tumor(self, batch: ByteArray) -> FloatArray:
        """Tumor probability, N×H×W."""
        if "tumor" not in self._models:
            raise ValueError("this backend was loaded without the tumor net")
        return self._run("tumor", batch)

    def cells(self, batch: ByteArray) -> FloatArray:
        """Probability of positive and of negative nucleus, N×2×H×W."""
        return self._run("cells", batch)

    def _run(self, task: Task, batch: ByteArray) -> FloatArray:
        compiled = self._compiled_for(task, (1, *batch.shape[1:]))
        outputs = [compiled(np.ascontiguousarray(batch[i : i + 1]))[0] for i in range(len(batch))]
        return np.concatenate(outputs) if len(outputs) > 1 else np.asarray(outputs[0], np.float32)

    def _compiled_for(self, task: Task, shape: tuple[int, ...]) -> ov.CompiledModel:
        """The net compiled for tiles of one shape; of each net the shapes used last are kept."""
        key = (task, shape)
        if key not in self._compiled:
            same = [each for each in self._compiled if each[0] == task]
            if len(same) >= SHAPES_KEPT:
                del self._compiled[same[0]]
            model = self._models[task].clone()
            model.reshape({0: list(shape)})
            kind = ov.Type.bf16 if self.precision == "bf16" else ov.Type.f32
            self._compiled[key] = self._core.compile_model(
                model,
                "CPU",
                {hint.inference_precision: kind, hint.performance_mode: hint.PerformanceMode.LATENCY},
            )
        self._compiled.move_to_end(key)
        return self._compiled[key]


def best_precision() -> Literal["f32", "bf16"]:
    """bf16 where the processor computes in it, else f32."""
    return "bf16" if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def _converted(core: ov.Core, folder: Path, task: Task, cache: Path | None) -> ov.Model:
    """A net as an OpenVINO model, from the cache if it is there. Raises ModelError as `load_net`."""
    card = verify_weights(folder)
    if cache is None:
        return _convert(folder, task)
    kept = cache / f"{task}-{card.sha256[:24]}-{GRAPH_REVISION}-{ov.__version__.split('-')[0]}"
    if not kept.is_dir():
        model = _convert(folder, task)
        with whole_folder(kept) as scratch:
            ov.save_model(model, scratch / "net.xml", compress_to_fp16=False)
        return model
    return core.read_model(kept / "net.xml")


def _convert(folder: Path, task: Task) -> ov.Model:
    import torch

    from ki67.pipeline.nets import ServedNet, load_net

    example = torch.zeros((1, EXAMPLE_SIDE, EXAMPLE_SIDE, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracing, which the conversion uses, warns of its age
        return ov.convert_model(ServedNet(load_net(folder), task).eval(), example_input=example)
