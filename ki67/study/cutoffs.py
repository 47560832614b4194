"""The numbers of the page Cut-offs: the algorithm, the panel, the readers in classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ki67.sites import index_kind
from ki67.stats import contingency, gwet, kappa
from ki67.stats.analysis_core import AnalysisSettings, ClassBorders, Params, evaluate, keys_of
from ki67.stats.analysis_pairs import AT_A_BORDER, needs_two
from ki67.stats.analysis_readers import among_classes
from ki67.stats.classes import Cutoffs, categories_of, classify_percent
from ki67.stats.coding import Codes, code
from ki67.stats.crosstab import Reclassification, reclassification
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Categories, Reals
from ki67.stats.grid import ReadingGrid, grid_of
from ki67.stats.kappa_population import FEWEST_READERS, for_reader_population
from ki67.study.agreement_rows import class_borders
from ki67.study.material import StudyMaterial
from ki67.study.readings import ALGORITHM

__all__ = ["ALGORITHM", "PANEL", "ClassBorders", "Estimate", "Question", "Reclassification", "class_borders"]

PANEL = "panel"
DUST_DECIMALS = 9  # a median of typed decimals is a decimal: what lies behind is the dust of binary fractions
Kind = Literal["kappa", "share", "p"]
Classes = tuple[int | None, ...]


@dataclass(frozen=True)
class Question:
    """Who is compared in which classes.

    `reference` gives the rows (PANEL or a reader), `compared` the columns (ALGORITHM or a reader).
    """

    borders: ClassBorders
    reference: str = PANEL
    compared: str = ALGORITHM


@dataclass(frozen=True)
class Row:
    """A line of a table: what is compared, by which statistic, and how its number is written."""

    what: str
    statistic: str
    estimate: Estimate
    kind: Kind = "kappa"


@dataclass(frozen=True)
class CellCase:
    """A case in a cell, with what both gave in percent."""

    code: str
    reference_percent: float
    compared_percent: float


@dataclass(frozen=True)
class ClassView:
    """Everything that the page shows of two in classes.

    `cells[i][j]`: the cases in row i and column j, of `table`; None when no case has both, then `lacking`
    says why. `moved`: the share of cases in another class. `kappas`: of the two and among readers;
    `moves`: up, down and at every border.
    """

    question: Question
    reference_words: str
    compared_words: str
    table: Reclassification | None
    cells: tuple[tuple[tuple[CellCase, ...], ...], ...]
    lacking: str
    moved: Estimate | None
    kappas: tuple[Row, ...]
    among_readers: tuple[Row, ...]
    moves: tuple[Row, ...]
    warnings: tuple[str, ...]


def in_classes(material: StudyMaterial, question: Question) -> ClassView:
    """The page's numbers, from the first session of the readings chosen.

    A reader compared with the panel is left out of it. The algorithm's class comes from its counts where
    they are known, a reading's from the decimal number that was typed.
    """
    grid = grid_of(material.readings)
    two = _Two.of(material, question, grid)
    readers = code(categories_of(grid.ratings(), question.borders.cutoffs), patients=_patients(grid))
    among = _among_readers(readers) if len(readers.readers) > 1 and question.reference == PANEL else ()
    warnings = _warnings(material, question)
    if two.lacking:
        return ClassView(question, *two.words, None, (), two.lacking, None, (), among, (), warnings)
    codes = two.codes(grid)
    return ClassView(
        question=question,
        reference_words=two.words[0],
        compared_words=two.words[1],
        table=reclassification(codes),
        cells=two.cells(grid.cases),
        lacking="",
        moved=contingency.reclassified_share(codes, "reclassified"),
        kappas=_kappas(codes, two.words),
        among_readers=among,
        moves=_moves(codes, two.words),
        warnings=warnings,
    )


def every_statistic(material: StudyMaterial, question: Question) -> list[Estimate]:
    """Everything that the library has for two in classes and for the readers' classes."""
    grid = grid_of(material.readings)
    plan = material.plan
    settings = AnalysisSettings(classes=(question.borders,), seed=plan.seed, bootstrap=plan.bootstrap)
    two = _Two.of(material, question, grid)
    found: list[Estimate] = []
    if not two.lacking:
        found += _every_of_two(two.codes(grid), settings, question.borders.name, two.words)
    if len(grid.readers) > 1:
        found += among_classes(grid, settings)
    return found


