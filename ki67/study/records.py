"""Putting finished runs into the store: by the worker, by `score --store`, by the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ki67.study.people import Person
from ki67.study.workplace import Workplace
from ki67.types import Measurement, RunRecord, Site


@dataclass(frozen=True)
class StoredResult:
    """Where a run went; `known` is True when the same run was in the store already."""

    case_code: str
    picture_code: str
    result_code: str
    known: bool


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
) -> StoredResult:
    """Stores a picture with its run and result, as if it had been scored in the app.

    Idempotent by content hash, model hashes and settings: the second call finds the first one's result.
    `case_code` None: the picture's case, else the next free code.

    Raises:
        StoreError: full or read-only disk, a case of another site; the store is as before.
        NotAllowed: the person is no coordinator.
    """
    raise NotImplementedError
