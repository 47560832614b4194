"""A made-up study for the browser tests: a table of readings in the form of IKWG scores, and results.

Ten tumors, five readers, two sessions; `READINGS` holds what the table says, so that a test can compute what
the pages must show by formulas of its own. Reader O1 gave a region of each tumor: the left half.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from ki67.pipeline.measure import measure
from ki67.settings import load_settings
from ki67.study.people import local_person
from ki67.study.reading_import import preview_import, store_import
from ki67.study.reading_settings import suggest_settings
from ki67.study.reading_sheet import read_sheet
from ki67.study.records import store_score
from ki67.study.studies import create_study
from ki67.study.workplace import open_workplace
from tests.pages_store import draw_png
from tests.records import make_record, scattered

CASES = tuple(f"T{number}" for number in range(1, 11))
READERS = ("O1", "O2", "O3", "O4", "O5")
SESSIONS = ("1", "2")
NUCLEI = 500
SIDE_PX = 600
REGION_FILE = "left half.geojson"

_TRUE = np.array([3.5, 7.0, 10.5, 14.0, 18.0, 22.5, 27.0, 33.5, 41.0, 55.0])
_rng = np.random.default_rng(67)
_OFFSETS = np.array([-1.8, -0.9, 0.3, 1.1, 2.2])

# Per cent, (cases, readers, sessions), one decimal as people write them.
READINGS = np.round(
    (_TRUE[:, None, None] + _OFFSETS[None, :, None] + _rng.normal(0, 1.0, (10, 5, 2))).clip(0.5), 1
)
# The algorithm's positive nuclei of `NUCLEI`: about two points below the truth.
POSITIVE = np.round((_TRUE - 2.0 + _rng.normal(0, 1.0, 10)).clip(0.5) * NUCLEI / 100).astype(int)
ALGORITHM = 100 * POSITIVE / NUCLEI


def scores_csv(*, broken: bool = False) -> bytes:
    """The table, a row per method, case, reader and session; `broken`: 130 % and a word in two values."""
    lines = ["method,case,reader,session,ki67_percent,region"]
    for case, tumor in enumerate(CASES):
        for reader, name in enumerate(READERS):
            for session, label in enumerate(SESSIONS):
                value = f"{READINGS[case, reader, session]:.1f}"
                region = REGION_FILE if name == "O1" else ""
                lines.append(f"global,{tumor},{name},{label},{value},{region}")
    if broken:
        lines[2] = lines[2].replace(f"{READINGS[0, 0, 1]:.1f}", "130")
        lines[5] = lines[5].replace(f"{READINGS[0, 2, 0]:.1f}", "about 5")
    return ("\n".join(lines) + "\n").encode()


def region_geojson() -> bytes:
    """The left half of every picture."""
    half = SIDE_PX // 2
    corners = [[0, 0], [half, 0], [half, SIDE_PX], [0, SIDE_PX], [0, 0]]
    geometry = {"type": "Polygon", "coordinates": [corners]}
    return json.dumps({"type": "Feature", "geometry": geometry, "properties": {}}).encode()


def nuclei_of(case: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and positive of the nuclei that were found on a tumor, all of them in tumor tissue."""
    x, y = scattered(NUCLEI, width_px=SIDE_PX, height_px=SIDE_PX, seed=case)
    return x, y, np.arange(NUCLEI) < POSITIVE[case]


def store_results(home: Path, pictures: Path) -> None:
    """A result for each tumor in the store that the app will open at `home`."""
    workplace = open_workplace(load_settings({"KI67_HOME": str(home)}))
    for case, code in enumerate(CASES):
        x, y, positive = nuclei_of(case)
        record = make_record(x, y, positive, width_px=SIDE_PX, height_px=SIDE_PX, seed=case)
        store_score(
            workplace,
            local_person(),
            picture=draw_png(pictures / f"{code}.png", seed=case, side_px=SIDE_PX),
            record=record,
            measurement=measure(record),
            model_set="test-set",
            site="breast",
            case_code=code,
        )
    workplace.engine.dispose()


def store_readings(home: Path, study: str) -> None:
    """The table imported into a study of that code, as the page Readings would."""
    workplace = open_workplace(load_settings({"KI67_HOME": str(home)}))
    person = local_person()
    create_study(workplace, person, code=study, title="Ten tumors", site="breast")
    sheet = read_sheet(scores_csv(), file_name="scores.csv")
    settings = replace(suggest_settings(sheet), new_cases=True)
    regions = {REGION_FILE: region_geojson()}
    store_import(
        workplace,
        person,
        preview_import(workplace, person, study, sheet=sheet, settings=settings, regions=regions),
    )
    workplace.engine.dispose()


def icc_of_single_readings(values: np.ndarray) -> float:
    """ICC(2,1) of (cases, readers) from mean squares (Shrout & Fleiss 1979)."""
    cases, readers = values.shape
    rows, columns, grand = values.mean(axis=1), values.mean(axis=0), values.mean()
    between = readers * ((rows - grand) ** 2).sum() / (cases - 1)
    of_readers = cases * ((columns - grand) ** 2).sum() / (readers - 1)
    rest = ((values - rows[:, None] - columns + grand) ** 2).sum() / ((cases - 1) * (readers - 1))
    return float((between - rest) / (between + (readers - 1) * rest + readers * (of_readers - rest) / cases))


def class_of(percent: float) -> int:
    """0: at most 5 %, 2: 30 % and more, 1: between."""
    return 0 if percent <= 5 else 2 if percent >= 30 else 1


def region_share() -> float:
    """The part of region in what separates O1, who gave regions, and the algorithm; no mask has a part."""
    of_region, of_calls = [], []
    for case in range(len(CASES)):
        x, _, positive = nuclei_of(case)
        inside = x < SIDE_PX / 2 - 0.5
        counted_again = 100 * positive[inside].mean()
        for session in range(len(SESSIONS)):
            of_region.append(abs(counted_again - ALGORITHM[case]))
            of_calls.append(abs(READINGS[case, 0, session] - counted_again))
    return sum(of_region) / (sum(of_region) + sum(of_calls))
