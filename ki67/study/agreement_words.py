"""The page Agreement in words: the answer, the table, captions, what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ki67 import numbers
from ki67.stats.estimate import Estimate
from ki67.study.agreement import AgreementView
from ki67.study.agreement_rows import Comparison, Scale, Scatter
from ki67.study.estimate_words import limits, value
from ki67.study.material import StudyMaterial
from ki67.study.plans import Comparison as PlannedComparison

__all__ = [
    "BY_CONSTRUCTION",
    "INTERVAL",
    "SCALE_WORDS",
    "Answer",
    "Word",
    "acceptance",
    "answer",
    "bias_limits",
    "left_out_rows",
    "limits",
    "method_rows",
    "proportional_sentence",
    "scatter_rows",
    "size_caption",
    "target_caption",
]

Word = Literal["passes", "does not pass", "borderline"]
SCALE_WORDS: dict[Scale, str] = {
    "log2(x+0.1)": "Log, log2(x + 0.1)",
    "raw": "Raw, points",
    "regression": "Regression on the index",
}
BY_CONSTRUCTION = "by construction"
INTERVAL = "95 % interval"


@dataclass(frozen=True)
class Answer:
    """The answer in a sentence (Markdown, the number bold) and one more."""

    first: str
    second: str


def answer(view: AgreementView, primary: PlannedComparison = "algorithm and single reader") -> Answer:
    """ "At an index of 20 % the algorithm reads **1.1 points lower** than one reader (−2.3 to 0.0)."

    `primary` is the comparison that the plan puts first.
    """
    leading = view.one_reader
    if leading is None:
        return _without_algorithm(view)
    whom = "one reader" if len(view.reader_names) > 1 else f"reader {view.reader_names[0]}"
    if primary == "algorithm and panel" and view.panel is not None:
        leading, whom = view.panel, "the panel of these readers"
    bias = leading.bias
    if bias is None or bias.value is None:
        return Answer(f"The algorithm and {whom} cannot be compared.", bias.message if bias else "")
    at = f"At an index of {view.level:g} % the" if leading.scale != "raw" else "On average the"
    around = f" ({limits(bias)})" if bias.ci_low is not None else f", without an interval: {bias.message}"
    first = f"{at} algorithm reads {_difference(bias.value)} {whom}{around}"
    return Answer(first + ("." if not first.endswith(".") else ""), _new_differences(view, leading))


def _difference(bias: float) -> str:
    size = numbers.decimal(abs(bias), decimals=1)
    if size == "0.0":
        return "**as high** as"
    return f"**{size} point{'' if size == '1.0' else 's'} {'lower' if bias < 0 else 'higher'}** than"


def _new_differences(view: AgreementView, leading: Comparison) -> str:
    if leading.lower.value is None or leading.upper.value is None:
        return f"Limits: {leading.lower.message or 'undefined'}"
    between = ""
    if view.readers is not None and view.readers.lower.value is not None:
        between = f"; between two readers, {value(view.readers.lower)} and {value(view.readers.upper)}"
    return (
        f"95 % of new differences are estimated to lie between {value(leading.lower)} and "
        f"{value(leading.upper)} points{between}."
    )


def _without_algorithm(view: AgreementView) -> Answer:
    second = "The algorithm has no result of these cases: score their pictures, or import its values."
    if view.readers is None:
        return Answer("There is nothing to compare yet.", f"There is one reader. {second}")
    if view.readers.lower.value is None:
        return Answer("Two readers cannot be compared.", f"{view.readers.lower.message} {second}")
    return Answer(
        f"At an index of {view.level:g} % 95 % of new differences between two readers are estimated to lie "
        f"between **{value(view.readers.lower)} and {value(view.readers.upper)} points**.",
        second,
    )


def bias_limits(compared: Comparison) -> str:
    """The interval of the mean difference, or why there is none."""
    return BY_CONSTRUCTION if compared.bias is None else limits(compared.bias)


def acceptance(view: AgreementView, material: StudyMaterial) -> tuple[Word, str] | None:
    """The limits against those that the plan accepts; None where it sets none.

    Passes: both limits with their intervals inside. Does not pass: a limit itself outside.
    """
    low, high = material.plan.acceptance_low_points, material.plan.acceptance_high_points
    single = material.plan.primary == "algorithm and single reader"
    judged = view.one_reader if single else view.panel
    if low is None or high is None or judged is None:
        return None
    lower, upper = judged.lower, judged.upper
    if lower.value is None or upper.value is None:
        return None
    wanted = f"{numbers.points_interval(low, high)} points"
    if lower.value < low or upper.value > high:
        return "does not pass", f"A limit lies outside the {wanted} that the plan accepts."
    inside = lower.ci_low is not None and upper.ci_high is not None
    if inside and (lower.ci_low or 0.0) >= low and (upper.ci_high or 0.0) <= high:
        return "passes", f"Both limits lie with their intervals inside the {wanted} that the plan accepts."
    return "borderline", f"The limits lie inside the {wanted} that the plan accepts, their intervals do not."


def size_caption(view: AgreementView, shown: tuple[Comparison, ...]) -> str:
    """ "20 tumors, 30 readers; 1,500 of the 8,700 reader pairs drawn. The spread grows …"."""
    drawn = [
        f"{numbers.count(each.dots.x.size)} of {numbers.count(each.dots.total)} pairs drawn ({each.name})"
        for each in shown
        if each.dots.x.size < each.dots.total
    ]
    readers = f"{len(view.reader_names)} reader{'' if len(view.reader_names) == 1 else 's'}"
    parts = [f"{view.n_cases} tumor{'' if view.n_cases == 1 else 's'}, {readers}", *drawn]
    session = f" Readings of session {view.first_session}." if view.first_session else ""
    return f"{'; '.join(parts)}. {view.scale_why}{session}"


def target_caption(view: AgreementView) -> str:
    """Whom the intervals speak about."""
    if len(view.reader_names) < 2:
        return "Intervals speak about this reader; what holds for others needs more readers."
    few = len(view.reader_names) < 10 and view.one_reader is not None
    warning = " With so few readers they are wide." if few and len(view.reader_names) < 5 else ""
    return f"◆ and ●: a new reader of the reader population; ■: these readers.{warning}"


def scatter_rows(scatter: Scatter) -> list[tuple[str, str, str, str]]:
    """Name, value, interval, n."""
    return [
        (name, value(each, decimals=_decimals(name)), _limits(name, each), numbers.count(each.n))
        for name, each in scatter.estimates
    ]


def left_out_rows(means: tuple[tuple[str, Estimate], ...]) -> list[tuple[str, str, str, str]]:
    """Name, value in points, interval, n."""
    return [(name, value(each), limits(each), numbers.count(each.n)) for name, each in means]


def proportional_sentence(scatter: Scatter) -> str:
    """Proportional bias, corrected or not interpretable."""
    shown = scatter.proportional
    word = "Proportional bias" if shown.corrected is None else "Proportional bias, corrected"
    return f"{word}: **{shown.word}**. {shown.sentence}"


def method_rows(view: AgreementView, material: StudyMaterial) -> list[tuple[str, str]]:
    """What was done, a row each."""
    plan = material.plan
    rows = [
        ("Scale", f"{SCALE_WORDS[view.scale]}. {view.scale_why}"),
        ("Differences", "The first minus the second; above 0 the first reads higher"),
        ("Panel", f"The {plan.reference} of the readers of a case"),
    ]
    for each in (view.one_reader, view.readers, view.panel, *view.left_out):
        if each is not None:
            told = each.bias or each.lower
            rows.append((each.name, f"{told.method}; limits: {each.lower.method}; n = {each.lower.n} cases"))
    rows += [
        ("Interval", "95 %; limits hold 95 % of new differences"),
        ("Seed", str(plan.seed)),
        ("Plan", _plan_words(material)),
    ]
    rows += [
        (f"Left out: {each.what}", f"{numbers.count(each.count)}, {each.why}") for each in material.exclusions
    ]
    return rows


def _plan_words(material: StudyMaterial) -> str:
    if not material.plan_written:
        return "none written"
    return "written after the readings were known" if material.plan_after_readings else "written beforehand"


def _limits(name: str, estimate: Estimate) -> str:
    has_none = estimate.ci_low is None and estimate.ci_high is None and estimate.reason is None
    if estimate.value is not None and has_none:
        return "–"  # by definition
    return limits(estimate, decimals=_decimals(name))


def _decimals(name: str) -> int:
    return 1 if "points" in name and not name.startswith("Share") else 2
