"""After the training: what a model card still needs from the labelled training pictures.

For step 2 the score threshold and the smallest distance, and what such pictures look like (so that a run
can say that a picture is unlike them); for step 1 the border of its map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ki67.errors import DataError
from ki67.pipeline.backends import BackendName, Device, choose_backend
from ki67.pipeline.cards import ModelCard, Task, read_card, read_model_set, rewrite_card
from ki67.pipeline.images import open_picture
from ki67.pipeline.looks import FEWEST_FIELDS, look_reference
from ki67.pipeline.samples import measure_picture
from ki67.training.calibrate import calibrate_tumor
from ki67.training.evaluate_tuning import store_tuning, tune_post_processing
from ki67.training.folder import AnnotatedField
from ki67.types import PixelSize, ReportProgress, no_progress


def finish_model(
    task: Task,
    out: Path,
    fields: Sequence[AnnotatedField],
    *,
    device: Device = "auto",
    backend: BackendName = "auto",
    seed: int = 0,
    report: ReportProgress = no_progress,
) -> ModelCard:
    """Tune the model folder `out` on the labelled pictures among `fields`; returns its new card.

    A cell net lies in `<set>/cells`, and is tuned with the step 1 in `<set>/tumor` where there is one.
    Raises DataError without a labelled picture or for a cell net in a folder of another name.
    """
    labelled = tunable(task, out, fields)
    if task == "tumor":
        return calibrate_tumor(out, labelled)
    models = read_model_set(out.parent)
    served = choose_backend(out.parent, device=device, backend=backend, with_tumor=models.tumor is not None)
    tuning = tune_post_processing(labelled, models=models, backend=served, seed=seed, report=report)
    store_tuning(out, tuning)
    if len(labelled) < FEWEST_FIELDS:
        return read_card(out)
    looks = look_reference([_look(field) for field in labelled])
    return rewrite_card(out, dataclasses.replace(read_card(out), look_reference=looks))


def tunable(task: Task, out: Path, fields: Sequence[AnnotatedField]) -> list[AnnotatedField]:
    """The labelled pictures that `finish_model` would tune on; asked before a long training, too.

    Raises DataError as `finish_model`.
    """
    labelled = [field for field in fields if field.labelled]
    if not labelled:
        raise DataError("No picture has nuclei labelled positive or negative: there is nothing to tune on.")
    if task == "cells" and out.resolve().name != "cells":
        raise DataError(f"{out}: a cell net is tuned in a model set; name its folder cells.")
    return labelled


def _look(field: AnnotatedField) -> dict[str, float]:
    with open_picture(field.image) as picture:
        return measure_picture(picture, PixelSize(field.mpp, "given"))
