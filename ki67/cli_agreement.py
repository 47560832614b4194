"""`agreement`: from parsed options to the statistics of a table of readings, a table for people and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ki67 import numbers
from ki67.atomic import write_whole_file
from ki67.errors import DataError
from ki67.sites import class_systems
from ki67.stats.analysis import AnalysisSettings, ClassBorders, GroupAnalysis, analyse
from ki67.stats.classes import cutoffs_of, parse_cutoffs
from ki67.stats.estimate import Estimate
from ki67.stats.grid import ALGORITHM, PANEL
from ki67.stats.readings import Columns, ReadingTable, natural_order, read_readings
from ki67.types import Progress, ReportProgress

_HEADS = (("statistic", 28), ("variant", 40), ("value", 12), ("interval", 22), ("n", 7))


class BadCutoffs(DataError):
    """`--cutoffs` is not a list of borders: bad usage."""


def run_agreement(chosen: argparse.Namespace) -> int:
    """Print the statistics of a table of readings; `--json` writes every one of them."""
    classes = _classes(chosen)
    table = read_readings(chosen.readings, _columns(chosen))
    settings = AnalysisSettings(
        algorithm=_algorithm(chosen, table),
        log2=chosen.log2,
        classes=classes,
        criterion=chosen.criterion,
        seed=chosen.seed,
        bootstrap=chosen.bootstrap,
    )
    groups: dict[str, GroupAnalysis] = {}
    warnings = [*table.warnings, *_look_alikes(table, settings.algorithm)]
    for name, readings in table.groups:
        with _bar(name if chosen.by else "agreement") as report:
            groups[name] = analyse(readings, settings, report=report)
        level = f"{name}: " if chosen.by else ""
        warnings += [f"{level}{warning}" for warning in groups[name].warnings]
    for warning in warnings:
        print(f"ki67 agreement: warning: {warning}", file=sys.stderr)
    if chosen.json:
        write_whole_file(chosen.json, as_json(groups, warnings).encode())
    for name, group in groups.items():
        _print_group(name, group, settings)
    return 0


def as_json(groups: Mapping[str, GroupAnalysis], warnings: Iterable[str]) -> str:
    """The document of `--json`: each group by its level, and the warnings."""
    document = {
        "groups": {name: _group_json(group) for name, group in groups.items()},
        "warnings": list(warnings),
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


def _group_json(group: GroupAnalysis) -> dict[str, Any]:
    return {
        "n_cases": group.n_cases,
        "n_readers": group.n_readers,
        "estimates": [_estimate_json(estimate) for estimate in group.estimates],
        "verdict": {
            "criterion": group.verdict.criterion,
            "word": group.verdict.word,
            "f_low": group.verdict.f_low,
            "gpq_low": group.verdict.gpq_low,
        },
    }


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "statistic": estimate.statistic,
        "variant": estimate.variant,
        "value": estimate.value,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
        "n": estimate.n,
        "method": estimate.method,
        "seed": estimate.seed,
        "reason": estimate.reason,
        "form": estimate.form,
        "params": dict(estimate.params),
        "readers": estimate.readers,
        "target": estimate.target,
        "message": estimate.message,
        "excluded": estimate.excluded,
    }


def _columns(chosen: argparse.Namespace) -> Columns:
    return Columns(
        case=chosen.case,
        reader=chosen.reader,
        value=chosen.value,
        session=chosen.session,
        replicate=chosen.replicate,
        patient=chosen.patient,
        by=chosen.by,
    )


def _classes(chosen: argparse.Namespace) -> tuple[ClassBorders, ...]:
    """The classes of the site, and those of `--cutoffs`."""
    systems = class_systems(chosen.site) if chosen.site else ()
    classes = [ClassBorders(system.name, cutoffs_of(system)) for system in systems]
    if chosen.cutoffs is not None:
        try:
            classes.append(ClassBorders("cut-offs", parse_cutoffs(chosen.cutoffs)))
        except DataError as error:
            raise BadCutoffs(f"--cutoffs: {error}") from None
    return tuple(classes)


def _algorithm(chosen: argparse.Namespace, table: ReadingTable) -> str:
    """The algorithm's name; one that was asked for must be in the table."""
    if chosen.algorithm is None:
        return ALGORITHM
    names = {reader for _, readings in table.groups for reader in readings.readers}
    if chosen.algorithm not in names:
        listed = ", ".join(natural_order(names)) or "none"
        raise DataError(
            f"{chosen.readings} has no reader “{chosen.algorithm}” as the algorithm; its readers: {listed}."
        )
    name: str = chosen.algorithm
    return name


def _look_alikes(table: ReadingTable, algorithm: str) -> list[str]:
    """Readers whose name differs from the algorithm's in capitals only."""
    names = {reader for _, readings in table.groups for reader in readings.readers} - {algorithm}
    return [
        f"“{name}” is taken as a reader: the algorithm is called “{algorithm}” (--algorithm names another)."
        for name in natural_order(names)
        if name.casefold() == algorithm.casefold()
    ]


def _print_group(name: str, group: GroupAnalysis, settings: AnalysisSettings) -> None:
    """The verdict and every statistic of the readers as a group and of algorithm and panel."""
    print(f"\n{name}: {group.n_cases} cases, {group.n_readers} readers, scale {settings.transform}")
    for exclusion in group.exclusions:
        print(f"  {exclusion.count} {exclusion.what}: {exclusion.why}")
    print(f"IKWG verdict: {group.verdict.word or 'none'}. {group.verdict.sentence}")
    main = [one for one in group.estimates if one.readers is None]
    panel = [one for one in group.estimates if one.readers and one.readers[0] == PANEL]
    for title, rows in (("Readers as a group", main), ("Algorithm against the panel's median", panel)):
        if rows:
            print(f"\n{title}\n" + "".join(f"{head:<{width}}" for head, width in _HEADS).rstrip())
            for estimate in rows:
                print(_line(estimate))
    others = len(group.estimates) - len(main) - len(panel)
    if others:
        print(f"\n{others} more for pairs of readers, sessions and repeats: --json FILE writes them all.")


def _line(estimate: Estimate) -> str:
    limits = (estimate.ci_low, estimate.ci_high)
    shown = "" if limits == (None, None) else " to ".join(_shown(limit) for limit in limits)
    cells = (
        estimate.statistic,
        _variant(estimate),
        _shown(estimate.value),
        shown,
        numbers.count(estimate.n),
    )
    text = "".join(f"{cell:<{width - 1}} " for cell, (_, width) in zip(cells, _HEADS, strict=True))
    return f"{text}{estimate.message}".rstrip()


def _variant(estimate: Estimate) -> str:
    """The variant, and at which level or of which classes and border."""
    level, *named = (estimate.params.get(name) for name in ("level", "classes", "positive_from"))
    at = [] if level is None else [f"at {level:g} %"]
    return ", ".join([estimate.variant, *at, *(str(name) for name in named if name)])


def _shown(value: float | None) -> str:
    return "–" if value is None else numbers.decimal(value, decimals=4)


@contextmanager
def _bar(name: str) -> Iterator[ReportProgress]:
    """A progress bar on a terminal, nothing into a pipe."""
    with tqdm(desc=name, disable=not sys.stderr.isatty(), leave=False) as bar:

        def report(step: Progress) -> None:
            bar.total, bar.n = step.total, step.done
            bar.refresh()

        yield report
