"""What queries give and take: plain frozen rows, loaded whole, without a connection behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class FileCodes:
    """The codes that name files and folders beside the database; runs include those being made."""

    pictures: set[str]
    runs: set[str]
    results: set[str]
    evaluations: set[str]


@dataclass(frozen=True)
class CaseRow:
    id: int
    code: str
    patient_code: str
    site: str


@dataclass(frozen=True)
class NewPicture:
    """A picture to insert; see `db.tables.Picture`."""

    code: str
    sha256: str
    width_px: int
    height_px: int
    file_format: str
    levels: int
    metadata_mpp: float | None
    file: str | None
    root: str | None
    relative: str | None
    pyramid: str | None
    synthetic: bool


@dataclass(frozen=True)
class PictureRow(NewPicture):
    id: int
    case: CaseRow | None


@dataclass(frozen=True)
class NewRun:
    """A run to insert; see `db.tables.Run`."""

    code: str
    key: str
    picture_id: int
    megapixels: float
    settings: dict[str, Any]
    model_set: str
    models: dict[str, Any]
    backend: str
    device: str
    precision: str
    machine: str
    seed: int
    software_version: str
    started_at: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class RunRow(NewRun):
    id: int
    created_at: datetime


@dataclass(frozen=True)
class OutlineRow:
    id: int
    sha256: str
    geojson: str


@dataclass(frozen=True)
class NewResult:
    """A result to insert; see `db.tables.Result`."""

    code: str
    key: str
    run_id: int
    outline_id: int | None
    use_outline: bool
    score_threshold: float | None
    positive: int
    negative: int
    flags: int
    measurement: dict[str, Any]


@dataclass(frozen=True)
class ResultRow(NewResult):
    id: int
    created_at: datetime
    person_code: str
    run: RunRow
    picture: PictureRow
    outline: OutlineRow | None


@dataclass(frozen=True)
class NewJob:
    """A job to insert; `result_id` is set only for one that is done at once."""

    code: str
    key: str
    picture_id: int
    case_id: int
    outline_id: int | None
    request: dict[str, Any]
    megapixels: float
    result_id: int | None


@dataclass(frozen=True)
class JobRow:
    """A job with the codes that belong to it."""

    id: int
    code: str
    key: str
    picture: PictureRow
    case: CaseRow
    outline: OutlineRow | None
    request: dict[str, Any]
    megapixels: float
    state: str
    stage: str
    done: int
    total: int
    stage_seconds: dict[str, float]
    message: str
    attempts: int
    recognised: bool
    cancel_requested: bool
    worker: str | None
    lease_until: datetime | None
    run_code: str | None
    result_code: str | None
    person_code: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class NewEvaluation:
    """An evaluation to insert; see `db.tables.Evaluation`."""

    code: str
    name: str
    model_set: str
    request: dict[str, Any]


@dataclass(frozen=True)
class EvaluationRow(NewEvaluation):
    id: int
    figures: dict[str, Any] | None
    state: str
    stage: str
    done: int
    total: int
    stage_seconds: dict[str, float]
    message: str
    attempts: int
    cancel_requested: bool
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    person_code: str
