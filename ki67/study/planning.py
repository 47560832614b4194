"""The numbers of the page Planning: how many tumors a study needs, and how wide its intervals will be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ki67 import numbers
from ki67.errors import DataError
from ki67.index import wilson
from ki67.stats.bland_altman import ba_loa_ci_halfwidth_over_sd
from ki67.stats.classes import Cutoffs, parse_cutoffs
from ki67.stats.planning import (
    n_ba_exact,
    n_ba_limits,
    n_icc_test,
    n_icc_width,
    n_kappa_test,
    n_kappa_width,
    power_ba_exact,
    power_ba_limits,
)
from ki67.stats.simulate_study import ExpectedInterval, StudyDesign, StudyForecast, simulate_study
from ki67.stats.weights import Weighting

__all__ = ["Cutoffs", "ExpectedInterval", "StudyDesign", "StudyForecast", "Weighting", "parse_cutoffs"]

ALPHA = 0.05
CURVE_POINTS = 40


@dataclass(frozen=True)
class LimitsQuestion:
    """Bland–Altman, in points: mean and SD of the differences expected, the limits that are accepted."""

    mean: float
    sd: float
    accepted: float
    power: float = 0.8


@dataclass(frozen=True)
class IccQuestion:
    """The ICC expected, the one to exceed, readings of each tumor, and the width of an interval wanted."""

    expected: float
    exceeded: float
    readers: int
    width: float
    power: float = 0.8


@dataclass(frozen=True)
class KappaQuestion:
    """The kappa expected, the one to exceed, shares of the classes (0-1), the width of an interval wanted."""

    expected: float
    exceeded: float
    shares: tuple[float, ...]
    width: float
    weighting: Weighting = "unweighted"
    power: float = 0.8


@dataclass(frozen=True)
class Size:
    """A number of tumors and what it is for ("to show an ICC above 0.80"); None with the sentence why not."""

    purpose: str
    method: str
    tumors: int | None
    why: str = ""


@dataclass(frozen=True)
class Curve:
    """A line over the number of tumors or another quantity: x and y in the units of the axes."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Sizes:
    """What a page shows of one question: rows of the table, curves of the plot with the axes' titles.

    `wanted`: the height that a curve is to reach; `note`: one more sentence.
    """

    rows: tuple[Size, ...]
    curves: tuple[Curve, ...]
    x_title: str
    y_title: str
    wanted: float | None = None
    note: str = ""


def limits_sizes(asked: LimitsQuestion) -> Sizes:
    """Tumors until the limits of agreement are shown to lie within those accepted, by two methods.

    M.-J. Lu et al., Int J Biostat 12 (2016) 20150039; G. Shieh, BMC Med Res Methodol 20 (2020) 9.
    """
    given = {"mu": asked.mean, "sd": asked.sd, "delta": asked.accepted}
    exact = _size(
        f"to show that 95 % of differences lie within ± {asked.accepted:g} points",
        "Exact test, Shieh 2020",
        lambda: n_ba_exact(**given, power=asked.power),
    )
    both = _size(
        "for the 95 % intervals of both limits of agreement to lie within them",
        "Noncentral t, Lu 2016",
        lambda: n_ba_limits(**given, power=asked.power),
    )
    known = [row.tumors for row in (exact, both) if row.tumors is not None]
    if not known:
        return Sizes((exact, both), (), "Tumors", "Chance, %")
    places = _whole_places(5, 2 * max(known))
    curves = (
        _curve("Exact test", places, lambda n: 100 * power_ba_exact(n, **given)),
        _curve("Both limits", places, lambda n: 100 * power_ba_limits(n, **given)),
    )
    half = asked.sd * ba_loa_ci_halfwidth_over_sd(max(known))
    note = (
        f"With {numbers.count(max(known))} tumors the 95 % interval of a limit is ± {numbers.points(half)}."
    )
    y_title = "Chance that the study shows it, %"
    return Sizes((exact, both), curves, "Tumors", y_title, 100 * asked.power, note)


