"""Noise that is a function of place: the same seed and place give the same value in any window.

Random numbers come from an integer hash (splitmix64, Steele et al., OOPSLA 2014) of seed, stream and
lattice cell; smooth noise is a cubic B-spline over hashed lattice values. Every step is elementwise
in a fixed order, so that windows agree to the last bit. Places are in µm, counted from the world's
corner; a window is a grid of pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ki67.types import FloatArray

_SPLINE_GAIN = 315 / 151  # brings the mean variance of the two-dimensional spline of unit noise to 1
_Floats = npt.NDArray[np.float64]
_Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Window:
    """A rectangle of the world: pixel (row, col) lies at ((x + col + 0.5), (y + row + 0.5)) · mpp µm."""

    x: int
    y: int
    width: int
    height: int
    mpp: float

    @property
    def x_um(self) -> _Floats:
        return (np.arange(self.x, self.x + self.width, dtype=np.float64) + 0.5) * self.mpp

    @property
    def y_um(self) -> _Floats:
        return (np.arange(self.y, self.y + self.height, dtype=np.float64) + 0.5) * self.mpp

    def grown(self, margin_px: int) -> Window:
        """The window with a margin on all four sides."""
        return Window(
            self.x - margin_px,
            self.y - margin_px,
            self.width + 2 * margin_px,
            self.height + 2 * margin_px,
            self.mpp,
        )


def hashed(seed: int, stream: int, ix: npt.NDArray[np.int64], iy: npt.NDArray[np.int64]) -> _Hashes:
    """64 random bits for each cell (ix, iy), which broadcast."""
    with np.errstate(over="ignore"):
        key = _mix(np.uint64(seed & 0xFFFFFFFFFFFFFFFF) + np.uint64(stream) * np.uint64(0x9E3779B97F4A7C15))
        rows = _mix(iy.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + key)
        return _mix(rows + ix.astype(np.uint64) * np.uint64(0x8CB92BA72F3D8DD7))


def uniform(seed: int, stream: int, ix: npt.NDArray[np.int64], iy: npt.NDArray[np.int64]) -> _Floats:
    """Uniform numbers in [0, 1) for cells."""
    return np.asarray((hashed(seed, stream, ix, iy) >> np.uint64(11)) * (1.0 / (1 << 53)), np.float64)


def normal(seed: int, stream: int, ix: npt.NDArray[np.int64], iy: npt.NDArray[np.int64]) -> FloatArray:
    """Nearly normal numbers (sum of four uniforms, so within ± 3.46) of mean 0 and SD 1 for cells."""
    bits = np.ascontiguousarray(hashed(seed, stream, ix, iy))
    parts = bits.view(np.uint16).reshape(*bits.shape, 4)
    total = parts[..., 0].astype(np.float32)
    for part in range(1, 4):
        total += parts[..., part]
    total *= np.float32(np.sqrt(3) / 65536)
    total -= np.float32(2 * np.sqrt(3))
    return total


def smooth_noise(window: Window, *, seed: int, stream: int, period_um: float) -> FloatArray:
    """Height×width smooth noise of mean 0 and SD about 1 whose lattice cells are `period_um` wide."""
    offset_x, offset_y = _offsets(seed, stream)
    first_x, weights_x = _taps(window.x_um / period_um + offset_x)
    first_y, weights_y = _taps(window.y_um / period_um + offset_y)
    cols = np.arange(first_x[0], first_x[-1] + 4)
    rows = np.arange(first_y[0], first_y[-1] + 4)
    lattice = normal(seed, stream, cols[None, :], rows[:, None]) * np.float32(_SPLINE_GAIN)
    across = _blend(np.ascontiguousarray(lattice.T), first_x - first_x[0], weights_x)
    return _blend(np.ascontiguousarray(across.T), first_y - first_y[0], weights_y)


def smooth_noise_at(x_um: _Floats, y_um: _Floats, *, seed: int, stream: int, period_um: float) -> FloatArray:
    """The same noise at n points."""
    offset_x, offset_y = _offsets(seed, stream)
    first_x, weights_x = _taps(x_um / period_um + offset_x)
    first_y, weights_y = _taps(y_um / period_um + offset_y)
    steps = np.arange(4)
    lattice = normal(
        seed, stream, (first_x[:, None] + steps)[:, None, :], (first_y[:, None] + steps)[:, :, None]
    )
    return np.asarray(np.einsum("nij,ni,nj->n", lattice, weights_y.T, weights_x.T) * _SPLINE_GAIN, np.float32)


def pixel_noise(window: Window, *, seed: int, stream: int) -> FloatArray:
    """Height×width independent noise of mean 0 and SD 1, one value per pixel of the world."""
    cols = np.arange(window.x, window.x + window.width)
    rows = np.arange(window.y, window.y + window.height)
    return normal(seed, stream, cols[None, :], rows[:, None])


def _mix(bits: _Hashes | np.uint64) -> _Hashes:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)), np.uint64)


def _offsets(seed: int, stream: int) -> tuple[float, float]:
    """Shift of the lattice, so that no two kinds of noise, and no two seeds, share their grid lines."""
    cell = np.zeros(1, np.int64)
    return float(uniform(seed, stream, cell, cell)[0]), float(uniform(seed, stream, cell + 1, cell)[0])


def _taps(position: _Floats) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """First of the four lattice lines that matter at each position, and their 4×n cubic B-spline weights."""
    base = np.floor(position)
    t = position - base
    weights = np.stack(
        [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6]
    )
    return base.astype(np.int64) - 1, weights.astype(np.float32)


def _blend(lattice: FloatArray, first: npt.NDArray[np.int64], weights: FloatArray) -> FloatArray:
    """Rows of the result are weighted sums of four following rows of the lattice."""
    result = np.asarray(lattice[first] * weights[0][:, None], np.float32)
    for step in range(1, 4):
        result += lattice[first + step] * weights[step][:, None]
    return result
