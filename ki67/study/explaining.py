"""A result in words and rows: intervals, counts, flags, how the number was made; bold is Markdown's."""

from __future__ import annotations

from dataclasses import dataclass

from ki67 import numbers
from ki67.sites import ClassSystem, Cutoff, LeadingIndex, leading_index
from ki67.study.results import ResultView
from ki67.types import Flag, Interval, Measurement, ModelRef

Rows = tuple[tuple[str, str], ...]

LEADING_NAMES = {"global": "Global index", "hot spot": "Hot-spot index"}
FOCUS_STAIN_TISSUE = frozenset(
    {"blur", "h_and_e", "no_tumor", "no_tissue", "pen", "red_chromogen", "unlike_training"}
)


@dataclass(frozen=True)
class IntervalWords:
    """Both intervals in words; `total` says why there is none, `verdict` where the limits lie."""

    sampling: str
    total: str
    verdict: str


def interval_words(leading: LeadingIndex, measurement: Measurement) -> IntervalWords:
    """Sampling and total interval of the leading index, told apart, and whether they cross a cut-off."""
    sampling = (
        f"**{numbers.interval(leading.sampling)} %** sampling (bar)"
        if leading.sampling
        else "No interval from sampling"
    )
    total = (
        f"**{numbers.interval(leading.total)} %** with model error (line)"
        if leading.total
        else f"With model error: not known. {_sentence(measurement.total_reason or '')}".rstrip()
    )
    return IntervalWords(sampling, total, _verdict(leading))


def _verdict(leading: LeadingIndex) -> str:
    """ "95 % intervals. Both stay inside 3–20 %." or which cut-offs they cross."""
    limits = [one for one in (leading.sampling, leading.total) if one is not None]
    if not limits:
        return ""
    start = "95 % intervals." if len(limits) == 2 else "95 % interval."
    if not leading.classes:
        return start
    own = leading.classes[0]
    crossed = [_crossed(one, own.system) for one in limits]
    if not any(crossed):
        word = "Both stay" if len(limits) == 2 else "It stays"
        return f"{start} {word} inside {own.words}."
    if len(limits) == 2 and not crossed[0]:
        return f"{start} With model error it crosses {_cutoffs(crossed[1])}: the class is not settled."
    word = "Both cross" if len(limits) == 2 else "It crosses"
    return f"{start} {word} {_cutoffs(crossed[0])}: the class is not settled."


def _crossed(limits: Interval, system: ClassSystem) -> tuple[int, ...]:
    """The cut-offs of a class system between the limits, which have no counts and compare as numbers."""
    return tuple(cut.percent for cut in system.cutoffs if _above(limits.low, cut) != _above(limits.high, cut))


def _above(fraction: float, cutoff: Cutoff) -> bool:
    return 100 * fraction > cutoff.percent if cutoff.belongs_below else 100 * fraction >= cutoff.percent


def _cutoffs(percents: tuple[int, ...]) -> str:
    return " and ".join(f"{percent} %" for percent in percents)


def other_classes(leading: LeadingIndex) -> str:
    """The classes of the site's further cut-offs, or nothing: "Also ≥ 14 % and < 20 %." """
    words = [one.words for one in leading.classes[1:]]
    return f"Also {' and '.join(words)}." if words else ""


def class_notes(leading: LeadingIndex) -> tuple[str, ...]:
    """Where the classes come from and for whom they hold."""
    return tuple(f"{one.system.name}: {one.system.note}" for one in leading.classes)


def facts(view: ResultView) -> Rows:
    """The five rows beside the picture."""
    measurement = view.measurement
    nuclei = positive_of(measurement.positive, measurement.positive + measurement.negative)
    global_index = numbers.percent_with_interval(
        measurement.positive, measurement.negative, measurement.sampling
    )
    spot = measurement.hot_spot
    in_spot = "–" if spot is None else positive_of(spot.positive, spot.positive + spot.negative)
    expected = (
        "–" if spot is None or spot.expected_maximum is None else numbers.percent_of(spot.expected_maximum)
    )
    hot_spot_rows = (("Nuclei in the hot spot", in_spot), ("Maximum if homogeneous", expected))
    area = ("Tumor area", numbers.area(measurement.tumor_area_mm2))
    if leading_index(view.site, measurement).kind == "hot spot":
        return (*hot_spot_rows, ("Global index", global_index), ("Tumor nuclei, positive", nuclei), area)
    hot_spot = (
        "none" if spot is None else numbers.percent_with_interval(spot.positive, spot.negative, spot.interval)
    )
    return (("Tumor nuclei, positive", nuclei), ("Hot-spot index", hot_spot), *hot_spot_rows, area)


