"""Putting finished runs into the store: by the worker, by `score --store`, by the demonstration.

Files first, rows last: a run's folder and a result's file stand complete before the row that names
them, and go again when the row cannot be written.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shapely.affinity import translate
from shapely.geometry import mapping

from db import queries
from db.engine import Session
from db.rows import NewResult, NewRun, OutlineRow, PictureRow, RunRow
from ki67.atomic import write_whole_file
from ki67.errors import StoreError
from ki67.pipeline.artifacts import load_run, save_run
from ki67.pipeline.measure import measure
from ki67.pipeline.outlines import CORNER_OFFSET_PX, check_outline_meets, parse_outline
from ki67.study import codec, files
from ki67.study.cases import place_in_case
from ki67.study.codec import RunSettings
from ki67.study.people import Person, require
from ki67.study.pictures import StoredPicture, add_file, find_picture
from ki67.study.workplace import Workplace, disk_faults, transaction
from ki67.types import Measurement, Parameters, RunRecord, Site

OUTLINE_NAME = "The outline"


@dataclass(frozen=True)
class StoredResult:
    """Where a run went; `known` is True when the same run was in the store already."""

    case_code: str
    picture_code: str
    result_code: str
    known: bool


@dataclass(frozen=True)
class Finished:
    """A run with its numbers, ready to be stored. `run` is the stored run when it was only counted again."""

    picture: PictureRow
    settings: RunSettings
    record: RunRecord
    measurement: Measurement
    model_set: str
    outline: OutlineRow | None
    use_outline: bool
    score_threshold: float | None = None
    run: RunRow | None = None

    @property
    def run_key(self) -> str:
        return codec.run_key(self.picture.sha256, self.record.models, self.settings)

    @property
    def result_key(self) -> str:
        return codec.result_key(
            self.run_key,
            outline_sha256=self.outline.sha256 if self.outline else None,
            use_outline=self.use_outline,
            score_threshold=self.score_threshold,
        )


def machine_code() -> str:
    """A code for this machine, so that times of one are not taken for another's."""
    return hashlib.sha256(platform.node().encode("utf-8")).hexdigest()[:12]


def store_finished(
    workplace: Workplace,
    person: Person,
    finished: Finished,
    *,
    run_code: str,
    confirm: Callable[[Session, str], None] | None = None,
) -> str:
    """Writes run and result, and returns the result's code; the same result again gives the one there.

    `confirm` is called within the transaction with the result's code; what it raises undoes everything.

    Raises:
        StoreError: the disk is full or read-only, or the database refuses; the store is as before.
    """
    require(person, "coordinator", "analyst", doing="store results")
    result_code = files.new_code("r")
    folder = files.run_folder(workplace.home, run_code)
    masks = files.result_file(workplace.home, result_code)
    kept_run = kept_result = False
    try:
        with disk_faults():
            if finished.run is None:
                save_run(folder, finished.record)
            write_whole_file(masks, codec.masks_to_bytes(finished.measurement))
        with transaction(workplace) as session:
            author = queries.person_id(session, person.code, sorted(person.roles))
            run = finished.run or queries.run_by_key(session, finished.run_key)
            if run is None:
                run = queries.add_run(session, _new_run(finished, run_code), person=author)
            known = queries.result_by_key(session, finished.result_key)
            code = known.code if known else None
            if code is None:
                new = _new_result(finished, result_code, run.id)
                code = queries.add_result(session, new, person=author)
            if confirm is not None:
                confirm(session, code)
        kept_run, kept_result = run.code == run_code, code == result_code
    finally:
        if not kept_run and finished.run is None:
            files.remove(folder)
        if not kept_result:
            files.remove(masks)
    return code


def _new_run(finished: Finished, code: str) -> NewRun:
    record = finished.record
    roi = record.parameters.roi
    pixels = roi.width * roi.height if roi else record.width_px * record.height_px
    return NewRun(
        code=code,
        key=finished.run_key,
        picture_id=finished.picture.id,
        megapixels=pixels / 1e6,
        settings=codec.settings_to_json(finished.settings) | {"used": asdict(record.parameters)},
        model_set=finished.model_set,
        models=codec.models_to_json(record.models),
        backend=record.backend,
        device=record.device,
        precision=record.precision,
        machine=machine_code(),
        seed=record.seed,
        software_version=record.software_version,
        started_at=record.started_at,
        seconds=dict(record.seconds),
    )


def _new_result(finished: Finished, code: str, run_id: int) -> NewResult:
    measured = finished.measurement
    return NewResult(
        code=code,
        key=finished.result_key,
        run_id=run_id,
        outline_id=finished.outline.id if finished.outline else None,
        use_outline=finished.use_outline,
        score_threshold=finished.score_threshold,
        positive=measured.positive,
        negative=measured.negative,
        flags=len(measured.flags),
        measurement=codec.measurement_to_json(measured),
    )


def keep_outline(workplace: Workplace, person: Person, picture: PictureRow, geojson: bytes) -> OutlineRow:
    """Stores an outline with its picture, once. Raises OutlineError when it cannot be used."""
    require(person, "coordinator", doing="add outlines")
    text = outline_text(geojson, picture)
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        return queries.keep_outline(
            session, picture_id=picture.id, sha256=outline_hash(text), geojson=text, person=author
        )


