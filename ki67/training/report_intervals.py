"""Bootstrap over patients: limits of every pooled figure, and of the difference that step 1 makes.

Every figure is a function of sums over fields (true positives, squared errors, …). So a draw is a
weight for each patient, and all draws are one product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ki67.training.figures import FEWEST_FOR_INDEX, FieldFigures, Step, StepCounts, Tally

DRAWS = 2000
FEWEST = 5
MOST_UNDEFINED = 0.05

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """95 % limits, in the unit of the figure."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Limits of the figures of a `Summary`, same names; None where fewer than five patients bear one.

    `index_*` in percentage points.
    """

    f1: Limits | None = None
    precision: Limits | None = None
    recall: Limits | None = None
    f1_positive: Limits | None = None
    precision_positive: Limits | None = None
    recall_positive: Limits | None = None
    f1_negative: Limits | None = None
    precision_negative: Limits | None = None
    recall_negative: Limits | None = None
    f1_any_class: Limits | None = None
    precision_any_class: Limits | None = None
    recall_any_class: Limits | None = None
    f1_without_border: Limits | None = None
    f1_within_5_px: Limits | None = None
    f1_within_10_px: Limits | None = None
    other_share: Limits | None = None
    lost_share: Limits | None = None
    index_mean_absolute: Limits | None = None
    index_root_mean_square: Limits | None = None
    index_bias: Limits | None = None


@dataclass(frozen=True)
class Change:
    """A figure with step 1 minus the same without it; None where one of the two is undefined."""

    value: float | None
    limits: Limits | None


@dataclass(frozen=True)
class Difference:
    """What step 1 changes, on the `fields` fields (of `patients` patients) counted both ways."""

    fields: int
    patients: int
    f1: Change
    precision: Change
    recall: Change
    f1_positive: Change
    f1_negative: Change
    other_share: Change
    index_mean_absolute: Change
    index_root_mean_square: Change
    index_bias: Change


_KINDS = ("positive", "negative", "any", "inner", "5", "10")
_COLUMNS = (
    *(f"{name}_{kind}" for kind in _KINDS for name in ("tp", "fp", "fn")),
    *("other_counted", "other", "lost", "anyhow", "errors", "absolute", "square", "signed"),
)
_AT = {name: number for number, name in enumerate(_COLUMNS)}


@dataclass(frozen=True)
class Resampling:
    """Draws of whole patients: `weights` draws × patients, how often each patient is in each draw."""

    patients: tuple[str, ...]
    weights: Array

    @classmethod
    def of(cls, figures: Sequence[FieldFigures], *, seed: int, draws: int) -> Resampling:
        """`draws` samples with replacement of the patients of these fields, in the order of their names."""
        patients = tuple(sorted({field.patient for field in figures}))
        if not patients:
            return cls((), np.zeros((draws, 0)))
        count = len(patients)
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
        return cls(patients, drawn.astype(np.float64))

    def intervals(self, figures: Sequence[FieldFigures], step: Step) -> Intervals:
        """Limits of every figure of the fields counted this way."""
        sums = self._sums(figures, step)
        return Intervals(**{name: self._limits(formula, sums) for name, formula in _FORMULAS.items()})

    def difference(self, figures: Sequence[FieldFigures]) -> Difference | None:
        """With step 1 minus without, over the fields counted both ways; None where there is none."""
        both = [field for field in figures if field.with_step_1 and field.without_step_1]
        if not both:
            return None
        sums = self._sums(both, "with_step_1"), self._sums(both, "without_step_1")
        return Difference(
            fields=len(both),
            patients=len({field.patient for field in both}),
            **{name: self._change(_FORMULAS[name], *sums) for name in _COMPARED},
        )

    def dice_limits(self, figures: Sequence[FieldFigures]) -> Limits | None:
        """Limits of the pooled Dice of step 1 with the drawn masks."""
        sums = np.zeros((len(self.patients), len(_COLUMNS)))
        for field in figures:
            if field.tumor is not None:
                row = sums[self.patients.index(field.patient)]
                row[0] += 2 * field.tumor.both
                row[1] += field.tumor.either
        return self._limits(lambda total: _ratio(total[..., 0], total[..., 1]), sums)

    def _sums(self, figures: Sequence[FieldFigures], step: Step) -> Array:
        sums = np.zeros((len(self.patients), len(_COLUMNS)))
        at = {patient: number for number, patient in enumerate(self.patients)}
        for field in figures:
            counts = field.counts(step)
            if counts is not None:
                sums[at[field.patient]] += _row(field, counts, step)
        return sums

    def _limits(self, formula: Callable[[Array], Array], sums: Array) -> Limits | None:
        if not _borne(formula, sums):
            return None
        return _percentiles(formula(self.weights @ sums))

    def _change(self, formula: Callable[[Array], Array], with_mask: Array, without: Array) -> Change:
        value = float(formula(with_mask.sum(axis=0)) - formula(without.sum(axis=0)))
        if not np.isfinite(value):
            return Change(None, None)
        if not (_borne(formula, with_mask) and _borne(formula, without)):
            return Change(value, None)
        draws = formula(self.weights @ with_mask) - formula(self.weights @ without)
        return Change(value, _percentiles(draws))


def fewest_met(figures: Sequence[FieldFigures]) -> bool:
    """Whether these fields are enough for an interval: five fields of five patients."""
    return len(figures) >= FEWEST and len({field.patient for field in figures}) >= FEWEST


def _row(field: FieldFigures, counts: StepCounts, step: Step) -> Array:
    tallies = (
        counts.positive,
        counts.negative,
        counts.any,
        counts.inner,
        counts.within_1_25_um,
        counts.within_2_5_um,
    )
    values: list[float] = [number for tally in tallies for number in _of(tally)]
    values += [counts.other_counted, field.truth_other]
    with_mask = step == "with_step_1"
    values += [(field.lost_to_mask or 0) * with_mask, (field.found_anyhow or 0) * with_mask]
    error = field.index_error_points(step)
    large = field.truth_positive + field.truth_negative >= FEWEST_FOR_INDEX
    values += [1, abs(error), error**2, error] if large and error is not None else [0, 0, 0, 0]
    return np.array(values, np.float64)


def _of(tally: Tally) -> tuple[int, int, int]:
    return tally.tp, tally.fp, tally.fn


def _borne(formula: Callable[[Array], Array], sums: Array) -> bool:
    """Whether at least five patients have the figure on their own."""
    return int(np.isfinite(formula(sums)).sum()) >= FEWEST


def _percentiles(draws: Array) -> Limits | None:
    """2.5 % and 97.5 % of the draws that are defined; None when more than a twentieth is not."""
    known = draws[np.isfinite(draws)]
    if len(known) < (1 - MOST_UNDEFINED) * len(draws):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return Limits(float(low), float(high))


def _ratio(above: Array, below: Array) -> Array:
    """above / below, NaN where nothing is below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))


