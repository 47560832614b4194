"""The numbers of a report: those of the pages, on the plan's scale, and every estimate behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ki67.stats.analysis_core import AnalysisSettings
from ki67.stats.analysis_pairs import compare
from ki67.stats.estimate import Estimate
from ki67.stats.grid import grid_of
from ki67.study import agreement, cutoff_cases, cutoffs, variability
from ki67.study.cutoff_cases import CountedCase
from ki67.study.material import StudyMaterial
from ki67.study.report_parts import Numbers


def numbers_of(material: StudyMaterial, counted: Sequence[CountedCase] = ()) -> Numbers:
    """Everything computed once; about five seconds for 20 cases × 30 readers × 2 sessions."""
    questions = [cutoffs.Question(borders) for borders in cutoffs.class_borders(material)]
    cutoffs_used = [each.borders.cutoffs for each in questions]
    return Numbers(
        agreement=agreement.agreement(material),
        closeness=agreement.closeness_to_panel(material),
        variability=variability.variability(material),
        classes=tuple(cutoffs.in_classes(material, each) for each in questions),
        near=cutoff_cases.near_cutoffs(material, counted, cutoffs_used[0]) if cutoffs_used else None,
        estimates=tuple(_estimates(material, questions)),
    )


def _estimates(material: StudyMaterial, questions: list[cutoffs.Question]) -> Iterator[tuple[str, Estimate]]:
    """Every estimate with the part of the analysis that it belongs to."""
    for each in agreement.every_statistic(material):
        yield "algorithm and readers", each
    yield from _each_reader(material)
    for each in variability.every_statistic(material):
        yield "readers", each
    for question in questions:
        for each in cutoffs.every_statistic(material, question):
            yield f"classes: {question.borders.name}", each


def _each_reader(material: StudyMaterial) -> Iterator[tuple[str, Estimate]]:
    """The algorithm against every reader: bias, limits of agreement, concordance."""
    grid, plan = grid_of(material.readings), material.plan
    if not grid.has_algorithm:
        return
    settings = AnalysisSettings(log2=plan.scale != "raw", seed=plan.seed, bootstrap=plan.bootstrap)
    for place, reader in enumerate(grid.readers):
        pairs = grid.pairs(grid.first()[:, place], grid.algorithm_first())
        names = (reader, grid.algorithm_name)
        for each in compare(pairs, settings, patients=grid.patients, readers=names):
            yield "algorithm and each reader", each
