"""A finished evaluation as the page Detection shows it: report, fields, pictures, errors over a picture."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError
from shapely.geometry import mapping

from ki67.errors import StoreError
from ki67.pipeline.outlines import mask_polygons
from ki67.study.annotated import evaluation_folder
from ki67.study.error_marks import ErrorMarks, load_marks
from ki67.study.evaluating import FIGURES_NAME, PICTURES_NAME, marks_file
from ki67.study.evaluations import EvaluationView, find_evaluation, view_of
from ki67.study.people import Person, require
from ki67.study.workplace import UnknownCode, Workplace
from ki67.training.figures import STEPS, FieldFigures, Step
from ki67.training.report import Figures, Report, report_of
from ki67.training.report_index import IndexAgreement
from ki67.training.report_intervals import Limits
from ki67.training.report_worst import WorstField
from ki67.types import GridMap

__all__ = [
    "STEPS",
    "DetectionView",
    "ErrorLayer",
    "FieldFigures",
    "FieldPicture",
    "Figures",
    "IndexAgreement",
    "Limits",
    "Step",
    "WorstField",
    "detection_files",
    "error_layer",
    "get_detection",
    "is_layer_code",
    "layer_code",
]

FILES = ("evaluation.json", "fields.csv", "matches.csv")
BROKEN = "An evaluation is missing from the data folder (KI67_HOME), or broken: measure again."
LAYER = re.compile(r"(e[0-9a-f]{12})-(F-\d{2,6})-(with|without)")
TUMOR_FROM = 128
FIGURES = TypeAdapter(tuple[FieldFigures, ...])
Way = Literal["with", "without"]


@dataclass(frozen=True)
class FieldPicture:
    """Where a field's picture is in the store, and its pixel size in µm/px."""

    picture_code: str
    mpp: float


@dataclass(frozen=True)
class DetectionView:
    """A finished evaluation. `pictures` by field code; `models`: name, version, sha256 of each step."""

    evaluation: EvaluationView
    figures: tuple[FieldFigures, ...]
    report: Report
    pictures: dict[str, FieldPicture]
    models: dict[str, dict[str, str] | None]
    computed_with: str
    software_version: str

    @property
    def left_out(self) -> int:
        """Fields that a net of the set was trained on: they are in no headline."""
        return sum(not field.unseen("with_step_1") for field in self.figures)

    def field(self, code: str) -> FieldFigures | None:
        """The figures of one field."""
        return next((field for field in self.figures if field.image == code), None)


@dataclass(frozen=True)
class ErrorLayer:
    """What is drawn over a field: marks, tumor probability and border (None and empty without step 1)."""

    marks: ErrorMarks
    tumor_map: GridMap | None
    border_geojson: str
    mpp: float


def get_detection(workplace: Workplace, person: Person, code: str) -> DetectionView:
    """A finished evaluation. Raises UnknownCode: none of this code; StoreError: not done, or broken."""
    require(person, "coordinator", "analyst", doing="see how good the models are")
    view = view_of(find_evaluation(workplace, code))
    folder = _result(workplace, view)
    try:
        figures = FIGURES.validate_json((folder / FIGURES_NAME).read_bytes())
        written: dict[str, Any] = json.loads((folder / FILES[0]).read_text("utf-8"))
        pictures = _pictures(folder)
    except (OSError, ValueError, ValidationError) as error:
        raise StoreError(BROKEN) from error
    return DetectionView(
        evaluation=view,
        figures=figures,
        report=report_of(figures, seed=written["seed"], draws=written["draws"]),
        pictures=pictures,
        models=written["models"],
        computed_with=written["backend"],
        software_version=written["software_version"],
    )


def detection_files(workplace: Workplace, person: Person, code: str) -> dict[str, bytes]:
    """`evaluation.json`, `fields.csv` and `matches.csv` of an evaluation, by name with its code."""
    require(person, "coordinator", "analyst", doing="download evaluations")
    folder = _result(workplace, view_of(find_evaluation(workplace, code)))
    try:
        return {f"{code}_{name}": (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        raise StoreError(BROKEN) from error


def layer_code(evaluation: str, field: str, step: Step) -> str:
    """The code by which the viewer asks for the errors of a field counted one way."""
    way: Way = "with" if step == "with_step_1" else "without"
    return f"{evaluation}-{field}-{way}"


def is_layer_code(code: str) -> bool:
    """Whether a code is one of `layer_code`."""
    return LAYER.fullmatch(code) is not None


def error_layer(workplace: Workplace, person: Person, code: str) -> ErrorLayer:
    """What to draw for a `layer_code`. Raises UnknownCode when there is no such evaluation or field."""
    require(person, "coordinator", "analyst", doing="see how good the models are")
    found = LAYER.fullmatch(code)
    if found is None:
        raise UnknownCode("There is no field with this code: choose one from the list.")
    evaluation, field, way = found.groups()
    folder = _result(workplace, view_of(find_evaluation(workplace, evaluation)))
    picture = _pictures(folder).get(field)
    if picture is None:
        raise UnknownCode("There is no field with this code: choose one from the list.")
    step: Step = "with_step_1" if way == "with" else "without_step_1"
    marks, tumor_map = load_marks(marks_file(folder, field), step)
    masked = tumor_map if way == "with" else None
    return ErrorLayer(marks, masked, _border(masked), picture.mpp)


def _border(tumor_map: GridMap | None) -> str:
    """The border of the tumor (probability from 0.5) as one MultiPolygon, centre origin."""
    if tumor_map is None:
        return json.dumps({"type": "MultiPolygon", "coordinates": []})
    tumor = GridMap(
        (tumor_map.values >= TUMOR_FROM).astype(tumor_map.values.dtype),
        tumor_map.px_per_cell,
        tumor_map.origin_x_px,
        tumor_map.origin_y_px,
    )
    return json.dumps(mapping(mask_polygons(tumor)))


def _result(workplace: Workplace, view: EvaluationView) -> Path:
    if view.state != "done":
        raise StoreError(f"{view.name} is {view.state}: wait until it is done, or start it again.")
    return evaluation_folder(workplace.home, view.code) / "result"


def _pictures(folder: Path) -> dict[str, FieldPicture]:
    try:
        values = json.loads((folder / PICTURES_NAME).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(BROKEN) from error
    return {
        code: FieldPicture(cast(str, entry["picture"]), float(entry["mpp"])) for code, entry in values.items()
    }
