"""Asking for a score: what to run on which picture, recognised when it was run before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ki67.study.jobs import JobView
from ki67.study.people import Person
from ki67.study.workplace import Workplace
from ki67.types import Rect, Site


@dataclass(frozen=True)
class ScoreRequest:
    """One picture to score.

    `patient_code` None: the case code. `mpp` None: the pixel size of the file's metadata. `roi`: score
    this rectangle only. `outline_geojson`: the pathologists' outline, which replaces step 1's tumor with
    `use_outline`. `model_set`: name of a set in `models/`; None: the configured or newest one.
    """

    picture_code: str
    case_code: str
    site: Site
    patient_code: str | None = None
    mpp: float | None = None
    roi: Rect | None = None
    outline_geojson: bytes | None = None
    use_outline: bool = False
    use_tumor_mask: bool = True
    model_set: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class ModelSetInfo:
    """The model set that will be used, for the page's footer: `tumor` and `cells` are name and version."""

    name: str
    tumor: str | None
    cells: str


def submit(workplace: Workplace, person: Person, requests: Sequence[ScoreRequest]) -> list[JobView]:
    """Puts the pictures into the queue, all or none, in the order given.

    What was scored before with the same models and settings comes back done, with its result; what is
    waiting or running already is that job.

    Raises:
        StoreError: a case code that cannot be used, a case of another site, a picture of another case.
        UnknownPixelSize, PictureError: no pixel size, or one that cannot be used.
        OutlineError, ModelError: the outline or the model set cannot be used.
        NotAllowed: the person is no coordinator.
    """
    raise NotImplementedError


def estimate_seconds(workplace: Workplace, person: Person, *, megapixels: float) -> float | None:
    """Seconds for this many megapixels, from earlier runs on this machine; None before the first run."""
    raise NotImplementedError


def current_model_set(workplace: Workplace, person: Person) -> ModelSetInfo:
    """The model set that a request without `model_set` uses. Raises ModelError when none is installed."""
    raise NotImplementedError


def check_case_code(text: str) -> str:
    """The case code without outer spaces. Raises StoreError for an empty, too long or unusable one."""
    raise NotImplementedError
