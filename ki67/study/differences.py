"""Why do we differ? A reader's value minus the algorithm's, split exactly into region, tumor mask and calls.

v(place, mask) is the algorithm's index counted again from the stored candidates: in its own region or in
the reader's, with the tumor mask or without it. *Region* and *mask* are the changes from v(own, on) to
v(reader's, off), averaged over the two orders (L. S. Shapley, in Contributions to the Theory of Games II,
1953, 307-317); *calls* is what is left between v(reader's, off) and the reader: nuclei found or missed,
positive or negative. The three parts add up to the difference. A reader who gave no region has no region
part: it is in the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ki67 import numbers
from ki67.index import ki67_index
from ki67.pipeline.outlines import Outline, contains, parse_outline
from ki67.pipeline.regions import middles_of, share_not_covered
from ki67.study.material import StudyMaterial
from ki67.study.people import Person, require
from ki67.study.readings import ALGORITHM, Method, StoredReading, list_readings
from ki67.study.stored import find_result, measurement_of, record_of
from ki67.study.workplace import Workplace
from ki67.types import FloatArray, Measurement, RunRecord

PARTS = ("region", "tumor mask", "calls")
TO_LOOK_AT = 10
COVERED_ENOUGH = 0.995
Place = Callable[[FloatArray, FloatArray], npt.NDArray[np.bool_]]
FEWEST_PATIENTS = 5


@dataclass(frozen=True)
class Split:
    """One reading against the algorithm, in percentage points.

    `region` None: the reader gave none. `uncovered` is the share of the reader's region (or of the tissue)
    on which step 2 was never run: without the mask some nuclei may be missing there.
    """

    case_code: str
    patient_code: str
    reader: str
    session: str
    reader_percent: float
    algorithm_percent: float
    region: float | None
    mask: float
    calls: float
    uncovered: float
    result_code: str
    region_geojson: str | None
    picture_code: str | None

    @property
    def difference(self) -> float:
        """Reader minus algorithm, points; the sum of the parts."""
        return self.reader_percent - self.algorithm_percent

    def sentence(self) -> str:
        """ "O7 28 %, algorithm 19 %: region + 4.0, tumor mask + 2.0, calls + 3.0 points." """
        parts = [] if self.region is None else [f"region {_signed(self.region)}"]
        parts += [f"tumor mask {_signed(self.mask)}", f"calls {_signed(self.calls)}"]
        open_part = "" if self.region is not None else " (no region was given: it is in the calls)"
        return (
            f"{self.reader} {numbers.decimal(self.reader_percent, decimals=1)} %, algorithm "
            f"{numbers.decimal(self.algorithm_percent, decimals=1)} %: {', '.join(parts)} points{open_part}."
        )


@dataclass(frozen=True)
class PartShare:
    """A part's share of all that separates readers and algorithm (sums of absolute parts), with limits.

    Percentile bootstrap over patients; `low` and `high` None with fewer than five patients.
    """

    name: str
    share: float
    low: float | None
    high: float | None
    mean_points: float


@dataclass(frozen=True)
class Differences:
    """Everything that the page shows: the splits, the shares over those with a region, what is missing.

    `not_split`: readings whose region holds no nucleus that the algorithm found.
    """

    splits: tuple[Split, ...]
    shares: tuple[PartShare, ...]
    patients: int
    with_region: int
    without_region: int
    without_result: int
    not_split: int
    seed: int
    draws: int

    def worst(self) -> tuple[Split, ...]:
        """The ten readings that lie farthest from the algorithm, one a case."""
        found: dict[str, Split] = {}
        for split in sorted(self.splits, key=lambda each: -abs(each.difference)):
            found.setdefault(split.case_code, split)
        return tuple(found.values())[:TO_LOOK_AT]


def differences(workplace: Workplace, person: Person, material: StudyMaterial) -> Differences:
    """Splits every reading of the material whose case has results of the algorithm.

    Raises:
        StoreError: a run's files are missing; a stored region cannot be read.
        NotAllowed: a reader asks.
    """
    require(person, "coordinator", "analyst", doing="look at readings")
    scored = {value.case_code: value.result_codes for value in material.algorithm}
    wanted = set(
        zip(material.readings.cases, material.readings.readers, material.readings.sessions, strict=True)
    )
    chosen = [
        each
        for each in list_readings(workplace, person, material.study.code)
        if each.key.method == material.method
        and each.value_percent is not None
        and each.key.reader_code != ALGORITHM
        and (each.key.case_code, each.key.reader_code, each.key.session) in wanted
    ]
    load = cache(lambda code: _load(workplace, code))
    tried = [
        _split(each, [load(code) for code in scored[each.key.case_code]], material.method)
        for each in chosen
        if each.key.case_code in scored
    ]
    splits = tuple(split for split in tried if split is not None)
    seed, draws = material.plan.seed, material.plan.bootstrap
    placed = [split for split in splits if split.region is not None]
    return Differences(
        splits=splits,
        shares=part_shares(placed, seed=seed, draws=draws),
        patients=len({split.patient_code for split in placed}),
        with_region=len(placed),
        without_region=len(splits) - len(placed),
        without_result=len(chosen) - len(tried),
        not_split=len(tried) - len(splits),
        seed=seed,
        draws=draws,
    )


def part_shares(splits: Sequence[Split], *, seed: int, draws: int) -> tuple[PartShare, ...]:
    """Each part's share of the sum of absolute parts; empty without a difference."""
    if not splits:
        return ()
    parts = np.array([[split.region or 0.0, split.mask, split.calls] for split in splits])
    patients, of_patient = np.unique([split.patient_code for split in splits], return_inverse=True)
    sizes = np.zeros((len(patients), len(PARTS)))
    np.add.at(sizes, of_patient, np.abs(parts))
    if sizes.sum() == 0:
        return ()
    shares = sizes.sum(axis=0) / sizes.sum()
    limits: list[tuple[float | None, float | None]] = [(None, None)] * len(PARTS)
    if len(patients) >= FEWEST_PATIENTS:
        drawn = np.random.default_rng(seed).multinomial(
            len(patients), np.full(len(patients), 1 / len(patients)), size=draws
        )
        sums = drawn @ sizes
        resampled = sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-12)
        low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
        limits = [(float(lower), float(upper)) for lower, upper in zip(low, high, strict=True)]
    means = parts.mean(axis=0)
    return tuple(
        PartShare(name, float(share), *limit, float(mean))
        for name, share, limit, mean in zip(PARTS, shares, limits, means, strict=True)
    )


