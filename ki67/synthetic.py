"""Synthetic Ki-67 regions with an exact answer for every nucleus and for the tumor.

Nests of tumor nuclei, septa and stroma with spindle nuclei and fibres, and lymphocytes; counterstain
and DAB mixed by Beer–Lambert; a look per laboratory and scanner. The tissue is a function of seed and
place (`ki67/synthetic_world.py`): any window of one seed shows the same tissue to the last bit, so a
region of any size is made by tiles, without seams, in bounded memory.

The interface: `make_region` for a region in memory, `write_region` for a file with its truth beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ki67.errors import DataError
from ki67.stains import Look, develop, develop_margin_px, random_look
from ki67.synthetic_noise import Window, pixel_noise, smooth_noise
from ki67.synthetic_world import LYMPHOCYTE, SPINDLE, TUMOR, Architecture, Nuclei, World, random_architecture
from ki67.types import ByteArray, FloatArray

_TILE_PX = 1024


@dataclass(frozen=True)
class TruthTable:
    """n nuclei of a region. (0, 0) is the centre of its first pixel; semi-axes in pixels.

    `label` is "positive" or "negative" for tumor nuclei, "other" for stromal nuclei and lymphocytes,
    whether stained or not. `angle` is that of the major axis in radians, x towards y.
    """

    x_px: FloatArray
    y_px: FloatArray
    label: npt.NDArray[np.str_]
    semi_major_px: FloatArray
    semi_minor_px: FloatArray
    angle: FloatArray

    def __len__(self) -> int:
        return len(self.x_px)


@dataclass(frozen=True)
class SyntheticRegion:
    """A region: `rgb` H×W×3 at `mpp` µm/px, the truth of each nucleus centred in it, the tumor (H×W bool)."""

    rgb: ByteArray
    mpp: float
    nuclei: TruthTable
    tumor_mask: npt.NDArray[np.bool_]


def make_region(
    width_px: int,
    height_px: int,
    *,
    mpp: float = 0.5,
    seed: int,
    positive_share: float = 0.2,
    look: Look | None = None,
    architecture: Architecture | None = None,
    left_px: int = 0,
    top_px: int = 0,
) -> SyntheticRegion:
    """A region of the seed's tissue, whose upper left pixel is (`left_px`, `top_px`) of that tissue.

    `positive_share` (0-1) is the chance of each tumor nucleus to be positive. `look` and `architecture`
    None: drawn from the seed, so that each seed is another laboratory and another tumor. For a region
    that is all tumor of one density give `Architecture(everywhere=True)`.
    Raises DataError for a size or share that makes no sense.
    """
    scene = _scene(seed, positive_share=positive_share, look=look, architecture=architecture)
    if min(width_px, height_px) < 1 or not 0.1 <= mpp <= 1:
        raise DataError(
            f"A synthetic region of {width_px} × {height_px} px at {mpp} µm/px cannot be made: "
            "give at least 1 × 1 px at 0.1 to 1 µm/px."
        )
    rgb = np.empty((height_px, width_px, 3), np.uint8)
    tumor = np.empty((height_px, width_px), bool)
    tables = []
    for y in range(0, height_px, _TILE_PX):
        for x in range(0, width_px, _TILE_PX):
            window = Window(
                left_px + x, top_px + y, min(_TILE_PX, width_px - x), min(_TILE_PX, height_px - y), mpp
            )
            inner = (slice(y, y + window.height), slice(x, x + window.width))
            rgb[inner], tumor[inner], nuclei = _render(scene, window)
            tables.append(_truth(nuclei, window, left_px=left_px, top_px=top_px))
    return SyntheticRegion(rgb, mpp, _joined(tables), tumor)


@dataclass(frozen=True)
class _Scene:
    world: World
    look: Look


def _scene(
    seed: int, *, positive_share: float, look: Look | None, architecture: Architecture | None
) -> _Scene:
    if not 0 <= positive_share <= 1:
        raise DataError(f"The share of positive nuclei is {positive_share}: give a fraction from 0 to 1.")
    world = World(seed, architecture or random_architecture(seed), positive_share)
    return _Scene(world, look or random_look(seed))


def _truth(nuclei: Nuclei, window: Window, *, left_px: int, top_px: int) -> TruthTable:
    """The nuclei centred in the window, half-open, in pixels of the region."""
    mpp = window.mpp
    x, y = nuclei.x_um / mpp, nuclei.y_um / mpp
    inside = (
        (x >= window.x) & (x < window.x + window.width) & (y >= window.y) & (y < window.y + window.height)
    )
    kept = nuclei.pick(inside)
    label = np.where(kept.kind != TUMOR, "other", np.where(kept.positive, "positive", "negative"))
    return TruthTable(
        x_px=(x[inside] - left_px - 0.5).astype(np.float32),
        y_px=(y[inside] - top_px - 0.5).astype(np.float32),
        label=label,
        semi_major_px=(kept.semi_major_um / mpp).astype(np.float32),
        semi_minor_px=(kept.semi_minor_um / mpp).astype(np.float32),
        angle=kept.angle.astype(np.float32),
    )


def _joined(tables: list[TruthTable]) -> TruthTable:
    return TruthTable(
        **{
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in TruthTable.__dataclass_fields__
        }
    )


def _render(scene: _Scene, window: Window) -> tuple[ByteArray, npt.NDArray[np.bool_], Nuclei]:
    """RGB and tumor of a window, and the nuclei that may reach into it.

    Tissue, then nuclei over it, then light through both; a margin is drawn around the window for the optics.
    """
    world, look = scene.world, scene.look
    margin = develop_margin_px(look, mpp=window.mpp)
    wide = window.grown(margin)
    depth = world.depth(wide)
    counterstain, dab = _tissue(scene, wide, depth)
    nuclei = world.nuclei(wide)
    _draw_nuclei(counterstain, dab, nuclei, scene=scene, window=wide)
    noise = pixel_noise(wide, seed=world.seed, stream=40)
    rgb = develop(counterstain, dab, look=look, mpp=window.mpp, noise=noise)
    inner = (slice(margin, margin + window.height), slice(margin, margin + window.width))
    return rgb[inner], depth[inner] > 0, nuclei


def _tissue(scene: _Scene, window: Window, depth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Counterstain and DAB of what is not nucleus: cytoplasm, fibres, clefts and glass."""
    world, look = scene.world, scene.look
    a = world.architecture
    seed = world.seed
    fine = smooth_noise(window, seed=seed, stream=30, period_um=2.2)
    coarse = smooth_noise(window, seed=seed, stream=31, period_um=14.0)
    cytoplasm = 0.75 + 0.16 * fine + 0.2 * coarse
    if a.everywhere:
        tissue = cytoplasm
    else:
        phase = world.fibre_phase(window)
        strands = np.sin(phase * np.float32(2 * np.pi / 4.2) + fine) + np.sin(
            phase * np.float32(2 * np.pi / 10.5) + coarse
        )
        fibres = 0.45 + 0.3 * coarse + 0.22 * strands * np.clip(0.6 + 0.5 * coarse, 0, 1.5)
        nest = np.clip(depth / 2 + 0.5, 0, 1)
        tissue = nest * cytoplasm + (1 - nest) * fibres
        tissue *= 1 - _openings(world, window, depth)
    tissue = np.maximum(tissue, 0).astype(np.float32)
    counterstain = (look.counterstain * look.background) * tissue
    dab = look.dab_background * tissue * (1 + 0.5 * coarse)
    return counterstain.astype(np.float32), np.maximum(dab, 0).astype(np.float32)


