"""Results of the store: listed, opened, downloaded. A result knows which run, models and settings made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from db import queries, rows
from ki67.errors import StoreError
from ki67.index import ki67_index, wilson
from ki67.pipeline.measure import measure
from ki67.study import codec
from ki67.study.downloads import result_files
from ki67.study.layers import NucleiLayer, TumorLayer, nuclei_layer, tumor_layer, tumor_png
from ki67.study.model_sets import find_model_set
from ki67.study.people import Person, require
from ki67.study.records import Finished, store_finished
from ki67.study.stored import case_of, find_result, measurement_of, outline_of, record_of
from ki67.study.workplace import Workplace, reading
from ki67.types import Flag, Interval, Measurement, ModelRef, Parameters, PixelSize, Rect, Site

__all__ = [
    "CaseSummary",
    "NucleiLayer",
    "ResultRow",
    "ResultView",
    "TumorLayer",
    "get_result",
    "list_results",
    "nuclei_layer",
    "recount",
    "result_files",
    "tumor_layer",
    "tumor_png",
]


@dataclass(frozen=True)
class ResultRow:
    """A line of the list. Counts are integers: texts and classes are made by `ki67.sites` and `numbers`.

    `hot_spot_positive`/`negative` are None without a hot spot. `reason` is set when not assessable.
    """

    code: str
    picture_code: str
    case_code: str
    site: Site
    positive: int
    negative: int
    sampling: Interval | None
    reason: str | None
    hot_spot_positive: int | None
    hot_spot_negative: int | None
    hot_spot_interval: Interval | None
    hot_spot_reason: str | None
    flags: tuple[Flag, ...]
    model_set: str
    created_at: datetime
    synthetic: bool


@dataclass(frozen=True)
class CaseSummary:
    """A case over the newest runs of its pictures with one model set: counts pooled, the highest hot spot.

    `pictures` counts the pictures that contribute. `hot_spot_result` is the result the hot spot is from.
    """

    case_code: str
    patient_code: str
    site: Site
    pictures: int
    positive: int
    negative: int
    wilson: Interval | None
    hot_spot_positive: int | None
    hot_spot_negative: int | None
    hot_spot_interval: Interval | None
    hot_spot_result: str | None
    result_codes: tuple[str, ...]


@dataclass(frozen=True)
class ResultView:
    """A result with everything that made it; no path and no file name.

    `megapixels` is the size that was scored. `outline` is GeoJSON text or None.
    """

    code: str
    run_code: str
    picture_code: str
    site: Site
    width_px: int
    height_px: int
    pixel_size: PixelSize
    parameters: Parameters
    roi: Rect | None
    measurement: Measurement
    case: CaseSummary
    models: dict[str, ModelRef | None]
    model_set: str
    backend: str
    device: str
    precision: str
    seed: int
    software_version: str
    started_at: str
    seconds: dict[str, float]
    score_threshold: float | None
    outline: str | None
    use_outline: bool
    created_at: datetime
    person_code: str
    synthetic: bool


def list_results(
    workplace: Workplace,
    person: Person,
    *,
    search: str = "",
    site: Site | None = None,
    flagged: bool | None = None,
    assessable: bool | None = None,
    model_set: str | None = None,
    limit: int | None = None,
) -> list[ResultRow]:
    """The newest result of each run, newest first.

    Args:
        search: part of a case code, patient code or picture code, whatever the case of its letters.
        flagged, assessable: True or False filters, None does not.
    """
    require(person, "coordinator", "analyst", doing="see results")
    with reading(workplace) as session:
        rows = queries.newest_results(
            session,
            search=search.strip(),
            site=site,
            flagged=flagged,
            assessable=assessable,
            model_set=model_set,
            limit=limit,
        )
    return [_listed(row) for row in rows]


def _listed(row: rows.ResultRow) -> ResultRow:
    values = row.measurement
    spot = codec.hot_spot_of(values["hot_spot"])
    case = case_of(row)
    return ResultRow(
        code=row.code,
        picture_code=row.picture.code,
        case_code=case.code,
        site=cast(Site, case.site),
        positive=row.positive,
        negative=row.negative,
        sampling=codec.interval_of(values["sampling"]),
        reason=values["reason"],
        hot_spot_positive=spot.positive if spot else None,
        hot_spot_negative=spot.negative if spot else None,
        hot_spot_interval=spot.interval if spot else None,
        hot_spot_reason=values["hot_spot_reason"],
        flags=codec.flags_of(values["flags"]),
        model_set=row.run.model_set,
        created_at=row.created_at,
        synthetic=row.picture.synthetic,
    )


def get_result(workplace: Workplace, person: Person, code: str) -> ResultView:
    """One result with its measurement and its case. Raises UnknownCode when there is none."""
    require(person, "coordinator", "analyst", doing="see results")
    row = find_result(workplace, code)
    case = case_of(row)
    with reading(workplace) as session:
        of_case = queries.results_of_case(session, case.id)
    asked = codec.settings_from_json(row.run.settings)
    return ResultView(
        code=row.code,
        run_code=row.run.code,
        picture_code=row.picture.code,
        site=cast(Site, case.site),
        width_px=row.picture.width_px,
        height_px=row.picture.height_px,
        pixel_size=asked.pixel_size,
        parameters=codec.parameters_from_json(row.run.settings["used"]),
        roi=asked.parameters.roi,
        measurement=measurement_of(workplace, row),
        case=summarize_case(case, of_case, row.run.models),
        models=codec.models_from_json(row.run.models),
        model_set=row.run.model_set,
        backend=row.run.backend,
        device=row.run.device,
        precision=row.run.precision,
        seed=row.run.seed,
        software_version=row.run.software_version,
        started_at=row.run.started_at,
        seconds=dict(row.run.seconds),
        score_threshold=row.score_threshold,
        outline=row.outline.geojson if row.outline else None,
        use_outline=row.use_outline,
        created_at=row.created_at,
        person_code=row.person_code,
        synthetic=row.picture.synthetic,
    )


def summarize_case(
    case: rows.CaseRow, of_case: Sequence[rows.ResultRow], models: Mapping[str, Any]
) -> CaseSummary:
    """Pools the newest result of each picture's newest run among those made with these models.

    `of_case` comes newest run first, then newest result first.
    """
    newest: dict[int, rows.ResultRow] = {}
    for row in of_case:
        if row.run.models == models:
            newest.setdefault(row.picture.id, row)
    pooled = sorted(newest.values(), key=lambda row: row.picture.id)
    positive, negative = sum(row.positive for row in pooled), sum(row.negative for row in pooled)
    spots = [(row, spot) for row in pooled if (spot := codec.hot_spot_of(row.measurement["hot_spot"]))]
    place, highest = max(
        spots,
        key=lambda each: ki67_index(each[1].positive, each[1].negative) or 0.0,
        default=(None, None),
    )
    return CaseSummary(
        case_code=case.code,
        patient_code=case.patient_code,
        site=cast(Site, case.site),
        pictures=len(pooled),
        positive=positive,
        negative=negative,
        wilson=wilson(positive, negative),
        hot_spot_positive=highest.positive if highest else None,
        hot_spot_negative=highest.negative if highest else None,
        hot_spot_interval=highest.interval if highest else None,
        hot_spot_result=place.code if place else None,
        result_codes=tuple(row.code for row in pooled),
    )


def recount(workplace: Workplace, person: Person, code: str, *, score_threshold: float | None) -> str:
    """Counts a run again with another score threshold, from its stored map and candidates.

    Returns the code of a new result; the same threshold again gives the result already there.
    `score_threshold` None: the run's own.

    Raises:
        StoreError: a threshold outside the run's candidates (`Parameters.candidate_floor` to 1).
    """
    require(person, "coordinator", "analyst", doing="count again")
    row = find_result(workplace, code)
    settings = codec.settings_from_json(row.run.settings)
    floor = settings.parameters.candidate_floor
    if score_threshold is not None and not floor <= score_threshold <= 1:
        raise StoreError(
            f"The score threshold {score_threshold:g} is not between {floor:g} and 1: change it."
        )
    record = record_of(workplace, row)
    models = find_model_set(workplace, row.run.model_set)
    same = models.cells.ref == record.models["cells"]
    measured = measure(
        record,
        outline=outline_of(row),
        use_outline=row.use_outline,
        error_model=models.cells.error_model if same else None,
        score_threshold=score_threshold,
    )
    finished = Finished(
        picture=row.picture,
        settings=settings,
        record=record,
        measurement=measured,
        model_set=row.run.model_set,
        outline=row.outline,
        use_outline=row.use_outline,
        score_threshold=score_threshold,
        run=row.run,
    )
    return store_finished(workplace, person, finished, run_code=row.run.code)
