"""Demonstrations without anybody's data: a synthetic region with one click, a small synthetic study."""

from __future__ import annotations

from ki67.study.jobs import JobView
from ki67.study.people import Person
from ki67.study.pictures import StoredPicture
from ki67.study.records import StoredResult
from ki67.study.workplace import Workplace
from ki67.types import ReportProgress, no_progress

DEMO_CASE = "DEMO-01"


def add_demo_region(workplace: Workplace, person: Person) -> StoredPicture:
    """Adds the demonstration region (1 mm², drawn by `ki67.synthetic`); the second time it is recognised."""
    raise NotImplementedError


def score_demo_region(workplace: Workplace, person: Person) -> JobView:
    """One click: adds the demonstration region as case DEMO-01 (breast) and puts it into the queue."""
    raise NotImplementedError


def make_demo_study(
    workplace: Workplace, person: Person, *, progress: ReportProgress = no_progress
) -> list[StoredResult]:
    """Draws and scores two synthetic cases for each site, in this process; cases there already are skipped.

    Progress: stage "case", one unit a case.
    """
    raise NotImplementedError
