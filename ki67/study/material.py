"""What an analysis of a study is made from: its readings and the algorithm's own values, chosen by a filter.

The algorithm's value of a case is that of its scored pictures: the global index pools the counts of the
pictures' newest runs with one model set, the hot spot is the highest of theirs. A study that imported
readings of a reader called `algorithm` and has no results for a case takes those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from db import study_queries
from db.rows import CaseRow, ResultRow
from db.study_rows import ReadingValueRow
from ki67.errors import StoreError
from ki67.index import ki67_index
from ki67.stats.analysis import Exclusion
from ki67.stats.readings import Readings, natural_order
from ki67.study.people import Person, require
from ki67.study.plans import AnalysisPlan, current_plan
from ki67.study.readings import ALGORITHM, Method
from ki67.study.results import CaseSummary, summarize_case
from ki67.study.studies import Study, find_study, get_study
from ki67.study.workplace import Workplace, reading


@dataclass(frozen=True)
class Selection:
    """Which readings of a study take part; the same on every page. Empty: all; `method` None: the plan's."""

    method: Method | None = None
    sessions: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    without_cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlgorithmValue:
    """The algorithm on a case: index in %, its counts, and the results (codes) it was pooled from."""

    case_code: str
    value_percent: float
    positive: int
    negative: int
    result_codes: tuple[str, ...]
    models: str


@dataclass(frozen=True)
class StudyMaterial:
    """The readings of a study as the statistics take them.

    `readings` holds the readers' values and, under the reader name `algorithm`, the algorithm's.
    `methods`, `sessions` and `readers` are what there is to choose from; where no plan was written, `plan`
    is the default one and `plan_written` False. `selection` is what was asked for.
    """

    study: Study
    plan: AnalysisPlan
    plan_written: bool
    plan_after_readings: bool
    method: Method
    readings: Readings
    algorithm: tuple[AlgorithmValue, ...]
    methods: tuple[Method, ...]
    sessions: tuple[str, ...]
    readers: tuple[str, ...]
    cases: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    selection: Selection = Selection()


def gather(
    workplace: Workplace, person: Person, study_code: str, selection: Selection | None = None
) -> StudyMaterial:
    """Everything that takes part in an analysis.

    Raises:
        StoreError: no such study; a reader or session that it does not have.
        NotAllowed: a reader asks.
    """
    require(person, "coordinator", "analyst", doing="look at readings")
    wanted = selection or Selection()
    study = get_study(workplace, person, study_code)
    version = current_plan(workplace, person, study_code)
    plan = version.plan if version else AnalysisPlan()
    method = wanted.method or plan.method
    with reading(workplace) as session:
        row = find_study(session, study_code)
        stored = study_queries.reading_values(session, row.id)
        members = study_queries.study_cases(session, row.id)
        kept = [each for each in members if not each.excluded and each.case.code not in wanted.without_cases]
        results = study_queries.results_of_study(session, row.id)
    values = _algorithm_values([each.case for each in kept], results, method, plan.model_set)
    codes = {each.case.code for each in kept}
    of_method = [each for each in stored if each.method == method]
    chosen = [each for each in of_method if each.case_code in codes and _wanted(each, wanted)]
    _check(wanted, of_method)
    return StudyMaterial(
        study=study,
        plan=plan,
        plan_written=version is not None,
        plan_after_readings=version is not None and version.after_readings,
        method=method,
        readings=_readings(chosen, values, {each.case.code: each.case.patient_code for each in kept}),
        algorithm=tuple(values.values()),
        methods=tuple(sorted({cast(Method, each.method) for each in stored})),
        sessions=tuple(natural_order(each.session for each in of_method)),
        readers=tuple(natural_order(each.reader_code for each in of_method if each.reader_code != ALGORITHM)),
        cases=tuple(each.case.code for each in kept),
        exclusions=_exclusions(len(members) - len(kept), chosen, values, codes),
        selection=wanted,
    )