def outline_hash(text: str) -> str:
    """The hash by which an outline is recognised."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def outline_text(geojson: bytes, picture: PictureRow) -> str:
    """An outline's polygons and classes as GeoJSON (corner origin), without the free text it came with.

    Raises:
        OutlineError: it cannot be read, or lies outside the picture.
    """
    outline = parse_outline(geojson, name=OUTLINE_NAME)
    check_outline_meets(outline, width_px=picture.width_px, height_px=picture.height_px, name=OUTLINE_NAME)
    features = [
        {
            "type": "Feature",
            "properties": {"classification": {"name": name}},
            "geometry": mapping(translate(shape, CORNER_OFFSET_PX, CORNER_OFFSET_PX)),
        }
        for name, shape in (("Tumor", outline.tumor), ("Exclude", outline.exclude))
        if not shape.is_empty
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def store_score(
    workplace: Workplace,
    person: Person,
    *,
    picture: Path,
    record: RunRecord,
    measurement: Measurement,
    model_set: str,
    outline_geojson: bytes | None = None,
    use_outline: bool = False,
    site: Site = "other",
    case_code: str | None = None,
    parameters: Parameters | None = None,
    error_model: dict[str, Any] | None = None,
    synthetic: bool = False,
) -> StoredResult:
    """Stores a picture with its run and result, as if it had been scored in the app.

    Idempotent by content hash, model hashes and settings: the second call finds the first one's result,
    and a run that is in the store already is counted there, with the model card's `error_model`.
    `case_code` None: the picture's case, else the next free code. `parameters`: as asked for; None:
    everything that the run estimated or took from the card was left to it.

    Raises:
        StoreError: full or read-only disk, a case of another site; the store is as before.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="store results")
    stored = add_file(workplace, person, picture, synthetic=synthetic)
    with _as_before_on_failure(workplace, stored):
        row = find_picture(workplace, stored.code)
        outline = None if outline_geojson is None else keep_outline(workplace, person, row, outline_geojson)
        settings = RunSettings(
            pixel_size=record.pixel_size,
            parameters=parameters or _as_asked(record.parameters),
            seed=record.seed,
            covered_outline=outline.sha256 if outline and use_outline else None,
        )
        finished = Finished(
            picture=row,
            settings=settings,
            record=record,
            measurement=measurement,
            model_set=model_set,
            outline=outline,
            use_outline=use_outline,
        )
        return _store_in_case(
            workplace, person, finished, case_code=case_code, site=site, error_model=error_model
        )


@contextmanager
def _as_before_on_failure(workplace: Workplace, stored: StoredPicture) -> Iterator[None]:
    """Takes a picture that came with the run out of the store again when the block raises."""
    try:
        yield
    except BaseException:
        if not stored.known:
            with suppress(StoreError):  # the first fault is the one to be said
                _take_back(workplace, stored.code)
        raise


def _take_back(workplace: Workplace, code: str) -> None:
    row = find_picture(workplace, code)
    with transaction(workplace) as session:
        gone = queries.take_back_picture(session, picture_id=row.id)
    if gone:
        files.remove(files.picture_folder(workplace.home, code))


def _store_in_case(
    workplace: Workplace,
    person: Person,
    finished: Finished,
    *,
    case_code: str | None,
    site: Site,
    error_model: dict[str, Any] | None,
) -> StoredResult:
    """Puts run and result into the store, unless they are there, and the picture into its case with them."""
    row = finished.picture
    cases: list[str] = []

    def place(session: Session, _: str = "") -> None:
        author = queries.person_id(session, person.code, sorted(person.roles))
        case = place_in_case(session, row, case_code=case_code, patient_code=None, site=site, author=author)
        cases.append(case.code)

    with transaction(workplace) as session:
        known = queries.result_by_key(session, finished.result_key)
        run = queries.run_by_key(session, finished.run_key)
        if known is not None:
            place(session)
    if known is not None:
        return StoredResult(cases[0], row.code, known.code, known=True)
    if run is not None:
        finished = _counted_from(workplace, finished, run, error_model)
    code = store_finished(workplace, person, finished, run_code=files.new_code("n"), confirm=place)
    return StoredResult(cases[0], row.code, code, known=False)


def _counted_from(
    workplace: Workplace, finished: Finished, run: RunRow, error_model: dict[str, Any] | None
) -> Finished:
    """The same result counted from the stored run, so that its marks fit that run's candidates."""
    record = load_run(files.run_folder(workplace.home, run.code))
    row = finished.outline
    measured = measure(
        record,
        outline=parse_outline(row.geojson.encode("utf-8"), name=OUTLINE_NAME) if row else None,
        use_outline=finished.use_outline,
        error_model=error_model,
    )
    return replace(finished, record=record, measurement=measured, run=run)


def _as_asked(used: Parameters) -> Parameters:
    """The parameters of a run with everything open that a run fills in by itself."""
    return replace(
        used, score_threshold=None, min_distance_um=None, tissue_threshold=None, white_point=None, light=None
    )
