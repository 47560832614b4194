"""What an evaluation comes to: every figure with its interval, with and without step 1, and the worst fields.

Intervals are percentile intervals of a bootstrap over patients: whole patients are drawn with
replacement, all their fields together, and the pooled figure is formed anew (B. Efron &
R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Pictures of one patient
resemble each other, so fields are not drawn one by one. With fewer than five patients or five fields
a figure is given with its n, without interval and without a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ki67.training.figures import STEPS, FieldFigures, Step, Summary, pooled_dice, summarize
from ki67.training.reliability import Reliability, reliability_of
from ki67.training.report_index import IndexAgreement, index_agreement
from ki67.training.report_intervals import DRAWS, Difference, Intervals, Limits, Resampling, fewest_met
from ki67.training.report_others import OtherShare, other_share
from ki67.training.report_worst import WORST, WorstField, worst_fields

EVERY_PICTURE_TRAINED = "every picture was used in training, so nothing is left for a fair figure"
NO_LABELLED_NUCLEI = "no picture has nuclei labelled positive or negative"
TOO_FEW = "fewer than five patients or fields: figures without interval and without verdict"


@dataclass(frozen=True)
class Figures:
    """A set of fields counted one way.

    `enough` False (`reason` then says why): fewer than five patients or fields, so no interval and
    nothing to conclude. `agreement` is the Bland–Altman of the index, found against counted.
    """

    summary: Summary
    enough: bool
    reason: str | None
    intervals: Intervals
    agreement: IndexAgreement | None


@dataclass(frozen=True)
class BothWays:
    """The same fields counted with and without step 1; None where no field was counted that way."""

    with_step_1: Figures | None
    without_step_1: Figures | None

    def of(self, step: Step) -> Figures | None:
        """The figures of one way of counting."""
        return self.with_step_1 if step == "with_step_1" else self.without_step_1


@dataclass(frozen=True)
class SourceReport:
    """One source, pictures unseen in training."""

    source: str
    figures: BothWays
    difference: Difference | None


@dataclass(frozen=True)
class Report:
    """Everything an evaluation says. Figures are of pictures unseen in training unless the name says else.

    `difference`: with step 1 minus without it, paired over the same fields and the same draws.
    `tumor_dice`: of step 1 with drawn masks, pixels pooled; its limits by the same bootstrap.
    """

    seed: int
    draws: int
    headline: BothWays
    headline_reason: str | None
    difference: Difference | None
    by_source: tuple[SourceReport, ...]
    on_training_pictures: BothWays
    others: tuple[OtherShare, ...]
    reliability: tuple[Reliability, ...]
    worst: tuple[WorstField, ...]
    tumor_dice: float | None
    tumor_dice_limits: Limits | None
    tumor_dice_on_training_pictures: float | None


def report_of(figures: Sequence[FieldFigures], *, seed: int = 0, draws: int = DRAWS) -> Report:
    """The report on these fields; `draws` bootstrap draws of patients from `seed`.

    The same fields, seed and draws give the same report.
    """
    unseen = {step: [field for field in figures if field.unseen(step)] for step in STEPS}
    seen = {step: [field for field in figures if not field.unseen(step)] for step in STEPS}
    fair = [field for field in figures if field.unseen("with_step_1")]
    fair_masks = [field for field in figures if field.tumor is not None and not field.trained_tumor]
    drawn = Resampling.of(fair, seed=seed, draws=draws)
    headline = _both_ways(unseen, seed=seed, draws=draws)
    counted: Step = "with_step_1" if headline.with_step_1 else "without_step_1"
    return Report(
        seed=seed,
        draws=draws,
        headline=headline,
        headline_reason=_why_no_headline(figures, headline),
        difference=drawn.difference(fair),
        by_source=tuple(
            _of_source(source, unseen, seed=seed, draws=draws)
            for source in sorted({field.source for field in figures})
        ),
        on_training_pictures=_both_ways(seen, seed=seed, draws=draws),
        others=tuple(share for step in STEPS if (share := other_share(unseen[step], step)) is not None),
        reliability=tuple(
            diagram for step in STEPS if (diagram := reliability_of(unseen[step], step)) is not None
        ),
        worst=worst_fields(unseen[counted], counted, most=WORST),
        tumor_dice=pooled_dice(fair_masks),
        tumor_dice_limits=Resampling.of(fair_masks, seed=seed, draws=draws).dice_limits(fair_masks),
        tumor_dice_on_training_pictures=pooled_dice([field for field in figures if field.trained_tumor]),
    )


def _of_source(
    source: str, unseen: Mapping[Step, Sequence[FieldFigures]], *, seed: int, draws: int
) -> SourceReport:
    own = {step: [field for field in fields if field.source == source] for step, fields in unseen.items()}
    fair = own["with_step_1"]
    return SourceReport(
        source=source,
        figures=_both_ways(own, seed=seed, draws=draws),
        difference=Resampling.of(fair, seed=seed, draws=draws).difference(fair),
    )


def _both_ways(fields: Mapping[Step, Sequence[FieldFigures]], *, seed: int, draws: int) -> BothWays:
    return BothWays(*(_figures(fields[step], step, seed=seed, draws=draws) for step in STEPS))


def _figures(fields: Sequence[FieldFigures], step: Step, *, seed: int, draws: int) -> Figures | None:
    summary = summarize(fields, step)
    if summary is None:
        return None
    own = [field for field in fields if field.counts(step) is not None]
    enough = fewest_met(own)
    intervals = Resampling.of(own, seed=seed, draws=draws).intervals(own, step) if enough else Intervals()
    return Figures(
        summary=summary,
        enough=enough,
        reason=None if enough else TOO_FEW,
        intervals=intervals,
        agreement=index_agreement(own, step, with_limits=enough),
    )


def _why_no_headline(figures: Sequence[FieldFigures], headline: BothWays) -> str | None:
    """The reason where neither way of counting has a figure on unseen pictures."""
    if headline.with_step_1 or headline.without_step_1:
        return None
    labelled = any(field.counts(step) for field in figures for step in STEPS)
    return EVERY_PICTURE_TRAINED if labelled else NO_LABELLED_NUCLEI
