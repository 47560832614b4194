"""Runs with a known truth, made without the nets: what the tests of measuring count again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ki67.types import Candidates, GridMap, ModelRef, Parameters, PictureInfo, PixelSize, RunRecord


def make_record(
    x_px: npt.ArrayLike,
    y_px: npt.ArrayLike,
    is_positive: npt.ArrayLike,
    *,
    width_px: int = 1000,
    height_px: int = 1000,
    mpp: float = 0.5,
    score: npt.ArrayLike = 0.9,
    tumor: npt.NDArray[np.uint8] | None = None,
    tissue: npt.NDArray[np.uint8] | None = None,
    parameters: Parameters | None = None,
    source: str = "metadata",
    seed: int = 0,
) -> RunRecord:
    """A run over a picture that is all tumor and tissue unless maps (cells of 4 px) are given."""
    x = np.asarray(x_px, np.float32)
    positive = np.asarray(is_positive, bool)
    high = np.broadcast_to(np.asarray(score, np.float32), x.shape).astype(np.float32)
    low = np.float32(0.05)
    shape = (-(-height_px // 4), -(-width_px // 4))
    full = np.full(shape, 255, np.uint8)
    base = parameters or Parameters()
    return RunRecord(
        width_px=width_px,
        height_px=height_px,
        pixel_size=PixelSize(mpp, "given" if source == "given" else "metadata"),
        parameters=replace(base, score_threshold=base.score_threshold or 0.5),
        tumor_map=GridMap(full if tumor is None else tumor, 4.0) if base.use_tumor_mask else None,
        tissue_map=GridMap(full if tissue is None else tissue, 4.0),
        covered_map=GridMap(full, 4.0),
        candidates=Candidates(
            x,
            np.asarray(y_px, np.float32),
            np.where(positive, high, low).astype(np.float32),
            np.where(positive, low, high).astype(np.float32),
        ),
        models={
            "tumor": ModelRef("tumor-net", "1.0", "a" * 64) if base.use_tumor_mask else None,
            "cells": ModelRef("cell-net", "1.0", "b" * 64),
        },
        backend="openvino",
        device="cpu",
        precision="f32",
        seed=seed,
        software_version="0.1.0",
        started_at="2026-11-24T09:12:00+00:00",
        seconds={"read": 1.0, "tumor": 2.0, "cells": 3.0, "post": 0.5, "total": 6.5},
        quality_inputs={"pink_share": 0.02, "sharpness_fine": 0.8, "sharpness_medium": 0.4},
    )


def scattered(
    count: int, *, width_px: int, height_px: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Uniform positions over the picture."""
    rng = np.random.default_rng(seed)
    x = (rng.random(count) * width_px - 0.5).astype(np.float32)
    y = (rng.random(count) * height_px - 0.5).astype(np.float32)
    return x, y


class PlainPicture:
    """A picture of one gray, for what only needs something to draw on."""

    def __init__(self, width_px: int, height_px: int, *, gray: int = 200) -> None:
        self.info = PictureInfo(width_px, height_px, "PNG", None, 1)
        self.gray = gray
        self.largest_read_px = 0

    def read_scaled(
        self, x: int, y: int, width: int, height: int, *, px_per_out: float
    ) -> npt.NDArray[np.uint8]:
        self.largest_read_px = max(self.largest_read_px, width * height)
        return np.full((height, width, 3), self.gray, np.uint8)
