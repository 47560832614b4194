"""What the app works out before it asks a person, and while the person waits: suggestions and estimates."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ki67.pipeline.pixel_size import choose_pixel_size, parse_mpp
from ki67.study import pictures, results
from ki67.study.jobs import JobView
from ki67.study.people import Person
from ki67.study.pictures import StoredPicture
from ki67.study.workplace import Workplace
from ki67.types import Site


def suggest_case_codes(workplace: Workplace, person: Person, count: int) -> list[str]:
    """The next `count` free case codes, each its own case: CASE-0007, CASE-0008 …"""
    first = pictures.suggest_case_code(workplace, person)
    digits = re.search(r"\d+$", first)
    if digits is None:
        return [first] * count
    stem, number, width = first[: digits.start()], int(digits[0]), len(digits[0])
    return [f"{stem}{number + step:0{width}d}" for step in range(count)]


def usual_site(workplace: Workplace, person: Person) -> Site | None:
    """The site of the newest result; None before the first one, so that a person has to choose."""
    newest = results.list_results(workplace, person, limit=1)
    return newest[0].site if newest and not newest[0].synthetic else None


def read_pixel_size(text: str, picture: StoredPicture, *, name: str) -> float | None:
    """The pixel size that a person typed beside a picture, in µm/px; None when the file's own holds.

    A text that repeats the file's own value to three decimals is the file's own value.

    Raises:
        UnknownPixelSize: nothing typed, and the file gives none.
        PictureError: no number, outside 0.05–4 µm/px, or too coarse to score.
    """
    own = picture.info.metadata_mpp
    typed = text.strip()
    if not typed or (own is not None and typed == shown_pixel_size(own)):
        choose_pixel_size(picture.info, None, name=name)
        return None
    return choose_pixel_size(picture.info, parse_mpp(typed), name=name).mpp


def shown_pixel_size(mpp: float) -> str:
    """A pixel size as it stands in the field: "0.250"."""
    return f"{mpp:.3f}"


def seconds_until_start(queue: Sequence[JobView], code: str) -> float | None:
    """Seconds until the waiting job `code` starts: what the jobs before it in the queue still need.

    `queue` holds the open jobs, oldest first. None when one of them has no estimate.
    """
    total = 0.0
    for job in queue:
        if job.code == code:
            return total
        if job.seconds_left is None:
            return None
        total += job.seconds_left
    return None
