"""Runs of `python -m ki67 agreement` over made-up tables: what its tests share."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ki67.cli import main

COLUMNS = ("--case", "case", "--reader", "reader", "--value", "value")


def table(path: Path, head: str, rows: Iterable[Iterable[object]]) -> Path:
    with path.open("w", newline="", encoding="utf8") as file:
        csv.writer(file).writerows([head.split(","), *rows])
    return path


def simulated_rows(
    *, cases: int = 12, readers: int = 3, sessions: int = 2, seed: int = 5
) -> list[tuple[Any, ...]]:
    """Log-normal readings of two sessions, and the algorithm in the first."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    for case in range(1, cases + 1):
        truth = rng.normal(2.5, 1.0)
        rows.append((f"T{case}", "algorithm", 1, round(min(99.0, math.exp(truth)), 2)))
        for reader in range(1, readers + 1):
            own = truth + rng.normal(0, 0.25)
            for session in range(1, sessions + 1):
                value = min(99.0, math.exp(own + rng.normal(0, 0.15)))
                rows.append((f"T{case}", f"R{reader}", session, round(value)))
    return rows


def run(path: Path, *more: str, by: str = "all") -> dict[str, Any]:
    """The group of that name of a run's JSON."""
    out = path.with_suffix(".json")
    assert main(["agreement", str(path), *COLUMNS, "--bootstrap", "20", "--json", str(out), *more]) == 0
    document: dict[str, Any] = json.loads(out.read_text(encoding="utf8"))
    group: dict[str, Any] = document["groups"][by] | {"warnings": document["warnings"]}
    return group


def pick(
    group: dict[str, Any], statistic: str, variant: str, readers: list[str] | None = None, **params: Any
) -> Any:
    """The one estimate of this name, variant, pair and params."""
    found = [
        one
        for one in group["estimates"]
        if (one["statistic"], one["variant"], one["readers"]) == (statistic, variant, readers)
        and params.items() <= one["params"].items()
    ]
    assert len(found) == 1, f"{len(found)} estimates {statistic} ({variant}) {readers} {params}"
    return found[0]


@pytest.fixture(scope="module", name="study")
def simulated_study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Twelve cases, three readers in two sessions, the algorithm, classes of the breast."""
    path = tmp_path_factory.mktemp("agreement") / "s.csv"
    table(path, "case,reader,session,value", simulated_rows())
    return run(path, "--session", "session", "--site", "breast", "--seed", "3")


def matrix(rows: list[tuple[Any, ...]], session: int = 1) -> np.ndarray:
    found = {(case, reader): value for case, reader, held, value in rows if held == session}
    cells = [[found[f"T{case}", f"R{reader}"] for reader in (1, 2, 3)] for case in range(1, 13)]
    return np.array(cells, float)
