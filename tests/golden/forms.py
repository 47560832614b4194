"""Golden data as the library's forms: files of a golden folder, or columns of an edge case."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ki67.stats.forms import (
    AlgorithmAndReaders,
    Categories,
    Data,
    Pairs,
    Ratings,
    Reals,
    ReplicatedPairs,
    Table,
)

Cells = Mapping[str, Sequence[Any]]


def columns_of(path: Path) -> dict[str, list[str]]:
    """The columns of a CSV file, by their heads, in order."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = [row for row in csv.reader(file) if row]
    return {name: [row[place] for row in rows] for place, name in enumerate(head)}


def as_form(form: str, cells: Cells, categories: Sequence[str]) -> Data:
    """`cells` in the form named; an empty cell or None is missing. ValueError for an unknown form."""
    if form == "none":
        return None
    if form == "table":
        return _table(cells)
    cases = _names(cells["case"])
    if form == "pairs":
        return Pairs(cases, _numbers(cells["x"]), _numbers(cells["y"]))
    if form == "replicated_pairs":
        return ReplicatedPairs(
            cases, _names(cells["method"]), _names(cells["replicate"]), _numbers(cells["value"])
        )
    readers = _names(cells["reader"])
    if form == "categories":
        return Categories(cases, readers, _names(cells["category"]), tuple(categories))
    if form == "algorithm_and_readers":
        return AlgorithmAndReaders(cases, readers, _numbers(cells["value"]))
    if form == "ratings":
        sessions, replicates = (_names(cells.get(name, ())) for name in ("session", "replicate"))
        return Ratings(cases, readers, _numbers(cells["value"]), sessions, replicates)
    raise ValueError(f"unknown form {form}")


def _table(cells: Cells) -> Table:
    """Counts: the first column names the rows, every other column is a class of the second rater."""
    _, *names = cells
    return Table(np.array([_numbers(cells[name]) for name in names]).T, tuple(names))


def _names(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple("" if value is None else str(value) for value in values)


def _numbers(values: Sequence[Any]) -> Reals:
    return np.array([np.nan if value in (None, "") else float(value) for value in values], float)
