"""H&E fields redrawn as Ki-67: real nuclei with a known answer, for training only.

Color deconvolution takes the eosin away, what remains of the haematoxylin is redrawn in another
hue, and DAB is laid on a chosen share of the tumor nuclei. Nuclei come as typed points, as outlines,
or, where only a tumor mask is drawn, as haematoxylin blobs found inside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from ki67.errors import DataError
from ki67.stains import (
    Look,
    deconvolve,
    develop,
    haematoxylin_and_eosin,
    optical_density,
    random_look,
    white_point,
)
from ki67.types import ByteArray, FloatArray, IntArray

Kind = Literal["tumor", "other", "unknown"]
Bools = npt.NDArray[np.bool_]

_REACH_UM = 5.5  # a nucleus given as a point reaches no farther than this
_CORE_UM = 1.8  # and at least this far, however pale it is
_MIN_AREA_UM2 = 6.0
_MOST_WEAK = 0.35  # share of weak ones among the positive nuclei
_BLUSH_SHARE = 0.4  # of the fields: DAB also in the cytoplasm
_DEBRIS_SHARE = 0.3  # of the fields: pigment and precipitate
_DEBRIS_PER_MM2 = 250.0


@dataclass(frozen=True)
class TypedNuclei:
    """Nuclei of an H&E field: n points (pixels of the field, (0, 0) the centre of the first) and their kinds.

    `kinds`: n of "tumor", "other", "unknown". `instances`: H×W label map (0 background), or None;
    `ids`: the label of each nucleus in it (needed with `instances`; 0: has no outline, its point serves).
    """

    x_px: npt.NDArray[np.floating]
    y_px: npt.NDArray[np.floating]
    kinds: npt.NDArray[np.str_]
    instances: IntArray | None = None
    ids: IntArray | None = None


@dataclass(frozen=True)
class Redrawn:
    """The Ki-67 picture; per given nucleus "positive", "negative", "other" or "" (unknown kind)."""

    rgb: ByteArray
    labels: npt.NDArray[np.str_] | None


def redraw_as_ki67(
    rgb: ByteArray,
    *,
    mpp: float,
    seed: int,
    positive_share: float,
    nuclei: TypedNuclei | None = None,
    tumor_mask: npt.NDArray[np.bool_] | ByteArray | None = None,
    look: Look | None = None,
) -> Redrawn:
    """An H&E field (H×W×3 uint8, `mpp` µm/px) as a Ki-67 field of the same size and scale.

    `positive_share` (0-1): each tumor nucleus is made positive with this probability; without `nuclei`,
    each haematoxylin blob whose centre lies in `tumor_mask` (H×W bool, or 255 = tumor). Nuclei of
    unknown kind get no DAB and the label "". `look` None: drawn from the seed. A field coarser than
    0.5 µm/px is better enlarged first: the DAB is drawn as sharp as the pixels allow.
    Raises DataError when arrays do not fit together.
    """
    _check(rgb, positive_share=positive_share, nuclei=nuclei, tumor_mask=tumor_mask)
    rng = np.random.default_rng([seed, 2003])
    look = look or random_look(seed)
    look = replace(
        look, sharpening=look.sharpening / 3
    )  # the field has been sharpened once by its own scanner
    haematoxylin, eosin = _amounts(rgb)
    stain = _read_stain(haematoxylin, mpp=mpp)
    if nuclei is not None:
        areas = _areas(nuclei, stain, mpp=mpp)
        is_tumor = nuclei.kinds == "tumor"
        positive = is_tumor & (rng.random(len(is_tumor)) < positive_share)
        labels = np.where(positive, "positive", np.where(is_tumor, "negative", ""))
        labels = np.where(nuclei.kinds == "other", "other", labels)
    else:
        inside = np.zeros(rgb.shape[:2], bool) if tumor_mask is None else _as_bool(tumor_mask)
        areas, is_tumor = _blobs(stain, inside, mpp=mpp)
        positive = is_tumor & (rng.random(len(is_tumor)) < positive_share)
        labels = None
    amounts = _stain(haematoxylin / stain.typical, eosin, areas, positive, look=look, mpp=mpp, rng=rng)
    noise = rng.standard_normal(rgb.shape[:2], np.float32)
    return Redrawn(develop(*amounts, look=look, mpp=mpp, noise=noise), labels)


def _check(
    rgb: ByteArray,
    *,
    positive_share: float,
    nuclei: TypedNuclei | None,
    tumor_mask: npt.NDArray[np.generic] | None,
) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise DataError(
            f"An H&E field must be H × W × 3 of 8 bits, not {rgb.shape} {rgb.dtype}: convert it to RGB."
        )
    if not 0 <= positive_share <= 1:
        raise DataError(f"The share of positive nuclei is {positive_share}: give a fraction from 0 to 1.")
    if tumor_mask is not None and tumor_mask.shape != rgb.shape[:2]:
        raise DataError(
            f"The tumor mask is {tumor_mask.shape}, its field {rgb.shape[:2]}: give a mask of that size."
        )
    if nuclei is None:
        return
    if not len(nuclei.x_px) == len(nuclei.y_px) == len(nuclei.kinds):
        raise DataError("The nuclei's x, y and kinds differ in number: give one of each per nucleus.")
    if nuclei.instances is not None:
        if nuclei.ids is None or len(nuclei.ids) != len(nuclei.x_px):
            raise DataError("Outlined nuclei need the label of each nucleus in the outline map: give `ids`.")
        if nuclei.instances.shape != rgb.shape[:2]:
            raise DataError(
                f"The outlines are {nuclei.instances.shape}, their field {rgb.shape[:2]}: give one size."
            )


def _as_bool(mask: npt.NDArray[np.bool_] | ByteArray) -> Bools:
    return np.asarray(mask if mask.dtype == np.bool_ else mask == 255, np.bool_)


def _amounts(rgb: ByteArray) -> tuple[FloatArray, FloatArray]:
    """Haematoxylin and eosin amounts ≥ 0 of an H&E picture."""
    od = optical_density(rgb, white_point(rgb))
    amounts = np.maximum(deconvolve(od, haematoxylin_and_eosin(od)), 0)
    return np.ascontiguousarray(amounts[..., 0]), np.ascontiguousarray(amounts[..., 1])


@dataclass(frozen=True)
class _Stained:
    """Haematoxylin of a field (H×W) read once: lightly smoothed, its nuclear threshold, a typical nucleus."""

    raw: FloatArray
    smooth: FloatArray
    threshold: float
    typical: float

    @property
    def nuclear(self) -> Bools:
        return np.asarray(self.smooth > self.threshold)


def _read_stain(haematoxylin: FloatArray, *, mpp: float) -> _Stained:
    """Nuclear pixels by Otsu's threshold on what is left of the haematoxylin."""
    smooth = cv2.GaussianBlur(haematoxylin, (0, 0), max(0.5 / mpp, 0.4))
    top = max(float(np.percentile(smooth, 99.5)), 0.05)
    scaled = np.clip(smooth * (255 / top), 0, 255).astype(np.uint8)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    nuclear = smooth > level * top / 255
    typical = float(np.median(smooth[nuclear])) if nuclear.any() else top
    return _Stained(
        haematoxylin, np.asarray(smooth, np.float32), float(level) * top / 255, max(typical, 0.05)
    )


