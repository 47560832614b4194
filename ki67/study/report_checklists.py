"""Checklists of reporting: what the store knows is filled in, what it does not know stays visibly blank.

GRRAS: J. Kottner et al., J Clin Epidemiol 64 (2011) 96-106 (fifteen items). CLAIM: J. Mongan et al., Radiol
Artif Intell 2 (2020) e200029, and STARD-AI, V. Sounderajah et al., Nat Med 31 (2025): the items about flow,
data, model and its version. The items are told in our own words.
"""

from __future__ import annotations

from collections import Counter

from ki67 import __version__, numbers
from ki67.study import agreement_words, report_flow, variability
from ki67.study.agreement_words import SCALE_WORDS
from ki67.study.readings import ALGORITHM
from ki67.study.report_parts import Item, Numbers, ReportFacts


def grras(facts: ReportFacts, found: Numbers) -> tuple[Item, ...]:
    """The fifteen items of the guideline for studies of reliability and agreement."""
    material, plan = facts.material, facts.material.plan
    view, spread = found.agreement, found.variability
    asked = (
        ("Title names reliability or agreement as what was studied", _title(material.study.title)),
        ("Measuring device described", _device(facts)),
        ("Population of cases", f"Site: {material.study.site}"),
        ("Population of readers", ""),
        ("What is known, why the study is needed", ""),
        ("How the numbers of cases, readers and repeats were chosen", plan.sample_size_rationale),
        ("How cases and readers were sampled", plan.exclusions and f"Exclusions: {plan.exclusions}"),
        ("Measurement: interval between readings, information shown, blinding", _process(facts)),
        ("Whether readings were independent", ""),
        ("Statistical analysis", f"{SCALE_WORDS[view.scale]}; see Methods"),
        ("Numbers of readers, cases and repeats", _sizes(facts, found)),
        ("Characteristics of cases and readers", variability.caption(spread) if spread.spread else ""),
        ("Estimates with their uncertainty", _plain(_estimates(facts, found))),
        ("Practical relevance of the results", ""),
        ("Detailed results available", "In the archive of this report: every reading and every estimate"),
    )
    return tuple(Item(str(number), asks, answer) for number, (asks, answer) in enumerate(asked, start=1))


def of_algorithms(facts: ReportFacts) -> tuple[Item, ...]:
    """Items of CLAIM and STARD-AI about flow, data and model."""
    flow = "; ".join(
        f"{each.what}: {numbers.count(each.count)}" + "".join(f" ({out})" for out in each.aside)
        for each in report_flow.steps(facts)
    )
    plan = facts.material.plan
    versions = sorted({run.software_version for run in facts.runs} | {__version__})
    asked = (
        ("Flow of cases with exclusions and their reasons", flow),
        ("Model: name, version, weights", _models(facts)),
        ("Software version", ", ".join(versions)),
        ("Training data apart from the study's", _training(facts)),
        ("What a case that cannot be assessed counts as", plan.not_assessable if facts.versions else ""),
        ("Reference standard and how it was made", f"The {plan.reference} of the readers of a case"),
        ("Readers of the reference: number and experience", ""),
        ("Were readers blind to the algorithm", plan.blinding),
        ("Cut-offs set beforehand", _cutoffs(facts)),
        ("Failures of the algorithm, analysed", _failures(facts)),
        ("Where and when the cases were collected, scanners, stain", ""),
        ("Ethics approval, registration, funding", ""),
    )
    return tuple(Item(str(number), asks, answer) for number, (asks, answer) in enumerate(asked, start=1))


def _title(title: str) -> str:
    """The title where it does; a title that does not leaves the item open."""
    named = ("agree", "reliab", "variab", "reproduc", "repeatab")
    return title if any(word in title.casefold() for word in named) else ""


def _device(facts: ReportFacts) -> str:
    method = {"global": "global index", "hot spot": "hot-spot index", "count": "counted index"}
    models = _models(facts)
    return f"Ki-67 {method[facts.material.method]} in percent" + (f"; algorithm: {models}" if models else "")


def _models(facts: ReportFacts) -> str:
    named = [
        f"{each.step}: {each.ref.name} {each.ref.version} ({each.ref.sha256[:12]})" for each in facts.cards
    ]
    return "; ".join(named)


def _process(facts: ReportFacts) -> str:
    plan = facts.material.plan
    parts = []
    if plan.washout_days is not None:
        parts.append(f"at least {plan.washout_days} days between sessions")
    if plan.clinical_information:
        parts.append(f"shown: {plan.clinical_information}")
    if plan.blinding:
        parts.append(f"blinding: {plan.blinding}")
    return "; ".join(parts)


def _sizes(facts: ReportFacts, found: Numbers) -> str:
    spread = found.variability
    readings = facts.material.readings
    own = sum(who != ALGORITHM for who in readings.readers)
    repeats = len(set(readings.replicates))
    return (
        f"{numbers.count(len(spread.cases))} cases, {numbers.count(len(spread.readers))} readers, "
        f"{len(spread.sessions)} session{'' if len(spread.sessions) == 1 else 's'}, at most {repeats} "
        f"reading{'' if repeats == 1 else 's'} a session, {numbers.count(own)} readings"
    )


def _estimates(facts: ReportFacts, found: Numbers) -> str:
    words = agreement_words.answer(found.agreement, facts.material.plan.primary)
    return f"{words.first} {words.second} {variability.answer(found.variability)}"


def _training(facts: ReportFacts) -> str:
    known = [each for each in facts.cards if each.card is not None]
    if not known or len(known) < len(facts.cards):
        return ""
    parts = []
    for each in known:
        card = each.card
        if card is not None:
            sources = ", ".join(f"{one.source} ({numbers.count(one.images)} pictures)" for one in card.data)
            parts.append(f"{each.step}: {sources or 'not named in its card'}")
    return "; ".join(parts)


def _cutoffs(facts: ReportFacts) -> str:
    if facts.material.plan.cutoffs:
        return facts.material.plan.cutoffs
    return "those of the site" if facts.versions else ""


def _failures(facts: ReportFacts) -> str:
    if not facts.runs:
        return ""
    states = Counter(state for _, state in facts.algorithm_states)
    flagged = sum(run.flags > 0 for run in facts.runs)
    return (
        f"{numbers.count(states['not assessable'])} cases not assessable; {numbers.count(flagged)} of "
        f"{numbers.count(len(facts.runs))} results carry a flag"
    )


def _plain(markdown: str) -> str:
    return markdown.replace("**", "")
