"""Export of everything an analysis used: readings, the algorithm's values, exclusions, plan, code book.

CSV in UTF-8 with unrounded percentages and codes instead of names; empty is unknown, never 0. The same data
give the same bytes.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import zipfile
from collections.abc import Iterable, Sequence

from ki67.study.material import Selection, StudyMaterial, gather
from ki67.study.people import Person, require
from ki67.study.plans import PlanVersion, plan_history
from ki67.study.readings import StoredReading, list_readings, reading_history
from ki67.study.studies import StudyCase, study_cases
from ki67.study.workplace import Workplace

_STAMP = (1980, 1, 1, 0, 0, 0)  # a ZIP needs a time: this one, so that the same data give the same bytes
READING_COLUMNS: tuple[tuple[str, str], ...] = (
    ("case", "case code"),
    ("patient", "patient code; all cases of a patient are resampled together"),
    ("reader", "reader code"),
    ("session", "reading session"),
    ("replicate", "repeat within the session"),
    ("method", "scoring method: global, hot spot or count"),
    ("value_percent", "the reading in percent, 0-100; empty when not assessable"),
    ("state", "value, not assessable or withdrawn"),
    ("reason", "why it is not assessable, or why it was changed"),
    ("positive", "positive nuclei counted"),
    ("negative", "negative nuclei counted"),
    ("fields", "JSON: counts, level and area share in percent of each counted field"),
    ("region", "GeoJSON of where the reader looked, in pixels of the picture"),
    ("picture", "code of that picture"),
    ("version", "1 for the first entry; the highest version holds"),
    ("author", "who entered it"),
    ("entered_at", "when, ISO 8601, UTC"),
    ("import", "code of the import it came with"),
)
ANALYSIS_COLUMNS: tuple[tuple[str, str], ...] = (
    ("case", "case code"),
    ("patient", "patient code"),
    ("reader", "reader code; `algorithm` is the algorithm"),
    ("session", "reading session"),
    ("replicate", "repeat within the session"),
    ("value_percent", "the value that was analysed, in percent"),
)
ALGORITHM_COLUMNS: tuple[tuple[str, str], ...] = (
    ("case", "case code"),
    ("value_percent", "the algorithm's index in percent"),
    ("positive", "positive tumor nuclei"),
    ("negative", "negative tumor nuclei"),
    ("results", "codes of the results it was pooled from"),
    ("model_set", "the model set that scored them"),
)
CASE_COLUMNS: tuple[tuple[str, str], ...] = (
    ("case", "case code"),
    ("patient", "patient code"),
    ("excluded", "why the case is left out; empty when it is not"),
)
EXCLUSION_COLUMNS: tuple[tuple[str, str], ...] = (
    ("what", "what took no part"),
    ("count", "how many"),
    ("reason", "why"),
)


def readings_csv(readings: Sequence[StoredReading]) -> bytes:
    """Stored readings, a row each, as `READING_COLUMNS` names them; can be imported again (pooled counts)."""
    return _csv(READING_COLUMNS, (_reading_line(each) for each in readings))


def analysis_csv(material: StudyMaterial) -> bytes:
    """The values that an analysis takes, in the form `python -m ki67 agreement` reads."""
    taken = material.readings
    lines = zip(
        taken.cases, taken.patients, taken.readers, taken.sessions, taken.replicates,
        (_number(float(value)) for value in taken.values), strict=True,
    )  # fmt: skip
    return _csv(ANALYSIS_COLUMNS, lines)


def algorithm_csv(material: StudyMaterial) -> bytes:
    """The algorithm's value of each case with its counts and the results behind it."""
    lines = (
        (each.case_code, _number(each.value_percent), each.positive, each.negative,
         " ".join(each.result_codes), each.models)
        for each in material.algorithm
    )  # fmt: skip
    return _csv(ALGORITHM_COLUMNS, lines)


def cases_csv(cases: Sequence[StudyCase]) -> bytes:
    """The cases of a study, with the reason of those that are left out."""
    return _csv(CASE_COLUMNS, ((each.code, each.patient_code, each.excluded) for each in cases))


def exclusions_csv(material: StudyMaterial) -> bytes:
    """What took no part in the analysis, counted."""
    return _csv(EXCLUSION_COLUMNS, ((each.what, each.count, each.why) for each in material.exclusions))


def plan_json(versions: Sequence[PlanVersion]) -> bytes:
    """Every version of the plan, the first first; the last one holds."""
    content = [
        {
            "version": each.version,
            "written_at": each.at.isoformat(timespec="seconds"),
            "author": each.author,
            "after_readings": each.after_readings,
            "reason": each.reason,
            "plan": dataclasses.asdict(each.plan),
        }
        for each in versions
    ]
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode("utf8")


def code_book() -> bytes:
    """What every column of every file means."""
    tables = (
        ("readings.csv", "every reading that holds", READING_COLUMNS),
        ("history.csv", "every version of every reading, withdrawn ones too", READING_COLUMNS),
        ("analysis.csv", "the values that the analysis took", ANALYSIS_COLUMNS),
        ("algorithm.csv", "the algorithm's value of each case", ALGORITHM_COLUMNS),
        ("cases.csv", "the cases of the study", CASE_COLUMNS),
        ("exclusions.csv", "what took no part", EXCLUSION_COLUMNS),
    )
    parts = ["Code book. Research use only.\n"]
    for name, holds, columns in tables:
        parts.append(f"{name}: {holds}\n")
        parts += [f"  {column}: {meaning}\n" for column, meaning in columns]
    parts.append("plan.json: every version of the analysis plan; the last one holds\n")
    return "".join(parts).encode("utf8")


def export_study(
    workplace: Workplace, person: Person, study_code: str, selection: Selection | None = None
) -> bytes:
    """A ZIP of everything that an analysis of a study uses, with its code book.

    Raises:
        StoreError: no such study; a reader or session that it does not have.
        NotAllowed: a reader asks.
    """
    require(person, "coordinator", "analyst", doing="export readings")
    material = gather(workplace, person, study_code, selection)
    parts = {
        "codebook.txt": code_book(),
        "readings.csv": readings_csv(list_readings(workplace, person, study_code)),
        "history.csv": readings_csv(reading_history(workplace, person, study_code)),
        "analysis.csv": analysis_csv(material),
        "algorithm.csv": algorithm_csv(material),
        "cases.csv": cases_csv(study_cases(workplace, person, study_code)),
        "exclusions.csv": exclusions_csv(material),
        "plan.json": plan_json(plan_history(workplace, person, study_code)),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _STAMP), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _reading_line(each: StoredReading) -> tuple[object, ...]:
    key = each.key
    fields = json.dumps([vars(part) for part in each.fields]) if each.fields else ""
    return (
        key.case_code, each.patient_code, key.reader_code, key.session, key.replicate, key.method,
        "" if each.value_percent is None else _number(each.value_percent), each.state, each.reason,
        "" if each.positive is None else each.positive, "" if each.negative is None else each.negative,
        fields, each.region_geojson or "", each.picture_code or "", each.version, each.author,
        each.at.isoformat(timespec="seconds"), each.import_code or "",
    )  # fmt: skip


def _number(value: float) -> str:
    """The shortest text that reads back as the same number: 12.0 as "12"."""
    return str(int(value)) if value.is_integer() else repr(value)


def _csv(columns: Sequence[tuple[str, str]], lines: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(lines)
    return text.getvalue().encode("utf8")