def _areas(nuclei: TypedNuclei, stain: _Stained, *, mpp: float) -> IntArray:
    """H×W map: 1 + index of the nucleus whose area a pixel belongs to, 0 for none."""
    areas = np.zeros(stain.smooth.shape, np.int32)
    by_point = np.ones(len(nuclei.x_px), bool)
    if nuclei.instances is not None and nuclei.ids is not None:
        lookup = np.zeros(int(nuclei.instances.max(initial=0)) + 1, np.int32)
        known = (nuclei.ids > 0) & (nuclei.ids < len(lookup))
        lookup[nuclei.ids[known]] = np.flatnonzero(known) + 1
        areas = lookup[nuclei.instances]
        by_point = ~known
    if by_point.any():
        around, takes = _around_points(nuclei.x_px[by_point], nuclei.y_px[by_point], stain, mpp=mpp)
        takes &= areas == 0
        areas[takes] = (np.flatnonzero(by_point).astype(np.int32) + 1)[around][takes]
    return areas


def _around_points(
    x_px: npt.NDArray[np.floating], y_px: npt.NDArray[np.floating], stain: _Stained, *, mpp: float
) -> tuple[IntArray, Bools]:
    """Nearest point of each pixel, and whether the pixel belongs to that point's nucleus.

    It does near the centre, and within reach where the haematoxylin comes near that of the centre.
    """
    around, distance = _nearest(stain.smooth.shape, x_px, y_px)
    cols = np.clip(np.rint(x_px), 0, stain.smooth.shape[1] - 1).astype(np.int32)
    rows = np.clip(np.rint(y_px), 0, stain.smooth.shape[0] - 1).astype(np.int32)
    middle = cv2.GaussianBlur(stain.raw, (0, 0), 1.3 / mpp)[rows, cols]
    level = np.maximum(0.65 * middle, 0.6 * stain.threshold)[around]
    dense = cv2.GaussianBlur(stain.raw, (0, 0), 0.8 / mpp) > level
    takes = (dense & (distance < _REACH_UM / mpp)) | (distance < _CORE_UM / mpp)
    side = max(3, 2 * round(0.9 / mpp) + 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    smooth = cv2.morphologyEx(takes.astype(np.uint8), cv2.MORPH_OPEN, disc)
    return around, smooth > 0


def _nearest(shape: tuple[int, ...], x_px: npt.ArrayLike, y_px: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """Per pixel the index of the nearest of the points, and its distance in pixels."""
    cols = np.clip(np.rint(np.asarray(x_px)), 0, shape[1] - 1).astype(np.int32)
    rows = np.clip(np.rint(np.asarray(y_px)), 0, shape[0] - 1).astype(np.int32)
    free = np.ones(shape, np.uint8)
    free[rows, cols] = 0
    owner = np.zeros(shape, np.int32)
    owner[rows, cols] = np.arange(len(cols))
    distance, cell = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    index_of_cell = np.zeros(int(cell.max()) + 1, np.int32)
    index_of_cell[cell[rows, cols]] = owner[rows, cols]
    return index_of_cell[cell], np.asarray(distance, np.float32)


def _blobs(stain: _Stained, inside: Bools, *, mpp: float) -> tuple[IntArray, Bools]:
    """Area map of haematoxylin blobs (split at their peaks), and which of them are centred in `inside`."""
    nuclear = stain.nuclear
    smooth = cv2.GaussianBlur(stain.raw, (0, 0), 1.3 / mpp)
    reach = max(3, 2 * round(2.5 / mpp) + 1)
    peaks = (smooth == cv2.dilate(smooth, np.ones((reach, reach), np.uint8))) & nuclear
    rows, cols = np.nonzero(peaks)
    if not len(rows):
        return np.zeros(nuclear.shape, np.int32), np.zeros(0, bool)
    around, distance = _nearest(nuclear.shape, cols, rows)
    areas = np.where(nuclear & (distance < _REACH_UM / mpp), around + 1, 0).astype(np.int32)
    large = np.bincount(areas.ravel(), minlength=len(rows) + 1)[1:] * mpp**2 >= _MIN_AREA_UM2
    return areas, inside[rows, cols] & large


def _stain(
    haematoxylin: FloatArray,
    eosin: FloatArray,
    areas: IntArray,
    positive: Bools,
    *,
    look: Look,
    mpp: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Counterstain, DAB and bare tissue (H×W). `haematoxylin` is relative to a typical nucleus (about 1)."""
    strength = np.zeros(len(positive) + 1, np.float32)
    spread = np.exp(rng.normal(0, look.dab_spread, len(positive)))
    weak = rng.random(len(positive)) < rng.uniform(0, _MOST_WEAK)
    spread = np.where(weak, spread * rng.uniform(0.25, 0.6, len(positive)), spread)
    strength[1:] = np.where(positive, np.clip(look.dab_strength * spread, 0.4, 6.0), 0)
    laid = strength[areas]
    soft = cv2.GaussianBlur(laid, (0, 0), max(rng.uniform(0.25, 0.7) / mpp, 0.3))
    grain = _noise(areas.shape, rng, sigma_px=max(0.4 / mpp, 0.5))
    clumps = _noise(areas.shape, rng, sigma_px=max(1.1 / mpp, 0.8))
    local = np.clip(haematoxylin, 0.2, 2.0) ** 0.35
    texture = np.exp(rng.uniform(0.05, 0.25) * grain + rng.uniform(0.05, 0.3) * clumps) * local
    unstained = np.clip(0.7 * np.minimum(eosin, 1.3) + 0.3 * np.minimum(haematoxylin, 1.0), 0, None)
    halo = rng.uniform(0, 0.06) * cv2.GaussianBlur(laid, (0, 0), 2.0 / mpp)
    if rng.random() < _BLUSH_SHARE:
        halo = halo + rng.uniform(0.02, 0.15) * cv2.GaussianBlur(laid, (0, 0), 3.5 / mpp) * (
            unstained * np.exp(0.5 * clumps)
        )
    if rng.random() < _DEBRIS_SHARE:
        halo = halo + _debris(areas.shape, look, mpp=mpp, rng=rng)
    dab = soft * texture + halo + look.dab_background * (0.4 + unstained) * np.exp(0.3 * clumps)
    in_nucleus = cv2.GaussianBlur((areas > 0).astype(np.float32), (0, 0), max(0.4 / mpp, 0.4))
    broad = cv2.GaussianBlur(haematoxylin, (0, 0), 0.9 / mpp)
    kept = np.maximum(in_nucleus, np.clip(2 * broad - 0.9, 0.12, 1))
    covered = cv2.GaussianBlur((laid > 0).astype(np.float32), (0, 0), max(0.3 / mpp, 0.3))
    counterstain = look.counterstain * kept * haematoxylin * (1 - rng.uniform(0.3, 0.9) * covered)
    tissue = look.background * unstained * np.exp(0.15 * grain)
    return counterstain.astype(np.float32), dab.astype(np.float32), tissue.astype(np.float32)


def _debris(shape: tuple[int, ...], look: Look, *, mpp: float, rng: np.random.Generator) -> FloatArray:
    """DAB density (H×W) of pigment and precipitate: small ragged spots that are no nuclei."""
    spots = np.zeros(shape[:2], np.float32)
    for _ in range(rng.poisson(_DEBRIS_PER_MM2 * spots.size * mpp**2 / 1e6)):
        centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        axes = tuple(max(1, round(side / mpp)) for side in rng.uniform(0.4, 1.8, 2))
        density = look.dab_strength * rng.uniform(0.4, 1.5)
        cv2.ellipse(spots, (centre, (2 * axes[0], 2 * axes[1]), float(rng.uniform(0, 180))), density, -1)
    ragged = spots * (_noise(shape, rng, sigma_px=max(0.5 / mpp, 0.6)) > -0.4)
    return np.asarray(cv2.GaussianBlur(ragged, (0, 0), max(0.25 / mpp, 0.3)), np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator, *, sigma_px: float) -> FloatArray:
    """Smooth noise of mean 0 and SD 1."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigma_px)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)
