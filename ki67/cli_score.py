"""`score` and `demo`: many pictures, one folder each; a bad picture does not stop the others."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from ki67.atomic import check_replaceable, write_whole_file
from ki67.errors import Cancelled, DataError, Ki67Error, StoreError, UnknownPixelSize
from ki67.pipeline.cards import ModelSet, default_model_set, read_model_set
from ki67.pipeline.images import open_picture, probe, sha256_of
from ki67.pipeline.outlines import Outline, check_outline_meets, outline_cells, read_outline
from ki67.pipeline.outputs import SUMMARY_FILE
from ki67.pipeline.pixel_size import choose_pixel_size
from ki67.settings import Settings, load_settings
from ki67.types import Measurement, Parameters, PictureInfo, Progress, Rect, ReportProgress, RunRecord

if TYPE_CHECKING:
    from ki67.pipeline.backends import Backend
    from ki67.study.workplace import Workplace

INDEX_FILE = "index.json"
STAGE_WORDS = {"read": "reading", "tissue": "tissue", "tumor": "tumor", "cells": "nuclei", "index": "index"}


@dataclass(frozen=True)
class ScoreOptions:
    """The options of `python -m ki67 score`, as parsed."""

    images: tuple[Path, ...]
    out: Path
    mpp: float | None
    roi: Rect | None
    device: Literal["auto", "cpu", "cuda"] | None
    backend: Literal["auto", "torch", "openvino"] | None
    models: Path | None
    no_tumor_mask: bool
    outline: Path | None
    use_outline: bool
    store: bool
    seed: int


@dataclass(frozen=True)
class _Job:
    """One picture that may be scored: found readable, its scale known."""

    path: Path
    folder: Path
    info: PictureInfo


def score_images(options: ScoreOptions) -> int:
    """Score every picture; returns 0, or 1 when at least one could not be scored (listed at the end)."""
    settings = load_settings()
    models = read_model_set(options.models or settings.models or default_model_set())
    outline = read_outline(options.outline, name=options.outline.name) if options.outline else None
    failures: list[str] = []
    jobs = _readable(options, settings, outline, failures)
    if jobs:
        workplace = _open_store(settings) if options.store else None
        with _out_folder(options.out):
            failures += _score_all(jobs, options, settings, models, outline, workplace)
    if failures and len(options.images) > 1:
        listed = "\n".join(f"  {sentence}" for sentence in failures)
        print(f"{len(failures)} of {len(options.images)} not scored:\n{listed}", file=sys.stderr)
    return 1 if failures else 0


def _score_all(
    jobs: Sequence[_Job],
    options: ScoreOptions,
    settings: Settings,
    models: ModelSet,
    outline: Outline | None,
    workplace: Workplace | None,
) -> list[str]:
    """Loads the nets and scores picture by picture; gives the sentences of those that failed."""
    from ki67.pipeline.backends import choose_backend

    backend = choose_backend(
        models.folder,
        device=options.device or settings.device,
        backend=options.backend or settings.backend,
        with_tumor=not options.no_tumor_mask,
        cache=settings.net_cache,
    )
    failures = []
    for job in jobs:
        try:
            _score_one(job, options, settings, models, backend, outline, workplace)
        except Cancelled:
            raise
        except (Ki67Error, OSError) as error:
            failures.append(_with_name(error, job.path.name))
            print(f"ki67 score: {failures[-1]}", file=sys.stderr)
    return failures


def _with_name(error: Ki67Error | OSError, name: str) -> str:
    """The sentence of an error, with the picture that it is about."""
    sentence = str(error)
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        sentence = f"“{name}” could not be scored ({reason}): check the disks it uses and try again."
    return sentence if f"“{name}”" in sentence else f"“{name}”: {sentence}"


def _open_store(settings: Settings) -> Workplace:
    """The store, opened before anything is computed, so that its faults show at once."""
    from ki67.study.workplace import open_workplace

    return open_workplace(settings)


def _readable(
    options: ScoreOptions, settings: Settings, outline: Outline | None, failures: list[str]
) -> list[_Job]:
    """Check every picture before the nets are loaded; what cannot be scored is said at once."""
    jobs = []
    outline_name = options.outline.name if options.outline else ""
    for path, folder in zip(options.images, _folders(options.images, options.out), strict=True):
        try:
            info = probe(path, max_pixels=settings.max_pixels)
            choose_pixel_size(info, options.mpp, name=path.name)
            _check_roi(options.roi, info, path.name)
            check_replaceable(folder, holds=SUMMARY_FILE)
            if outline:
                check_outline_meets(
                    outline, width_px=info.width_px, height_px=info.height_px, name=outline_name
                )
            jobs.append(_Job(path=path, folder=folder, info=info))
        except Ki67Error as error:
            asked = isinstance(error, UnknownPixelSize) and options.mpp is None
            failures.append(f"{error} Give it with --mpp." if asked else str(error))
            print(f"ki67 score: {failures[-1]}", file=sys.stderr)
    return jobs


def _folders(images: Sequence[Path], out: Path) -> list[Path]:
    """`out/<stem>` for each picture, `<stem>-2`, `-3` … where a stem comes again; never `out` or above it."""
    used = {INDEX_FILE}
    folders = []
    for path in images:
        stem = "picture" if path.stem in ("", ".", "..") else path.stem
        name, number = stem, 1
        while name in used:
            number += 1
            name = f"{stem}-{number}"
        used.add(name)
        folders.append(out / name)
    return folders


def _check_roi(roi: Rect | None, info: PictureInfo, name: str) -> None:
    if roi and (roi.x + roi.width > info.width_px or roi.y + roi.height > info.height_px):
        raise DataError(
            f"{name}: the region {roi.x},{roi.y},{roi.width},{roi.height} reaches beyond the picture of "
            f"{info.width_px} × {info.height_px} px; give a rectangle inside it."
        )


@contextmanager
def _out_folder(out: Path) -> Iterator[None]:
    """Makes the output folder; what was made goes again when nothing came into it."""
    new = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out} cannot be made ({error.strerror}); choose another --out folder.") from error
    try:
        if not os.access(out, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StoreError(f"{out} cannot be written to; choose another --out folder.")
        yield
    finally:
        with suppress(OSError):  # a folder that holds something stays
            for folder in new:
                folder.rmdir()


def _score_one(
    job: _Job,
    options: ScoreOptions,
    settings: Settings,
    models: ModelSet,
    backend: Backend,
    outline: Outline | None,
    workplace: Workplace | None,
) -> None:
    """Read, run both steps, measure, write `job.folder` as a whole, and store when asked."""
    from ki67.pipeline.measure import measure
    from ki67.pipeline.outputs import write_result
    from ki67.pipeline.run import cover_more, score_picture

    parameters = Parameters(roi=options.roi, use_tumor_mask=not options.no_tumor_mask)
    pixel_size = choose_pixel_size(job.info, options.mpp, name=job.path.name)
    with open_picture(job.path, max_pixels=settings.max_pixels) as picture, _bar(job.path.name) as report:
        record = score_picture(
            picture,
            pixel_size=pixel_size,
            models=models,
            backend=backend,
            parameters=parameters,
            seed=options.seed,
            progress=report,
        )
        if outline and options.use_outline:
            area = outline_cells(outline, record.tissue_map)
            record = cover_more(picture, record, area, models=models, backend=backend, progress=report)
        error_model = models.cells.error_model
        measured = measure(record, outline=outline, use_outline=options.use_outline, error_model=error_model)
        digest = sha256_of(job.path)
        write_result(
            job.folder,
            record,
            measured,
            picture=picture,
            image_name=job.path.name,
            sha256=digest,
            outline=outline,
        )
        _remember(options.out, job)
    if workplace:
        _store(workplace, job, options, record, measured, models=models)


def _store(
    workplace: Workplace,
    job: _Job,
    options: ScoreOptions,
    record: RunRecord,
    measured: Measurement,
    *,
    models: ModelSet,
) -> None:
    """Put the run and its result into the store, where the app finds them."""
    from ki67.study.people import local_person
    from ki67.study.records import store_score

    store_score(
        workplace,
        local_person(),
        picture=job.path,
        record=record,
        measurement=measured,
        model_set=models.name,
        error_model=models.cells.error_model,
        outline_geojson=options.outline.read_bytes() if options.outline else None,
        use_outline=options.use_outline,
    )


def _remember(out: Path, job: _Job) -> None:
    """Add the folder to `index.json`, written as a whole."""
    index = out / INDEX_FILE
    try:
        known = dict(json.loads(index.read_text(encoding="utf8"))) if index.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            f"{index} is no index of earlier scores: move it away, or choose another --out."
        ) from error
    known[job.folder.name] = str(job.path)
    write_whole_file(index, json.dumps(known, indent=1, ensure_ascii=False).encode())


@contextmanager
def _bar(name: str) -> Iterator[ReportProgress]:
    """A progress bar on a terminal, nothing into a pipe."""
    with tqdm(disable=not sys.stderr.isatty(), leave=False) as bar:

        def report(step: Progress) -> None:
            bar.set_description(f"{name}: {STAGE_WORDS.get(step.stage, step.stage)}", refresh=False)
            bar.total, bar.n = step.total, step.done
            bar.refresh()

        yield report


def run_demo() -> int:
    """Fill the configured store with the demonstration study and say where it is."""
    from ki67.study.demo import make_demo_study
    from ki67.study.demo_study import STUDY_CODE, make_whole_study
    from ki67.study.people import local_person
    from ki67.study.workplace import open_workplace

    settings = load_settings()
    with _bar("demonstration") as report:
        workplace = open_workplace(settings)
        cases = make_demo_study(workplace, local_person(), progress=report)
        tumors = make_whole_study(workplace, local_person(), progress=report)
    print(
        f"{len(cases)} demonstration cases and the study {STUDY_CODE} of {tumors} tumors are in the store: "
        "start the app and open Results or Agreement."
    )
    return 0
