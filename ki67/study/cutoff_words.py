"""The page Cut-offs in words: the answer, the tables, what was done."""

from __future__ import annotations

from ki67 import numbers
from ki67.stats.classes import Border
from ki67.stats.estimate import Estimate
from ki67.study.cutoff_cases import NearCase, NearCases
from ki67.study.cutoffs import ClassView, Row, capital
from ki67.study.material import StudyMaterial

COLUMNS = ("Compared", "Statistic", "Value", "95 % interval", "n", "Interval speaks about")
NEAR_COLUMNS = (
    "Case", "Index, %", "Sampling, %", "With model error, %", "Cut-off", "Below", "Above", "More nuclei",
    "Readers above",
)  # fmt: skip
NOT_SETTLED_BY_COUNTING = "cannot be settled by counting"
WITHHELD = "withheld"
SETTLED = "settled"


def answer(view: ClassView) -> tuple[str, str]:
    """The answer sentence (Markdown, the number bold) and one more."""
    table, moved = view.table, view.moved
    if table is None or moved is None:
        return f"Nothing can be compared in classes: {_lower(view.lacking)}", _readers_sentence(view)
    share = f"{numbers.decimal(100 * table.stayed / table.n, decimals=1)} %"
    limits = ""
    if moved.ci_low is not None and moved.ci_high is not None:
        ends = (numbers.decimal(100 * (1 - end), decimals=1) for end in (moved.ci_high, moved.ci_low))
        limits = f", {'–'.join(ends)}"
    compared = _the(view.compared_words)
    first = (
        f"{capital(compared)} and {_the(view.reference_words)} put **{table.stayed} of {table.n} "
        f"tumor{'' if table.n == 1 else 's'}** into the same class ({share}{limits})"
    )
    if table.stayed == table.n:
        return f"{first}.", _second(view)
    return f"{first}; {compared} puts {table.moved_up} higher, {table.moved_down} lower.", _second(view)


def rows(shown: tuple[Row, ...]) -> list[tuple[str, ...]]:
    """Cells of `COLUMNS`."""
    return [
        (
            row.what,
            row.statistic,
            _value(row),
            _limits(row),
            numbers.count(row.estimate.n),
            row.estimate.target or "",
        )
        for row in shown
    ]


def near_answer(near: NearCases) -> str:
    """How many cases are not settled, or why that is withheld."""
    if not near.counted:
        return (
            "The algorithm’s values were imported without counts of nuclei: how likely each side of "
            "a cut-off is cannot be said."
            if near.uncounted
            else "The algorithm has no result of these tumors."
        )
    if near.unsettled is None:
        reach = len({row.case.code for row in near.rows if _reached(row)})
        return (
            f"In **{reach} of {near.counted} tumors** the interval of the counting alone reaches a cut-off. "
            "How likely each side is, is withheld."
        )
    by_no_counting = len({row.case.code for row in near.rows if row.answer.by_counting is False})
    settled = near.counted - near.unsettled
    return (
        f"In **{settled} of {near.counted} tumors** every cut-off is settled; in {by_no_counting} one cannot "
        "be settled by counting."
    )


def near_rows(near: NearCases) -> list[tuple[str, ...]]:
    """Cells of `NEAR_COLUMNS`."""
    return [
        (
            row.case.code,
            numbers.percent_number(row.case.positive, row.case.negative),
            numbers.interval(row.case.sampling),
            numbers.interval(row.total) or WITHHELD,
            border_words(row.border),
            _chance(row.answer.below),
            _chance(row.answer.above),
            nuclei_words(row),
            _readers_above(row),
        )
        for row in near.rows
    ]


def nuclei_words(row: NearCase) -> str:
    """How many nuclei more would settle the cut-off: "about 1,240", "settled", or that none would."""
    if row.answer.settled is None:
        return WITHHELD
    if row.answer.settled:
        return SETTLED
    if row.answer.nuclei_needed is None:
        return NOT_SETTLED_BY_COUNTING
    return f"about {numbers.count(row.answer.nuclei_needed)}"


def border_words(border: Border) -> str:
    """ "30 %": the number of the cut-off alone."""
    return f"{border.percent} %"


def near_label(row: NearCase) -> str:
    """What is shown on hovering: case, index, chances."""
    text = f"{row.case.code} · {numbers.percent(row.case.positive, row.case.negative)}"
    if row.answer.above is None:
        return text
    return (
        f"{text} · below {border_words(row.border)}: {_chance(row.answer.below)}, above: "
        f"{_chance(row.answer.above)} · {nuclei_words(row)}"
    )