def icc_sizes(asked: IccQuestion) -> Sizes:
    """Tumors for a one-sided test and for a width, with the readings of each tumor asked for.

    S. D. Walter, M. Eliasziw & A. Donner, Stat Med 17 (1998) 101-110; D. G. Bonett, Stat Med 21 (2002)
    1331-1335. Both are derived for the one-way ICC; the simulated study takes the two-way one.
    """
    rows = (
        _size(
            f"to show an ICC above {numbers.icc(asked.exceeded)}",
            "Walter, Eliasziw and Donner 1998, one-sided 5 %",
            lambda: _icc_test(asked, asked.readers),
        ),
        _size(
            f"for an interval {asked.width:g} wide",
            "Bonett 2002",
            lambda: n_icc_width(rho=asked.expected, k=asked.readers, ci_full_width=asked.width),
        ),
    )
    if all(row.tumors is None for row in rows):
        return Sizes(rows, (), "Readers", "Tumors")
    readers = tuple(sorted({*range(2, 31), asked.readers}))
    curves = [
        _curve(
            f"Interval {asked.width:g} wide",
            readers,
            lambda k: n_icc_width(rho=asked.expected, k=k, ci_full_width=asked.width),
        )
    ]
    if rows[0].tumors is not None:
        test = _curve(f"ICC above {numbers.icc(asked.exceeded)}", readers, lambda k: _icc_test(asked, k))
        curves.insert(0, test)
    return Sizes(rows, tuple(curves), "Readers of each tumor", "Tumors needed")


def kappa_sizes(asked: KappaQuestion) -> Sizes:
    """Tumors read by two for an interval of Cohen's kappa and, with two classes, for a test.

    J. L. Fleiss, J. Cohen & B. S. Everitt, Psychol Bull 72 (1969) 323-327; A. Donner & M. Eliasziw, Stat
    Med 11 (1992) 1511-1519.
    """

    def of_width(width: float) -> int:
        return n_kappa_width(
            kappa=asked.expected, shares=asked.shares, ci_full_width=width, weighting=asked.weighting
        )

    rows = [
        _size(
            f"for a 95 % interval of kappa {asked.width:g} wide",
            f"Fleiss, Cohen and Everitt 1969, {asked.weighting}",
            lambda: of_width(asked.width),
        )
    ]
    if len(asked.shares) == 2:
        rows.append(
            _size(
                f"to show that kappa differs from {numbers.icc(asked.exceeded)}",
                "Donner and Eliasziw 1992, two-sided 5 %",
                lambda: n_kappa_test(
                    kappa1=asked.expected, kappa0=asked.exceeded, share=asked.shares[1], power=asked.power
                ),
            )
        )
    if rows[0].tumors is None:
        return Sizes(tuple(rows), (), "Tumors", "Width")
    widths = np.geomspace(max(0.05, asked.width / 3), min(1.2, 3 * asked.width), CURVE_POINTS)
    points = [(float(of_width(float(width))), float(width)) for width in widths[::-1]]
    curve = Curve("95 % interval", tuple(x for x, _ in points), tuple(y for _, y in points))
    return Sizes(tuple(rows), (curve,), "Tumors read by both", "Width of the interval of kappa", asked.width)


def sizes_answer(sizes: Sizes, start: str = "") -> str:
    """The answer sentence after its `start` ("With 10 readers"), or why no number can be told."""
    known = [(row.tumors, row.purpose) for row in sizes.rows if row.tumors is not None]
    if not known:
        return f"No number of tumors can be told. {sizes.rows[0].why}"
    (first, purpose), *more = known
    before = f"{start} **" if start else "**"
    parts = [f"{before}{_tumors(first)}** {'is' if first == 1 else 'are'} needed {purpose}"]
    parts += [f"**{numbers.count(tumors)}** {purpose}" for tumors, purpose in more]
    return f"{', '.join(parts)}."


def forecast(design: StudyDesign, *, draws: int, seed: int) -> StudyForecast:
    """The intervals that a study of this design may expect; the same seed gives the same forecast."""
    return simulate_study(design, draws=draws, seed=seed)


def forecast_answer(found: StudyForecast) -> tuple[str, str]:
    """The answer sentence and one more: the ICC's expected interval, the chance that it passes."""
    design = found.design
    icc = next(each for each in found.intervals if each.statistic == "ICC(2,1)")
    sessions = f" in {design.sessions} sessions" if design.sessions > 1 else ""
    size = f"{numbers.count(design.cases)} tumors and {numbers.count(design.readers)} readers{sessions}"
    if icc.value is None or icc.low is None or icc.high is None:
        return f"With {size} the ICC is undefined in every simulated study.", ""
    first = (
        f"With {size} the ICC may be expected as **{numbers.icc(icc.value)}** "
        f"({numbers.icc(icc.low)}–{numbers.icc(icc.high)})."
    )
    passed = round(found.passing * found.draws)
    limits = wilson(passed, found.draws - passed)
    span = f" ({numbers.interval(limits)})" if limits else ""
    second = (
        f"Its lower limit exceeds {numbers.icc(design.criterion)} in {numbers.percent_of(found.passing)}"
        f"{span} of {numbers.count(found.draws)} simulated studies, seed {found.seed}."
    )
    return first, second