def state_of(workplace: Workplace, person: Person, study_code: str) -> str:
    """A text that changes whenever `gather` might give something else; cheap, to keep what was gathered by.

    Raises:
        StoreError: no such study.
        NotAllowed: a reader asks.
    """
    require(person, "coordinator", "analyst", doing="look at readings")
    with reading(workplace) as session:
        return repr(study_queries.study_state(session, find_study(session, study_code).id))


def _wanted(each: ReadingValueRow, wanted: Selection) -> bool:
    is_algorithm = each.reader_code == ALGORITHM
    if wanted.readers and not is_algorithm and each.reader_code not in wanted.readers:
        return False
    return not wanted.sessions or is_algorithm or each.session in wanted.sessions


def _check(wanted: Selection, of_method: Sequence[ReadingValueRow]) -> None:
    known = {each.reader_code for each in of_method}
    strangers = [code for code in wanted.readers if code not in known]
    if strangers:
        raise StoreError(f"This study has no reader {strangers[0]}: choose from its readers.")
    sessions = {each.session for each in of_method}
    unknown = [name for name in wanted.sessions if name not in sessions]
    if unknown:
        raise StoreError(f"This study has no session {unknown[0]}: choose from its sessions.")


def _algorithm_values(
    cases: Sequence[CaseRow], results: Mapping[int, Sequence[ResultRow]], method: Method, model_set: str
) -> dict[str, AlgorithmValue]:
    """The cases that have a value; `results` of each case (by its row) newest first."""
    found = {}
    for case in cases:
        rows = [row for row in results.get(case.id, ()) if not model_set or row.run.model_set == model_set]
        if rows:
            value = _value(summarize_case(case, rows, rows[0].run.models), method, rows)
            if value is not None:
                found[case.code] = value
    return found


def _value(summary: CaseSummary, method: Method, rows: Sequence[ResultRow]) -> AlgorithmValue | None:
    """The value of one case; None when it is not assessable with this method."""
    codes: tuple[str, ...]
    if method == "hot spot":
        positive, negative = summary.hot_spot_positive, summary.hot_spot_negative
        codes = (summary.hot_spot_result,) if summary.hot_spot_result else ()
    else:
        positive, negative, codes = summary.positive, summary.negative, summary.result_codes
    if positive is None or negative is None:
        return None
    index = ki67_index(positive, negative)
    if index is None:
        return None
    return AlgorithmValue(summary.case_code, 100 * index, positive, negative, codes, rows[0].run.model_set)


def _readings(
    chosen: Sequence[ReadingValueRow], values: dict[str, AlgorithmValue], patients: dict[str, str]
) -> Readings:
    rows = [
        (
            each.case_code,
            each.reader_code,
            each.session,
            each.replicate,
            each.patient_code,
            each.value_percent,
        )
        for each in chosen
        if each.value_percent is not None and not (each.reader_code == ALGORITHM and each.case_code in values)
    ]
    rows += [
        (code, ALGORITHM, "1", "1", patients[code], value.value_percent) for code, value in values.items()
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    cases, readers, sessions, replicates, owners, numbers = columns
    return Readings(
        cases=tuple(cases),
        readers=tuple(readers),
        sessions=tuple(sessions),
        replicates=tuple(replicates),
        patients=tuple(owners),
        values=np.array(numbers, float),
        empty=sum(each.value_percent is None for each in chosen),
    )


def _exclusions(
    excluded: int, chosen: Sequence[ReadingValueRow], values: dict[str, AlgorithmValue], codes: set[str]
) -> tuple[Exclusion, ...]:
    """What took no part, counted: cases left out, readings not assessable per reader, cases not scored."""
    found = []
    if excluded:
        found.append(Exclusion("cases", excluded, "left out by the study or by the filter"))
    unread = Counter(each.reader_code for each in chosen if each.value_percent is None)
    found += [
        Exclusion(f"readings of {code}", count, "not assessable") for code, count in sorted(unread.items())
    ]
    imported = {each.case_code for each in chosen if each.reader_code == ALGORITHM}
    missing = len(codes - set(values) - imported)
    if missing:
        found.append(Exclusion("cases", missing, "without a result of the algorithm"))
    return tuple(found)
