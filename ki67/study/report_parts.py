"""What a report consists of: tables, figures, checklist items, each with its standing in the plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ki67.pipeline.cards import ModelCard
from ki67.stats.estimate import Estimate
from ki67.study.agreement import AgreementView
from ki67.study.cutoff_cases import CountedCase, NearCases
from ki67.study.cutoffs import ClassView
from ki67.study.material import StudyMaterial
from ki67.study.plans import PlanVersion
from ki67.study.readings import StoredReading
from ki67.study.studies import StudyCase
from ki67.study.variability import Variability
from ki67.types import ModelRef

Standing = Literal["Primary", "Planned", "Secondary", ""]
AlgorithmState = Literal["value", "imported", "not assessable", "not scored"]


@dataclass(frozen=True)
class Table:
    """Cells are texts; the columns from `numeric_from` up to before `numeric_to` stand right."""

    title: str
    standing: Standing
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric_from: int = 1
    numeric_to: int = 99


@dataclass(frozen=True)
class Figure:
    """A figure as SVG; None where no browser could draw it."""

    title: str
    standing: Standing
    alt: str
    caption: str
    svg: bytes | None


@dataclass(frozen=True)
class Item:
    """An item of a checklist: what it asks for, what the store knows; `answer` empty: to be filled in."""

    number: str
    asks: str
    answer: str


@dataclass(frozen=True)
class RunFact:
    """A result that the algorithm's value of a case was pooled from, with the run that made it."""

    case_code: str
    result_code: str
    run_code: str
    model_set: str
    models: tuple[tuple[str, ModelRef | None], ...]
    backend: str
    device: str
    precision: str
    seed: int
    software_version: str
    started_at: str
    positive: int
    negative: int
    flags: int


@dataclass(frozen=True)
class CardFact:
    """A net behind the algorithm's values: its step, its name, its card where it is installed."""

    step: str
    ref: ModelRef
    card: ModelCard | None


@dataclass(frozen=True)
class ReportFacts:
    """Everything about a study that the store knows; `stored` are the readings that hold.

    `algorithm_states`: of every case that is not left out; `counted`: those whose index has counts.
    """

    material: StudyMaterial
    versions: tuple[PlanVersion, ...]
    members: tuple[StudyCase, ...]
    stored: tuple[StoredReading, ...]
    history: tuple[StoredReading, ...]
    algorithm_states: tuple[tuple[str, AlgorithmState], ...]
    runs: tuple[RunFact, ...]
    cards: tuple[CardFact, ...]
    counted: tuple[CountedCase, ...]

    @property
    def other_method(self) -> bool:
        """Whether a plan was written for another scoring method than the one analysed."""
        return self.material.plan_written and self.material.method != self.material.plan.method

    @property
    def is_part(self) -> bool:
        """Whether a filter left a part of the study out, or another scoring method than the plan's in."""
        chosen = self.material.selection
        return bool(self.other_method or chosen.sessions or chosen.readers or chosen.without_cases)


@dataclass(frozen=True)
class Numbers:
    """The numbers of the pages, and every estimate with the part of the analysis that it belongs to.

    `near`: cases beside the first set of cut-offs, None without cut-offs.
    """

    agreement: AgreementView
    closeness: tuple[tuple[str, Estimate], ...]
    variability: Variability
    classes: tuple[ClassView, ...]
    near: NearCases | None
    estimates: tuple[tuple[str, Estimate], ...]


@dataclass(frozen=True)
class ReportFiles:
    """A finished report. `pdf` is None where it could not be made, then `why_no_pdf` is our sentence.

    `archive` is a ZIP of report, data, results and R script; `name` begins the files' names.
    """

    name: str
    html: bytes
    pdf: bytes | None
    why_no_pdf: str
    archive: bytes
    made_at: datetime