FORECAST_COLUMNS = (
    "Figure", "Unit", "Value", "95 % interval", "Width", "Width in 80 % of studies", "Interval speaks about",
    "Studies",
)  # fmt: skip
FIGURE_WORDS = {
    "ICC(2,1)": "ICC(2,1), log2",
    "single_reader_bias": "Algorithm − one reader, mean",
    "single_reader_loa_lower": "Algorithm − one reader, lower limit",
    "single_reader_loa_upper": "Algorithm − one reader, upper limit",
    "reader_reader_loa_upper": "One reader − another, upper limit",
    "panel_bias": "Algorithm − panel, mean",
    "panel_loa_lower": "Algorithm − panel, lower limit",
    "panel_loa_upper": "Algorithm − panel, upper limit",
    "panel_ccc": "Algorithm and panel, CCC",
    "interch_iei": "Interchangeability, individual equivalence",
    "interch_rms_ratio": "Algorithm–reader over reader–reader, RMS",
    "within_subject_sd": "Same reader again, SD",
    "fleiss_kappa": "Between readers, Fleiss’ kappa",
    "cohen_kappa": "Algorithm and panel, Cohen’s kappa",
}


COEFFICIENTS = ("ICC", "CCC", "kappa")


def figure_words(found: ExpectedInterval) -> str:
    """What a person calls it; the name of the statistic where it has no other."""
    return FIGURE_WORDS.get(found.statistic, found.statistic)


def forecast_rows(found: StudyForecast) -> list[tuple[str, ...]]:
    """Cells of `FORECAST_COLUMNS`."""
    return [_forecast_row(each, found.draws) for each in found.intervals]


def _forecast_row(each: ExpectedInterval, draws: int) -> tuple[str, ...]:
    decimals = 1 if each.unit == "points" else 2
    name, studies = figure_words(each), f"{each.defined} of {draws}"
    if each.value is None or each.low is None or each.high is None or each.width is None:
        return name, each.unit, "undefined", "in every study", "", "", each.target or "", studies
    narrow, wide = float(each.narrow or 0.0), float(each.wide or 0.0)
    return (
        name,
        each.unit,
        numbers.decimal(each.value, decimals=decimals),
        " to ".join(numbers.decimal(end, decimals=decimals) for end in (each.low, each.high)),
        numbers.decimal(each.width, decimals=decimals),
        "–".join(numbers.decimal(end, decimals=decimals) for end in (narrow, wide)),
        each.target or "",
        studies,
    )


def shares_of(text: str) -> tuple[float, ...]:
    """Shares of classes typed as per cent, such as "30, 45, 25". Raises DataError with a sentence."""
    try:
        percents = [float(part) for part in text.replace(";", ",").split(",")]
    except ValueError:
        percents = []
    if len(percents) < 2 or not all(math.isfinite(each) and each > 0 for each in percents):
        raise DataError(
            f"“{text}” are no shares: write per cent for two classes or more, such as 30, 45, 25."
        )
    if abs(sum(percents) - 100) > 0.5:
        raise DataError(f"The shares {text} sum to {sum(percents):g} %: they have to sum to 100 %.")
    return tuple(each / sum(percents) for each in percents)


def _tumors(number: int) -> str:
    return f"{numbers.count(number)} tumor{'' if number == 1 else 's'}"


def _size(purpose: str, method: str, compute: Callable[[], int]) -> Size:
    try:
        return Size(purpose, method, compute())
    except DataError as error:
        return Size(purpose, method, None, str(error))


def _icc_test(asked: IccQuestion, readers: int) -> int:
    return n_icc_test(rho1=asked.expected, rho0=asked.exceeded, k=readers, power=asked.power)


def _curve(name: str, places: Sequence[int], of: Callable[[int], float]) -> Curve:
    return Curve(name, tuple(float(place) for place in places), tuple(float(of(place)) for place in places))


def _whole_places(low: int, high: int) -> tuple[int, ...]:
    """Whole numbers from low to high, about evenly spread."""
    return tuple(sorted({int(place) for place in np.linspace(low, max(high, low + 10), CURVE_POINTS)}))
