"""A report as one HTML page that needs nothing else: templates, tables, figures as data."""

from __future__ import annotations

import base64
import platform
from datetime import datetime
from importlib import metadata
from pathlib import Path

import jinja2

from ki67 import __version__, numbers
from ki67.study import (
    agreement_words,
    card_words,
    report_checklists,
    report_flow,
    report_tables,
)
from ki67.study.report_parts import CardFact, Figure, Numbers, ReportFacts, Standing, Table

TEMPLATES = Path(__file__).resolve().parent / "templates"
LIBRARIES = ("NumPy", "SciPy")
NOT_INSTALLED = "This model set is not installed here: its card is not known."


def page_of(
    facts: ReportFacts, found: Numbers, drawn: tuple[tuple[Figure, ...], str], *, made_at: datetime
) -> bytes:
    """The whole page. `drawn`: the figures, and why they are not there; `made_at` stands once on it."""
    figures, no_figures = drawn
    after = bool(facts.versions) and facts.versions[-1].after_readings
    content = _environment().get_template("report.html.j2").render(
        study=facts.material.study,
        made_at=numbers.moment(made_at.isoformat()),
        version=__version__,
        after_readings=after,
        filter_sentence=report_flow.filter_sentence(facts),
        plan_sentence=report_tables.plan_sentence(facts),
        plan=report_tables.plan_table(facts),
        plan_versions=report_tables.plan_versions(facts),
        sentences=report_tables.sentences(facts, found),
        steps=report_flow.steps(facts),
        flow_tables=(report_flow.assessability(facts), report_flow.exclusions(facts)),
        methods=method_rows(facts, found),
        blocks=_blocks(facts, found, figures),
        no_figures=no_figures,
        cases=report_tables.case_table(facts, found),
        grras=report_checklists.grras(facts, found),
        algorithms=report_checklists.of_algorithms(facts),
        cards=tuple((fact, _card_tables(fact)) for fact in facts.cards),
        runs=_runs(facts),
    )  # fmt: skip
    return content.encode("utf8")


def method_rows(facts: ReportFacts, found: Numbers) -> tuple[tuple[str, str], ...]:
    """What was done with which version, seeds and settings."""
    plan = facts.material.plan
    libraries = ", ".join(f"{name} {metadata.version(name.lower())}" for name in LIBRARIES)
    borders = [view.question.borders for view in found.classes]
    classes = [f"{each.name}: {', '.join(each.cutoffs.words)}" for each in borders]
    rows = [
        ("Software", f"Ki-67 validation {__version__}, Python {platform.python_version()}, {libraries}"),
        ("Scoring method", facts.material.method),
        *agreement_words.method_rows(found.agreement, facts.material),
        (
            "Agreement of readers",
            "ICC(2,1): two-way random effects, absolute agreement, a single reading, first session, F limits "
            "(McGraw and Wong 1996); the generalized-pivotal limit stands beside it",
        ),
        ("Variance components", "REML on log2(index + 0.1), every session and repeat"),
        (
            "Algorithm and readers",
            "Mean absolute difference algorithm–reader minus reader–reader, two-way jackknife over patients "
            "and readers: the reader population",
        ),
        ("Bootstrap", f"{numbers.count(plan.bootstrap)} draws, seed {plan.seed}"),
        ("Classes", "; ".join(classes) or "none"),
        ("Undefined", "0/0 and what too few readings give is undefined with its reason, never a filled-in 0"),
    ]  # fmt: skip
    seen: dict[str, str] = {}
    for name, text in rows:
        seen.setdefault(name, text)
    return tuple(seen.items())


def _blocks(
    facts: ReportFacts, found: Numbers, figures: tuple[Figure, ...]
) -> tuple[tuple[str, tuple[Table, ...], tuple[Figure, ...]], ...]:
    """Headings with their tables and figures, in the order of reading."""
    shares = report_tables.shares_table(found)
    near = report_tables.near_table(found)
    classes = (*report_tables.class_tables(facts, found), *((near,) if near else ()))
    spread = (report_tables.variability_table(facts, found), *((shares,) if shares else ()))
    of_agreement = [each for each in figures if each.title.startswith(("Differences", "Algorithm"))]
    of_agreement.sort(key=lambda each: each.standing != "Primary")
    return (
        ("Agreement", report_tables.agreement_tables(facts, found), tuple(of_agreement)),
        ("Variability", spread, tuple(each for each in figures if each not in of_agreement)),
        ("Cut-offs", classes, ()),
    )


def _card_tables(fact: CardFact) -> tuple[Table, ...]:
    """A model's facts, its training data, its figures, its known failures."""
    card = fact.card
    if card is None:
        rows = (
            ("Name and version", f"{fact.ref.name} {fact.ref.version}"),
            ("Weights, sha256", fact.ref.sha256),
        )
        return (Table(fact.step, "", ("What", "Value"), rows, NOT_INSTALLED, 2),)
    sources = tuple((each.source, each.terms, numbers.count(each.images)) for each in card.data)
    tables = [Table(fact.step, "", ("What", "Value"), tuple(card_words.facts(card)), "", 2)]
    if sources:
        tables.append(Table("Training data", "", ("Source", "Terms", "Pictures"), sources, "", 2))
    if card.known_failures:
        failures = tuple((each,) for each in card.known_failures)
        tables.append(Table("Known failures", "", ("Failure",), failures))
    return tuple(tables)


def _runs(facts: ReportFacts) -> Table:
    """Backends, precisions, seeds of the runs, alike ones in a row together."""
    alike: dict[tuple[str, ...], int] = {}
    for run in facts.runs:
        key = (run.model_set, run.backend, run.device, run.precision, str(run.seed), run.software_version)
        alike[key] = alike.get(key, 0) + 1
    rows = tuple((*key, numbers.count(count)) for key, count in sorted(alike.items()))
    columns = ("Model set", "Backend", "Device", "Precision", "Seed", "Software", "Results")
    return Table("Runs behind the algorithm's values", "", columns, rows, "", 6)


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(parts=_bold, data_uri=_data_uri, badge=_badge)
    return made


def _bold(text: str) -> list[tuple[str, bool]]:
    """The parts of a sentence, each with whether it stood between `**`."""
    return [(part, place % 2 == 1) for place, part in enumerate(text.split("**"))]


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def _badge(standing: Standing, after_readings: bool) -> str:
    """ "Primary", "Primary, planned after the readings were known"."""
    planned_late = after_readings and standing in ("Primary", "Planned")
    if standing == "Planned" and planned_late:
        return f"Planned {report_tables.AFTER}"
    return f"{standing}, planned {report_tables.AFTER}" if planned_late else standing
