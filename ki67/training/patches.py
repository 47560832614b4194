"""Patches for training: one affine warp for picture and target, then stain, color, blur and noise.

Patch number i is a pure function of (plates, seed, i): a training that was interrupted goes on with
the patches it would have seen, in any number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ki67.stains import DAB, HAEMATOXYLIN, unit
from ki67.types import ByteArray, FloatArray

_DENSITY: FloatArray = -np.log(np.maximum(np.arange(256, dtype=np.float32), 1) / np.float32(255))


@dataclass(frozen=True)
class Plate:
    """A picture ready for sampling: `rgb` H×W×3 and `target` H×W uint8 (255 ignored), both at 0.5 µm/px.

    `weight` says how much the plate holds (nuclei, or pixels); `synthetic` plates
    are sampled by a fixed share.
    `drawn` is True where the target is a tumor mask drawn by a person, not derived from centroids;
    `redrawn` where the picture is H&E redrawn as Ki-67.
    """

    name: str
    source: str
    rgb: ByteArray
    target: ByteArray
    weight: float
    synthetic: bool = False
    drawn: bool = False
    redrawn: bool = False


@dataclass(frozen=True)
class Augmentation:
    """How far a patch may be moved away from its picture.

    `stain_sd` (log SD of the amount of each stain) and `stain_turn` (SD of the components of its unit
    vector) act on haematoxylin, DAB and what is neither; `channel_sd` and `common_sd` (log SD) on the
    optical density of the channels. `white_sd` and `light_sd` (log SD) are what is left of the light's
    color and strength after it was divided out. `jpeg_lowest` is the lowest quality a patch is stored in.
    """

    scale_low: float = 0.75
    scale_high: float = 1.3
    stain_sd: float = 0.2
    stain_turn: float = 0.04
    channel_sd: float = 0.08
    common_sd: float = 0.2
    white_sd: float = 0.02
    light_sd: float = 0.03
    hue_degrees: float = 6.0
    saturation_sd: float = 0.12
    blur_px: float = 1.4
    noise_levels: float = 6.0
    jpeg_lowest: int = 40


def sampling_shares(
    plates: Sequence[Plate], *, synthetic_share: float, redrawn_share: float | None = None
) -> npt.NDArray[np.float64]:
    """Probability of each plate: sources by the square root of what they hold, plates of a source alike.

    Synthetic plates together get `synthetic_share`, redrawn ones `redrawn_share` of all (None: what their
    sources hold), the others the rest; kinds that are missing leave their share to those that are there.
    """
    shares = np.zeros(len(plates))
    synthetic = np.array([plate.synthetic for plate in plates])
    redrawn = np.array([plate.redrawn and not plate.synthetic for plate in plates])
    for source in sorted({plate.source for plate in plates if not plate.synthetic}):
        members = [i for i, plate in enumerate(plates) if plate.source == source and not plate.synthetic]
        shares[members] = np.sqrt(sum(plates[i].weight for i in members)) / len(members)
    shares[synthetic] = 1.0
    others = ~synthetic & ~redrawn
    if redrawn_share is None:
        parts = [(synthetic, synthetic_share), (~synthetic, 1 - synthetic_share)]
    else:
        rest = 1 - synthetic_share - redrawn_share
        parts = [(synthetic, synthetic_share), (redrawn, redrawn_share), (others, rest)]
    for members_of, part in parts:
        if members_of.any():
            shares[members_of] *= part / shares[members_of].sum()
    total = shares.sum()
    return np.asarray(shares / total if total > 0 else np.full(len(plates), 1 / len(plates)))


def draw_patch(
    plates: Sequence[Plate],
    shares: npt.NDArray[np.float64],
    *,
    size: int,
    seed: int,
    index: int,
    augmentation: Augmentation,
) -> tuple[ByteArray, ByteArray]:
    """Patch number `index`: (size × size × 3 RGB, size × size target)."""
    rng = np.random.default_rng((seed, index))
    plate = plates[rng.choice(len(plates), p=shares)]
    rgb, target = warp(plate, size=size, rng=rng, augmentation=augmentation)
    return recolor(rgb, rng=rng, augmentation=augmentation), target


def warp(
    plate: Plate, *, size: int, rng: np.random.Generator, augmentation: Augmentation
) -> tuple[ByteArray, ByteArray]:
    """Cut a patch of `size` by one affine map (rotation, flip, scale); beyond the picture it is mirrored."""
    height, width = plate.target.shape
    scale = np.exp(rng.uniform(np.log(augmentation.scale_low), np.log(augmentation.scale_high)))
    angle = rng.integers(4) * np.pi / 2 if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    flip = 1 if rng.random() < 0.5 else -1
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    turn = np.array([[cos * flip, -sin], [sin * flip, cos]])
    reach = size / 2 / scale
    centre = np.array([_centre(rng, side, reach) for side in (width, height)])
    shift = centre - turn @ np.array([(size - 1) / 2, (size - 1) / 2])
    matrix = np.column_stack((turn, shift))
    flags = cv2.WARP_INVERSE_MAP
    rgb = cv2.warpAffine(
        plate.rgb, matrix, (size, size), flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    target = cv2.warpAffine(
        plate.target, matrix, (size, size), flags=flags | cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(rgb, np.uint8), np.asarray(target, np.uint8)


def recolor(rgb: ByteArray, *, rng: np.random.Generator, augmentation: Augmentation) -> ByteArray:
    """Another laboratory's stain, another camera: stains, densities, light, hue, focus, noise, JPEG.

    A factor k on the optical density is the power k of the transmission, so one table per channel serves.
    """
    out: cv2.typing.MatLike = _restain(rgb, rng, augmentation)
    power = np.exp(rng.normal(0, augmentation.channel_sd, 3) + rng.normal(0, augmentation.common_sd))
    light = np.exp(rng.normal(0, augmentation.white_sd, 3) + rng.normal(0, augmentation.light_sd))
    levels = np.arange(256)[:, None] / 255
    table = np.clip(255 * light * levels**power, 0, 255).astype(np.uint8)
    out = cv2.LUT(out, table[None])
    if rng.random() < 0.5:
        out = cv2.transform(out, _hue_and_saturation(rng, augmentation))
    return _camera(out, rng, augmentation)


def _restain(rgb: ByteArray, rng: np.random.Generator, augmentation: Augmentation) -> ByteArray:
    """The amounts of haematoxylin, DAB and the rest scaled, their hues turned (Tellez, IEEE TMI 2018)."""
    stains = unit(np.stack([HAEMATOXYLIN, DAB, np.cross(HAEMATOXYLIN, DAB)])).astype(np.float64)
    amounts = np.exp(rng.normal(0, augmentation.stain_sd, 3))
    turned = unit(stains + rng.normal(0, augmentation.stain_turn, (3, 3)))
    matrix = (np.linalg.inv(stains) @ np.diag(amounts) @ turned).T
    density = cv2.transform(_DENSITY[rgb], matrix.astype(np.float32))
    return np.asarray(np.clip(255 * np.exp(-density), 0, 255), np.uint8)


def _camera(rgb: cv2.typing.MatLike, rng: np.random.Generator, augmentation: Augmentation) -> ByteArray:
    """Out of focus or sharpened, noisy, stored as JPEG: each now and then."""
    out = rgb
    focus = rng.random()
    if focus < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, augmentation.blur_px))
    elif focus < 0.45:
        soft = cv2.GaussianBlur(out, (0, 0), 1.0)
        amount = rng.uniform(0.3, 1.0)
        out = cv2.addWeighted(out, 1 + amount, soft, -amount, 0)
    if rng.random() < 0.4:
        noise = rng.standard_normal(out.shape, np.float32) * np.float32(
            rng.uniform(0, augmentation.noise_levels)
        )
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if augmentation.jpeg_lowest < 100 and rng.random() < 0.25:
        quality = int(rng.integers(augmentation.jpeg_lowest, 96))
        _, stored = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR_BGR), np.uint8)
    return np.asarray(out, np.uint8)


def _centre(rng: np.random.Generator, side: int, reach: float) -> float:
    if side <= 2 * reach:
        return (side - 1) / 2
    return float(rng.uniform(reach, side - reach)) - 0.5


def _hue_and_saturation(rng: np.random.Generator, augmentation: Augmentation) -> npt.NDArray[np.float32]:
    """3×3 matrix on RGB: a turn about the gray axis and a factor on the distance from it."""
    angle = np.deg2rad(rng.uniform(-augmentation.hue_degrees, augmentation.hue_degrees))
    saturation = np.exp(rng.normal(0, augmentation.saturation_sd))
    gray = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned = np.cos(angle) * (np.eye(3) - gray) + np.sin(angle) * cross
    return np.asarray(gray + saturation * turned, np.float32)
