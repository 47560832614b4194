"""From readings in percent to classes: borders as the contract has them, compared exactly.

A reading is a decimal number that somebody typed, so it is compared as that decimal number with the
border, never as the binary fraction nearest to it. Counts are compared as whole numbers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ki67.errors import DataError
from ki67.sites import ClassSystem
from ki67.stats.forms import Categories, Pairs, Ratings, Reals

_BORDER = re.compile(r"(<=|≤|<)?\s*(\d+(?:\.\d+)?|\.\d+)\s*%?")


@dataclass(frozen=True)
class Border:
    """A border between two classes in percent (0-100); `belongs_below`: the lower class holds the border."""

    percent: Decimal
    belongs_below: bool

    def is_above(self, value_percent: float) -> bool:
        """Whether a reading lies in the class above this border."""
        value = Decimal(repr(float(value_percent)))
        return value > self.percent if self.belongs_below else value >= self.percent

    def is_above_counts(self, positive: int, total: int) -> bool:
        """The same for an index given by its counts, in whole numbers."""
        return positive * 100 > self.percent * total or (
            not self.belongs_below and positive * 100 == self.percent * total
        )

    @property
    def words(self) -> str:
        """The border as a person reads it: "≤ 5 %" or "< 30 %"."""
        return f"{'≤' if self.belongs_below else '<'} {self.percent} %"


@dataclass(frozen=True)
class Cutoffs:
    """Ascending borders of n + 1 classes."""

    borders: tuple[Border, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The classes as a person reads them, lowest first: "≤ 5 %", "> 5 and < 30 %", "≥ 30 %"."""
        return tuple(self._words_of(number) for number in range(len(self.borders) + 1))

    def _words_of(self, number: int) -> str:
        if number == 0:
            return self.borders[0].words
        from_border = self.borders[number - 1]
        low = f"{'>' if from_border.belongs_below else '≥'} {from_border.percent}"
        if number == len(self.borders):
            return f"{low} %"
        return f"{low} and {self.borders[number].words}"


def parse_cutoffs(text: str) -> Cutoffs:
    """Borders from text such as `<=5,<30`: the upper border of each class but the last, ascending.

    `<=5` puts 5 % into the lower class, `<30` puts 30 % into the upper one; a bare number means `<`.
    Raises DataError with a sentence for anything else.
    """
    borders = []
    for part in text.split(","):
        found = _BORDER.fullmatch(part.strip())
        if found is None:
            raise DataError(
                f"“{part.strip()}” is not a cut-off: write the upper border of each class, such as <=5,<30."
            )
        borders.append(Border(Decimal(found[2]), belongs_below=found[1] in ("<=", "≤")))
    percents = [border.percent for border in borders]
    if percents != sorted(set(percents)):
        raise DataError(f"The cut-offs “{text}” do not ascend: write each border once, the lowest first.")
    if not 0 < percents[0] <= percents[-1] < 100:
        raise DataError(f"The cut-offs “{text}” leave the range: a border lies between 0 and 100 %.")
    return Cutoffs(tuple(borders))


def cutoffs_of(system: ClassSystem) -> Cutoffs:
    """The borders of a site's class system."""
    return Cutoffs(tuple(Border(Decimal(cut.percent), cut.belongs_below) for cut in system.cutoffs))


def classify_percent(value_percent: float, cutoffs: Cutoffs) -> int:
    """The class of a reading (0-100, percent): 0 is the lowest. ValueError for a missing reading."""
    if not math.isfinite(value_percent):
        raise ValueError("a missing reading has no class")
    return sum(border.is_above(value_percent) for border in cutoffs.borders)


def categories_of(ratings: Ratings, cutoffs: Cutoffs) -> Categories:
    """Readings in classes, one a row; a missing reading stays missing. Sessions and replicates are dropped:
    give one session at a time.
    """
    names = cutoffs.words
    return Categories(ratings.cases, ratings.readers, _named(ratings.values, cutoffs), names)


def categories_of_pairs(pairs: Pairs, cutoffs: Cutoffs, *, readers: tuple[str, str]) -> Categories:
    """x and y in classes as two readers, named by `readers`: x first."""
    return Categories(
        cases=(*pairs.cases, *pairs.cases),
        readers=(readers[0],) * len(pairs.cases) + (readers[1],) * len(pairs.cases),
        values=_named(pairs.x, cutoffs) + _named(pairs.y, cutoffs),
        categories=cutoffs.words,
    )


def _named(values: Reals, cutoffs: Cutoffs) -> tuple[str, ...]:
    """The class of every value by its words; "" for a missing one. Each distinct value is compared once."""
    names = cutoffs.words
    distinct, place = np.unique(np.asarray(values, float), return_inverse=True)
    classes = ["" if math.isnan(value) else names[classify_percent(value, cutoffs)] for value in distinct]
    return tuple(classes[index] for index in place)
