"""Stains as light sees them: Beer–Lambert, color deconvolution, and how a laboratory and scanner look.

Optical density is natural: od = -ln(I / I0) per channel, 0 on glass. Stain vectors are unit vectors
of density in (R, G, B). Deconvolution after Ruifrok & Johnston, Anal Quant Cytol Histol 2001;23:291-299;
the two stain vectors of a picture after Macenko et al., IEEE ISBI 2009:1107-1110.
All arrays are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ki67.types import ByteArray, FloatArray

Vector = tuple[float, float, float]

HAEMATOXYLIN: Vector = (0.650, 0.704, 0.286)
EOSIN: Vector = (0.072, 0.990, 0.105)
DAB: Vector = (0.268, 0.570, 0.776)

_DARKEST = 1.0  # gray level below which a density can no longer be told
_NO_BLUR_PX = 0.2
_HALO_UM = 0.6  # SD of the unsharp mask


@dataclass(frozen=True)
class Look:
    """How one laboratory's stain and one scanner show a Ki-67 section.

    `counterstain`: density (norm of the three channels) of a typical negative nucleus, 0.2-1.3.
    `dab_strength`: density of a typical positive nucleus, 0.8-4.5; `dab_spread`: log SD between positive
    nuclei. `tissue`: hue of cytoplasm and fibres, `background` their density, 0.03-0.4. `dab_background`:
    unspecific DAB in tissue, in density. `white`: gray levels of bare glass. `blur_um`: SD of the optics
    in µm. `sharpening`: strength of the scanner's unsharp mask, 0-2. `contrast`: factor on gray levels
    around 70 % of white. `noise`: SD of the camera noise in gray levels.
    """

    haematoxylin: Vector = (0.70, 0.60, 0.38)
    dab: Vector = (0.36, 0.58, 0.73)
    tissue: Vector = (0.58, 0.57, 0.58)
    counterstain: float = 0.65
    dab_strength: float = 1.8
    dab_spread: float = 0.4
    background: float = 0.18
    dab_background: float = 0.02
    white: Vector = (238.0, 237.0, 233.0)
    blur_um: float = 0.35
    sharpening: float = 0.3
    contrast: float = 1.0
    noise: float = 2.0


def unit(vector: npt.ArrayLike) -> FloatArray:
    """The vector(s) scaled to length 1 along the last axis."""
    array = np.asarray(vector, np.float32)
    return np.asarray(array / np.linalg.norm(array, axis=-1, keepdims=True), np.float32)


def optical_density(rgb: ByteArray, white: npt.ArrayLike = (255.0, 255.0, 255.0)) -> FloatArray:
    """…×3 gray levels 0-255 → …×3 densities ≥ 0 relative to `white` (Beer–Lambert)."""
    tables = -np.log(
        np.maximum(np.arange(256, dtype=np.float32), _DARKEST)[:, None] / np.asarray(white, np.float32)
    )
    tables = np.maximum(tables, 0).astype(np.float32)
    return np.stack([tables[:, channel][rgb[..., channel]] for channel in range(3)], axis=-1)


def transmitted(od: FloatArray, white: npt.ArrayLike = (255.0, 255.0, 255.0)) -> FloatArray:
    """…×3 densities → …×3 gray levels as float32, not clipped: I = I0 · exp(-od)."""
    return np.asarray(np.exp(-od) * np.asarray(white, np.float32), np.float32)


def white_point(rgb: ByteArray) -> FloatArray:
    """Gray level per channel of the brightest 1 % of a picture, at least 150: its bare glass or nearly so."""
    pixels = rgb.reshape(-1, 3)
    return np.maximum(np.percentile(pixels[:: max(1, len(pixels) // 100_000)], 99, axis=0), 150).astype(
        np.float32
    )


def deconvolve(od: FloatArray, stains: npt.ArrayLike) -> FloatArray:
    """H×W×3 densities → H×W×k amounts of the k (2 or 3) stains, rows of `stains` (Ruifrok & Johnston 2001).

    With two stains the least-squares amounts are given; amounts can be slightly negative.
    """
    inverse = np.linalg.pinv(unit(stains).astype(np.float64)).astype(np.float32)
    return np.asarray(od.reshape(-1, 3) @ inverse, np.float32).reshape(*od.shape[:-1], -1)


def haematoxylin_and_eosin(od: FloatArray) -> FloatArray:
    """The 2×3 stain vectors of an H&E picture from its densities (Macenko 2009); Ruifrok's where that fails.

    It fails on glass, and where one stain is nearly absent (the two vectors then lie within 10°).
    """
    standard = unit([HAEMATOXYLIN, EOSIN])
    pixels = od.reshape(-1, 3)
    pixels = pixels[:: max(1, len(pixels) // 60_000)]
    pixels = pixels[(pixels.sum(axis=1) > 0.3) & (pixels.max(axis=1) < 3.0)]
    if len(pixels) < 200:
        return standard
    _, axes = np.linalg.eigh(np.cov(pixels.T))
    plane = axes[:, 1:].astype(np.float32)
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    angles = np.arctan2(*(pixels @ plane).T)
    low, high = np.percentile(angles, [2, 98])
    vectors = np.stack([plane @ (np.sin(a), np.cos(a)) for a in (low, high)])
    vectors = unit(np.maximum(vectors, 0.01))
    if vectors[0, 0] < vectors[1, 0]:
        vectors = vectors[::-1]
    plausible = (
        vectors[0, 0] > 0.4
        and vectors[1, 1] > 0.6
        and float(vectors[0] @ vectors[1]) < np.cos(np.radians(10))
    )
    return np.ascontiguousarray(vectors) if plausible else standard


_SEEN_HAEMATOXYLIN = (
    (0.67, 0.56, 0.47),
    (0.75, 0.58, 0.33),
    (0.77, 0.53, 0.36),
    (0.65, 0.63, 0.43),
    (0.60, 0.72, 0.34),
)
_SEEN_DAB = ((0.28, 0.54, 0.79), (0.34, 0.54, 0.77), (0.37, 0.66, 0.65), (0.38, 0.58, 0.72))
_SEEN_TISSUE = (
    (0.48, 0.53, 0.70),
    (0.60, 0.56, 0.57),
    (0.63, 0.56, 0.54),
    (0.60, 0.60, 0.53),
    (0.51, 0.58, 0.64),
)
_SEEN_WHITE = (
    (226, 222, 212),
    (222, 231, 224),
    (248, 249, 250),
    (234, 230, 236),
    (238, 236, 210),
    (244, 243, 241),
)


def random_look(seed: int) -> Look:
    """A look drawn from between those of five laboratories' published Ki-67 pictures, and a little beyond."""
    rng = np.random.default_rng([seed, 1009])
    crisp = rng.random() < 0.5
    return Look(
        haematoxylin=_between(_SEEN_HAEMATOXYLIN, rng, scatter=0.03),
        dab=_between(_SEEN_DAB, rng, scatter=0.03),
        tissue=_between(_SEEN_TISSUE, rng, scatter=0.02),
        counterstain=float(np.clip(0.62 * np.exp(rng.normal(0, 0.35)), 0.2, 1.3)),
        dab_strength=float(np.clip(1.9 * np.exp(rng.normal(0, 0.45)), 0.9, 4.5)),
        dab_spread=float(rng.uniform(0.25, 0.65)),
        background=float(np.exp(rng.uniform(np.log(0.05), np.log(0.32)))),
        dab_background=float(rng.choice([0.0, 0.02, 0.06], p=[0.4, 0.4, 0.2]) * rng.uniform(0.5, 1.5)),
        white=_white_between(rng),
        blur_um=float(rng.uniform(0.15, 0.35) if crisp else rng.uniform(0.3, 0.8)),
        sharpening=float(rng.uniform(0.5, 1.6) if crisp else rng.choice([0.0, 0.3])),
        contrast=float(rng.uniform(1.0, 1.3) if crisp else rng.uniform(0.95, 1.1)),
        noise=float(np.exp(rng.uniform(np.log(0.6), np.log(5.0)))),
    )


