"""The tissue behind a synthetic region: where tumor is, and where each nucleus lies, as functions of place.

Nuclei are candidates on hashed cells of 5.5 µm that compete for room: one stays if it has the
highest priority of all that it would overlap (Matérn's second hard-core process), which gives
2,500-5,000 tumor nuclei per mm² of tumor for diameters of 6-10 µm. Lengths are in µm.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ki67.synthetic_noise import Window, normal, smooth_noise, smooth_noise_at, uniform
from ki67.types import FloatArray

TUMOR, SPINDLE, LYMPHOCYTE = 0, 1, 2

_CELL_UM = 5.5
_REACH_UM = 21.0  # two nuclei farther apart never meet, and no nucleus is drawn farther than this
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Architecture:
    """How the tissue is built; lengths in µm, shares 0-1.

    `nest_um`: period of the nests. `tumor_fraction`: share of the area before septa are cut out.
    `septum_um`: width of the septa (0: none), `septum_period_um` apart or so. `nucleus_um`: mean
    diameter of tumor nuclei, `nucleus_spread` its log SD; `elongation`: mean ratio of the axes.
    `packing`: room a tumor nucleus keeps, relative to touching. `lymphocytes`: how much of the stroma
    they fill. `infiltrating_share`: share of the candidates inside nests that are lymphocytes (`other`
    within the tumor mask). `other_positive_share`: share of stromal nuclei and lymphocytes that take DAB.
    `hot_spots`: SD over the region of the log-odds of being positive (0: the same odds everywhere).
    `vesicular`: 0 dense even chromatin, 1 pale with a dark rim. `irregularity`: how far borders leave the
    ellipse, `darkness_spread`: log SD of the counterstain between nuclei. `granularity` of the cytoplasm,
    `stroma`: density of fibres relative to it, `specks`: strength of DAB debris smaller than a nucleus.
    `clefts`: how often nests are retracted from their stroma, `lumina`: how often they have openings.
    `everywhere`: all is tumor, of one density, and nothing else.
    """

    nest_um: float = 170.0
    tumor_fraction: float = 0.6
    septum_um: float = 9.0
    septum_period_um: float = 190.0
    nucleus_um: float = 8.4
    nucleus_spread: float = 0.1
    elongation: float = 1.25
    packing: float = 1.0
    lymphocytes: float = 0.25
    infiltrating_share: float = 0.02
    other_positive_share: float = 0.02
    hot_spots: float = 0.0
    vesicular: float = 0.5
    clefts: float = 0.3
    irregularity: float = 0.11
    darkness_spread: float = 0.2
    granularity: float = 0.2
    lumina: float = 0.0
    stroma: float = 0.8
    specks: float = 0.0
    everywhere: bool = False


def random_architecture(seed: int) -> Architecture:
    """An architecture drawn from what carcinomas and neuroendocrine tumors show."""
    rng = np.random.default_rng([seed, 3001])
    return Architecture(
        nest_um=float(np.exp(rng.uniform(np.log(70), np.log(320)))),
        tumor_fraction=float(rng.uniform(0.35, 0.85)),
        septum_um=float(rng.choice([0.0, 1.0]) * rng.uniform(4, 16)),
        septum_period_um=float(rng.uniform(100, 260)),
        nucleus_um=float(np.clip(rng.normal(8.3, 1.0), 6.0, 10.5)),
        nucleus_spread=float(rng.uniform(0.07, 0.22)),
        elongation=float(rng.uniform(1.1, 1.6)),
        packing=float(rng.uniform(0.85, 1.2)),
        lymphocytes=float(rng.beta(1.2, 2.5)),
        infiltrating_share=float(rng.uniform(0, 0.05)),
        other_positive_share=float(rng.uniform(0, 0.06)),
        vesicular=float(rng.uniform(0, 1)),
        clefts=float(rng.uniform(0, 0.8)),
        irregularity=float(rng.uniform(0.07, 0.17)),
        darkness_spread=float(rng.uniform(0.12, 0.35)),
        granularity=float(rng.uniform(0.08, 0.45)),
        lumina=float(rng.choice([0.0, 1.0], p=[0.6, 0.4]) * rng.uniform(0.2, 1.0)),
        stroma=float(rng.uniform(0.3, 1.2)),
        specks=float(rng.choice([0.0, 1.0], p=[0.6, 0.4]) * rng.uniform(0.3, 1.0)),
    )


@dataclass(frozen=True)
class Nuclei:
    """n nuclei. Centres and semi-axes in µm, `angle` of the major axis in radians (x towards y).

    `kind` is TUMOR, SPINDLE or LYMPHOCYTE. `chance`: n×4 numbers, SD 1, for what else varies between
    them. Later ones are drawn over earlier ones.
    """

    x_um: _Floats
    y_um: _Floats
    kind: npt.NDArray[np.int8]
    positive: npt.NDArray[np.bool_]
    semi_major_um: _Floats
    semi_minor_um: _Floats
    angle: _Floats
    chance: FloatArray

    def __len__(self) -> int:
        return len(self.x_um)

    def pick(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Nuclei:
        """The nuclei that a mask or an index selects."""
        return Nuclei(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class World:
    """One seed's tissue."""

    seed: int
    architecture: Architecture
    positive_share: float

    def depth(self, window: Window) -> FloatArray:
        """Height×width approximate distance in µm into the nests; negative in stroma. Tumor where > 0."""
        if self.architecture.everywhere:
            return np.full((window.height, window.width), 100.0, np.float32)
        return self._depth(
            *(
                smooth_noise(window, seed=self.seed, stream=stream, period_um=period)
                for stream, period in self._fields()
            )
        )

    def depth_at(self, x_um: _Floats, y_um: _Floats) -> FloatArray:
        """The same at points."""
        if self.architecture.everywhere:
            return np.full(len(x_um), 100.0, np.float32)
        return self._depth(
            *(
                smooth_noise_at(x_um, y_um, seed=self.seed, stream=stream, period_um=period)
                for stream, period in self._fields()
            )
        )

    def _fields(self) -> tuple[tuple[int, float], ...]:
        """Stream and period of the three noises that shape the nests."""
        a = self.architecture
        return ((1, a.nest_um), (2, a.nest_um / 2.7), (3, a.septum_period_um))

    def _depth(self, coarse: FloatArray, fine: FloatArray, septum: FloatArray) -> FloatArray:
        a = self.architecture
        level = NormalDist().inv_cdf(1 - a.tumor_fraction)
        mixed = (coarse + np.float32(0.45) * fine) * np.float32(1 / np.hypot(1, 0.45))
        depth = (mixed - np.float32(level)) * np.float32(a.nest_um / 2.4)
        if a.septum_um > 0:
            wall = np.abs(septum) * np.float32(a.septum_period_um / 1.6) - np.float32(a.septum_um / 2)
            depth = np.minimum(depth, wall)
        return np.asarray(depth, np.float32)

    def openings(self, window: Window, depth: FloatArray) -> FloatArray:
        """Height×width, 0-1: bare glass in clefts along nests, vessels of the stroma, lumina of glands."""
        if self.architecture.everywhere:
            return np.zeros((window.height, window.width), np.float32)
        return self._openings(
            depth,
            smooth_noise(window, seed=self.seed, stream=8, period_um=55.0),
            smooth_noise(window, seed=self.seed, stream=9, period_um=27.0),
        )

    def openings_at(self, x_um: _Floats, y_um: _Floats, depth: FloatArray) -> FloatArray:
        """The same at points."""
        return self._openings(
            depth,
            smooth_noise_at(x_um, y_um, seed=self.seed, stream=8, period_um=55.0),
            smooth_noise_at(x_um, y_um, seed=self.seed, stream=9, period_um=27.0),
        )

    def _openings(self, depth: FloatArray, coarse: FloatArray, fine: FloatArray) -> FloatArray:
        a = self.architecture
        wavy = depth + np.float32(4) + fine
        cleft = np.clip(1.8 + 0.6 * fine - np.abs(wavy), 0, 1)
        cleft *= np.clip((coarse + np.float32(2.4 * a.clefts - 1.5)) * 3, 0, 1)
        gap = np.clip((coarse + 0.4 * fine - 1.5) * 4, 0, 1) * np.clip((-depth - 6) / 3, 0, 1)
        lumen = np.clip((0.5 * fine - coarse - np.float32(2.6 - 1.6 * a.lumina)) * 5, 0, 1)
        lumen *= np.clip((depth - 11) / 3, 0, 1)
        return np.asarray(np.maximum(np.maximum(cleft, gap), lumen), np.float32)

    def fibre_phase_at(self, x_um: _Floats, y_um: _Floats) -> _Floats:
        """Fibres run along the lines of equal phase (µm) at points; the window's form: `fibre_phase`."""
        cos, sin = self._fibre_direction()
        bend = smooth_noise_at(x_um, y_um, seed=self.seed, stream=4, period_um=80.0)
        return np.asarray(x_um * cos + y_um * sin + 34.0 * bend, np.float64)

    def fibre_phase(self, window: Window) -> FloatArray:
        """Height×width phase of the fibres in µm, modulo 2,520 µm to stay exact far from the corner."""
        cos, sin = self._fibre_direction()
        bend = smooth_noise(window, seed=self.seed, stream=4, period_um=80.0)
        along = np.mod(window.x_um * cos, 2520.0).astype(np.float32)[None, :]
        down = np.mod(window.y_um * sin, 2520.0).astype(np.float32)[:, None]
        return np.asarray(along + down + np.float32(34) * bend, np.float32)

    def _fibre_direction(self) -> tuple[float, float]:
        cell = np.zeros(1, np.int64)
        angle = float(uniform(self.seed, 5, cell, cell)[0]) * np.pi
        return float(np.cos(angle)), float(np.sin(angle))

    def nuclei(self, window: Window) -> Nuclei:
        """Every nucleus that may reach into the window, in drawing order."""
        left, right = window.x * window.mpp - _REACH_UM, (window.x + window.width) * window.mpp + _REACH_UM
        top, bottom = window.y * window.mpp - _REACH_UM, (window.y + window.height) * window.mpp + _REACH_UM
        cols = np.arange(np.floor((left - _REACH_UM) / _CELL_UM), np.ceil((right + _REACH_UM) / _CELL_UM))
        rows = np.arange(np.floor((top - _REACH_UM) / _CELL_UM), np.ceil((bottom + _REACH_UM) / _CELL_UM))
        ix, iy = (part.ravel().astype(np.int64) for part in np.meshgrid(cols, rows))
        spots = self._spots(ix, iy)
        major, minor = self._axes(spots)
        order = uniform(self.seed, 13, spots.ix, spots.iy)
        radius = np.sqrt(major * minor)
        stays = _winners(spots, radius, order, packing=self.architecture.packing)
        stays &= (spots.x_um >= left) & (spots.x_um < right) & (spots.y_um >= top) & (spots.y_um < bottom)
        kept = np.flatnonzero(stays)
        kept = kept[np.argsort(order[kept], kind="stable")]
        spots = spots.pick(kept)
        return Nuclei(
            x_um=spots.x_um,
            y_um=spots.y_um,
            kind=spots.kind,
            positive=self._positive(spots),
            semi_major_um=major[kept],
            semi_minor_um=minor[kept],
            angle=self._angles(spots),
            chance=np.stack([normal(self.seed, 20 + i, spots.ix, spots.iy) for i in range(4)], axis=1),
        )

    def _spots(self, ix: npt.NDArray[np.int64], iy: npt.NDArray[np.int64]) -> _Spots:
        """The candidates of these cells; stroma holds fewer than nests, bare glass none."""
        a = self.architecture
        x_um = (ix + uniform(self.seed, 11, ix, iy)) * _CELL_UM
        y_um = (iy + uniform(self.seed, 12, ix, iy)) * _CELL_UM
        if a.everywhere:
            return _Spots(ix, iy, x_um, y_um, np.full(len(ix), TUMOR, np.int8))
        draw = uniform(self.seed, 14, ix, iy)
        depth = self.depth_at(x_um, y_um)
        crowd = smooth_noise_at(x_um, y_um, seed=self.seed, stream=6, period_um=110.0)
        lymphocytes = np.clip(0.6 * a.lymphocytes * (0.35 + 0.65 * crowd), 0.01 * a.lymphocytes, 0.75)
        in_nest, in_stroma = depth > 1.5, depth < -2.5
        lymphocyte = (in_nest & (draw < a.infiltrating_share)) | (in_stroma & (draw < lymphocytes))
        spindles = np.clip(0.07 - 0.03 * crowd, 0.015, 0.14)
        spindle = in_stroma & ~lymphocyte & (draw > 1 - spindles)
        kind = np.where(lymphocyte, LYMPHOCYTE, np.where(spindle, SPINDLE, TUMOR)).astype(np.int8)
        here = np.flatnonzero(in_nest | lymphocyte | spindle)
        here = here[self.openings_at(x_um[here], y_um[here], depth[here]) < 0.3]
        return _Spots(ix, iy, x_um, y_um, kind).pick(here)

    def _axes(self, spots: _Spots) -> tuple[_Floats, _Floats]:
        """Semi-axes, major first."""
        a, kind = self.architecture, spots.kind
        size = normal(self.seed, 15, spots.ix, spots.iy).astype(np.float64)
        shape = np.minimum(np.abs(normal(self.seed, 16, spots.ix, spots.iy)), 2.2).astype(np.float64)
        ratio = 1 + (a.elongation - 1) * (0.4 + 0.75 * shape)
        ratio = np.where(kind == LYMPHOCYTE, 1.03 + 0.08 * shape, ratio)
        ratio = np.where(kind == SPINDLE, 2.0 + 1.3 * shape, ratio)
        radius = a.nucleus_um / 2 * np.exp(np.clip(a.nucleus_spread * size, -0.4, 0.4))
        radius = np.where(kind == LYMPHOCYTE, 3.0 * np.exp(0.08 * size), radius)
        radius = np.where(kind == SPINDLE, 2.9 * np.exp(np.clip(0.22 * size, -0.5, 0.4)), radius)
        return radius * np.sqrt(ratio), radius / np.sqrt(ratio)

    def _angles(self, spots: _Spots) -> _Floats:
        """Spindles lie along the fibres, tumor nuclei roughly along a slowly turning direction."""
        x_um, y_um, step = spots.x_um, spots.y_um, 1.5
        here = self.fibre_phase_at(x_um, y_um)
        down = self.fibre_phase_at(x_um, y_um + step) - here
        right = self.fibre_phase_at(x_um + step, y_um) - here
        along = np.arctan2(down, right) + np.pi / 2
        scatter = np.where(spots.kind == SPINDLE, 0.15, 1.0) * normal(self.seed, 17, spots.ix, spots.iy)
        return np.asarray(np.mod(along + scatter, np.pi), np.float64)

    def _positive(self, spots: _Spots) -> npt.NDArray[np.bool_]:
        a = self.architecture
        share = np.full(len(spots.kind), self.positive_share)
        if a.hot_spots > 0 and 0 < self.positive_share < 1:
            field = smooth_noise_at(spots.x_um, spots.y_um, seed=self.seed, stream=7, period_um=450.0)
            odds = self.positive_share / (1 - self.positive_share) * np.exp(a.hot_spots * field)
            share = odds / (1 + odds)
        share = np.where(spots.kind == TUMOR, share, a.other_positive_share)
        return np.asarray(uniform(self.seed, 18, spots.ix, spots.iy) < share)


