"""A stored result and what belongs to it: its row, case, numbers, run and outline."""

from __future__ import annotations

from db import queries, rows
from ki67.errors import StoreError
from ki67.pipeline.artifacts import load_run
from ki67.pipeline.outlines import Outline, parse_outline
from ki67.study import codec, files
from ki67.study.records import OUTLINE_NAME
from ki67.study.workplace import UnknownCode, Workplace, reading
from ki67.types import Measurement, RunRecord


def find_result(workplace: Workplace, code: str) -> rows.ResultRow:
    """The row of a result. Raises UnknownCode when there is none."""
    with reading(workplace) as session:
        row = queries.result_by_code(session, code)
    if row is None:
        raise UnknownCode("There is no result with this code: choose one under Results.")
    return row


def case_of(row: rows.ResultRow) -> rows.CaseRow:
    """The case of a result's picture, which every scored picture has."""
    if row.picture.case is None:
        raise StoreError(f"The picture of result {row.code} belongs to no case: score it with a case code.")
    return row.picture.case


def measurement_of(workplace: Workplace, row: rows.ResultRow) -> Measurement:
    """The stored numbers of a result, with the marks of what was found and counted."""
    counted, found = codec.load_masks(files.result_file(workplace.home, row.code))
    return codec.measurement_from_json(row.measurement, counted=counted, found=found)


def record_of(workplace: Workplace, row: rows.ResultRow) -> RunRecord:
    """What the nets gave for a result's picture. Raises StoreError when its files are missing or broken."""
    return load_run(files.run_folder(workplace.home, row.run.code))


def outline_of(row: rows.ResultRow) -> Outline | None:
    """The pathologists' outline of a result."""
    return parse_outline(row.outline.geojson.encode("utf-8"), name=OUTLINE_NAME) if row.outline else None