def panel_of(grid: ReadingGrid, reference: str, *, without: str | None = None) -> Reals:
    """The median or mean of the readers' first readings per case in percent, NaN without any."""
    kept = [place for place, name in enumerate(grid.readers) if name != without]
    readings = grid.first()[:, kept]
    found = np.isfinite(readings).any(axis=1)
    values = np.full(len(grid.cases), np.nan)
    if found.any():
        middle = np.nanmean if reference == "mean" else np.nanmedian
        values[found] = middle(readings[found], axis=1)
    return np.asarray(np.round(values, DUST_DECIMALS), float)


@dataclass(frozen=True)
class _Two:
    """The two that are compared: their values in percent (NaN: none) and classes (None: none) a case."""

    question: Question
    words: tuple[str, str]
    percents: tuple[Reals, Reals]
    classes: tuple[Classes, Classes]
    lacking: str

    @classmethod
    def of(cls, material: StudyMaterial, question: Question, grid: ReadingGrid) -> _Two:
        """Both from the grid; `lacking` says why they cannot be compared."""
        reference, compared = question.reference, question.compared
        percents = (
            _percents(reference, question, grid, material),
            _percents(compared, question, grid, material),
        )
        cutoffs = question.borders.cutoffs
        counted = _counted_classes(material, cutoffs)
        first = _classes(percents[0], cutoffs)
        second = _classes(percents[1], cutoffs)
        if compared == ALGORITHM:
            second = tuple(counted.get(case, known) for case, known in zip(grid.cases, second, strict=True))
        return cls(
            question,
            (_words(reference, question, material), _words(compared, question, material)),
            percents,
            (first, second),
            _lacking(question, grid, first, second),
        )

    def codes(self, grid: ReadingGrid) -> Codes:
        """The two columns of classes as two readers."""
        names = self.question.borders.cutoffs.words
        values = ["" if each is None else names[each] for each in (*self.classes[0], *self.classes[1])]
        readers = (self.words[0],) * len(grid.cases) + (self.words[1],) * len(grid.cases)
        data = Categories((*grid.cases, *grid.cases), readers, tuple(values), names)
        return code(data, patients=_patients(grid))

    def cells(self, cases: Sequence[str]) -> tuple[tuple[tuple[CellCase, ...], ...], ...]:
        """The cases of every cell of the table."""
        size = len(self.question.borders.cutoffs.words)
        found: list[list[list[CellCase]]] = [[[] for _ in range(size)] for _ in range(size)]
        for place, case in enumerate(cases):
            row, column = self.classes[0][place], self.classes[1][place]
            if row is not None and column is not None:
                both = float(self.percents[0][place]), float(self.percents[1][place])
                found[row][column].append(CellCase(case, *both))
        return tuple(tuple(tuple(cell) for cell in row) for row in found)


def _patients(grid: ReadingGrid) -> dict[str, str]:
    return dict(zip(grid.cases, grid.patients, strict=True))


def _percents(who: str, question: Question, grid: ReadingGrid, material: StudyMaterial) -> Reals:
    """What the panel, the algorithm or a reader gave of every case of the grid."""
    if who == ALGORITHM:
        return grid.algorithm_first()
    if who == PANEL:
        without = question.compared if question.compared != ALGORITHM else None
        return panel_of(grid, material.plan.reference, without=without)
    if who in grid.readers:
        return np.asarray(grid.first()[:, grid.readers.index(who)], float)
    return np.full(len(grid.cases), np.nan)


def _classes(percents: Reals, cutoffs: Cutoffs) -> Classes:
    return tuple(
        classify_percent(percent, cutoffs) if np.isfinite(percent) else None for percent in percents.tolist()
    )


def _counted_classes(material: StudyMaterial, cutoffs: Cutoffs) -> dict[str, int]:
    """The algorithm's class of every case whose counts are known, by whole numbers."""
    return {
        each.case_code: sum(
            border.is_above_counts(each.positive, each.positive + each.negative) for border in cutoffs.borders
        )
        for each in material.algorithm
    }


