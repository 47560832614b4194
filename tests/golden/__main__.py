"""`python -m tests.golden DIR`: every golden value of a folder against the library's public functions.

Reads DIR/expected.json and the files it names under DIR/data; computes each row whose role is primary and
each edge case that carries its data. Prints one line per row that is outside its tolerance or cannot be
computed, then "N passed, M failed"; the exit code is 1 if any failed. It knows forms, statistics, variants
and params, never cases or file names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ki67.errors import Ki67Error
from ki67.stats.estimate import Estimate, Form, ParamValue
from ki67.stats.forms import Data
from ki67.stats.registry import compute
from tests.golden.forms import as_form, columns_of

Row = Mapping[str, Any]
UNDEFINED = "undefined"
FAILURES = (Ki67Error, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, OSError)


def main(arguments: list[str]) -> int:
    """Check one folder; returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m tests.golden DIR", file=sys.stdout if "--help" in arguments else sys.stderr)
        return 0 if arguments == ["--help"] else 2
    folder = Path(arguments[0])
    try:
        expected = json.loads((folder / "expected.json").read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        print(f"{folder / 'expected.json'} cannot be read: {error}", file=sys.stderr)
        return 1
    rows = [row for row in expected["rows"] if row.get("role") == "primary"]
    rows += [case for case in expected.get("edge_cases", ()) if case.get("form")]
    failures = [line for line in (check(row, folder) for row in rows) if line]
    for line in failures:
        print(line)
    print(f"{len(rows) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


def check(row: Row, folder: Path) -> str:
    """Empty when the row holds, else the line that says what does not."""
    name = f"{row['id']} {row['form']} {row['statistic']} ({row['variant']})"
    try:
        estimate = compute(
            cast(Form, row["form"]),
            row["statistic"],
            row["variant"],
            data=data_of(row, folder),
            params=params_of(row),
        )
    except FAILURES as error:
        return f"{name}: cannot be computed: {type(error).__name__}: {error}"
    wrong = differences(row, estimate)
    return f"{name}: {'; '.join(wrong)}" if wrong else ""


def data_of(row: Row, folder: Path) -> Data:
    """The data of a row in its form: a file of the folder, or the columns that an edge case carries."""
    source = row["data"]
    cells = columns_of(folder / "data" / source) if isinstance(source, str) else source or {}
    return as_form(row["form"], cells, row["params"].get("categories", ()))


def params_of(row: Row) -> dict[str, ParamValue]:
    """The row's params with lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row["params"].items()}


def differences(row: Row, estimate: Estimate) -> list[str]:
    """What of value, limits and reason is not as expected; null in the row is not judged."""
    found = {name: getattr(estimate, name) for name in ("value", "ci_low", "ci_high")}
    wrong = [
        f"{name} {found[name]} instead of {row[name]}"
        for name in found
        if row[name] is not None and not _holds(found[name], row[name], row["tol"])
    ]
    reason = row.get("reason")
    if reason is not None and estimate.reason != reason:
        wrong.append(f"reason {estimate.reason} instead of {reason}")
    return wrong


def _holds(found: float | None, wanted: float | str, tolerance: float) -> bool:
    if isinstance(wanted, str):
        return wanted == UNDEFINED and found is None
    return found is not None and abs(found - wanted) <= tolerance * max(1.0, abs(wanted))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
