"""Asking for a score: what to run on which picture, recognised when it was run before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from db import job_queries, queries
from db.engine import Session
from db.rows import JobRow, NewJob, OutlineRow, PictureRow
from ki67.errors import ModelError, StoreError
from ki67.pipeline.pixel_size import choose_pixel_size
from ki67.study import codec, files
from ki67.study.cases import check_case_code, place_in_case
from ki67.study.codec import RunSettings
from ki67.study.jobs import JobView, views_of
from ki67.study.model_sets import ModelSetInfo, describe, find_model_set, models_used
from ki67.study.people import Person, require
from ki67.study.pictures import find_picture, info_of
from ki67.study.records import keep_outline, machine_code, outline_hash, outline_text
from ki67.study.workplace import Workplace, reading, transaction
from ki67.types import Parameters, Rect, Site

__all__ = [
    "ModelSetInfo",
    "ScoreRequest",
    "check_case_code",
    "current_model_set",
    "estimate_seconds",
    "submit",
]

SPEEDS = 10


@dataclass(frozen=True)
class ScoreRequest:
    """One picture to score.

    `patient_code` None: the case code. `mpp` None: the pixel size of the file's metadata. `roi`: score
    this rectangle only. `outline_geojson`: the pathologists' outline, which replaces step 1's tumor with
    `use_outline`. `model_set`: name of a set in `models/`; None: the configured or newest one.
    """

    picture_code: str
    case_code: str
    site: Site
    patient_code: str | None = None
    mpp: float | None = None
    roi: Rect | None = None
    outline_geojson: bytes | None = None
    use_outline: bool = False
    use_tumor_mask: bool = True
    model_set: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Checked:
    """A request that can be run; `outline` is set once it is stored."""

    request: ScoreRequest
    picture: PictureRow
    settings: RunSettings
    model_set: str
    run_key: str
    outline: OutlineRow | None

    @property
    def key(self) -> str:
        return codec.result_key(
            self.run_key,
            outline_sha256=self.outline.sha256 if self.outline else None,
            use_outline=self.request.use_outline,
            score_threshold=None,
        )


def submit(workplace: Workplace, person: Person, requests: Sequence[ScoreRequest]) -> list[JobView]:
    """Puts the pictures into the queue, all or none, in the order given.

    What was scored before with the same models and settings comes back done, with its result; what is
    waiting or running already is that job.

    Raises:
        StoreError: a case code that cannot be used, a case of another site, a picture of another case.
        UnknownPixelSize, PictureError: no pixel size, or one that cannot be used.
        OutlineError, ModelError: the outline or the model set cannot be used.
        NotAllowed: the person is no coordinator.
    """
    require(person, "coordinator", doing="score pictures")
    checked = [_check(workplace, request) for request in requests]
    kept = [_with_outline(workplace, person, each) for each in checked]
    with transaction(workplace) as session:
        author = queries.person_id(session, person.code, sorted(person.roles))
        rows = [_enqueue(session, each, author) for each in kept]
    return views_of(workplace, rows)


def _check(workplace: Workplace, request: ScoreRequest) -> _Checked:
    """Everything that can be found wrong before anything is written."""
    case_code = check_case_code(request.case_code)
    picture = find_picture(workplace, request.picture_code)
    pixel_size = choose_pixel_size(info_of(picture), request.mpp, name=case_code)
    roi = request.roi
    if roi is not None:
        _check_region(roi, picture)
    outline = None
    if request.outline_geojson is not None:
        outline = outline_hash(outline_text(request.outline_geojson, picture))
    elif request.use_outline:
        raise StoreError("There is no outline to count in: add one (GeoJSON), or count in the tumor found.")
    models = find_model_set(workplace, request.model_set)
    if request.use_tumor_mask and models.tumor is None:
        raise ModelError(f"{models.name}: this model set has no net for the tumor step: choose another set.")
    settings = RunSettings(
        pixel_size=pixel_size,
        parameters=Parameters(roi=roi, use_tumor_mask=request.use_tumor_mask),
        seed=request.seed,
        covered_outline=outline if request.use_outline else None,
    )
    used = models_used(models, with_tumor=request.use_tumor_mask)
    key = codec.run_key(picture.sha256, used, settings)
    return _Checked(request, picture, settings, models.name, key, outline=None)


def _check_region(roi: Rect, picture: PictureRow) -> None:
    inside = roi.x >= 0 and roi.y >= 0 and roi.width > 0 and roi.height > 0
    inside = inside and roi.x + roi.width <= picture.width_px and roi.y + roi.height <= picture.height_px
    if not inside:
        raise StoreError(
            f"The region {roi.x},{roi.y},{roi.width},{roi.height} reaches beyond the picture of "
            f"{picture.width_px} × {picture.height_px} px: draw it inside."
        )


def _with_outline(workplace: Workplace, person: Person, checked: _Checked) -> _Checked:
    geojson = checked.request.outline_geojson
    if geojson is None:
        return checked
    outline = keep_outline(workplace, person, checked.picture, geojson)
    return _Checked(
        checked.request, checked.picture, checked.settings, checked.model_set, checked.run_key, outline
    )


def _enqueue(session: Session, checked: _Checked, author: int) -> JobRow:
    """A new job; or the one that is open for the same result; or one that is done with it already."""
    request = checked.request
    picture = queries.picture_by_code(session, checked.picture.code) or checked.picture
    case = place_in_case(
        session,
        picture,
        case_code=request.case_code,
        patient_code=request.patient_code,
        site=request.site,
        author=author,
    )
    waiting = job_queries.open_job_by_key(session, checked.key)
    if waiting is not None:
        return waiting
    known = queries.result_by_key(session, checked.key)
    new = NewJob(
        code=files.new_code("j"),
        key=checked.key,
        picture_id=picture.id,
        case_id=case.id,
        outline_id=checked.outline.id if checked.outline else None,
        request={
            "settings": codec.settings_to_json(checked.settings),
            "model_set": checked.model_set,
            "run_key": checked.run_key,
            "use_outline": request.use_outline,
        },
        megapixels=_megapixels(picture, request.roi),
        result_id=known.id if known else None,
    )
    return job_queries.add_job(session, new, person=author)


def _megapixels(picture: PictureRow, roi: Rect | None) -> float:
    pixels = roi.width * roi.height if roi else picture.width_px * picture.height_px
    return pixels / 1e6


def estimate_seconds(workplace: Workplace, person: Person, *, megapixels: float) -> float | None:
    """Seconds for this many megapixels, from earlier runs on this machine; None before the first run."""
    require(person, "coordinator", "analyst", doing="see what a run takes")
    with reading(workplace) as session:
        speeds = queries.recent_speeds(session, machine=machine_code(), limit=SPEEDS)
    rates = [seconds["total"] / size for size, seconds in speeds if "total" in seconds]
    return median(rates) * megapixels if rates else None


def current_model_set(workplace: Workplace, person: Person) -> ModelSetInfo:
    """The model set that a request without `model_set` uses. Raises ModelError when none is installed."""
    require(person, "coordinator", "reader", "analyst", doing="see the model set")
    return describe(find_model_set(workplace))
