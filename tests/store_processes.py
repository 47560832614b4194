"""What other processes do to a store in tests; imports little, so that they start fast."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

from db import queries
from ki67.settings import Settings
from ki67.study.workplace import open_workplace, transaction


def add_cases(settings: Settings, number: int, *, count: int = 25) -> None:
    """Reads, then writes, in one transaction: what fails when another writer comes between."""
    workplace = open_workplace(settings)
    for _ in range(count):
        with transaction(workplace) as session:
            taken = len(queries.case_codes(session, prefix="W-"))
            author = queries.person_id(session, f"person-{number}", ["coordinator"])
            queries.add_case(session, code=f"W-{taken:03d}", patient_code="x", site="other", person=author)


def exit_codes(
    work: Callable[[Settings, int], None], settings: Settings, *, processes: int
) -> list[int | None]:
    """Runs the work in that many processes at once and gives how each ended."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=work, args=(settings, number)) for number in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join(240)
    return [process.exitcode for process in started]
