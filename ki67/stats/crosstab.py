"""Two readers class by class: the table of who moves where, and the four counts at a border.

The first reader gives the rows. With more than two classes, `positive_from` names the class from which on
a reading counts as positive (the highest class unless said otherwise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ki67.errors import DataError
from ki67.stats.coding import ClassData, Codes, code, duplicate_message
from ki67.stats.forms import Reals


@dataclass(frozen=True)
class Fourfold:
    """Two readers at one border: both positive, first only, second only, both negative (cases)."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither


@dataclass(frozen=True)
class Reclassification:
    """Cases by the class of the first reader (rows) and the second (columns); `counts` is q × q whole counts.

    `excluded` are cases that one of the two did not read.
    """

    readers: tuple[str, str]
    categories: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    excluded: int

    @property
    def n(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def stayed(self) -> int:
        """Cases in the same class for both."""
        return sum(row[number] for number, row in enumerate(self.counts))

    @property
    def moved_up(self) -> int:
        """Cases that the second reader puts into a higher class."""
        return sum(sum(row[number + 1 :]) for number, row in enumerate(self.counts))

    @property
    def moved_down(self) -> int:
        """Cases that the second reader puts into a lower class."""
        return sum(sum(row[:number]) for number, row in enumerate(self.counts))

    def row_shares(self) -> tuple[tuple[float | None, ...], ...]:
        """Of the first reader's cases of each class, the share in each class of the second; None for 0/0."""
        return tuple(tuple(count / sum(row) if sum(row) else None for count in row) for row in self.counts)


def reclassification(data: ClassData) -> Reclassification:
    """The table of two readers. Raises DataError when there are not two, or one read a case twice."""
    codes = coded_pair(data)
    if codes.duplicate is not None:
        raise DataError(duplicate_message(codes))
    table = cross_counts(codes).astype(int)
    counts = tuple(tuple(int(count) for count in row) for row in table)
    return Reclassification(
        readers=(codes.readers[0], codes.readers[1]),
        categories=codes.categories,
        counts=counts,
        excluded=len(codes.matrix) - int(table.sum()),
    )


def fourfold(data: ClassData, *, positive_from: str | None = None) -> Fourfold:
    """The four counts at the border below `positive_from` (the highest class when None).

    Raises DataError when there are not two readers, or no such class above the lowest.
    """
    codes = coded_pair(data)
    table = cross_counts(codes)
    border = _border(codes, positive_from)
    return Fourfold(
        both=int(table[border:, border:].sum()),
        first_only=int(table[border:, :border].sum()),
        second_only=int(table[:border, border:].sum()),
        neither=int(table[:border, :border].sum()),
    )


def coded_pair(data: ClassData) -> Codes:
    """The readings of two readers; DataError when there are not two."""
    codes = code(data)
    if len(codes.readers) != 2:
        raise DataError(f"This compares two readers; here are {len(codes.readers)}: choose two.")
    return codes


def cross_counts(codes: Codes) -> Reals:
    """How many cases the first reader put into class i and the second into class j."""
    both = codes.complete().matrix
    size = len(codes.categories)
    cells = np.bincount(both[:, 0] * size + both[:, 1], minlength=size**2)
    return np.asarray(cells.reshape(size, size), float)


def _border(codes: Codes, positive_from: str | None) -> int:
    """The position of the lowest positive class."""
    wanted = codes.categories[-1] if positive_from is None else positive_from
    if wanted not in codes.categories[1:]:
        raise DataError(f"“{wanted}” is not a class above the lowest: positive from which class on?")
    return codes.categories.index(wanted)
