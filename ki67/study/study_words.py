"""Studies and readings in sentences: how many, of whom, in which sessions, planned when."""

from __future__ import annotations

from collections.abc import Sequence

from ki67 import numbers
from ki67.stats.readings import natural_order
from ki67.study.people import Person
from ki67.study.plans import current_plan
from ki67.study.readings import ALGORITHM, StoredReading, list_readings
from ki67.study.studies import study_cases
from ki67.study.workplace import Workplace


def counted(count: int, word: str) -> str:
    """ "1 case", "1,216 readings"."""
    return f"{numbers.count(count)} {word if count == 1 else word + 's'}"


def study_sentence(workplace: Workplace, person: Person, study_code: str) -> str:
    """ "**20 cases**, 600 readings of 30 readers; planned before the first reading." """
    cases = study_cases(workplace, person, study_code)
    readings = list_readings(workplace, person, study_code)
    plan = current_plan(workplace, person, study_code)
    left_out = sum(bool(case.excluded) for case in cases)
    words = f"**{counted(len(cases), 'case')}**"
    words += f" ({left_out} left out)" if left_out else ""
    words += f", {_of_readers(readings)}; "
    if plan is None:
        return words + ("no plan was written." if readings else "no plan yet.")
    when = "after the readings were known" if plan.after_readings else "before the first reading"
    return words + f"planned {when}."


def readings_sentence(readings: Sequence[StoredReading]) -> str:
    """ "**600 readings** of 30 readers on 20 cases, in sessions 1 and 2; 3 not assessable." """
    own = [each for each in readings if each.key.reader_code != ALGORITHM]
    cases = len({each.key.case_code for each in own})
    sessions = len({each.key.session for each in own})
    unread = sum(each.value_percent is None for each in own)
    readers = len({each.key.reader_code for each in own})
    words = f"**{counted(len(own), 'reading')}** of {counted(readers, 'reader')}"
    words += f" on {counted(cases, 'case')}, in {counted(sessions, 'session')}; {unread} not assessable."
    imported = len(readings) - len(own)
    return words + (f" {counted(imported, 'value')} of the algorithm came with them." if imported else "")


def in_order(readings: Sequence[StoredReading]) -> list[StoredReading]:
    """Readings by case, reader, session and replicate, T2 before T10."""
    ranks = [
        {name: rank for rank, name in enumerate(natural_order(names))}
        for names in (
            {each.key.case_code for each in readings},
            {each.key.reader_code for each in readings},
            {each.key.session for each in readings},
            {each.key.replicate for each in readings},
        )
    ]
    cases, readers, sessions, replicates = ranks
    return sorted(
        readings,
        key=lambda each: (
            cases[each.key.case_code],
            readers[each.key.reader_code],
            sessions[each.key.session],
            replicates[each.key.replicate],
            each.key.method,
        ),
    )


def value_words(reading: StoredReading) -> str:
    """ "12.5 %", "not assessable", "withdrawn"."""
    if reading.value_percent is None:
        return reading.state
    return numbers.percent_of(reading.value_percent / 100)


def _of_readers(readings: Sequence[StoredReading]) -> str:
    readers = {each.key.reader_code for each in readings} - {ALGORITHM}
    own = sum(each.key.reader_code != ALGORITHM for each in readings)
    return f"{counted(own, 'reading')} of {counted(len(readers), 'reader')}" if own else "no reading"
