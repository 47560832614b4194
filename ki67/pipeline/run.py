"""From a picture to a run: the tumor probability and every nucleus candidate, nothing counted yet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ki67 import __version__
from ki67.errors import ModelError
from ki67.pipeline.backends import Backend
from ki67.pipeline.cards import ModelCard, ModelSet, Task
from ki67.pipeline.cells import PeakRules, chosen, find_nuclei, joined, owned, strongest
from ki67.pipeline.light import NeutralPicture, estimate_light
from ki67.pipeline.looks import look_distances
from ki67.pipeline.plan import Plan, make_plan
from ki67.pipeline.quality import quality_inputs
from ki67.pipeline.reading import Clock, ReadablePicture, Watch, read_batches
from ki67.pipeline.samples import read_samples
from ki67.pipeline.tiling import Tile
from ki67.pipeline.tissue import LowPower, find_tissue, measure_light, read_low_power
from ki67.pipeline.tumor import MapBuilder, on_grid_of
from ki67.types import (
    Candidates,
    FloatArray,
    GridMap,
    IsCancelled,
    Parameters,
    PixelSize,
    ReportProgress,
    RunRecord,
    never_cancelled,
    no_progress,
)

TIMES = ("read", "tumor", "cells", "post", "total")


@dataclass(frozen=True)
class _Bench:
    """What a step works with; `parameters` leave nothing open."""

    picture: ReadablePicture
    backend: Backend
    models: ModelSet
    parameters: Parameters
    plan: Plan
    tissue: GridMap
    watch: Watch

    def seen_by(self, task: Task) -> ReadablePicture:
        """The picture as the net of a step wants to see it."""
        card = self.models.tumor if task == "tumor" else self.models.cells
        if card is None or card.light == "as seen" or self.parameters.light is None:
            return self.picture
        return NeutralPicture(self.picture, self.parameters.light)


def score_picture(
    picture: ReadablePicture,
    *,
    pixel_size: PixelSize,
    models: ModelSet,
    backend: Backend,
    parameters: Parameters,
    seed: int,
    progress: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> RunRecord:
    """Runs both steps on a picture, or on its region of interest.

    1. lay map cells and tiles over the region, on the grid of 0.5 µm/px
    2. read the picture at low power; find white point, threshold and tissue
    3. step 1 on the tiles with tissue: the tumor map (left out with `use_tumor_mask=False`)
    4. step 2 on the tiles where the tumor map reaches `step2_from_probability` (without step 1: on
       those with tissue): nucleus candidates, each owned by one tile
    5. a few samples of tissue for the quality flags

    The seed is stored with the run and used by what is counted from it. Stages reported: read,
    tissue, tumor, cells.

    Raises:
        Cancelled: `cancelled()` became true; it is asked before every batch of tiles.
        PictureError: the region lies outside the picture, or the picture can no longer be read.
        ModelError: the model set lacks the tumor net that the parameters ask for.
    """
    if parameters.use_tumor_mask and models.tumor is None:
        raise ModelError(f"{models.name}: this model set has no net for the tumor step; score without it.")
    started, watch = datetime.now(UTC), Watch(progress, cancelled, Clock())
    with watch.clock.timed("total"):
        plan = make_plan(picture.info, pixel_size, parameters)
        low_power = read_low_power(picture, mpp=pixel_size.mpp, watch=watch)
        settled, tissue = _find_tissue(low_power, plan, parameters, card=models.cells, watch=watch)
        bench = _Bench(picture, backend, models, settled, plan, tissue, watch)
        tumor_map = _map_tumor(bench) if parameters.use_tumor_mask else None
        tiles = _tiles_for_cells(bench, tumor_map)
        covered = plan.cores(tiles)
        candidates = _settle(bench, _find_candidates(bench, tiles), covered)
        quality = _look_at(bench, low_power)
    return RunRecord(
        width_px=picture.info.width_px,
        height_px=picture.info.height_px,
        pixel_size=pixel_size,
        parameters=settled,
        tumor_map=tumor_map,
        tissue_map=tissue,
        covered_map=covered,
        candidates=candidates,
        models={"tumor": models.tumor.ref if tumor_map and models.tumor else None, "cells": models.cells.ref},
        backend=backend.name,
        device=backend.device,
        precision=backend.precision,
        seed=seed,
        software_version=__version__,
        started_at=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds={name: round(watch.clock.seconds.get(name, 0.0), 3) for name in TIMES},
        quality_inputs=quality,
    )


def cover_more(
    picture: ReadablePicture,
    record: RunRecord,
    area: GridMap,
    *,
    models: ModelSet,
    backend: Backend,
    progress: ReportProgress = no_progress,
    cancelled: IsCancelled = never_cancelled,
) -> RunRecord:
    """The same run with step 2 also on the tiles that `area` touches (values above 0) and that hold tissue.

    Parameters, tissue and tumor map stay as stored; the candidates already there keep their numbers
    and the new ones follow them. Nothing to add returns the record itself.

    Raises:
        Cancelled, PictureError: as `score_picture`.
        ModelError: the model for nuclei is not that of the run.
    """
    if models.cells.ref != record.models["cells"]:
        raise ModelError(f"{models.name}: the run was made with another model for nuclei; take that one.")
    plan = make_plan(picture.info, record.pixel_size, record.parameters)
    on_tissue = set(plan.touching(record.tissue_map))
    tiles = [
        tile
        for tile in plan.touching(area)
        if tile in on_tissue and not plan.filled(record.covered_map, tile)
    ]
    if not tiles:
        return record
    watch = Watch(progress, cancelled, Clock())
    bench = _Bench(picture, backend, models, record.parameters, plan, record.tissue_map, watch)
    with watch.clock.timed("total"):
        found = _find_candidates(bench, tiles)
        covered = plan.grid(np.maximum(plan.cores(tiles).values, record.covered_map.values))
        candidates = _settle(bench, found, covered, earlier=record.candidates)
    times = watch.clock.seconds
    seconds = {name: round(value + times.get(name, 0.0), 3) for name, value in record.seconds.items()}
    return dataclasses.replace(record, covered_map=covered, candidates=candidates, seconds=seconds)


def _find_tissue(
    low_power: LowPower, plan: Plan, parameters: Parameters, *, card: ModelCard, watch: Watch
) -> tuple[Parameters, GridMap]:
    """The parameters with nothing left open, and the tissue of the region."""
    watch.step("tissue", 0, 1)
    with watch.clock.timed("post"):
        white, threshold = measure_light(
            low_power.rgb, white_point=parameters.white_point, threshold=parameters.tissue_threshold
        )
        settled = dataclasses.replace(
            parameters,
            white_point=white,
            light=parameters.light or estimate_light(low_power.rgb),
            tissue_threshold=threshold,
            score_threshold=_first(parameters.score_threshold, card.score_threshold),
            min_distance_um=_first(parameters.min_distance_um, card.min_distance_um),
        )
        mask = find_tissue(low_power.rgb, white_point=white, threshold=threshold)
        tissue = low_power.grid(mask, plan.rect)
    watch.step("tissue", 1, 1)
    return settled, tissue


def _map_tumor(bench: _Bench) -> GridMap:
    """Step 1 on the tiles whose core holds tissue; 0 off the tissue."""
    plan, clock = bench.plan, bench.watch.clock
    builder = MapBuilder(plan.layout.region, plan.cell_px)
    tiles = plan.touching(bench.tissue)
    for tile, probability in _through_net(bench, tiles, "tumor"):
        with clock.timed("post"):
            builder.add(tile, probability)
    with clock.timed("post"):
        grid = plan.grid(builder.finish())
        on_tissue = on_grid_of(grid, bench.tissue)
        return dataclasses.replace(grid, values=np.where(on_tissue, grid.values, np.uint8(0)))


def _tiles_for_cells(bench: _Bench, tumor_map: GridMap | None) -> list[Tile]:
    if tumor_map is None:
        return bench.plan.touching(bench.tissue)
    level = max(1, math.ceil(bench.parameters.step2_from_probability * 255))
    return bench.plan.touching(tumor_map, level=level)


def _find_candidates(bench: _Bench, tiles: Sequence[Tile]) -> Candidates:
    """Step 2 on the tiles given: nuclei in net pixels, each reported by every tile that may own it."""
    rules = PeakRules(
        smoothing_px=bench.models.cells.smoothing_um / bench.parameters.net_mpp,
        min_distance_px=_min_distance_px(bench.parameters),
        floor=bench.parameters.candidate_floor,
    )
    found: list[Candidates] = []
    for tile, probabilities in _through_net(bench, tiles, "cells"):
        with bench.watch.clock.timed("post"):
            found.append(owned(find_nuclei(probabilities, rules), tile))
    return joined(found)


def _settle(
    bench: _Bench, found: Candidates, covered: GridMap, *, earlier: Candidates | None = None
) -> Candidates:
    """Nuclei in full-resolution pixels: in the region, on tissue, where step 2 ran, none twice."""
    plan, rect, half = bench.plan, bench.plan.rect, np.float32(0.5)
    with bench.watch.clock.timed("post"):
        x = (found.x_px + half) * np.float32(plan.px_per_net) - half
        y = (found.y_px + half) * np.float32(plan.px_per_net) - half
        inside = (x >= rect.x - half) & (x < rect.x + rect.width - half)
        inside &= (y >= rect.y - half) & (y < rect.y + rect.height - half)
        inside &= (bench.tissue.at(x, y) > 0) & (covered.at(x, y) > 0)
        new = chosen(Candidates(x, y, found.positive_score, found.negative_score), inside)
        together = new if earlier is None else joined([earlier, new])
        keep = strongest(
            together.x_px,
            together.y_px,
            together.score,
            min_distance=max(1.0, _min_distance_px(bench.parameters) - 1) * plan.px_per_net,
            settled=0 if earlier is None else len(earlier),
        )
        return chosen(together, keep)


def _look_at(bench: _Bench, low_power: LowPower) -> dict[str, float]:
    """The quality inputs, with the distance from what the model for nuclei has seen where its card tells."""
    with bench.watch.clock.timed("read"):
        samples = read_samples(bench.picture, bench.plan, bench.tissue)
    with bench.watch.clock.timed("post"):
        inputs = quality_inputs(
            low_power.over(bench.tissue), bench.tissue.values > 0, samples, light=bench.parameters.light
        )
        reference = bench.models.cells.look_reference
        return inputs if reference is None else inputs | look_distances(inputs, reference)


def _through_net(bench: _Bench, tiles: Sequence[Tile], stage: Task) -> Iterator[tuple[Tile, FloatArray]]:
    """Each tile with what a net makes of it; reports progress and heeds cancelling before each batch."""
    done = 0
    net = bench.backend.tumor if stage == "tumor" else bench.backend.cells
    batches = read_batches(
        bench.seen_by(stage),
        bench.plan.layout,
        tiles,
        px_per_net=bench.plan.px_per_net,
        batch_size=bench.backend.batch_size,
        clock=bench.watch.clock,
    )
    for batch, pixels in batches:
        bench.watch.step(stage, done, len(tiles))
        with bench.watch.clock.timed(stage):
            outputs = net(pixels)
        yield from zip(batch, outputs, strict=True)
        done += len(batch)
    bench.watch.step(stage, done, len(tiles))


def _min_distance_px(parameters: Parameters) -> float:
    if parameters.min_distance_um is None:
        raise ValueError("the parameters of a run leave nothing open")
    return parameters.min_distance_um / parameters.net_mpp


def _first(given: float | None, otherwise: float) -> float:
    return otherwise if given is None else given
