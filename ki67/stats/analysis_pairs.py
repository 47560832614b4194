"""Two columns of readings compared: every statistic of two methods, of their classes, and of repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ki67.stats import contingency
from ki67.stats.acceptance import share_within_percent, share_within_points
from ki67.stats.analysis_core import AnalysisSettings, ClassBorders, Params, Readers, evaluate, keys_of
from ki67.stats.classes import categories_of_pairs
from ki67.stats.coding import code
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Pairs, Reals, ReplicatedPairs
from ki67.stats.grid import RAW, on_scale
from ki67.stats.registry import Key

# Statistics that mean something in percent only, on whatever scale the analysis is.
IN_PERCENT = (
    "ba_log_ratio_",
    "ba_percent_",
    "ba_reg_",
    "ba_spread_slope",
    "bias_at",
    "coverage_probability",
    "share_within_",
    "within_subject_cv",
)
# Statistics at a level of the index: one for each cut-off.
AT_A_LEVEL = ("ba_reg_", "bias_at")
# Statistics of a test method against a reference: not between two readers, where neither is one.
OF_A_REFERENCE = (
    *AT_A_LEVEL,
    "ba_prop_bias_corrected",
    "ba_spread_slope",
    "coverage_probability",
    "share_within_",
    "tdi",
)
# Statistics of one border between classes: with more than two classes, one for each border.
AT_A_BORDER = frozenset(
    (
        "opa",
        "ppa",
        "npa",
        "positive_agreement",
        "negative_agreement",
        "mcnemar_p",
        "positive_share_difference",
    )
)


def compare(
    pairs: Pairs,
    settings: AnalysisSettings,
    *,
    patients: tuple[str, ...],
    readers: Readers,
    noted: Params | None = None,
    is_reference: bool = True,
) -> list[Estimate]:
    """Every statistic of two columns in percent (x the reference or first), and of their classes.

    On the log scale the statistics that mean something in percent only stay in percent and say so.
    `patients`: the patient of each case, kept together in the intervals that can. `is_reference`: False
    for two readers, which leaves out what is told of a method against a reference.
    """
    scale = settings.transform
    scaled = Pairs(pairs.cases, on_scale(pairs.x, scale), on_scale(pairs.y, scale))
    found = []
    for key in keys_of("pairs", among=_is_for_two):
        if not is_reference and key[1].startswith(OF_A_REFERENCE):
            continue
        data, unit = (pairs, RAW) if is_in_percent(key) else (scaled, scale)
        params: Params = {"transform": unit, **(noted or {})}
        for asked in _levels(settings) if key[1].startswith(AT_A_LEVEL) else ({},):
            found += evaluate([key], data, settings, asked=asked, noted=params, readers=readers)
    if is_reference and len(set(patients)) < len(patients):
        found += _shares_by_patient(pairs, settings, patients, readers, noted or {})
    for borders in settings.classes:
        found += compare_classes(pairs, borders, settings, patients=patients, readers=readers, noted=noted)
    return found


def compare_classes(
    pairs: Pairs,
    borders: ClassBorders,
    settings: AnalysisSettings,
    *,
    patients: tuple[str, ...],
    readers: Readers,
    noted: Params | None = None,
) -> list[Estimate]:
    """The statistics of two readers' classes, and Gwet's AC1; those of one border for each border."""
    classes = categories_of_pairs(pairs, borders.cutoffs, readers=("x", "y"))
    codes = code(classes, patients=dict(zip(pairs.cases, patients, strict=True)))
    named: Params = {"classes": borders.name, **(noted or {})}
    found = []
    for key in keys_of("categories", among=lambda key: needs_two(key) or key[1] == "gwet_ac1"):
        bordered = key[1] in AT_A_BORDER and len(codes.categories) > 2
        for positive in codes.categories[1:] if bordered else (None,):
            asked: Params = {"positive_from": positive}
            found += evaluate([key], codes, settings, asked=asked, noted=named, readers=readers)
    return found


def compare_repeats(
    x: Reals, y: Reals, cases: tuple[str, ...], settings: AnalysisSettings, *, readers: Readers
) -> list[Estimate]:
    """Limits of agreement of two methods with repeats, (cases, replicates) each in percent, NaN missing."""
    rows = [
        (cases[case], method, str(replicate + 1), values[case, replicate])
        for method, values in (("x", on_scale(x, settings.transform)), ("y", on_scale(y, settings.transform)))
        for case, replicate in zip(*np.nonzero(np.isfinite(values)), strict=True)
    ]
    names, methods, replicates, numbers = zip(*rows, strict=True) if rows else ((), (), (), ())
    data = ReplicatedPairs(names, methods, replicates, np.array(numbers, float))
    keys = keys_of("replicated_pairs")
    return evaluate(keys, data, settings, noted={"transform": settings.transform}, readers=readers)


def is_in_percent(key: Key) -> bool:
    """Whether a statistic is computed from percentages on every scale."""
    return key[1].startswith(IN_PERCENT)


def needs_two(key: Key) -> bool:
    """Whether a statistic of classes compares exactly two readers."""
    return key in contingency.STATISTICS or key[1] == "cohen_kappa"


def _is_for_two(key: Key) -> bool:
    """Not the statistics whose point are many readers: Krippendorff's alpha, pivotal ICC, population."""
    many = key[2] in ("generalized pivotal", "REML profile") or key[2].endswith("two-way jackknife")
    return key[1] != "krippendorff_alpha" and not many


def _levels(settings: AnalysisSettings) -> tuple[Params, ...]:
    """The levels of the index at which a bias is told: every cut-off, or the statistic's own."""
    levels = {float(border.percent) for classes in settings.classes for border in classes.cutoffs.borders}
    return tuple({"level": level} for level in sorted(levels)) or ({},)


def _shares_by_patient(
    pairs: Pairs, settings: AnalysisSettings, patients: tuple[str, ...], readers: Readers, noted: Params
) -> list[Estimate]:
    """The shares of cases near the reference, the cases of a patient kept together."""
    shares = (
        share_within_points(pairs, alpha=settings.alpha, patients=patients),
        share_within_percent(pairs, alpha=settings.alpha, patients=patients),
    )
    return [
        replace(share, readers=readers, params={**share.params, "transform": RAW, **noted})
        for share in shares
    ]
