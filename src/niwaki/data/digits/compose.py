"""How two pictures become one: which two, where they lie, and what is seen where both are."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.data.digits.archive import SIDE
from niwaki.data.mixing import mix

__all__ = ["CANVAS", "MOST_SHIFT", "Draw", "draw", "overlap"]

CANVAS = 36
MOST_SHIFT = (CANVAS - SIDE) // 2 - 1
"""Pixels that both may move towards each other while left stays left of right."""

Bytes = npt.NDArray[np.uint8]


class Draw(NamedTuple):
    """Which two pictures, and how far each is moved out of its corner, down or up and right or left."""

    left: int
    right: int
    left_shift: tuple[int, int]
    right_shift: tuple[int, int]


def draw(seed: int, index: int, among: tuple[int, int], shift: int) -> Draw:
    """Choose the two pictures of one sample; equal arguments give equal choices on every machine.

    Args:
        seed: Names a world of samples.
        index: Names the sample.
        among: How many pictures there are for the left and for the right.
        shift: The largest shift, 0 to `MOST_SHIFT` pixels.

    Returns:
        The choice.

    Examples:
        >>> draw(0, 0, (100, 100), 2) == draw(0, 0, (100, 100), 2)
        True
    """
    stream = mix(seed, index)
    left, right, *shifts = (mix(stream, turn) for turn in range(6))
    down, across, up, back = (each % (shift + 1) for each in shifts)
    return Draw(left % among[0], right % among[1], (down, across), (up, back))


def overlap(left: Bytes, right: Bytes, chosen: Draw) -> Bytes:
    """Lay one picture from the top left corner and one from the bottom right; the brighter pixel is seen.

    Args:
        left: uint8 ``[28, 28]``.
        right: uint8 ``[28, 28]``.
        chosen: Gives the shifts.

    Returns:
        uint8 ``[36, 36]``.

    Examples:
        >>> full = np.full((28, 28), 9, np.uint8)
        >>> int(overlap(full, full, Draw(0, 0, (0, 0), (0, 0))).sum()) == 9 * (36 * 36 - 2 * 8 * 8)
        True
    """
    canvas = np.zeros((2, CANVAS, CANVAS), np.uint8)
    top, start = chosen.left_shift
    bottom, end = (CANVAS - SIDE - each for each in chosen.right_shift)
    canvas[0, top : top + SIDE, start : start + SIDE] = left
    canvas[1, bottom : bottom + SIDE, end : end + SIDE] = right
    merged: Bytes = canvas.max(0)
    return merged
