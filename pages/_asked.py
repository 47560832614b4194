"""What a person was asked about one picture, and what is still missing; shared by cards and table."""

from __future__ import annotations

from dataclasses import dataclass

from ki67.errors import Ki67Error, UnknownPixelSize
from ki67.study import asking, scoring
from ki67.study.pictures import StoredPicture
from ki67.study.scoring import ScoreRequest
from ki67.types import Rect, Site


@dataclass(frozen=True)
class Entered:
    """The fields of one picture as they stand on the page."""

    case_code: str
    site: Site | None
    pixel_size: str
    patient_code: str = ""
    region: Rect | None = None
    outline: bytes | None = None
    use_outline: bool = False
    use_tumor_mask: bool = True


@dataclass(frozen=True)
class Asked:
    """`request` is None while something is missing: `gaps` names it, `faults` says it in sentences."""

    picture: StoredPicture
    request: ScoreRequest | None
    gaps: tuple[str, ...]
    faults: tuple[str, ...]


def check(picture: StoredPicture, entered: Entered) -> Asked:
    """The request that these fields make, or what is missing."""
    gaps: list[str] = []
    faults: list[str] = []
    mpp: float | None = None
    try:
        scoring.check_case_code(entered.case_code)
    except Ki67Error as error:
        gaps.append("case code")
        faults.append(str(error))
    if entered.site is None:
        gaps.append("site")
    try:
        mpp = asking.read_pixel_size(entered.pixel_size, picture, name=entered.case_code)
    except UnknownPixelSize:
        gaps.append("pixel size")
    except Ki67Error as error:
        gaps.append("pixel size")
        faults.append(str(error))
    if gaps or entered.site is None:
        return Asked(picture, None, tuple(gaps), tuple(faults))
    request = ScoreRequest(
        picture_code=picture.code,
        case_code=entered.case_code,
        site=entered.site,
        patient_code=entered.patient_code.strip() or None,
        mpp=mpp,
        roi=entered.region,
        outline_geojson=entered.outline,
        use_outline=entered.use_outline,
        use_tumor_mask=entered.use_tumor_mask,
    )
    return Asked(picture, request, (), ())