@dataclass(frozen=True)
class _Spots:
    """Candidates: their hashed cell, place and kind."""

    ix: npt.NDArray[np.int64]
    iy: npt.NDArray[np.int64]
    x_um: _Floats
    y_um: _Floats
    kind: npt.NDArray[np.int8]

    def pick(self, which: npt.NDArray[np.int64]) -> _Spots:
        return _Spots(self.ix[which], self.iy[which], self.x_um[which], self.y_um[which], self.kind[which])


def _winners(spots: _Spots, radius: _Floats, order: _Floats, *, packing: float) -> npt.NDArray[np.bool_]:
    """Those that no nucleus of higher priority crowds out (one pass: only neighbours matter)."""
    stays = np.ones(len(radius), bool)
    if not len(radius):
        return stays
    tree = cKDTree(np.stack([spots.x_um, spots.y_um], axis=1))
    reach = min(_REACH_UM, 2.01 * max(packing, 0.85) * float(radius.max()))
    pairs = tree.query_pairs(reach, output_type="ndarray")
    one, two = pairs[:, 0], pairs[:, 1]
    tumor = (spots.kind[one] == TUMOR) & (spots.kind[two] == TUMOR)
    room = np.where(tumor, packing, 0.85) * (radius[one] + radius[two])
    away = np.hypot(spots.x_um[one] - spots.x_um[two], spots.y_um[one] - spots.y_um[two])
    close = away < room
    loser = np.where(order[one] > order[two], two, one)
    stays[loser[close]] = False
    return stays