def method_rows(view: ClassView, material: StudyMaterial) -> list[tuple[str, str]]:
    """What was done, a row each."""
    plan = material.plan
    cutoffs = view.question.borders.cutoffs
    return [
        ("Classes", f"{view.question.borders.name}: {'; '.join(cutoffs.words)}"),
        ("Compared", f"Rows: {view.reference_words}; columns: {view.compared_words}; the first session"),
        (
            "Class of a value",
            "A reading as the decimal number typed, the algorithm by its counts in whole numbers, the panel "
            f"by its {plan.reference}",
        ),
        (
            "Kappas of two",
            "Cohen 1960 and 1968, limits by Fleiss, Cohen and Everitt 1969, shown up to 1, uncut under All "
            "statistics; these readers only",
        ),
        (
            "Kappas of the readers",
            "From every reading (Gwet 2014); leave one patient and one reader out, for the reader population",
        ),
        (
            "Sides of a cut-off",
            "The probability that annotators of this laboratory’s pictures would put the index there, from "
            "the interval with model error; nuclei needed: for 95 % on one side, if the index stays",
        ),
        ("Cannot be assessed", "left out and counted"),
        *(
            (f"Left out: {each.what}", f"{numbers.count(each.count)}, {each.why}")
            for each in material.exclusions
        ),
        ("Seed", f"{plan.seed} (bootstrap intervals of Krippendorff’s alpha)"),
    ]


def _second(view: ClassView) -> str:
    kappa = view.kappas[0].estimate
    if kappa.value is None:
        first = f"Cohen’s kappa is undefined: {_lower(kappa.message)}"
    else:
        first = f"Cohen’s kappa {_with_limits(kappa, strong=True)}, for these readers."
    return f"{first} {_readers_sentence(view)}".rstrip()


def _readers_sentence(view: ClassView) -> str:
    if not view.among_readers:
        return ""
    fleiss = view.among_readers[0].estimate
    if fleiss.value is None:
        return f"Between readers Fleiss’ kappa is undefined: {_lower(fleiss.message)}"
    whom = (
        "the reader population"
        if fleiss.target == "reader population" and fleiss.ci_low is not None
        else "these readers"
    )
    return f"Between readers Fleiss’ kappa {_with_limits(fleiss)}, for {whom}."


def _with_limits(estimate: Estimate, *, strong: bool = False) -> str:
    text = numbers.decimal(float(estimate.value or 0.0), decimals=2)
    text = f"**{text}**" if strong else text
    if estimate.ci_low is None or estimate.ci_high is None:
        return text
    return f"{text} ({_span(estimate.ci_low, estimate.ci_high)})"


def _span(low: float, high: float) -> str:
    """ "0.51–0.98", with a negative end "−0.10 to 0.40"; no coefficient of agreement is above 1."""
    between = " to " if low < 0 else "–"
    return between.join(numbers.decimal(min(end, 1.0), decimals=2) for end in (low, high))


def _value(row: Row) -> str:
    value = row.estimate.value
    if value is None:
        return "undefined"
    if row.kind == "share":
        return f"{numbers.decimal(100 * value, decimals=1)} %"
    if row.kind == "p":
        return "< 0.001" if value < 0.001 else numbers.decimal(value, decimals=3)
    return numbers.decimal(value, decimals=2)


def _limits(row: Row) -> str:
    low, high = row.estimate.ci_low, row.estimate.ci_high
    if low is None or high is None:
        return row.estimate.message or "–"
    if row.kind == "share":
        return "–".join(numbers.decimal(100 * end, decimals=1) for end in (low, high))
    return _span(low, high)


def _chance(share: float | None) -> str:
    """A probability in whole per cent, never 0 or 100."""
    if share is None:
        return WITHHELD
    percent = round(100 * share)
    if percent < 1:
        return "< 1 %"
    return "> 99 %" if percent > 99 else f"{percent} %"


def _readers_above(row: NearCase) -> str:
    total = row.readers_below + row.readers_above
    return f"{row.readers_above} of {total}" if total else "none read it"


def _reached(row: NearCase) -> bool:
    cut = float(row.border.percent) / 100
    return row.case.sampling.low <= cut <= row.case.sampling.high


def _the(words: str) -> str:
    return words if words.startswith("reader ") else f"the {words}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
