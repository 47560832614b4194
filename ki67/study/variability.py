"""The numbers of the page Variability: what each reader read on each tumor, how much of it is the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ki67 import numbers
from ki67.stats.algorithm_images import algorithm_image_sd
from ki67.stats.analysis_core import AnalysisSettings
from ki67.stats.analysis_readers import algorithm_repeats, among_readers, between_sessions, components
from ki67.stats.anova import Transform
from ki67.stats.estimate import Estimate
from ki67.stats.forms import Reals
from ki67.stats.grid import ReadingGrid, grid_of
from ki67.stats.icc import icc
from ki67.stats.interchange import MarginVerdict, against_margin, interchange
from ki67.stats.reader_bias import ReaderBias, reader_bias
from ki67.stats.reliability import sem_agreement
from ki67.stats.variance import variance_figure
from ki67.stats.verdict import IkwgVerdict, ikwg_verdict
from ki67.study.agreement_rows import class_borders
from ki67.study.material import StudyMaterial

LOG2: Transform = "log2(x+0.1)"
COMPONENT_WORDS = {
    "vc_case": "Tumors",
    "vc_reader": "Readers",
    "vc_case_reader": "Reader and tumor",
    "vc_residual": "Not explained",
}


@dataclass(frozen=True)
class Dot:
    """One reading: the place of its tumor (from 0, by median), who read it when, in percent."""

    place: int
    case: str
    reader: str
    session: str
    percent: float


@dataclass(frozen=True)
class Row:
    """A line of the table: what is compared, by which statistic; `note` says why there is no number."""

    what: str
    statistic: str
    estimate: Estimate | None
    note: str = ""


@dataclass(frozen=True)
class Share:
    """A variance component as a share of their sum; `sd` on the scale of the analysis."""

    name: str
    share: float
    sd: float
    estimate: Estimate


@dataclass(frozen=True)
class Spread:
    """The cases of a study by their panel medians, in percent: what every ICC depends on."""

    n: int
    median: float
    lowest: float
    highest: float
    sd: float


@dataclass(frozen=True)
class Variability:
    """Everything that the page shows.

    `cases` are ordered by the panel's median, `medians` and `algorithm` (NaN: none) go with them; `inside`
    counts the cases where the algorithm lies in the readers' range, `middle` those in their middle half, of
    `compared`. `heat`: readers × cases, a reading minus the panel's median in points. `case_means` and
    `case_sds` belong to `spread_cases`, those with two readings and more.
    """

    cases: tuple[str, ...]
    readers: tuple[str, ...]
    sessions: tuple[str, ...]
    medians: Reals
    algorithm: Reals
    dots: tuple[Dot, ...]
    cutoffs: tuple[float, ...]
    inside: int
    middle: int
    compared: int
    verdict: IkwgVerdict
    rows: tuple[Row, ...]
    spread: Spread | None
    sem: Estimate
    shares: tuple[Share, ...]
    shares_note: str
    biases: tuple[ReaderBias, ...]
    heat: Reals
    spread_cases: tuple[str, ...]
    case_means: Reals
    case_sds: Reals
    interchange: Estimate | None
    interchange_verdict: MarginVerdict | None


def variability(material: StudyMaterial) -> Variability:
    """The page's numbers from the first session (the sessions together where the spread is split)."""
    grid = grid_of(material.readings)
    first = grid.first()
    medians = grid.panel()
    order = np.argsort(np.where(np.isfinite(medians), medians, np.inf), kind="stable")
    order = order[np.isfinite(medians[order]) | np.isfinite(grid.algorithm_first()[order])]
    algorithm = grid.algorithm_first()
    inside, middle, compared = _position(first, algorithm)
    shares, note = _shares(grid)
    swap = _interchange(grid, material) if grid.has_algorithm and len(grid.readers) > 1 else None
    several = np.isfinite(first).sum(axis=1) > 1
    return Variability(
        cases=tuple(grid.cases[place] for place in order),
        readers=grid.readers,
        sessions=grid.sessions,
        medians=medians[order],
        algorithm=algorithm[order],
        dots=_dots(grid, order.tolist()),
        cutoffs=_cutoffs(material),
        inside=inside,
        middle=middle,
        compared=compared,
        verdict=ikwg_verdict(grid.ratings(), criterion=material.plan.criterion, session=None),
        rows=_rows(grid),
        spread=_spread(medians),
        sem=sem_agreement(grid.ratings()),
        shares=shares,
        shares_note=note,
        biases=reader_bias(first, grid.readers),
        heat=np.asarray((first - medians[:, None])[order].T),
        spread_cases=tuple(np.array(grid.cases, object)[several]),
        case_means=np.nanmean(first[several], axis=1),
        case_sds=np.nanstd(first[several], axis=1, ddof=1),
        interchange=swap,
        interchange_verdict=None if swap is None else against_margin(swap, material.plan.margin_points),
    )