def _pooled(total: Array, name: str, *kinds: str) -> Array:
    return np.asarray(sum(total[..., _AT[f"{name}_{kind}"]] for kind in kinds))


def _f1(*kinds: str) -> Callable[[Array], Array]:
    def formula(total: Array) -> Array:
        tp, fp, fn = (_pooled(total, name, *kinds) for name in ("tp", "fp", "fn"))
        return _ratio(2 * tp, 2 * tp + fp + fn)

    return formula


def _share(against: str, *kinds: str) -> Callable[[Array], Array]:
    """tp / (tp + fp) or tp / (tp + fn)."""

    def formula(total: Array) -> Array:
        tp = _pooled(total, "tp", *kinds)
        return _ratio(tp, tp + _pooled(total, against, *kinds))

    return formula


def _over(above: str, below: str) -> Callable[[Array], Array]:
    return lambda total: _ratio(total[..., _AT[above]], total[..., _AT[below]])


_BOTH = ("positive", "negative")
_FORMULAS: dict[str, Callable[[Array], Array]] = {
    "f1": _f1(*_BOTH),
    "precision": _share("fp", *_BOTH),
    "recall": _share("fn", *_BOTH),
    "f1_positive": _f1("positive"),
    "precision_positive": _share("fp", "positive"),
    "recall_positive": _share("fn", "positive"),
    "f1_negative": _f1("negative"),
    "precision_negative": _share("fp", "negative"),
    "recall_negative": _share("fn", "negative"),
    "f1_any_class": _f1("any"),
    "precision_any_class": _share("fp", "any"),
    "recall_any_class": _share("fn", "any"),
    "f1_without_border": _f1("inner"),
    "f1_within_5_px": _f1("5"),
    "f1_within_10_px": _f1("10"),
    "other_share": _over("other_counted", "other"),
    "lost_share": _over("lost", "anyhow"),
    "index_mean_absolute": _over("absolute", "errors"),
    "index_root_mean_square": lambda total: np.sqrt(_over("square", "errors")(total)),
    "index_bias": _over("signed", "errors"),
}
_COMPARED = (
    "f1",
    "precision",
    "recall",
    "f1_positive",
    "f1_negative",
    "other_share",
    "index_mean_absolute",
    "index_root_mean_square",
    "index_bias",
)
