"""A balanced study in a store of its own: a table of simulated readings, cases scored by no net."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

from ki67.pipeline.measure import measure
from ki67.settings import Settings
from ki67.stats.forms import Reals
from ki67.study.people import local_person
from ki67.study.plans import AnalysisPlan, save_plan
from ki67.study.reading_import import preview_import, store_import
from ki67.study.reading_settings import suggest_settings
from ki67.study.reading_sheet import read_sheet
from ki67.study.readings import Stored
from ki67.study.records import store_score
from ki67.study.studies import create_study
from ki67.study.workplace import Workplace, open_workplace
from ki67.types import Candidates, GridMap, ModelRef, Parameters, PixelSize, RunRecord

STUDY = "BENCH"
SEED = 2026
SD_CASE, SD_READER, SD_CASE_READER, SD_RESIDUAL = 1.2, 0.35, 0.25, 0.35  # of the natural logarithm
SIDE_PX, NUCLEI = 64, 500


@dataclass(frozen=True)
class Size:
    """Cases × readers × sessions."""

    cases: int
    readers: int
    sessions: int

    @property
    def readings(self) -> int:
        return self.cases * self.readers * self.sessions


def readings_of(size: Size, *, seed: int = SEED) -> Reals:
    """Percentages (cases, 1 + readers, sessions), the algorithm in the first column.

    Log-normal around each case, as `SD_…` say, rounded to tenths; the algorithm has no level of its own, and
    one session: NaN in the others.
    """
    rng = np.random.default_rng(seed)
    shape = (size.cases, size.readers + 1, size.sessions)
    logs = 2.3 + SD_CASE * rng.standard_normal((size.cases, 1, 1))
    own = SD_READER * rng.standard_normal((1, size.readers + 1, 1))
    own[:, 0] = 0.0
    logs = logs + own + SD_CASE_READER * rng.standard_normal((*shape[:2], 1))
    values = np.round(np.minimum(np.exp(logs + SD_RESIDUAL * rng.standard_normal(shape)), 99.0), 1)
    values[:, 0, 1:] = np.nan
    return np.asarray(values)


def csv_of(values: Reals) -> bytes:
    """The readers' readings as a long table: case, reader, session, ki67_percent."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("case", "reader", "session", "ki67_percent"))
    for case, reader, session in zip(*np.nonzero(np.isfinite(values[:, 1:])), strict=True):
        value = float(values[case, reader + 1, session])
        rows.writerow((case_code(case), f"R{reader + 1}", session + 1, value))
    return text.getvalue().encode("utf8")


def case_code(number: int) -> str:
    return f"B-{number + 1:04d}"


def empty_study(home: Path, *, draws: int) -> Workplace:
    """A new store with a study that nothing was read in; its plan asks for `draws` of every bootstrap."""
    workplace = open_workplace(Settings(home=home))
    create_study(workplace, local_person(), code=STUDY, title="A study", site="breast", synthetic=True)
    save_plan(workplace, local_person(), STUDY, AnalysisPlan(bootstrap=draws))
    return workplace


def import_table(workplace: Workplace, content: bytes) -> Stored:
    """What the import page does with a table that nothing is wrong with."""
    sheet = read_sheet(content, file_name="readings.csv")
    settings = replace(suggest_settings(sheet), new_cases=True)
    preview = preview_import(workplace, local_person(), STUDY, sheet=sheet, settings=settings)
    return store_import(workplace, local_person(), preview)


def store_results(workplace: Workplace, indices: Reals, *, scratch: Path) -> None:
    """A picture, run and result for each case, the index (percent) to the nearest nucleus of `NUCLEI`."""
    path = scratch / "picture.tif"
    record = _record()
    measured = measure(record)
    for case, index in enumerate(indices.tolist()):
        pixels = np.random.default_rng((SEED, case)).integers(0, 255, (SIDE_PX, SIDE_PX, 3), np.uint8)
        tifffile.imwrite(path, pixels, photometric="rgb")
        positive = round(index * NUCLEI / 100)
        store_score(
            workplace,
            local_person(),
            picture=path,
            record=record,
            measurement=replace(measured, positive=positive, negative=NUCLEI - positive),
            model_set="bench",
            site="breast",
            case_code=case_code(case),
            synthetic=True,
        )


def _record() -> RunRecord:
    """A run over a small picture that is all tumor, half of its nuclei positive."""
    rng = np.random.default_rng(SEED)
    full = GridMap(np.full((SIDE_PX // 4, SIDE_PX // 4), 255, np.uint8), 4.0)
    x, y = (rng.random(NUCLEI) * (SIDE_PX - 1)).astype(np.float32), np.zeros(NUCLEI, np.float32)
    scores = np.full(NUCLEI, 0.9, np.float32)
    return RunRecord(
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        pixel_size=PixelSize(0.5, "given"),
        parameters=Parameters(score_threshold=0.5),
        tumor_map=full,
        tissue_map=full,
        covered_map=full,
        candidates=Candidates(x, y, scores, scores[::-1] - 0.5),
        models={step: ModelRef("bench", "1.0", step[0] * 64) for step in ("tumor", "cells")},
        backend="none",
        device="cpu",
        precision="f32",
        seed=SEED,
        software_version="",
        started_at="2026-01-01T00:00:00+00:00",
        seconds=dict.fromkeys(("read", "tumor", "cells", "post", "total"), 0.0),
    )
