"""Sites, their cut-offs and classes, and which index leads.

Cut-offs compare integers (100 * positive against percent * total), so that no rounding and no
floating point decides a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ki67.index import ki67_index
from ki67.types import Interval, Measurement, Site

IndexKind = Literal["global", "hot spot"]


@dataclass(frozen=True)
class Cutoff:
    """A border between two classes; `belongs_below` says which of them holds the border itself."""

    percent: int
    belongs_below: bool

    def is_above(self, positive: int, total: int) -> bool:
        """Whether the index positive / total lies in the class above this border."""
        if self.belongs_below:
            return 100 * positive > self.percent * total
        return 100 * positive >= self.percent * total


@dataclass(frozen=True)
class Band:
    """A class as the ruler draws it: from `low_percent` to `high_percent`, with its words."""

    low_percent: int
    high_percent: int
    words: str


@dataclass(frozen=True)
class ClassSystem:
    """Ordered classes of an index: n cut-offs and the words of the n + 1 classes.

    `name` is what stands before a class in a sentence ("IKWG class"); `note` is where it comes from
    and for whom it holds.
    """

    name: str
    cutoffs: tuple[Cutoff, ...]
    words: tuple[str, ...]
    note: str

    def bands(self) -> tuple[Band, ...]:
        """The classes as intervals of the ruler 0-100 %."""
        edges = [0, *(cutoff.percent for cutoff in self.cutoffs), 100]
        return tuple(
            Band(low, high, words) for low, high, words in zip(edges[:-1], edges[1:], self.words, strict=True)
        )

    def assign(self, positive: int, negative: int) -> ClassAssignment | None:
        """The class of an index given by its counts; None when there is no tumor nucleus."""
        if ki67_index(positive, negative) is None:
            return None
        number = sum(cutoff.is_above(positive, positive + negative) for cutoff in self.cutoffs)
        return ClassAssignment(self, number)


@dataclass(frozen=True)
class ClassAssignment:
    """The class an index falls into: the `number`-th (from 0, ascending) of `system`."""

    system: ClassSystem
    number: int

    @property
    def words(self) -> str:
        return self.system.words[self.number]


@dataclass(frozen=True)
class LeadingIndex:
    """The index that answers for a site: its counts, intervals and classes.

    `fell_back` is True when the site asks for the hot spot but none was found: then the global index
    leads and `classes` is empty, because the site's classes are not defined for it.
    """

    kind: IndexKind
    positive: int
    negative: int
    sampling: Interval | None
    total: Interval | None
    classes: tuple[ClassAssignment, ...]
    fell_back: bool

    @property
    def index(self) -> float | None:
        return ki67_index(self.positive, self.negative)


IKWG = ClassSystem(
    name="IKWG class",
    cutoffs=(Cutoff(5, belongs_below=True), Cutoff(30, belongs_below=False)),
    words=("≤ 5 %", "> 5 and < 30 %", "≥ 30 %"),
    note="International Ki67 in Breast Cancer Working Group, 2021; holds for ER+ HER2− T1–2 N0–1.",
)
BREAST_14 = ClassSystem(
    name="14 % cut-off",
    cutoffs=(Cutoff(14, belongs_below=False),),
    words=("< 14 %", "≥ 14 %"),
    note="St Gallen 2011.",
)
BREAST_20 = ClassSystem(
    name="20 % cut-off",
    cutoffs=(Cutoff(20, belongs_below=False),),
    words=("< 20 %", "≥ 20 %"),
    note="The threshold of the monarchE trial, not a statement of eligibility.",
)
KI67_STRATUM = ClassSystem(
    name="Ki-67 stratum",
    cutoffs=(Cutoff(3, belongs_below=False), Cutoff(20, belongs_below=True)),
    words=("< 3 %", "3–20 %", "> 20 %"),
    note="A stratum, not a grade: the grade also needs mitoses and differentiation.",
)


def class_systems(site: Site) -> tuple[ClassSystem, ...]:
    """The class systems of a site, the one that leads first; empty where a study sets its own."""
    if site == "breast":
        return (IKWG, BREAST_14, BREAST_20)
    if site == "neuroendocrine":
        return (KI67_STRATUM,)
    return ()


def every_cutoff_percent() -> tuple[int, ...]:
    """Every cut-off of every site in %, ascending: text must not round across any of them."""
    systems = (*class_systems("breast"), *class_systems("neuroendocrine"))
    return tuple(sorted({cutoff.percent for system in systems for cutoff in system.cutoffs}))


def classify(site: Site, positive: int, negative: int) -> tuple[ClassAssignment, ...]:
    """The classes of an index in every class system of its site; empty when there is none."""
    assigned = (system.assign(positive, negative) for system in class_systems(site))
    return tuple(assignment for assignment in assigned if assignment is not None)


def index_kind(site: Site) -> IndexKind:
    """Which index a site's classes are defined for."""
    return "hot spot" if site == "neuroendocrine" else "global"


def leading_index(site: Site, measurement: Measurement) -> LeadingIndex:
    """The index that the site asks for, or the global one where no hot spot was found."""
    spot = measurement.hot_spot
    wanted = index_kind(site)
    if wanted == "hot spot" and spot is not None:
        return LeadingIndex(
            kind="hot spot",
            positive=spot.positive,
            negative=spot.negative,
            sampling=spot.interval,
            total=spot.total_interval,
            classes=classify(site, spot.positive, spot.negative),
            fell_back=False,
        )
    fell_back = wanted == "hot spot"
    return LeadingIndex(
        kind="global",
        positive=measurement.positive,
        negative=measurement.negative,
        sampling=measurement.sampling,
        total=measurement.total,
        classes=() if fell_back else classify(site, measurement.positive, measurement.negative),
        fell_back=fell_back,
    )
