"""The forms in which readings come to a statistic. A missing reading is NaN (numbers) or "" (categories)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Per case x (reference or first) and y (test or second), n values each; NaN is missing.

    `computed` keeps what several statistics of one table share.
    """

    cases: tuple[str, ...]
    x: Reals
    y: Reals
    computed: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def complete(self) -> Pairs:
        """Only the cases that have both; asked again, the same."""
        if "complete" not in self.computed:
            keep = np.isfinite(self.x) & np.isfinite(self.y)
            cases = tuple(np.array(self.cases, object)[keep])
            self.computed["complete"] = Pairs(cases, self.x[keep], self.y[keep])
        found: Pairs = self.computed["complete"]
        return found


@dataclass(frozen=True)
class Ratings:
    """Readings in long form, one a row: case, reader, value; session and replicate are "1" when not given."""

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    values: Reals
    sessions: tuple[str, ...] = ()
    replicates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Categories:
    """Classes in long form, one a row; `categories` are all classes in their order, used or not."""

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    values: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Counts of two raters, q × q: rows the first rater's class, columns the second's."""

    counts: Reals
    categories: tuple[str, ...]


@dataclass(frozen=True)
class ReplicatedPairs:
    """Repeated readings of two methods in long form; `methods` is "x" or "y" a row."""

    cases: tuple[str, ...]
    methods: tuple[str, ...]
    replicates: tuple[str, ...]
    values: Reals


@dataclass(frozen=True)
class AlgorithmAndReaders:
    """Readings in long form, one a row; the reader named `algorithm` is the algorithm, never a reader."""

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    values: Reals
    algorithm: str = "algorithm"


Data = Pairs | Ratings | Categories | Table | ReplicatedPairs | AlgorithmAndReaders | None
