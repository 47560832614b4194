"""The rows of the page Agreement: who is compared with whom, with bias and limits in points at a level.

Where limits are told of one reader they speak about a new reader of the reader population; where they are
told of the panel, about these readers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ki67.sites import class_systems
from ki67.stats import passing_bablok, single_reader
from ki67.stats.acceptance import bias_at, mae_interval, share_within_percent, share_within_points
from ki67.stats.analysis_core import ClassBorders
from ki67.stats.bland_altman_more import ProportionalBias
from ki67.stats.classes import cutoffs_of, parse_cutoffs
from ki67.stats.concordance import lin_ccc
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs, Reals
from ki67.stats.grid import ReadingGrid
from ki67.stats.leave_one_out import Agreement, leave_one_out, leave_one_out_difference
from ki67.stats.limit_curves import Curve, curve_from_log2, in_points, limit_curves
from ki67.stats.panel import panel_bias, panel_loa
from ki67.stats.panel_table import PanelTable
from ki67.stats.regression import deming
from ki67.study.agreement_parts import (
    Dots,
    drawn_reader_pairs,
    drawn_single_readers,
    pair_dots,
    proportional,
)
from ki67.study.material import StudyMaterial

__all__ = [
    "LOG2",
    "Comparison",
    "Curve",
    "Estimate",
    "Role",
    "Rows",
    "Scale",
    "Scatter",
    "class_borders",
    "left_out_means",
]

Scale = Literal["log2(x+0.1)", "raw", "regression"]
Role = Literal["algorithm", "reader", "panel", "focus"]
LOG2: Scale = "log2(x+0.1)"


@dataclass(frozen=True)
class Comparison:
    """One row of the table and one panel of the plot: differences y − x with bias and limits.

    `bias`, `lower`, `upper`: in points at the level; `bias` None where it is 0 by construction. Curves in
    points over the `levels` of the view. `pairs` counts all differences, `dots` those drawn.
    """

    role: Role
    name: str
    pairs: int
    dots: Dots
    bias: Estimate | None
    lower: Estimate
    upper: Estimate
    bias_curve: Curve | None
    lower_curve: Curve
    upper_curve: Curve
    scale: Scale


@dataclass(frozen=True)
class Scatter:
    """Algorithm (y) over panel (x), percent, with the regression of one on the other."""

    dots: Dots
    slope: Estimate
    intercept: Estimate
    estimates: tuple[tuple[str, Estimate], ...]
    proportional: ProportionalBias


def class_borders(material: StudyMaterial) -> tuple[ClassBorders, ...]:
    """The plan's own cut-offs, else those of the site."""
    if material.plan.cutoffs:
        return (ClassBorders("cut-offs of the plan", parse_cutoffs(material.plan.cutoffs)),)
    return tuple(
        ClassBorders(system.name, cutoffs_of(system)) for system in class_systems(material.study.site)
    )


def left_out_means(table: PanelTable, reference: str) -> tuple[tuple[str, Estimate], ...]:
    """Mean absolute difference from the panel of the others, in points: a reader, the algorithm, both."""
    names = {
        "reader": "One reader from the panel of the others",
        "algorithm": "Algorithm from the same panels",
        "diff": "Algorithm minus reader",
    }
    variant: Literal["jackknife", "two-way jackknife"] = (
        "two-way jackknife" if len(table.readers) > 2 else "jackknife"
    )
    return tuple(
        (
            words,
            leave_one_out_difference(
                table, statistic=f"leave_one_out_mad_{whose}", variant=variant, reference=reference
            ),
        )
        for whose, words in names.items()
    )