def positive_of(positive: int, total: int) -> str:
    """ "162 of 1,828" """
    return f"{numbers.count(positive)} of {numbers.count(total)}"


def hot_spot_note(view: ResultView) -> str:
    """What the hot spot's interval means, or why there is no hot spot."""
    spot = view.measurement.hot_spot
    if spot is None:
        reason = view.measurement.hot_spot_reason
        return f"No hot spot: {reason}." if reason else ""
    place = f"the place found ({numbers.area(spot.area_mm2)})"
    return f"The hot spot’s interval holds for {place}, not for a maximum."


def case_note(view: ResultView) -> str:
    """The case over its pictures, when it has several."""
    case = view.case
    if case.pictures < 2:
        return ""
    text = numbers.percent_with_interval(case.positive, case.negative, case.wilson)
    note = f"Case {case.case_code}, {case.pictures} pictures pooled: global index {text}"
    if case.hot_spot_positive is not None and case.hot_spot_negative is not None:
        highest = numbers.percent_with_interval(
            case.hot_spot_positive, case.hot_spot_negative, case.hot_spot_interval
        )
        note += f", highest hot spot {highest}"
    return f"{note}."


def focus_stain_tissue_expected(flags: tuple[Flag, ...]) -> bool:
    """True when no flag speaks of focus, stain or tissue."""
    return not any(flag.code in FOCUS_STAIN_TISSUE for flag in flags)


def flag_parts(flag: Flag) -> tuple[str, str]:
    """A flag's message as its name and the rest: ("Blur.", "Nuclei may be missed.")."""
    head, _, rest = flag.message.partition(". ")
    return f"{head.removesuffix('.')}.", rest


def picture_caption(view: ResultView) -> str:
    """ "0.500 µm/px · tumor probability from 0.5 · pathologist’s outline, Dice 0.93" """
    parts = [numbers.pixel_size(view.pixel_size.mpp)]
    if view.use_outline:
        parts.append("inside the pathologist’s outline")
    elif view.models.get("tumor") is None:
        parts.append("without step 1: every nucleus counts")
    else:
        parts.append(f"tumor probability from {view.parameters.tumor_border:g}")
    if view.outline is not None:
        dice = view.measurement.outline_dice
        parts.append("pathologist’s outline" + ("" if dice is None else f", Dice {dice:.2f}"))
    if view.roi is not None:
        parts.append(f"region {numbers.count(view.roi.width)} × {numbers.count(view.roi.height)} px")
    return " · ".join(parts)


def how_it_was_made(view: ResultView) -> Rows:
    """Models with their hashes, settings, seed, versions and times of a run."""
    rows: list[tuple[str, str]] = [("Model set", view.model_set)]
    for step, name in (("tumor", "Step 1, tumor"), ("cells", "Step 2, nuclei")):
        rows.append((name, _model(view.models.get(step))))
    source = "entered by hand" if view.pixel_size.source == "given" else "from the file"
    threshold = view.score_threshold if view.score_threshold is not None else view.parameters.score_threshold
    rows += [
        ("Pixel size", f"{numbers.pixel_size(view.pixel_size.mpp)}, {source}"),
        ("Picture", f"{numbers.count(view.width_px)} × {numbers.count(view.height_px)} px"),
        ("Nuclei from score", "model’s own" if threshold is None else f"{threshold:g}"),
        ("Step 2 from tumor probability", f"{view.parameters.step2_from_probability:g}"),
        ("Tiles", f"{view.parameters.tile_px} px, overlap {view.parameters.overlap_px} px"),
        ("Computed with", f"{view.backend}, {view.device}, {view.precision}"),
        ("Seed", str(view.seed)),
        ("Software", f"Ki-67 validation {view.software_version}"),
        ("Seconds", ", ".join(f"{name} {seconds:.1f}" for name, seconds in view.seconds.items())),
        ("Scored by", view.person_code),
        ("Result", view.code),
    ]
    return tuple(rows)


def _model(model: ModelRef | None) -> str:
    return "left out" if model is None else f"{model.name} {model.version}, sha256 {model.sha256}"


def _sentence(text: str) -> str:
    stripped = text.strip().rstrip(".")
    return f"{stripped[:1].upper()}{stripped[1:]}." if stripped else ""
