"""Carrying out a job: nets (unless the run is stored already), numbers, store. One call, one result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from db import queries
from db.engine import Session
from db.rows import JobRow, PictureRow
from ki67.errors import Ki67Error, ModelError, StoreError
from ki67.pipeline.artifacts import load_run
from ki67.pipeline.cards import ModelSet
from ki67.pipeline.images import open_picture
from ki67.pipeline.measure import measure
from ki67.pipeline.outlines import Outline, outline_cells, parse_outline
from ki67.settings import Settings
from ki67.study import codec, files
from ki67.study.codec import RunSettings
from ki67.study.model_sets import find_model_set, models_used
from ki67.study.people import Person
from ki67.study.pictures import pixels_of
from ki67.study.records import OUTLINE_NAME, Finished, store_finished
from ki67.study.slides import check_parts, folder_of_root
from ki67.study.workplace import Workplace, reading
from ki67.types import IsCancelled, Progress, ReportProgress, RunRecord, no_progress

if TYPE_CHECKING:
    from ki67.pipeline.backends import Backend
    from ki67.training.folder import AnnotatedField


class Scorer(Protocol):
    """Runs the nets on a picture file; the worker's keeps them loaded between jobs."""

    def __call__(
        self,
        path: Path,
        *,
        name: str,
        models: ModelSet,
        settings: RunSettings,
        outline: Outline | None,
        progress: ReportProgress,
        cancelled: IsCancelled,
    ) -> RunRecord: ...


class NetScorer:
    """The scorer of the product. The nets are loaded with the first picture and kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: tuple[tuple[str, str | None], Backend] | None = None

    def __call__(
        self,
        path: Path,
        *,
        name: str,
        models: ModelSet,
        settings: RunSettings,
        outline: Outline | None,
        progress: ReportProgress,
        cancelled: IsCancelled,
    ) -> RunRecord:
        """Runs both steps, step 2 also in the whole `outline`; `name` stands for the picture in sentences."""
        from ki67.pipeline.run import cover_more, score_picture

        progress(Progress("load", 0, 1))
        backend = self._backend(models, with_tumor=settings.parameters.use_tumor_mask)
        with open_picture(path, name=name, max_pixels=self._settings.max_pixels) as picture:
            record = score_picture(
                picture,
                pixel_size=settings.pixel_size,
                models=models,
                backend=backend,
                parameters=settings.parameters,
                seed=settings.seed,
                progress=progress,
                cancelled=cancelled,
            )
            if outline is None:
                return record
            return cover_more(
                picture,
                record,
                outline_cells(outline, record.tissue_map),
                models=models,
                backend=backend,
                progress=progress,
                cancelled=cancelled,
            )

    def everywhere(self, field: AnnotatedField, *, models: ModelSet, cancelled: IsCancelled) -> RunRecord:
        """Runs both steps on an annotated picture, step 2 on all its tissue (a `FieldRunner`)."""
        from ki67.training.evaluate import run_everywhere

        backend = self._backend(models, with_tumor=models.tumor is not None)
        return run_everywhere(field, models=models, backend=backend, cancelled=cancelled)

    def _backend(self, models: ModelSet, *, with_tumor: bool) -> Backend:
        from ki67.pipeline.backends import choose_backend

        tumor = models.tumor.sha256 if with_tumor and models.tumor else None
        key = (models.cells.sha256, tumor)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # the old nets go before the new ones come
            backend = choose_backend(
                models.folder,
                device=self._settings.device,
                backend=self._settings.backend,
                with_tumor=with_tumor,
                cache=self._settings.net_cache,
            )
            self._loaded = (key, backend)
        return self._loaded[1]


@dataclass(frozen=True)
class Task:
    """What a job asks for."""

    code: str
    picture: PictureRow
    case_code: str
    settings: RunSettings
    model_set: str
    run_key: str
    use_outline: bool


def task_of(job: JobRow) -> Task:
    """The task in a job's row."""
    return Task(
        code=job.code,
        picture=job.picture,
        case_code=job.case.code,
        settings=codec.settings_from_json(job.request["settings"]),
        model_set=job.request["model_set"],
        run_key=job.request["run_key"],
        use_outline=job.request["use_outline"],
    )


def execute(
    workplace: Workplace,
    person: Person,
    job: JobRow,
    *,
    scorer: Scorer,
    run_code: str,
    progress: ReportProgress = no_progress,
    cancelled: IsCancelled,
    confirm: Callable[[Session, str], None] | None = None,
) -> str:
    """Scores the picture of a job and stores the result, whose code is returned.

    A run that is in the store already is only counted. `confirm` as in `records.store_finished`.

    Raises:
        Ki67Error: with the sentence for the person; nothing was stored.
    """
    task = task_of(job)
    models = find_model_set(workplace, task.model_set)
    with reading(workplace) as session:
        run = queries.run_by_key(session, task.run_key)
    outline = parse_outline(job.outline.geojson.encode("utf-8"), name=OUTLINE_NAME) if job.outline else None
    if run is None:
        covered = outline if task.use_outline else None
        record = _scored(
            workplace,
            task,
            models=models,
            scorer=scorer,
            outline=covered,
            progress=progress,
            cancelled=cancelled,
        )
    else:
        record = load_run(files.run_folder(workplace.home, run.code))
    progress(Progress("index", 0, 1))
    measured = measure(
        record, outline=outline, use_outline=task.use_outline, error_model=models.cells.error_model
    )
    finished = Finished(
        picture=job.picture,
        settings=task.settings,
        record=record,
        measurement=measured,
        model_set=task.model_set,
        outline=job.outline,
        use_outline=task.use_outline,
        run=run,
    )
    return store_finished(workplace, person, finished, run_code=run_code, confirm=confirm)


def _scored(
    workplace: Workplace,
    task: Task,
    *,
    models: ModelSet,
    scorer: Scorer,
    outline: Outline | None,
    progress: ReportProgress,
    cancelled: IsCancelled,
) -> RunRecord:
    used = models_used(models, with_tumor=task.settings.parameters.use_tumor_mask)
    if codec.run_key(task.picture.sha256, used, task.settings) != task.run_key:
        raise ModelError(
            f"The model set {task.model_set} changed since this job was asked for: score the picture anew."
        )
    path = pixels_of(workplace, task.picture)
    if task.picture.root is not None:
        check_parts(workplace, path, root=task.picture.root)
    try:
        return scorer(
            path,
            name=task.case_code,
            models=models,
            settings=task.settings,
            outline=outline,
            progress=progress,
            cancelled=cancelled,
        )
    except ModelError as error:
        raise ModelError(str(error).replace(str(models.folder), models.name)) from error
    except (Ki67Error, OSError) as error:
        raise _explained(workplace, task.picture, error) from error


def _explained(workplace: Workplace, picture: PictureRow, error: Ki67Error | OSError) -> Ki67Error:
    """The error, or what is behind it: a slide folder that went away while it was read."""
    if picture.root is not None:
        try:
            folder_of_root(workplace, picture.root)
            pixels_of(workplace, picture)
        except StoreError as gone:
            return gone
    if isinstance(error, Ki67Error):
        return error
    return StoreError(
        f"The picture cannot be read any more ({error.strerror}): check its disk and start again."
    )
