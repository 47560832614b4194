"""The tables and sentences of a report, each with its standing: primary, planned, secondary."""

from __future__ import annotations

from ki67 import numbers
from ki67.study import agreement_words, cutoff_words, estimate_words, plan_words, variability
from ki67.study.agreement_rows import Comparison
from ki67.study.report_parts import Numbers, ReportFacts, Standing, Table

NO_PLAN = "No analysis plan was written: nothing here was planned, every result is secondary."
AFTER = "after the readings were known"
COMPARISON_COLUMNS = (
    "Compared", "Pairs", "Mean, points", "95 % interval", "Lower limit", "95 % interval", "Upper limit",
    "95 % interval",
)  # fmt: skip
FIGURE_COLUMNS = ("Statistic", "Value", "95 % interval", "n")


def standing_of(facts: ReportFacts, *, what: str) -> Standing:
    """Where a part of the results stands in the plan.

    `what`: "algorithm and single reader", "algorithm and panel", "verdict", "margin", or anything else,
    which the plan does not know.
    """
    plan = facts.material.plan
    if not facts.material.plan_written or facts.is_part:
        return "Secondary"
    if what == plan.primary:
        return "Primary"
    planned = what == "verdict" or (what == "margin" and plan.margin_points is not None)
    return "Planned" if planned else "Secondary"


def plan_sentence(facts: ReportFacts) -> str:
    """What the report opens with: when the plan was written."""
    if not facts.versions:
        return NO_PLAN
    last = facts.versions[-1]
    when = numbers.moment(last.at.isoformat())
    written = f"Version {last.version} of the plan, written {when} UTC"
    if last.after_readings:
        reason = f" Reason: {last.reason}" if last.reason else ""
        return f"{written}, {AFTER}.{reason}"
    return f"{written}, before the first reading was stored."


def plan_table(facts: ReportFacts) -> Table:
    """Every item of the plan; what it leaves open says so."""
    lines = plan_words.plan_lines(facts.material.plan)
    shown = lines if facts.versions else ()
    return Table("Analysis plan", "", ("Item", "Set to"), tuple(shown), numeric_from=2)


def plan_versions(facts: ReportFacts) -> Table:
    """Every version with what it changed and why."""
    earlier = (None, *(each.plan for each in facts.versions))
    rows = tuple(
        (
            str(each.version),
            numbers.moment(each.at.isoformat()),
            plan_words.written_when(each),
            plan_words.changes(before, each.plan),
            each.reason,
        )
        for before, each in zip(earlier, facts.versions, strict=False)
    )
    columns = ("Version", "Written, UTC", "When", "What it changed", "Reason")
    return Table("Versions of the plan", "", columns, rows, numeric_from=5)


def agreement_tables(facts: ReportFacts, found: Numbers) -> tuple[Table, ...]:
    """Limits of the primary comparison, then of the others; the scatter's figures; closeness to the panel."""
    view = found.agreement
    single = [each for each in (view.one_reader, view.readers) if each is not None]
    whole = [each for each in (view.panel,) if each is not None]
    parts = {"algorithm and single reader": single, "algorithm and panel": whole}
    tables = [_limits(facts, found, what, rows) for what, rows in parts.items() if rows]
    tables.sort(key=lambda table: table.standing != "Primary")
    if view.scatter is not None:
        rows = agreement_words.scatter_rows(view.scatter)
        words = _plain(agreement_words.proportional_sentence(view.scatter))
        title = f"Algorithm over panel {facts.material.plan.reference}"
        tables.append(Table(title, "Secondary", FIGURE_COLUMNS, tuple(rows), words))
    if found.closeness:
        tables.append(
            Table(
                "Mean absolute difference from the panel of the other readers, points",
                "Secondary",
                FIGURE_COLUMNS,
                tuple(agreement_words.left_out_rows(found.closeness)),
            )
        )
    return tuple(tables)


def _limits(facts: ReportFacts, found: Numbers, what: str, rows: list[Comparison]) -> Table:
    view = found.agreement
    scale = "" if view.scale == "raw" else f" at an index of {view.level:g} %"
    target = "a new reader of the reader population" if "single" in what else "these readers"
    return Table(
        title=f"Limits of agreement{scale}: {what}",
        standing=standing_of(facts, what=what),
        columns=COMPARISON_COLUMNS,
        rows=tuple(_limits_row(each) for each in rows),
        caption=f"95 % of new differences are estimated to lie between the limits; the intervals speak "
        f"about {target if len(view.reader_names) > 1 else 'this reader'}. {view.scale_why}",
    )


def _limits_row(compared: Comparison) -> tuple[str, ...]:
    """Cells of `COMPARISON_COLUMNS`."""
    return (
        compared.name,
        numbers.count(compared.pairs),
        "0.0" if compared.bias is None else estimate_words.value(compared.bias),
        agreement_words.bias_limits(compared),
        estimate_words.value(compared.lower),
        estimate_words.limits(compared.lower),
        estimate_words.value(compared.upper),
        estimate_words.limits(compared.upper),
    )