def _openings(world: World, window: Window, depth: FloatArray) -> FloatArray:
    """0-1 where there is bare glass: clefts along nests, gaps in loose stroma."""
    loose = smooth_noise(window, seed=world.seed, stream=32, period_um=60.0)
    cleft = np.clip(2.2 - np.abs(depth + 4.5), 0, 1) * np.clip(
        (loose + 2.5 * world.architecture.clefts - 1.4) * 3, 0, 1
    )
    gap = np.clip((loose - 1.5) * 4, 0, 1) * np.clip((-depth - 8) / 3, 0, 1)
    return np.asarray(np.maximum(cleft, gap), np.float32)


def _draw_nuclei(
    counterstain: FloatArray, dab: FloatArray, nuclei: Nuclei, *, scene: _Scene, window: Window
) -> None:
    """Lays every nucleus over the tissue, in place."""
    seed = scene.world.seed
    border = smooth_noise(window, seed=seed, stream=33, period_um=3.2)
    clumps = smooth_noise(window, seed=seed, stream=34, period_um=1.5)
    grain = smooth_noise(window, seed=seed, stream=35, period_um=0.8)
    x_um, y_um = window.x_um, window.y_um
    reach = nuclei.semi_major_um * 1.35 + 1.0
    x0 = np.searchsorted(x_um, nuclei.x_um - reach)
    x1 = np.searchsorted(x_um, nuclei.x_um + reach)
    y0 = np.searchsorted(y_um, nuclei.y_um - reach)
    y1 = np.searchsorted(y_um, nuclei.y_um + reach)
    for i in np.flatnonzero((x1 > x0) & (y1 > y0)):
        box = (slice(y0[i], y1[i]), slice(x0[i], x1[i]))
        dx = (x_um[x0[i] : x1[i]] - nuclei.x_um[i]).astype(np.float32)[None, :]
        dy = (y_um[y0[i] : y1[i]] - nuclei.y_um[i]).astype(np.float32)[:, None]
        _draw_one(
            counterstain[box],
            dab[box],
            (dx, dy),
            nuclei,
            int(i),
            scene,
            (border[box], clumps[box], grain[box]),
        )


