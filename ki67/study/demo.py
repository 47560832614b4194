"""Demonstrations without anybody's data: a synthetic region with one click, a small synthetic study."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import tifffile

from ki67.pipeline.images import probe
from ki67.pipeline.measure import measure
from ki67.pipeline.pixel_size import choose_pixel_size
from ki67.study.codec import RunSettings
from ki67.study.execute import NetScorer, Scorer
from ki67.study.jobs import JobView
from ki67.study.model_sets import find_model_set
from ki67.study.people import Person, require
from ki67.study.pictures import StoredPicture, add_file
from ki67.study.records import StoredResult, store_score
from ki67.study.scoring import ScoreRequest, submit
from ki67.study.workplace import Workplace
from ki67.synthetic import SyntheticRegion, make_region
from ki67.types import (
    Parameters,
    Progress,
    ReportProgress,
    Site,
    never_cancelled,
    no_progress,
)

DEMO_CASE = "DEMO-01"
DEMO_MPP = 0.5
DEMO_SIDE_PX = 1600
UM_PER_CM = 10_000.0


@dataclass(frozen=True)
class DemoCase:
    """A synthetic case: its code, site and share of positive tumor nuclei; the seed decides the rest."""

    code: str
    site: Site
    positive_share: float
    seed: int


DEMO_REGION = DemoCase(DEMO_CASE, "breast", 0.22, seed=1)
DEMO_STUDY = (
    DEMO_REGION,
    DemoCase("DEMO-02", "breast", 0.04, seed=2),
    DemoCase("DEMO-03", "neuroendocrine", 0.02, seed=3),
    DemoCase("DEMO-04", "neuroendocrine", 0.12, seed=4),
    DemoCase("DEMO-05", "head and neck", 0.35, seed=5),
    DemoCase("DEMO-06", "head and neck", 0.60, seed=6),
    DemoCase("DEMO-07", "other", 0.08, seed=7),
    DemoCase("DEMO-08", "other", 0.45, seed=8),
)


def add_demo_region(workplace: Workplace, person: Person) -> StoredPicture:
    """Adds the demonstration region (0.64 mm², drawn by `ki67.synthetic`); it is recognised next time."""
    require(person, "coordinator", doing="add pictures")
    with tempfile.TemporaryDirectory(prefix="ki67-") as scratch:
        path = draw(DEMO_REGION, Path(scratch))
        return add_file(workplace, person, path, synthetic=True)


def score_demo_region(workplace: Workplace, person: Person) -> JobView:
    """One click: adds the demonstration region as case DEMO-01 (breast) and puts it into the queue."""
    stored = add_demo_region(workplace, person)
    request = ScoreRequest(picture_code=stored.code, case_code=DEMO_REGION.code, site=DEMO_REGION.site)
    return submit(workplace, person, [request])[0]


def make_demo_study(
    workplace: Workplace,
    person: Person,
    *,
    progress: ReportProgress = no_progress,
    scorer: Scorer | None = None,
) -> list[StoredResult]:
    """Draws and scores two synthetic cases for each site, in this process; a second call finds the first's.

    Progress: stage "case", one unit a case. `scorer` None: the nets of the configured model set.
    """
    require(person, "coordinator", doing="make a demonstration study")
    run_nets = scorer or NetScorer(workplace.settings)
    stored = []
    for number, case in enumerate(DEMO_STUDY):
        progress(Progress("case", number, len(DEMO_STUDY)))
        with tempfile.TemporaryDirectory(prefix="ki67-") as scratch:
            path = draw(case, Path(scratch))
            stored.append(score_here(workplace, person, case, path, run_nets))
    progress(Progress("case", len(DEMO_STUDY), len(DEMO_STUDY)))
    return stored


def score_here(
    workplace: Workplace, person: Person, case: DemoCase, path: Path, run_nets: Scorer
) -> StoredResult:
    """Scores a drawn case in this process and stores the result; one that is there already is found."""
    known = add_file(workplace, person, path, synthetic=True)
    if known.result_codes and known.case_code is not None:
        return StoredResult(known.case_code, known.code, known.result_codes[0], known=True)
    models = find_model_set(workplace)
    settings = RunSettings(choose_pixel_size(probe(path), None, name=case.code), Parameters(), seed=0)
    record = run_nets(
        path,
        name=case.code,
        models=models,
        settings=settings,
        outline=None,
        progress=no_progress,
        cancelled=never_cancelled,
    )
    return store_score(
        workplace,
        person,
        picture=path,
        record=record,
        measurement=measure(record, error_model=models.cells.error_model),
        model_set=models.name,
        site=case.site,
        case_code=case.code,
        synthetic=True,
    )


def draw(case: DemoCase, folder: Path) -> Path:
    """Draws a case into a tiled TIFF that carries its pixel size; the same case gives the same bytes."""
    region = make_region(
        DEMO_SIDE_PX, DEMO_SIDE_PX, mpp=DEMO_MPP, seed=case.seed, positive_share=case.positive_share
    )
    return save_region(region, folder / f"{case.code}.tif")


def save_region(region: SyntheticRegion, path: Path) -> Path:
    """A region as a tiled TIFF with its pixel size; the same region gives the same bytes."""
    tifffile.imwrite(
        path,
        region.rgb,
        tile=(512, 512),
        photometric="rgb",
        compression="zlib",
        resolution=(UM_PER_CM / region.mpp, UM_PER_CM / region.mpp),
        resolutionunit="CENTIMETER",
        metadata=None,
        software=False,
    )
    return path
