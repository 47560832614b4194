"""The demonstration study: 20 tumors, 30 readers, 2 sessions; nothing in it is anybody's data.

The pictures are synthetic regions of known index and are scored by the real pipeline. The readers are
simulated around the true index of each region with components that the study's plan states: on the
natural logarithm, a reader's own level, his way with a tumor, and what changes from one reading to the
next. They read whole percentages, halves below 5 %. Five of them also say where they looked.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ki67.index import ki67_index
from ki67.study.demo import DEMO_MPP, DemoCase, save_region, score_here
from ki67.study.execute import NetScorer, Scorer
from ki67.study.jobs import JobView
from ki67.study.people import Person, require
from ki67.study.pictures import StoredPicture, add_file
from ki67.study.plans import AnalysisPlan, save_plan
from ki67.study.readings import NewReading, ReadingKey, enter_readings
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.studies import create_study, list_studies
from ki67.study.workplace import Workplace
from ki67.synthetic import STANDARD_LOOK, SyntheticRegion, make_region
from ki67.types import Progress, ReportProgress, no_progress

STUDY_CODE = "DEMO-STUDY"
TITLE = "Demonstration: 20 synthetic tumors, 30 simulated readers, 2 sessions"
TUMORS, READERS, SESSIONS = 20, 30, 2
LOWEST_SHARE, HIGHEST_SHARE = 0.02, 0.55
SIDE_PX = 1024
SEED = 2026
SD_READER, SD_READER_TUMOR, SD_RESIDUAL = 0.25, 0.15, 0.15  # of the natural logarithm
READERS_WITH_REGION = 5
REGION_SHARE = 0.6  # of a picture's side


@dataclass(frozen=True)
class DemoTumor:
    """A synthetic tumor as it was drawn: its case, its true index in percent, its picture in the store."""

    case: DemoCase
    truth_percent: float
    picture: StoredPicture


def study_cases() -> tuple[DemoCase, ...]:
    """The tumors, their shares of positive nuclei evenly spread on a logarithmic scale."""
    shares = np.geomspace(LOWEST_SHARE, HIGHEST_SHARE, TUMORS)
    order = np.random.default_rng(SEED).permutation(TUMORS)
    return tuple(
        DemoCase(f"DEMO-T{number + 1:02d}", "breast", float(shares[place]), seed=SEED + number)
        for number, place in enumerate(order)
    )


def demo_study_there(workplace: Workplace, person: Person) -> bool:
    """Whether the demonstration study is in the store already."""
    return any(study.code == STUDY_CODE for study in list_studies(workplace, person))


def load_demo_study(
    workplace: Workplace, person: Person, *, progress: ReportProgress = no_progress
) -> list[JobView]:
    """The button of an empty installation: draws the tumors, stores plan and readings, queues the scoring.

    A second call finds what the first one made. Progress: stage "case", one unit a tumor.
    """
    require(person, "coordinator", doing="load the demonstration study")
    tumors = _tumors(workplace, person, None, progress)
    _store_study(workplace, person, tumors)
    requests = [
        ScoreRequest(picture_code=each.picture.code, case_code=each.case.code, site=each.case.site)
        for each in tumors
    ]
    return submit(workplace, person, requests)


def make_whole_study(
    workplace: Workplace,
    person: Person,
    *,
    progress: ReportProgress = no_progress,
    scorer: Scorer | None = None,
) -> int:
    """The same for the command line: scores in this process; gives the number of tumors."""
    require(person, "coordinator", doing="load the demonstration study")
    run_nets = scorer or NetScorer(workplace.settings)
    tumors = _tumors(workplace, person, run_nets, progress)
    _store_study(workplace, person, tumors)
    return len(tumors)


def simulated_readings(truths_percent: Sequence[float]) -> np.ndarray:
    """Tumors × readers × sessions, percentages, simulated around the true indices with the stated SDs."""
    rng = np.random.default_rng(SEED)
    shape = (len(truths_percent), READERS, SESSIONS)
    logs = np.log(np.maximum(truths_percent, 0.3))[:, None, None]
    logs = logs + rng.normal(0, SD_READER, (1, READERS, 1))
    logs = logs + rng.normal(0, SD_READER_TUMOR, (shape[0], READERS, 1)) + rng.normal(0, SD_RESIDUAL, shape)
    read = np.clip(np.exp(logs), 0, 100)
    return np.asarray(np.where(read < 5, np.round(2 * read) / 2, np.round(read)))


def _tumors(
    workplace: Workplace, person: Person, run_nets: Scorer | None, progress: ReportProgress
) -> tuple[DemoTumor, ...]:
    """Draws every tumor and adds its picture; scored at once where there are nets to do it."""
    found = []
    for number, case in enumerate(study_cases()):
        progress(Progress("case", number, TUMORS))
        region = make_region(
            SIDE_PX,
            SIDE_PX,
            mpp=DEMO_MPP,
            seed=case.seed,
            positive_share=case.positive_share,
            look=STANDARD_LOOK,
        )
        with tempfile.TemporaryDirectory(prefix="ki67-") as scratch:
            path = save_region(region, Path(scratch) / f"{case.code}.tif")
            picture = add_file(workplace, person, path, synthetic=True)
            if run_nets is not None:
                score_here(workplace, person, case, path, run_nets)
        found.append(DemoTumor(case, _truth(region), picture))
    progress(Progress("case", TUMORS, TUMORS))
    return tuple(found)


def _truth(region: SyntheticRegion) -> float:
    """The true index of a region in percent."""
    positive = int((region.nuclei.label == "positive").sum())
    index = ki67_index(positive, int((region.nuclei.label == "negative").sum()))
    return 100 * (index or 0.0)


def _store_study(workplace: Workplace, person: Person, tumors: Sequence[DemoTumor]) -> None:
    """The study with its plan, written before the readings, and the readings."""
    if not demo_study_there(workplace, person):
        create_study(workplace, person, code=STUDY_CODE, title=TITLE, site="breast", synthetic=True)
        save_plan(workplace, person, STUDY_CODE, _plan())
    values = simulated_readings([each.truth_percent for each in tumors])
    rows = [
        NewReading(
            ReadingKey(tumor.case.code, f"O{reader + 1:02d}", session=str(session + 1)),
            float(values[place, reader, session]),
            region_geojson=_region(place, reader) if reader < READERS_WITH_REGION else None,
            picture_code=tumor.picture.code if reader < READERS_WITH_REGION else None,
        )
        for place, tumor in enumerate(tumors)
        for session in range(SESSIONS)
        for reader in range(READERS)
    ]
    enter_readings(workplace, person, STUDY_CODE, rows)


def _region(place: int, reader: int) -> str:
    """Where a reader looked: a rectangle of the picture, in QuPath's coordinates (pixel corners)."""
    rng = np.random.default_rng((SEED, place, reader))
    side = round(REGION_SHARE * SIDE_PX)
    x, y = (int(value) for value in rng.integers(0, SIDE_PX - side, 2))
    corners = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]})


def _plan() -> AnalysisPlan:
    return AnalysisPlan(
        margin_points=3.0,
        acceptance_low_points=-15.0,
        acceptance_high_points=15.0,
        sample_size_rationale="20 tumors and 30 readers: the size of the picture that started this work.",
        blinding="Simulated readers know nothing of the algorithm or of each other.",
        clinical_information=(
            "None. Readers are simulated around the true index: SDs of the natural logarithm "
            f"{SD_READER} between readers, {SD_READER_TUMOR} reader and tumor, {SD_RESIDUAL} from reading to "
            f"reading; seed {SEED}."
        ),
        washout_days=14,
        seed=SEED,
    )