def _draw_one(
    counterstain: FloatArray,
    dab: FloatArray,
    offset: tuple[FloatArray, FloatArray],
    nuclei: Nuclei,
    i: int,
    scene: _Scene,
    noises: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    look, a = scene.look, scene.world.architecture
    border, clumps, grain = noises
    kind = nuclei.kind[i]
    major, minor = np.float32(nuclei.semi_major_um[i]), np.float32(nuclei.semi_minor_um[i])
    cos, sin = np.float32(np.cos(nuclei.angle[i])), np.float32(np.sin(nuclei.angle[i]))
    along = (offset[0] * cos + offset[1] * sin) / major
    across = (offset[1] * cos - offset[0] * sin) / minor
    radius = np.sqrt(along * along + across * across) + np.float32(0.09) * border
    cover = np.clip((1 - radius) * (minor / np.float32(0.55)) + np.float32(0.5), 0, 1)
    chance = nuclei.chance[i]
    vesicular = np.float32(np.clip(a.vesicular + 0.2 * chance[0], 0, 1) if kind == TUMOR else 0.1)
    rim = np.clip((radius - np.float32(0.62)) * 4, 0, 1)
    dark = np.float32({TUMOR: 1.0, SPINDLE: 1.1, LYMPHOCYTE: 1.35}[int(kind)] * np.exp(0.16 * chance[1]))
    texture = 1 + (np.float32(0.12) + np.float32(0.16) * vesicular) * clumps + np.float32(0.12) * grain
    texture = texture * (1 - vesicular * np.float32(0.4) * (1 - rim))
    stain = np.maximum(np.float32(look.counterstain) * dark * texture, 0)
    if nuclei.positive[i]:
        strength = np.float32(np.clip(look.dab_strength * np.exp(look.dab_spread * chance[2]), 0.5, 6.0))
        rough = np.float32(0.14 + 0.07 * chance[3])
        layer = strength * np.maximum(
            1 + rough * clumps + np.float32(0.12) * grain - np.float32(0.15) * vesicular * (1 - rim),
            np.float32(0.25),
        )
        dab += cover * np.maximum(layer - dab * np.float32(0.3), 0)
        stain *= np.float32(0.55)
    counterstain += cover * (stain - np.minimum(counterstain, stain) * np.float32(0.7))