def every_statistic(material: StudyMaterial) -> list[Estimate]:
    """Everything that the library has for many readers, on the plan's scale: the folded list of the page."""
    grid = grid_of(material.readings)
    plan = material.plan
    settings = AnalysisSettings(
        log2=plan.scale == LOG2, criterion=plan.criterion, seed=plan.seed, bootstrap=plan.bootstrap
    )
    found = among_readers(grid, settings) + components(grid, settings) + algorithm_repeats(grid, settings)
    for reader in range(len(grid.readers)) if len(grid.sessions) > 1 else ():
        found += between_sessions(grid, settings, reader)
    return found


def answer(view: Variability) -> str:
    """The page's first sentence, Markdown with the number bold."""
    f = view.verdict.f
    if f.value is None:
        return f"The agreement of the readers cannot be told: {view.verdict.message}"
    limits = ""
    tail = ""
    if f.ci_low is not None and f.ci_high is not None:
        limits = f" ({numbers.icc(f.ci_low)}–{numbers.icc(f.ci_high)})"
        criterion = numbers.icc(view.verdict.criterion)
        side = "above" if f.ci_low > view.verdict.criterion else "not above"
        tail = f": the lower limit is {side} {criterion}"
    return f"One reader agrees with another at ICC **{numbers.icc(f.value)}**{limits}{tail}."


def second_sentence(view: Variability) -> str:
    """Where the algorithm lies among the readers."""
    if not view.compared:
        return "No tumor has both a result of the algorithm and readings."
    return (
        f"The algorithm lies inside the readers’ range in {view.inside} of {view.compared} tumors, "
        f"in their middle half in {view.middle}."
    )


def interchange_sentence(view: Variability) -> str:
    """May the algorithm stand in for a reader? In words, with the interval; empty without an algorithm."""
    swap = view.interchange
    if swap is None:
        return ""
    if swap.value is None:
        return f"Whether the algorithm may stand in for a reader cannot be told: {swap.message}"
    limits = "no interval"
    if swap.ci_low is not None and swap.ci_high is not None:
        limits = numbers.points_interval(swap.ci_low, swap.ci_high)
    how = "more" if swap.value > 0 else "less"
    verdict = view.interchange_verdict.sentence if view.interchange_verdict else ""
    return (
        f"The algorithm and a reader differ by {numbers.decimal(abs(swap.value), decimals=1)} points {how} "
        f"than two readers do, on average ({limits}). {verdict}"
    )


def caption(view: Variability) -> str:
    """What an ICC depends on, beside it."""
    spread = view.spread
    if spread is None:
        return "No tumor was read yet."
    sem = "not known" if view.sem.value is None else f"{numbers.decimal(view.sem.value, decimals=1)} points"
    first = f" Readings of session {view.sessions[0]}." if len(view.sessions) > 1 else ""
    return (
        f"Cases: n = {numbers.count(spread.n)}, median {numbers.decimal(spread.median, decimals=1)} %, range "
        f"{numbers.decimal(spread.lowest, decimals=1)}–{numbers.decimal(spread.highest, decimals=1)} %, "
        f"SD {numbers.decimal(spread.sd, decimals=1)} points. SEM of one reading: {sem}. "
        f"An ICC rises with the spread of the cases.{first}"
    )


