"""The figures of a report as SVG: the pages' plots, all drawn by one browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ki67 import charts_limits, charts_variability, numbers
from ki67.charts_svg import Drawing, svgs
from ki67.errors import Ki67Error
from ki67.study import agreement_drawn, variability_drawn
from ki67.study.agreement_rows import Comparison
from ki67.study.report_parts import Figure, Numbers, ReportFacts, Standing
from ki67.study.report_tables import standing_of


@dataclass(frozen=True)
class _Planned:
    """A figure before it is drawn."""

    title: str
    standing: Standing
    alt: str
    caption: str
    drawing: Drawing


def figures(facts: ReportFacts, found: Numbers) -> tuple[tuple[Figure, ...], str]:
    """The figures, and why they are not drawn (empty when they are)."""
    planned = [*_of_agreement(facts, found), *_of_variability(found)]
    if not planned:
        return (), ""
    why = ""
    made: Sequence[bytes | None] = (None,) * len(planned)
    try:
        made = svgs([each.drawing for each in planned])
    except Ki67Error as error:
        why = f"The figures are left out. {error}"
    return tuple(
        Figure(each.title, each.standing, each.alt, each.caption, svg)
        for each, svg in zip(planned, made, strict=True)
    ), why


def _of_agreement(facts: ReportFacts, found: Numbers) -> Iterator[_Planned]:
    view = found.agreement
    rows = tuple(each for each in (view.one_reader, view.readers) if each is not None)
    beside = (view.panel,) if view.panel is not None else ()
    if rows:
        yield _limits(facts, found, rows, (*rows, *beside), "algorithm and single reader")
    if beside:
        yield _limits(facts, found, beside, beside, "algorithm and panel")
    if view.scatter is not None:
        reference = f"panel {facts.material.plan.reference}"
        figure = charts_limits.scatter(
            agreement_drawn.scatter_cloud(view.scatter, reference),
            agreement_drawn.fitted_lines(view.scatter),
            x_title=f"{reference.capitalize()}, Ki-67 index, %",
            y_title="Algorithm, Ki-67 index, %",
            mode="light",
        )
        yield _Planned(
            "Algorithm over panel",
            "Secondary",
            "Algorithm's index over the panel's, with the line of identity and a regression line",
            f"n = {numbers.count(view.scatter.dots.total)} tumors. Dotted: identity.",
            Drawing(figure, 460),
        )


def _limits(
    facts: ReportFacts,
    found: Numbers,
    rows: tuple[Comparison, ...],
    marked: tuple[Comparison, ...],
    what: str,
) -> _Planned:
    view = found.agreement
    figure = charts_limits.limits(
        [agreement_drawn.panel_of(view, each) for each in rows],
        [agreement_drawn.mark_of(each) for each in marked],
        level=view.level,
        mode="light",
    )
    names = " and ".join(each.name for each in rows)
    drawn = "; ".join(
        f"{each.name}: {numbers.count(each.dots.x.size)} of {numbers.count(each.dots.total)} pairs drawn"
        for each in rows
    )
    return _Planned(
        f"Differences: {names}",
        standing_of(facts, what=what),
        f"{names}: differences over the mean of the two, with limits of agreement",
        f"n = {numbers.count(view.n_cases)} tumors. {drawn}. {view.scale_why}",
        Drawing(figure),
    )


def _of_variability(found: Numbers) -> Iterator[_Planned]:
    view = found.variability
    size = f"n = {numbers.count(len(view.cases))} tumors, {numbers.count(len(view.readers))} readers"
    if view.dots:
        figure = charts_variability.columns(variability_drawn.columns_of(view), mode="light", log=False)
        yield _Planned(
            "Every reading of each tumor",
            "Secondary",
            "A column per tumor with a dot for each reading, the panel's median and the algorithm",
            f"{size}, {numbers.count(len(view.dots))} readings.",
            Drawing(figure, 440),
        )
    if view.heat.size:
        figure = charts_variability.heat(view.readers, view.cases, view.heat, mode="light")
        yield _Planned(
            "Reading minus panel median",
            "Secondary",
            "Each reader on each tumor against the panel's median",
            f"{size}, first session.",
            Drawing(figure),
        )
    if view.spread_cases:
        figure = charts_variability.spread(view.case_means, view.case_sds, view.spread_cases, mode="light")
        yield _Planned(
            "Spread between readers over the index",
            "Secondary",
            "The SD of the readings of a tumor over their mean",
            f"n = {numbers.count(len(view.spread_cases))} tumors with two readings and more, first session.",
            Drawing(figure),
        )
    if view.shares:
        figure = charts_variability.bars(
            variability_drawn.share_bars(view), mode="light", x_title="Share of the variance, %",
            about_zero=False,
        )  # fmt: skip
        yield _Planned(
            "Where the spread of the readings comes from",
            "Secondary",
            "Shares of the variance: tumors, readers, reader and tumor, not explained",
            f"{size}. Variance components of log2(index + 0.1), REML.",
            Drawing(figure),
        )
    if view.biases:
        figure = charts_variability.bars(
            variability_drawn.bias_bars(view), mode="light", x_title="Reader − all readers, points",
            about_zero=True,
        )  # fmt: skip
        yield _Planned(
            "Who reads high, who reads low",
            "Secondary",
            "The bias of each reader against all readers with its interval",
            f"{size}. Shrunken towards 0, 95 % limits for these readers.",
            Drawing(figure),
        )