def _mixture(seen: tuple[tuple[float, ...], ...], rng: np.random.Generator) -> FloatArray:
    """A point near one of the seen ones, drawn towards another."""
    one, two = rng.choice(len(seen), 2)
    share = rng.uniform(0, 0.5)
    return np.asarray((1 - share) * np.array(seen[one]) + share * np.array(seen[two]), np.float32)


def _between(seen: tuple[Vector, ...], rng: np.random.Generator, *, scatter: float) -> Vector:
    mixed = _mixture(seen, rng) + rng.normal(0, scatter, 3)
    return _as_vector(unit(np.maximum(mixed, 0.05)))


def _white_between(rng: np.random.Generator) -> Vector:
    mixed = _mixture(_SEEN_WHITE, rng) + rng.normal(0, 4) + rng.normal(0, 2, 3)
    return _as_vector(np.asarray(np.clip(mixed, 195, 254), np.float32))


def develop(
    counterstain: FloatArray,
    dab: FloatArray,
    tissue: FloatArray,
    *,
    look: Look,
    mpp: float,
    noise: FloatArray | None = None,
) -> ByteArray:
    """H×W densities of haematoxylin, DAB and unstained tissue → H×W×3 RGB: Beer–Lambert, optics, camera.

    `noise` is H×W or H×W×3 of unit variance; None gives none. A pixel depends on those within
    `develop_margin_px` of it alone.
    """
    vectors = unit([look.haematoxylin, look.dab, look.tissue])
    light = np.empty((*counterstain.shape, 3), np.float32)
    for channel in range(3):
        od = counterstain * vectors[0, channel]
        od += dab * vectors[1, channel]
        od += tissue * vectors[2, channel]
        light[..., channel] = transmitted(od, look.white[channel])
    sigma = look.blur_um / mpp
    if sigma > _NO_BLUR_PX:
        light = _gaussian(light, sigma)
    if look.sharpening > 0:
        light += np.float32(look.sharpening) * (light - _gaussian(light, _HALO_UM / mpp))
    if look.contrast != 1.0:
        pivot = 0.7 * np.asarray(look.white, np.float32)
        light = (light - pivot) * np.float32(look.contrast) + pivot
    if noise is not None:
        light += np.float32(look.noise) * (noise[..., None] if noise.ndim == 2 else noise)
    np.rint(light, out=light)
    return np.clip(light, 0, 255, out=light).astype(np.uint8)


def develop_margin_px(look: Look, *, mpp: float) -> int:
    """Pixels around a tile on which its inner pixels depend in `develop`."""
    blur = _radius(look.blur_um / mpp) if look.blur_um / mpp > _NO_BLUR_PX else 0
    return blur + (_radius(_HALO_UM / mpp) if look.sharpening > 0 else 0)


def _radius(sigma: float) -> int:
    return int(np.ceil(3 * sigma))


def _gaussian(image: FloatArray, sigma: float) -> FloatArray:
    size = 2 * _radius(sigma) + 1
    blurred = cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)


def _as_vector(array: FloatArray) -> Vector:
    red, green, blue = (float(value) for value in array)
    return (red, green, blue)