@dataclass(frozen=True)
class _Scored:
    code: str
    picture_code: str
    record: RunRecord
    measured: Measurement


def _load(workplace: Workplace, code: str) -> _Scored:
    row = find_result(workplace, code)
    return _Scored(code, row.picture.code, record_of(workplace, row), measurement_of(workplace, row))


def _split(reading: StoredReading, scored: Sequence[_Scored], method: Method) -> Split | None:
    """The split of one reading; None where a place holds no nucleus. A case's pictures are pooled."""
    place = _place(reading, scored)
    outline = None if place is None else _outline(reading)
    own = [(each, _own_place(each, method)) for each in scored]
    own_on, own_off = _index(own, mask=True), _index(own, mask=False)
    if own_on is None or own_off is None:
        return None
    value = float(reading.value_percent or 0.0)
    region, mask, calls = None, own_off - own_on, value - own_off
    uncovered = max(_uncovered(each.record, None) for each in scored)
    if place is not None and outline is not None:
        there = [(place, _within(outline))]
        there_on, there_off = _index(there, mask=True), _index(there, mask=False)
        if there_on is None or there_off is None:
            return None
        region = ((there_on - own_on) + (there_off - own_off)) / 2
        mask = ((own_off - own_on) + (there_off - there_on)) / 2
        calls = value - there_off
        uncovered = _uncovered(place.record, outline)
    shown = place or scored[0]
    return Split(
        case_code=reading.key.case_code,
        patient_code=reading.patient_code,
        reader=reading.key.reader_code,
        session=reading.key.session,
        reader_percent=value,
        algorithm_percent=own_on,
        region=region,
        mask=mask,
        calls=calls,
        uncovered=uncovered,
        result_code=shown.code,
        region_geojson=reading.region_geojson if outline is not None else None,
        picture_code=shown.picture_code,
    )


def _place(reading: StoredReading, scored: Sequence[_Scored]) -> _Scored | None:
    """The scored picture that the reader's region lies on."""
    if reading.region_geojson is None:
        return None
    if reading.picture_code is None:
        return scored[0] if len(scored) == 1 else None
    return next((each for each in scored if each.picture_code == reading.picture_code), None)


def _outline(reading: StoredReading) -> Outline:
    """The reader's region. Raises OutlineError for a stored region that is none."""
    content = (reading.region_geojson or "").encode("utf-8")
    return parse_outline(content, name=f"The region of {reading.key.words()}")


def _own_place(scored: _Scored, method: Method) -> Place:
    """Where the algorithm's own index was counted: its hot spot, or everywhere."""
    spot = scored.measured.hot_spot
    if method != "hot spot" or spot is None:
        return lambda x, y: np.ones(len(x), bool)
    reach = spot.radius_um / scored.record.pixel_size.mpp
    return lambda x, y: np.asarray(np.hypot(x - spot.x_px, y - spot.y_px) <= reach)


def _within(outline: Outline) -> Place:
    return lambda x, y: contains(outline.tumor, x, y) & ~contains(outline.exclude, x, y)


def _index(places: Sequence[tuple[_Scored, Place]], *, mask: bool) -> float | None:
    """The index in percent of the nuclei found in these places, with the tumor mask or without; pooled."""
    positive = negative = 0
    for each, place in places:
        candidates = each.record.candidates
        chosen = each.measured.counted if mask else each.measured.found
        chosen = chosen & place(candidates.x_px, candidates.y_px)
        is_positive = candidates.is_positive[chosen]
        positive += int(is_positive.sum())
        negative += int((~is_positive).sum())
    index = ki67_index(positive, negative)
    return None if index is None else 100 * index


def _uncovered(record: RunRecord, outline: Outline | None) -> float:
    """Share of the tissue (of a region, or all) on which step 2 was never run."""
    x, y = middles_of(record.tissue_map)
    if outline is not None:
        inside = contains(outline.tumor, x, y)
        x, y = x[inside], y[inside]
    return share_not_covered(record, x, y)


def _signed(points: float) -> str:
    text = numbers.decimal(abs(points), decimals=1)
    return f"{'−' if round(points, 1) < 0 else '+'} {text}"
