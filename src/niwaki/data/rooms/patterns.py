"""Fixed tables of randomness that textures look things up in."""

from functools import cache

import numpy as np

from niwaki.data.rooms.arrays import Bits, Floats
from niwaki.data.rooms.draws import noise_bytes

__all__ = ["cell_value", "smooth_noise"]

_SIDE = 256
_OCTAVES = ((32, 0.36), (16, 0.26), (8, 0.18), (4, 0.12), (2, 0.08))


@cache
def _cells() -> Floats:
    return noise_bytes(4096, 1).astype(np.float32) / np.float32(256)


@cache
def _clouds() -> Floats:
    table = np.zeros((_SIDE, _SIDE), np.float32)
    for cell, weight in _OCTAVES:
        count = _SIDE // cell
        lattice = noise_bytes(count * count, 2, cell).reshape(count, count).astype(np.float32) / np.float32(255)
        share = (np.arange(_SIDE, dtype=np.float32) % cell) / np.float32(cell)
        share = share * share * (3 - 2 * share)
        at, after = np.arange(_SIDE) // cell, (np.arange(_SIDE) // cell + 1) % count
        rows = lattice[at] + (lattice[after] - lattice[at]) * share[:, None]
        table += np.float32(weight) * (rows[:, at] + (rows[:, after] - rows[:, at]) * share)
    spread = np.clip((table - np.float32(0.5)) * np.float32(2.2) + np.float32(0.5), 0, 1)
    flat: Floats = spread.ravel()
    return flat


def cell_value(*whole: Bits) -> Floats:
    """Return a fixed random number in [0, 1) for each cell of a grid.

    Args:
        *whole: The cell's whole coordinates, one or two arrays of any integer dtype.

    Returns:
        Numbers of the arrays' shape.
    """
    index = whole[0] * 7919
    for other in whole[1:]:
        index = index + other * 1543
    value: Floats = _cells()[(index ^ (index >> 7)) & 4095]
    return value


def smooth_noise(x: Floats, y: Floats) -> Floats:
    """Return smooth noise with features from 2 to 32 units wide, repeating every 256.

    Args:
        x: Coordinates.
        y: Coordinates of the same shape.

    Returns:
        Values in [0, 1].
    """
    column, row = x.astype(np.int32) & (_SIDE - 1), y.astype(np.int32) & (_SIDE - 1)
    noise: Floats = _clouds()[row * _SIDE + column]
    return noise
