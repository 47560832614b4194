"""Readings in classes as a matrix of numbers: what every statistic on classes computes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ki67.errors import DataError
from ki67.stats.estimate import Estimate, Form, ParamValue, Reason
from ki67.stats.forms import Categories, Reals, Table

Integers = npt.NDArray[np.intp]
MISSING = -1
DEFAULT_ALPHA = 0.05


@dataclass(frozen=True)
class Codes:
    """`matrix[case, reader]` is the position of a class in `categories` (from 0), -1 where missing.

    `patients`: the number of the patient of each case, what a jackknife leaves out as a whole.
    `duplicate` names a case and reader that were read twice: then no statistic is defined.
    """

    matrix: Integers
    cases: tuple[str, ...]
    readers: tuple[str, ...]
    categories: tuple[str, ...]
    form: Form
    patients: Integers
    duplicate: tuple[str, str] | None = None

    def complete(self) -> Codes:
        """Only the cases that every reader read."""
        return self._only((self.matrix != MISSING).all(axis=1))

    def rated(self) -> Codes:
        """Only the cases with at least one reading."""
        return self._only((self.matrix != MISSING).any(axis=1))

    def counts(self) -> Reals:
        """How many readers put a case into a class: cases × classes."""
        classes = np.arange(len(self.categories))
        return np.asarray((self.matrix[:, :, None] == classes).sum(axis=1), float)

    def _only(self, keep: npt.NDArray[np.bool_]) -> Codes:
        cases = tuple(np.array(self.cases, object)[keep])
        return replace(self, matrix=self.matrix[keep], cases=cases, patients=self.patients[keep])


ClassData = Categories | Table | Codes


def code(data: ClassData, *, patients: Mapping[str, str] | None = None) -> Codes:
    """The matrix of a long table of classes, or of a table of counts (each count a case of two readers).

    `patients` names the patient of each case; without it every case is a patient of its own.
    Codes pass through, so that many statistics of the same readings share one matrix.
    Raises DataError for a class that `categories` does not name and for a table that is not square
    or holds anything but whole counts.
    """
    if isinstance(data, Codes):
        return data
    if isinstance(data, Table):
        return _code_table(data)
    return _code_long(data, patients)


def undefined(
    data: Codes,
    statistic: str,
    variant: str,
    *,
    reason: Reason,
    message: str,
    n: int = 0,
    excluded: int = 0,
    alpha: float | None = None,
    method: str = "",
) -> Estimate:
    """An estimate without a value: why, as a keyword and as our sentence."""
    return Estimate(
        statistic=statistic,
        variant=variant,
        form=data.form,
        value=None,
        ci_low=None,
        ci_high=None,
        n=n,
        method=method,
        reason=reason,
        message=message,
        excluded=excluded,
        params=params_of(data, alpha),
        readers=two_readers(data),
    )


def duplicate_message(data: Codes) -> str:
    """The sentence for a case that a reader read twice; empty when there is none."""
    if data.duplicate is None:
        return ""
    case, reader = data.duplicate
    return f"Reader {reader} has two readings of case {case}: keep one of them."


def params_of(
    data: Codes, alpha: float | None, more: Mapping[str, ParamValue] | None = None
) -> dict[str, ParamValue]:
    """The params of an estimate on classes, with golden's names."""
    params: dict[str, ParamValue] = {"categories": data.categories}
    if alpha is not None:
        params["alpha"] = alpha
    return params | dict(more or {})


def two_readers(data: Codes) -> tuple[str, str] | None:
    """The two readers compared, when there are two."""
    return (data.readers[0], data.readers[1]) if len(data.readers) == 2 else None


def alpha_of(params: Mapping[str, ParamValue]) -> float:
    """The alpha that golden's params ask for, or 0.05."""
    asked = params.get("alpha", DEFAULT_ALPHA)
    if not isinstance(asked, int | float):
        raise DataError(f"alpha is {asked!r}: give a number between 0 and 1.")
    return float(asked)


def number_of(params: Mapping[str, ParamValue], name: str) -> float:
    """A number that golden's params must hold."""
    value = params.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"The parameter {name} is {value!r}: give a number.")
    return float(value)


def _numbered(names: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """Distinct names in the order of their first appearance, and the number of each entry."""
    place: dict[str, int] = {}
    numbers = [place.setdefault(name, len(place)) for name in names]
    return tuple(place), np.array(numbers, np.intp)


def _code_long(data: Categories, patients: Mapping[str, str] | None) -> Codes:
    cases, case_of = _numbered(data.cases)
    readers, reader_of = _numbered(data.readers)
    place = {name: position for position, name in enumerate(data.categories)} | {"": MISSING}
    try:
        values = np.array([place[value] for value in data.values], np.intp)
    except KeyError as error:
        raise DataError(
            f"{error.args[0]!r} is not one of the classes {', '.join(data.categories)}: name every class."
        ) from None
    cells = case_of * max(len(readers), 1) + reader_of
    distinct, times = np.unique(cells, return_counts=True)
    duplicate = None
    if (times > 1).any():
        cell = int(distinct[times > 1][0])
        duplicate = (cases[cell // len(readers)], readers[cell % len(readers)])
    matrix = np.full((len(cases), len(readers)), MISSING, np.intp)
    matrix[case_of, reader_of] = values
    _, patient = _numbered([patients[case] for case in cases] if patients else cases)
    return Codes(matrix, cases, readers, data.categories, "categories", patient, duplicate)


def _code_table(data: Table) -> Codes:
    counts = np.asarray(data.counts, float)
    size = len(data.categories)
    whole = np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.floor(counts)).all()
    if counts.shape != (size, size) or not whole:
        raise DataError(f"A table of two readers has {size} rows and {size} columns of whole counts.")
    row, column = np.divmod(np.repeat(np.arange(size * size), counts.astype(np.intp).ravel()), max(size, 1))
    matrix = np.stack([row, column], axis=1)
    cases = tuple(str(number + 1) for number in range(len(row)))
    return Codes(matrix, cases, ("first", "second"), data.categories, "table", np.arange(len(row)))