@dataclass(frozen=True)
class Rows:
    """The parts of the view from one study: `table` in percent, `scaled` on the scale of the limits."""

    material: StudyMaterial
    grid: ReadingGrid
    table: PanelTable
    scaled: PanelTable
    scale: Scale
    level: float
    levels: Reals

    @property
    def _pair_scale(self) -> Scale:
        return "raw" if self.scale == "raw" else LOG2

    def one_reader(self) -> Comparison:
        """Algorithm − one reader: of the population with two readers or more, else of the one there is."""
        dots = drawn_single_readers(self.table, seed=self.material.plan.seed)
        if len(self.table.readers) == 1:
            pairs = Pairs(self.table.cases, self.table.readings[:, 0], self.table.algorithm)
            name = f"Algorithm − reader {self.table.readers[0]}"
            return self._by_pairs("algorithm", name, pairs, dots)
        bias = single_reader.single_reader_bias(
            self.scaled,
            variant="two-way Satterthwaite" if self._balanced else "two-way jackknife",
            seed=self.material.plan.seed,
        )
        lower, upper = self._limits(single_reader.single_reader_loa)
        return self._comparison("algorithm", "Algorithm − one reader", dots, (bias, lower, upper))

    def two_readers(self) -> Comparison:
        """One reader − another: the mean is 0 by construction."""
        lower, upper = self._limits(single_reader.reader_reader_loa)
        dots = drawn_reader_pairs(self.table, seed=self.material.plan.seed)
        return self._comparison("reader", "One reader − another", dots, (None, lower, upper))

    def panel(self) -> Comparison:
        """Algorithm − panel of these readers."""
        reference = self.material.plan.reference
        pairs = Pairs(self.table.cases, self.table.panel(reference), self.table.algorithm)
        name, dots = f"Algorithm − panel {reference}", pair_dots(pairs, "panel")
        if self.scale == "regression":
            return self._by_pairs("panel", name, pairs, dots)
        made = (
            panel_bias(self.scaled, reference=reference),
            panel_loa(self.scaled, side="lower", reference=reference),
            panel_loa(self.scaled, side="upper", reference=reference),
        )
        return self._comparison("panel", name, dots, made)

    def left_out(self, reader: str) -> tuple[Comparison, ...]:
        """The algorithm and one reader, both against the panel of the other readers."""
        reference = self.material.plan.reference
        found = next(
            (each for each in leave_one_out(self.scaled, reference=reference) if each.name == reader), None
        )
        if found is None:
            return ()
        others = self.table.without(self.table.readers.index(reader)).panel(reference)
        own = self.table.readings[:, self.table.readers.index(reader)]
        algorithm = np.where(np.isfinite(own), self.table.algorithm, np.nan)

        def row(role: Role, who: str, values: Reals, fitted: Agreement) -> Comparison:
            dots = pair_dots(Pairs(self.table.cases, others, values), "panel")
            limits = (fitted.bias, fitted.loa_lower, fitted.loa_upper)
            return self._comparison(role, f"{who} − panel without {reader}", dots, limits)

        return (
            row("panel", "Algorithm", algorithm, found.algorithm),
            row("focus", reader, own, found.reader),
        )

    def scatter(self) -> Scatter:
        """Algorithm over panel with Passing–Bablok's line, the figures of two methods, proportional bias."""
        reference = self.material.plan.reference
        pairs = Pairs(self.table.cases, self.table.panel(reference), self.table.algorithm)
        slope = passing_bablok.passing_bablok(pairs, which="slope")
        intercept = passing_bablok.passing_bablok(pairs, which="intercept")
        figures = [
            ("Passing–Bablok, slope", slope),
            ("Passing–Bablok, intercept, points", intercept),
            ("Its linearity, p", passing_bablok.passing_bablok_linearity_p(pairs)),
            ("Deming, slope", deming(pairs, which="slope")),
            ("Deming, intercept, points", deming(pairs, which="intercept")),
            ("Lin's concordance", lin_ccc(pairs)),
            ("Mean absolute difference, points", mae_interval(pairs)),
            ("Share of cases within 5 points", share_within_points(pairs)),
            ("Share of cases within 20 % of the panel, or 1 point", share_within_percent(pairs)),
        ]
        levels = sorted(
            {float(b.percent) for each in class_borders(self.material) for b in each.cutoffs.borders}
        )
        figures += [(f"Bias at {at:g} %, points", bias_at(pairs, level=at)) for at in levels]
        shown = proportional(self.grid, self.scaled, reference=reference)
        return Scatter(pair_dots(pairs, "panel"), slope, intercept, tuple(figures), shown)

    def _limits(self, limit_of: Callable[..., Estimate]) -> tuple[Estimate, Estimate]:
        """Lower and upper limit for the reader population."""
        variant: single_reader.LimitVariant = "two-way GPQ" if self._balanced else "two-way bootstrap"
        draws = None if self._balanced else self.material.plan.bootstrap
        asked = {"variant": variant, "draws": draws, "seed": self.material.plan.seed}
        return limit_of(self.scaled, side="lower", **asked), limit_of(self.scaled, side="upper", **asked)

    @property
    def _balanced(self) -> bool:
        """Whether enough cases were read by everybody for the analysis of a full table."""
        complete = len(self.scaled.complete().cases)
        return complete >= 2 and 2 * complete >= len(self.scaled.cases)

    def _comparison(
        self, role: Role, name: str, dots: Dots, made: tuple[Estimate | None, Estimate, Estimate]
    ) -> Comparison:
        """From estimates on the scale to points at the level, and curves over the levels."""
        bias, lower, upper = made
        return Comparison(
            role,
            name,
            dots.total,
            dots,
            None if bias is None else self._at_level(bias),
            self._at_level(lower),
            self._at_level(upper),
            None if bias is None else self._curve(bias),
            self._curve(lower),
            self._curve(upper),
            self._pair_scale,
        )

    def _by_pairs(self, role: Role, name: str, pairs: Pairs, dots: Dots) -> Comparison:
        """Bland–Altman of one pair of columns, on the log, raw or regression scale."""
        scale = self.scale
        curves = limit_curves(pairs, levels=self.levels.tolist(), scale=scale, variant="exact individual")
        at = limit_curves(pairs, levels=[self.level], scale=scale, variant="exact individual").estimates
        bias, lower, upper = (in_points(each, self.level) if scale == LOG2 else each for each in at)
        return Comparison(
            role, name, dots.total, dots, bias, lower, upper, curves.bias, curves.lower, curves.upper, scale
        )

    def _at_level(self, estimate: Estimate) -> Estimate:
        return estimate if self._pair_scale == "raw" else in_points(estimate, self.level)

    def _curve(self, estimate: Estimate) -> Curve:
        if self._pair_scale != "raw":
            return curve_from_log2(estimate, self.levels)
        flat = [
            None if number is None else np.full(self.levels.shape, number)
            for number in (estimate.value, estimate.ci_low, estimate.ci_high)
        ]
        return Curve(*flat)
