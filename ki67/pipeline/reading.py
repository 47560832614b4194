"""Tiles read by a thread of their own while the net computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ki67.errors import Cancelled
from ki67.pipeline.tiling import Layout, Tile
from ki67.types import ByteArray, IsCancelled, PictureInfo, Progress, ReportProgress

BATCHES_AHEAD = 2


class ReadablePicture(Protocol):
    """What a run needs of a picture (see `ki67.pipeline.images.Picture`)."""

    @property
    def info(self) -> PictureInfo: ...

    def read_scaled(self, x: int, y: int, width: int, height: int, *, px_per_out: float) -> ByteArray: ...


class Clock:
    """Busy seconds by name. Reading runs beside computing, so the parts may exceed the whole."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time spent in the block."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


@dataclass(frozen=True)
class Watch:
    """Who looks on while a run works: progress, cancelling, and the clock."""

    progress: ReportProgress
    cancelled: IsCancelled
    clock: Clock

    def step(self, stage: str, done: int, total: int) -> None:
        """Reports a step. Raises Cancelled when the person no longer wants the result."""
        if self.cancelled():
            raise Cancelled("The run was cancelled; nothing was written.")
        self.progress(Progress(stage, done, total))


def read_batches(
    picture: ReadablePicture,
    layout: Layout,
    tiles: Sequence[Tile],
    *,
    px_per_net: float,
    batch_size: int,
    clock: Clock,
) -> Iterator[tuple[Sequence[Tile], ByteArray]]:
    """The tiles in order, in batches of N×H×W×3, read at most two batches ahead.

    `px_per_net` is the side of a net pixel in full-resolution pixels. What lies outside the picture
    is white. An error of the reading thread is raised here.
    """

    def read(batch: Sequence[Tile]) -> ByteArray:
        with clock.timed("read"):
            return np.stack([_read_tile(picture, layout, tile, px_per_net) for tile in batch])

    waiting: deque[tuple[Sequence[Tile], Future[ByteArray]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as pool:
        try:
            for first in range(0, len(tiles), batch_size):
                batch = tiles[first : first + batch_size]
                waiting.append((batch, pool.submit(read, batch)))
                if len(waiting) > BATCHES_AHEAD:
                    ready, pixels = waiting.popleft()
                    yield ready, pixels.result()
            while waiting:
                ready, pixels = waiting.popleft()
                yield ready, pixels.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read_tile(picture: ReadablePicture, layout: Layout, tile: Tile, px_per_net: float) -> ByteArray:
    return picture.read_scaled(
        tile.x.start, tile.y.start, layout.tile_width, layout.tile_height, px_per_out=px_per_net
    )