def _position(first: Reals, algorithm: Reals) -> tuple[int, int, int]:
    """Cases where the algorithm lies in the readers' range, in their middle half, and compared at all."""
    compared = np.isfinite(algorithm) & (np.isfinite(first).sum(axis=1) > 0)
    if not compared.any():
        return 0, 0, 0
    rows, values = first[compared], algorithm[compared]
    percentile = np.percentile if np.isfinite(rows).all() else np.nanpercentile
    low, lower, upper, high = percentile(rows, [0, 25, 75, 100], axis=1)
    inside, middle = (low <= values) & (values <= high), (lower <= values) & (values <= upper)
    return int(inside.sum()), int(middle.sum()), int(compared.sum())


def _dots(grid: ReadingGrid, order: Sequence[int]) -> tuple[Dot, ...]:
    taken = np.stack([grid.session(number) for number in range(len(grid.sessions))], axis=1)[order]
    places, sessions, readers = np.nonzero(np.isfinite(taken))
    values = taken[places, sessions, readers]
    cases = [grid.cases[case] for case in order]
    named = zip(places.tolist(), sessions.tolist(), readers.tolist(), values.tolist(), strict=True)
    return tuple(
        Dot(place, cases[place], grid.readers[reader], grid.sessions[session], value)
        for place, session, reader, value in named
    )


def _cutoffs(material: StudyMaterial) -> tuple[float, ...]:
    """The borders drawn, in percent: the plan's own, else those that lead at the site."""
    borders = class_borders(material)
    return tuple(float(border.percent) for border in borders[0].cutoffs.borders) if borders else ()


def _rows(grid: ReadingGrid) -> tuple[Row, ...]:
    """The table of the page: between readers on both scales, the same reader again, the algorithm itself."""
    ratings = grid.ratings()
    intra = None
    note = ""
    if len(grid.sessions) > 1 or len(grid.replicates) > 1:
        intra = variance_figure(grid.all_ratings(), "icc_intra_reader", transform=LOG2)
    else:
        note = "Needs two sessions; one has readings."
    replicates = algorithm_image_sd(_images(grid), transform="none")
    return (
        Row("Between readers, one reading", "ICC(2,1), log2", icc(ratings, "ICC(2,1)", transform=LOG2)),
        Row("Between readers, one reading", "ICC(2,1), percent", icc(ratings, "ICC(2,1)")),
        Row("Same reader, read again", "ICC, log2", intra, note),
        Row(
            "Algorithm, replicate pictures",
            "SD, points",
            replicates,
            "" if replicates.value is not None else "not measured: no replicate pictures",
        ),
    )


def _images(grid: ReadingGrid) -> Reals | None:
    """The algorithm's values per case where there are several that differ, else None."""
    images = grid.algorithm_images()
    several = images[np.isfinite(images).sum(axis=1) > 1]
    varies = bool(several.size) and bool((np.nanmax(several, axis=1) > np.nanmin(several, axis=1)).any())
    return images if varies else None


def _spread(medians: Reals) -> Spread | None:
    known = medians[np.isfinite(medians)]
    if not known.size:
        return None
    sd = float(known.std(ddof=1)) if known.size > 1 else 0.0
    return Spread(known.size, float(np.median(known)), float(known.min()), float(known.max()), sd)


def _shares(grid: ReadingGrid) -> tuple[tuple[Share, ...], str]:
    """The variance components on the log scale as shares, or why there are none."""
    found = components(grid, AnalysisSettings(log2=True))
    parts = {each.statistic: each for each in found if each.statistic in COMPONENT_WORDS}
    known = {name: each for name, each in parts.items() if each.value is not None}
    total = sum(each.value or 0.0 for each in known.values())
    if not known or total <= 0:
        return (), next((each.message for each in parts.values()), "No reading is there to split.")
    shares = tuple(
        Share(COMPONENT_WORDS[name], (each.value or 0.0) / total, float(np.sqrt(each.value or 0.0)), each)
        for name, each in known.items()
    )
    lacking = [each.message for name, each in parts.items() if name not in known]
    return shares, " ".join(lacking)


def _interchange(grid: ReadingGrid, material: StudyMaterial) -> Estimate:
    """Mean absolute algorithm–reader difference minus that of two readers, in points, reader population."""
    return interchange(
        grid.algorithm_and_readers(),
        statistic="interch_mad_diff",
        variant="two-way jackknife",
        patients=dict(zip(grid.cases, grid.patients, strict=True)),
        seed=material.plan.seed,
    )
