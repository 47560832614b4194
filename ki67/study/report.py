"""The report of a study: an HTML page, a PDF, and an archive with data, results and an R script.

The report opens with the plan; what the plan does not name is marked secondary. The same data give the same
bytes but for the time stamp, which stands once on the page.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime

from ki67.errors import Ki67Error
from ki67.study import reading_export, report_results
from ki67.study.material import Selection
from ki67.study.people import Person
from ki67.study.report_facts import gather_facts
from ki67.study.report_figures import figures
from ki67.study.report_numbers import numbers_of
from ki67.study.report_page import TEMPLATES, page_of
from ki67.study.report_parts import Numbers, ReportFacts, ReportFiles
from ki67.study.report_pdf import pdf_of
from ki67.study.workplace import Workplace

__all__ = ["ReportFiles", "name_of", "study_report"]

_STAMP = (1980, 1, 1, 0, 0, 0)  # a ZIP needs a time: this one, so that the same data give the same bytes
R_SCRIPT = "recompute.R"


def study_report(
    workplace: Workplace,
    person: Person,
    study_code: str,
    selection: Selection | None = None,
    *,
    made_at: datetime | None = None,
) -> ReportFiles:
    """Makes the report of a study, or of the part of it that a selection leaves.

    `made_at`: the time that stands on it, now unless said otherwise.

    Raises:
        StoreError: no such study; a reader or session that it does not have.
        NotAllowed: a reader asks.
    """
    facts = gather_facts(workplace, person, study_code, selection)
    found = numbers_of(facts.material, facts.counted)
    moment = made_at or datetime.now(UTC)
    page = page_of(facts, found, figures(facts, found), made_at=moment)
    pdf, why_no_pdf = _pdf(page)
    name = name_of(facts.material.study.code)
    files = {f"{name}.html": page, **({f"{name}.pdf": pdf} if pdf else {}), **_data(facts, found)}
    return ReportFiles(name, page, pdf, why_no_pdf, _packed(files, why_no_pdf), moment)


def name_of(study_code: str) -> str:
    """What the files of a study's report are called, without their endings."""
    return f"{study_code}-report"


def _pdf(page: bytes) -> tuple[bytes | None, str]:
    try:
        return pdf_of(page), ""
    except Ki67Error as error:
        return None, str(error)


def _data(facts: ReportFacts, found: Numbers) -> dict[str, bytes]:
    """Everything in the archive besides the report itself."""
    material = facts.material
    return {
        R_SCRIPT: (TEMPLATES / R_SCRIPT).read_bytes(),
        "data/readings.csv": reading_export.readings_csv(facts.stored),
        "data/history.csv": reading_export.readings_csv(facts.history),
        "data/analysis.csv": reading_export.analysis_csv(material),
        "data/algorithm.csv": reading_export.algorithm_csv(material),
        "data/cases.csv": reading_export.cases_csv(facts.members),
        "data/exclusions.csv": reading_export.exclusions_csv(material),
        "data/plan.json": reading_export.plan_json(facts.versions),
        "data/runs.csv": report_results.runs_csv(facts.runs),
        "results/estimates.json": report_results.estimates_json(found),
        "results/estimates.csv": report_results.estimates_csv(found),
        "results/main.csv": report_results.main_csv(material),
        "results/settings.csv": report_results.settings_csv(material),
    }


def _code_book() -> bytes:
    """What every column of every file means."""
    tables = (
        ("data/runs.csv: the runs behind the algorithm's values", report_results.RUN_COLUMNS),
        (
            "results/estimates.csv: every estimate, as estimates.json",
            report_results.ESTIMATE_COLUMNS,
        ),
        ("results/main.csv: what the R script recomputes", report_results.MAIN_COLUMNS),
        ("results/settings.csv: how the main results were made", report_results.SETTING_COLUMNS),
    )
    parts = [reading_export.code_book().decode("utf8")]
    for words, columns in tables:
        parts.append(f"{words}\n")
        parts += [f"  {column}: {meaning}\n" for column, meaning in columns]
    parts.append(f"{R_SCRIPT}: run it with `Rscript {R_SCRIPT}` in this folder; base R is enough\n")
    return "".join(parts).encode("utf8")


def _packed(files: Mapping[str, bytes], why_no_pdf: str) -> bytes:
    notes = {"codebook.txt": _code_book()}
    if why_no_pdf:
        notes["no-pdf.txt"] = f"{why_no_pdf}\n".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, **notes}.items():
            archive.writestr(zipfile.ZipInfo(name, _STAMP), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