def _lacking(question: Question, grid: ReadingGrid, reference: Classes, compared: Classes) -> str:
    """Why the two cannot be compared; empty when they can."""
    if question.reference == question.compared:
        return "A reader cannot be compared with the same reader: choose another one."
    if question.compared == ALGORITHM and all(each is None for each in compared):
        return (
            "The algorithm has no result of these tumors: score their pictures, import its values, "
            "or compare two readers."
        )
    if question.reference == PANEL and question.compared != ALGORITHM and len(grid.readers) < 2:
        return "A reader is compared with the panel of the other readers: it needs another one."
    if not any(a is not None and b is not None for a, b in zip(reference, compared, strict=True)):
        return "No tumor was read by both."
    return ""


def _words(who: str, question: Question, material: StudyMaterial) -> str:
    if who == ALGORITHM:
        return "algorithm"
    if who != PANEL:
        return f"reader {who}"
    if question.compared != ALGORITHM:
        return f"panel {material.plan.reference} without {question.compared}"
    return f"panel {material.plan.reference}"


def _kappas(codes: Codes, words: tuple[str, str]) -> tuple[Row, ...]:
    what = f"{capital(words[1])} and {words[0]}"
    found = [Row(what, "Cohen’s kappa", kappa.cohen_kappa(codes))]
    if len(codes.categories) > 2:
        found += [
            Row(what, "Cohen’s kappa, linear weights", kappa.cohen_kappa(codes, weighting="linear weights")),
            Row(
                what,
                "Cohen’s kappa, quadratic weights",
                kappa.cohen_kappa(codes, weighting="quadratic weights"),
            ),
        ]
    return (*found, Row(what, "Gwet’s AC1", gwet.gwet_ac(codes)))


def _among_readers(codes: Codes) -> tuple[Row, ...]:
    """Of the readers with each other: the reader population where there are enough of them."""
    if len(codes.readers) < FEWEST_READERS:
        fleiss, gwets = gwet.fleiss_kappa_general(codes), gwet.gwet_ac(codes)
    else:
        fleiss = for_reader_population(codes, "fleiss_kappa_general")
        gwets = for_reader_population(codes, "gwet_ac1")
    return Row("Between readers", "Fleiss’ kappa", fleiss), Row("Between readers", "Gwet’s AC1", gwets)


def _moves(codes: Codes, words: tuple[str, str]) -> tuple[Row, ...]:
    """Who moves where, and at every border who agrees on each side."""
    what = f"{capital(words[1])} and {words[0]}"
    found = [
        Row(what, f"In a {side} class", contingency.reclassified_share(codes, name), "share")
        for side, name in (("higher", "reclassified_up"), ("lower", "reclassified_down"))
    ]
    if len(codes.categories) > 2:
        found.append(
            Row(what, "Classes used alike, Stuart–Maxwell p", contingency.stuart_maxwell(codes), "p")
        )
    for above in codes.categories[1:]:
        at = f"Above or below “{above}”" if len(codes.categories) == 2 else f"Border to “{above}”"
        share = contingency.agreement_share
        found += [
            Row(at, "Positive agreement", share(codes, "positive_agreement", positive_from=above), "share"),
            Row(at, "Negative agreement", share(codes, "negative_agreement", positive_from=above), "share"),
            Row(at, "Both call it as often, McNemar p", contingency.mcnemar(codes, positive_from=above), "p"),
        ]
    return tuple(found)


def _every_of_two(
    codes: Codes, settings: AnalysisSettings, classes: str, words: tuple[str, str]
) -> list[Estimate]:
    noted: Params = {"classes": classes}
    found = []
    for key in keys_of("categories", among=lambda key: needs_two(key) or key[1].startswith("gwet_ac")):
        if key[2].endswith("two-way jackknife"):
            continue
        bordered = key[1] in AT_A_BORDER and len(codes.categories) > 2
        for positive in codes.categories[1:] if bordered else (None,):
            asked: Params = {"positive_from": positive}
            found += evaluate([key], codes, settings, asked=asked, noted=noted, readers=words)
    return found


def _warnings(material: StudyMaterial, question: Question) -> tuple[str, ...]:
    """Classes are defined for one index: said where the readings are of the other one."""
    wanted = index_kind(material.study.site)
    if material.plan.cutoffs or material.method == "count":
        return ()
    if material.method == wanted:
        return ()
    defined = "the hot spot" if wanted == "hot spot" else "the global index"
    here = "the global index" if wanted == "hot spot" else "the hot spot"
    return (f"These classes ({question.borders.name}) are defined for {defined}; compared here is {here}.",)


def capital(text: str) -> str:
    """The first letter large, the others as they are (codes of readers)."""
    return text[:1].upper() + text[1:]
