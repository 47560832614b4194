"""The results of a report as files: every estimate as JSON and CSV, the main ones for the R script."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence

from ki67 import __version__
from ki67.stats import kappa
from ki67.stats.bland_altman import ba_bias, ba_loa
from ki67.stats.classes import categories_of_pairs
from ki67.stats.coding import code
from ki67.stats.concordance import lin_ccc
from ki67.stats.estimate import Estimate
from ki67.stats.grid import LOG2, PANEL, RAW, ReadingGrid, grid_of, on_scale
from ki67.stats.icc import icc
from ki67.stats.readings import natural_order
from ki67.study.agreement_rows import class_borders
from ki67.study.cutoffs import panel_of
from ki67.study.material import StudyMaterial
from ki67.study.readings import ALGORITHM
from ki67.study.report_parts import Numbers, RunFact

CLASSES = "classes"
ESTIMATE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("part", "part of the analysis"),
    ("statistic", "name of the statistic"),
    ("variant", "how it or its interval is computed"),
    ("readers", "the two that are compared, where it is two"),
    ("value", "the estimate; empty where undefined"),
    ("ci_low", "lower limit; empty where there is none"),
    ("ci_high", "upper limit"),
    ("n", "units used: cases, pairs or readings, as `method` says"),
    ("excluded", "units left out"),
    ("target", "whom the interval speaks about: these readers, or the reader population"),
    ("params", "JSON: alpha, coverage, scale, level, classes"),
    ("method", "method in words"),
    ("seed", "seed of a bootstrap or simulation"),
    ("reason", "keyword: why value or limits are undefined"),
    ("message", "the same as a sentence"),
)
MAIN_COLUMNS: tuple[tuple[str, str], ...] = (
    ("statistic", "name of the statistic"),
    ("scale", "none: percent; log2(x+0.1); classes"),
    ("value", "the estimate; algorithm minus panel where it is a difference"),
    ("low", "lower 95 % limit; empty where it is not recomputed"),
    ("high", "upper 95 % limit"),
)
SETTING_COLUMNS: tuple[tuple[str, str], ...] = (
    ("name", "setting; one that comes several times is a list in its order"),
    ("value", "its value"),
)
RUN_COLUMNS: tuple[tuple[str, str], ...] = (
    ("case", "case code"),
    ("result", "code of the result"),
    ("run", "code of the run"),
    ("model_set", "model set"),
    ("tumor_sha256", "hash of the weights of step 1; empty without a tumor mask"),
    ("cells_sha256", "hash of the weights of step 2"),
    ("backend", "what ran the nets"),
    ("device", "on which device"),
    ("precision", "in which precision"),
    ("seed", "seed of the run"),
    ("software_version", "version of this software that made it"),
    ("started_at", "when, ISO 8601, UTC"),
    ("positive", "positive tumor nuclei counted"),
    ("negative", "negative tumor nuclei counted"),
    ("flags", "number of flags"),
)


def estimates_json(found: Numbers) -> bytes:
    """Every estimate with its settings; undefined is null with a reason."""
    content = [{"part": part, **_plain(estimate)} for part, estimate in found.estimates]
    verdict = found.variability.verdict
    whole = {
        "software_version": __version__,
        "estimates": content,
        "verdict": {
            "criterion": verdict.criterion,
            "word": verdict.word,
            "f_low": verdict.f_low,
            "gpq_low": verdict.gpq_low,
        },
    }
    return (json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf8")


def estimates_csv(found: Numbers) -> bytes:
    """The same as a table."""
    return table_csv(
        ESTIMATE_COLUMNS,
        (
            (
                part, each.statistic, each.variant, " ".join(each.readers or ()), _number(each.value),
                _number(each.ci_low), _number(each.ci_high), each.n, each.excluded, each.target or "",
                json.dumps(dict(each.params), ensure_ascii=False, sort_keys=True), each.method,
                "" if each.seed is None else each.seed, each.reason or "", each.message,
            )
            for part, each in found.estimates
        ),
    )  # fmt: skip


def main_results(material: StudyMaterial) -> tuple[tuple[str, Estimate], ...]:
    """What the R script recomputes, each with its scale: Bland–Altman, concordance, ICC(2,1), kappa.

    Algorithm against the panel, in percent and on the log scale; readers with each other.
    """
    grid = grid_of(material.readings)
    panel = panel_of(grid, material.plan.reference)
    found: list[tuple[str, Estimate]] = []
    if grid.has_algorithm and grid.readers:
        for scale in (RAW, LOG2):
            pairs = grid.pairs(on_scale(panel, scale), on_scale(grid.algorithm_first(), scale))
            limits = [ba_loa(pairs, side=side) for side in ("lower", "upper")]
            found += [(scale, each) for each in (ba_bias(pairs), *limits, lin_ccc(pairs))]
        for borders in class_borders(material)[:1]:
            pairs = grid.pairs(panel, grid.algorithm_first())
            codes = code(categories_of_pairs(pairs, borders.cutoffs, readers=(PANEL, ALGORITHM)))
            found.append((CLASSES, kappa.cohen_kappa(codes)))
    if len(grid.readers) > 1:
        found += [
            (RAW, icc(grid.ratings(), "ICC(2,1)")),
            (LOG2, icc(grid.ratings(), "ICC(2,1)", transform="log2(x+0.1)")),
        ]
    return tuple(found)


def main_csv(material: StudyMaterial) -> bytes:
    """The main results as the R script reads them; a kappa without its limits, which it does not make."""
    rows = []
    for scale, each in main_results(material):
        limits = ("", "") if scale == CLASSES else (_number(each.ci_low), _number(each.ci_high))
        rows.append((each.statistic, scale, _number(each.value), *limits))
    return table_csv(MAIN_COLUMNS, rows)


def settings_csv(material: StudyMaterial) -> bytes:
    """How the main results were made: orders of sessions and repeats, reference, borders of the classes."""
    grid: ReadingGrid = grid_of(material.readings)
    readings = material.readings
    own = zip(readings.readers, readings.sessions, strict=True)
    algorithm_sessions = natural_order({session for who, session in own if who == ALGORITHM})
    rows: list[tuple[str, str]] = [("scale", material.plan.scale), ("reference", material.plan.reference)]
    rows += [("session", name) for name in grid.sessions]
    rows += [("algorithm_session", name) for name in algorithm_sessions]
    rows += [("replicate", name) for name in grid.replicates]
    for borders in class_borders(material)[:1]:
        rows += [
            ("border", f"{'<=' if border.belongs_below else '<'}{border.percent}")
            for border in borders.cutoffs.borders
        ]
    rows += [("seed", str(material.plan.seed)), ("bootstrap", str(material.plan.bootstrap))]
    rows += [("software_version", __version__)]
    return table_csv(SETTING_COLUMNS, rows)


def runs_csv(runs: Sequence[RunFact]) -> bytes:
    """The results and runs behind the algorithm's values, with the hashes of their weights."""
    lines = []
    for each in runs:
        hashes = {step: "" if ref is None else ref.sha256 for step, ref in each.models}
        lines.append(
            (
                each.case_code, each.result_code, each.run_code, each.model_set, hashes.get("tumor", ""),
                hashes.get("cells", ""), each.backend, each.device, each.precision, each.seed,
                each.software_version, each.started_at, each.positive, each.negative, each.flags,
            )
        )  # fmt: skip
    return table_csv(RUN_COLUMNS, lines)


def table_csv(columns: Sequence[tuple[str, str]], lines: Iterable[Sequence[object]]) -> bytes:
    """CSV in UTF-8 under the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(lines)
    return text.getvalue().encode("utf8")


def _plain(estimate: Estimate) -> dict[str, object]:
    fields = {field.name: getattr(estimate, field.name) for field in dataclasses.fields(estimate)}
    return {**fields, "params": dict(estimate.params)}


def _number(value: float | None) -> str:
    """Unrounded; empty where undefined."""
    return "" if value is None else repr(float(value))
