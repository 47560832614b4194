"""The flow of a study: cases from entry to analysis, readings and assessability of each reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ki67 import numbers
from ki67.stats.readings import natural_order
from ki67.study.readings import ALGORITHM, ReadingKey, StoredReading
from ki67.study.report_parts import AlgorithmState, ReportFacts, Table

STATE_WORDS: Mapping[AlgorithmState, str] = {
    "value": "with an index from its pictures",
    "imported": "with an imported value",
    "not assessable": "scored, not assessable",
    "not scored": "not scored",
}


@dataclass(frozen=True)
class Step:
    """A box of the flow: what and how many; `aside`: what leaves here, with its reason."""

    what: str
    count: int
    aside: tuple[str, ...] = ()


def steps(facts: ReportFacts) -> tuple[Step, ...]:
    """Cases in the study, analysed, read, scored, compared."""
    kept = set(facts.material.cases)
    states = dict(facts.algorithm_states)
    taken = facts.material.readings
    read = {case for case, who in zip(taken.cases, taken.readers, strict=True) if who != ALGORITHM}
    scored = {case for case, state in states.items() if state in ("value", "imported")}
    return (
        Step("Cases in the study", len(facts.members), tuple(_left_out(facts, kept))),
        Step("Cases analysed", len(kept), _aside(len(kept - read), "without a reading")),
        Step("Read by at least one reader", len(read), tuple(_unscored(states))),
        Step("Read by a reader and with a value of the algorithm", len(read & scored)),
    )


def assessability(facts: ReportFacts) -> Table:
    """A row for each reader and one for the algorithm: readings, those not assessable, missing, withdrawn."""
    material = facts.material
    kept = set(material.cases)
    chosen = [each for each in facts.stored if _takes_part(each, facts, kept)]
    withdrawn = Counter(each.key.reader_code for each in _withdrawn(facts) if _takes_part(each, facts, kept))
    rows = []
    readers = {each.key.reader_code for each in chosen} - {ALGORITHM}
    for reader in natural_order(readers | (set(withdrawn) - {ALGORITHM})):
        own = [each for each in chosen if each.key.reader_code == reader]
        valued = sum(each.value_percent is not None for each in own)
        sessions = {each.key.session for each in own}
        there = {(each.key.case_code, each.key.session) for each in own}
        missing = len(kept) * len(sessions) - len(there)
        counts = (len(sessions), valued, len(own) - valued, missing, withdrawn[reader])
        rows.append((reader, *map(numbers.count, counts)))
    states = Counter(state for _, state in facts.algorithm_states)
    counts = (1, states["value"] + states["imported"], states["not assessable"], states["not scored"], 0)
    rows.append(("Algorithm", *map(numbers.count, counts)))
    return Table(
        title="Assessability of each reader and of the algorithm",
        standing="",
        columns=("Who", "Sessions", "With a value", "Not assessable", "Missing", "Withdrawn"),
        rows=tuple(rows),
        caption=f"Missing: of {numbers.count(len(kept))} cases in each session that the reader took part in. "
        "What is not assessable or missing is never counted as 0.",
    )


def exclusions(facts: ReportFacts) -> Table:
    """What took no part in the analysis, with its reason; readings not assessable with what was noted."""
    rows = [(each.what, numbers.count(each.count), each.why) for each in facts.material.exclusions]
    rows += [
        (f"Case {each.code}", "1", each.excluded) for each in facts.members if each.excluded
    ]  # the reasons behind the first count
    kept = set(facts.material.cases)
    reasons = Counter(
        each.reason or "no reason noted"
        for each in facts.stored
        if each.value_percent is None and _takes_part(each, facts, kept)
    )
    rows += [
        ("Readings not assessable", numbers.count(count), reason) for reason, count in sorted(reasons.items())
    ]
    return Table("What took no part", "", ("What", "How many", "Why"), tuple(rows), numeric_to=2)


def filter_sentence(facts: ReportFacts) -> str:
    """Which part of the study this is; empty when it is the whole."""
    chosen = facts.material.selection
    parts = []
    if facts.other_method:
        parts.append(f"scoring method {facts.material.method} instead of {facts.material.plan.method}")
    if chosen.sessions:
        parts.append(f"session {', '.join(chosen.sessions)} only")
    if chosen.readers:
        parts.append(f"readers {', '.join(chosen.readers)} only")
    if chosen.without_cases:
        parts.append(f"without {', '.join(chosen.without_cases)}")
    if not parts:
        return ""
    return f"A part of the study: {'; '.join(parts)}. Nothing here is the planned analysis of the whole."


def _left_out(facts: ReportFacts, kept: set[str]) -> Iterator[str]:
    reasons = Counter(each.excluded for each in facts.members if each.excluded)
    for reason, count in sorted(reasons.items()):
        yield f"{numbers.count(count)} left out: {reason}"
    by_filter = sum(not each.excluded and each.code not in kept for each in facts.members)
    yield from _aside(by_filter, "left out by the filter")


def _unscored(states: Mapping[str, AlgorithmState]) -> Iterator[str]:
    counts = Counter(states.values())
    unscored: tuple[AlgorithmState, ...] = ("not assessable", "not scored")
    for state in unscored:
        yield from _aside(counts[state], f"algorithm: {STATE_WORDS[state]}")


def _aside(count: int, words: str) -> tuple[str, ...]:
    return (f"{numbers.count(count)} {words}",) if count else ()


def _takes_part(each: StoredReading, facts: ReportFacts, kept: set[str]) -> bool:
    key, chosen = each.key, facts.material.selection
    return (
        key.method == facts.material.method
        and key.case_code in kept
        and (not chosen.sessions or key.session in chosen.sessions)
        and (not chosen.readers or key.reader_code in chosen.readers)
    )


def _withdrawn(facts: ReportFacts) -> Sequence[StoredReading]:
    last: dict[ReadingKey, StoredReading] = {}
    for each in facts.history:
        if each.key not in last or each.version >= last[each.key].version:
            last[each.key] = each
    return [each for each in last.values() if each.state == "withdrawn"]