def variability_table(facts: ReportFacts, found: Numbers) -> Table:
    """Between readers, the same reader again, the algorithm itself."""
    rows = []
    for each in found.variability.rows:
        decimals = 4 if each.statistic.startswith("ICC") else 1
        if each.estimate is None or each.estimate.value is None:
            message = "" if each.estimate is None else each.estimate.message
            rows.append((each.what, each.statistic, each.note or message, "", ""))
            continue
        rows.append(
            (
                each.what,
                each.statistic,
                estimate_words.value(each.estimate, decimals=decimals),
                estimate_words.limits(each.estimate, decimals=decimals),
                numbers.count(each.estimate.n),
            )
        )
    return Table(
        title="Variability of the readers",
        standing=standing_of(facts, what="verdict"),
        columns=("Agreement", "Statistic", "Value", "95 % interval", "n"),
        rows=tuple(rows),
        caption=variability.caption(found.variability),
        numeric_from=2,
    )


def shares_table(found: Numbers) -> Table | None:
    """Variance components on the log scale; None where they cannot be split."""
    if not found.variability.shares:
        return None
    rows = tuple(
        (
            each.name,
            f"{numbers.decimal(100 * each.share, decimals=1)} %",
            numbers.decimal(each.sd, decimals=3),
            estimate_words.value(each.estimate, decimals=4),
            estimate_words.limits(each.estimate, decimals=4),
        )
        for each in found.variability.shares
    )
    return Table(
        title="Where the spread of the readings comes from",
        standing="Secondary",
        columns=("Component", "Share", "SD, log2", "Variance, log2²", "95 % interval"),
        rows=rows,
        caption=f"Variance components of log2(index + 0.1) by REML. {found.variability.shares_note}".strip(),
    )


def class_tables(facts: ReportFacts, found: Numbers) -> tuple[Table, ...]:
    """For each set of classes: who is where, and the kappas."""
    tables = []
    for view in found.classes:
        name = view.question.borders.name
        if view.table is not None:
            words = view.question.borders.cutoffs.words
            tables.append(
                Table(
                    title=f"{name}: {view.reference_words} (rows) and {view.compared_words} (columns)",
                    standing="Secondary",
                    columns=("Tumors", *words),
                    rows=tuple(
                        (row, *(numbers.count(len(cell)) for cell in cells))
                        for row, cells in zip(words, view.cells, strict=True)
                    ),
                    caption=_plain(" ".join((cutoff_words.answer(view)[0], *view.warnings))),
                )
            )
        rows = (*view.kappas, *view.among_readers, *view.moves)
        if rows:
            shown = cutoff_words.rows(rows)
            title = f"{name}: agreement in classes"
            tables.append(Table(title, "Secondary", cutoff_words.COLUMNS, tuple(shown), "", 2, 5))
    return tuple(tables)


def near_table(found: Numbers) -> Table | None:
    """The cases beside the first set of cut-offs, with how likely each side is; None without any."""
    near = found.near
    if near is None or not near.rows:
        return None
    return Table(
        title=f"Cases near a cut-off ({found.classes[0].question.borders.name})",
        standing="Secondary",
        columns=cutoff_words.NEAR_COLUMNS,
        rows=tuple(cutoff_words.near_rows(near)),
        caption=" ".join((cutoff_words.near_answer(near), *near.withheld)),
    )


def sentences(facts: ReportFacts, found: Numbers) -> tuple[tuple[str, Standing], ...]:
    """The answers in words, each with its standing."""
    view, spread = found.agreement, found.variability
    primary = standing_of(facts, what=facts.material.plan.primary)
    first = agreement_words.answer(view, facts.material.plan.primary)
    said: list[tuple[str, Standing]] = [(f"{first.first} {first.second}", primary)]
    accepted = agreement_words.acceptance(view, facts.material)
    if accepted is not None:
        said.append((f"**{accepted[0].capitalize()}.** {accepted[1]}", primary))
    verdict = standing_of(facts, what="verdict")
    said.append(
        (f"{variability.answer(spread)} {spread.verdict.sentence or spread.verdict.message}", verdict)
    )
    said.append((variability.second_sentence(spread), "Secondary"))
    swap = variability.interchange_sentence(spread)
    if swap:
        said.append((swap, standing_of(facts, what="margin")))
    said += [(each, "") for each in view.warnings]
    return tuple(said)


def case_table(facts: ReportFacts, found: Numbers) -> Table:
    """Each case: how many readings, their median and range, the algorithm with its counts."""
    values = {each.case_code: each for each in facts.material.algorithm}
    view, rows = found.variability, []
    first = view.sessions[0] if view.sessions else ""
    for place, case in enumerate(view.cases):
        own = [dot.percent for dot in view.dots if dot.place == place and dot.session == first]
        between = f"{_percent(min(own))}–{_percent(max(own))}" if own else ""
        algorithm, nuclei = _percent(float(view.algorithm[place])), ""
        counted = values.get(case)
        if counted is not None:
            algorithm = numbers.percent_number(counted.positive, counted.negative)
            nuclei = (
                f"{numbers.count(counted.positive)} of {numbers.count(counted.positive + counted.negative)}"
            )
        median = _percent(float(view.medians[place]))
        rows.append((case, numbers.count(len(own)), median, between, algorithm, nuclei))
    columns = ("Case", "Readers", "Median, %", "Range, %", "Algorithm, %", "Positive of all nuclei")
    return Table("Cases, ordered by the median of the readers", "", columns, tuple(rows))


def _percent(value: float) -> str:
    """A percentage without counts; empty where there is none."""
    return "" if value != value else numbers.percent_of(value / 100).removesuffix(" %")


def _plain(markdown: str) -> str:
    return markdown.replace("**", "")
