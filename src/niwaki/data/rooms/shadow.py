"""Soft shadows of the largest boxes, found on a coarse grid of pixels and interpolated between them."""

import numpy as np

from niwaki.data.rooms.arrays import Floats, Ints
from niwaki.data.rooms.parts import Label
from niwaki.data.rooms.scene import Vector
from niwaki.data.rooms.solids import Solids

__all__ = ["shadows"]

_BLOCKERS = 14
_ROWS = 48
_LIFT = 0.03
_SOFT = 0.07
_FLAT = (Label.PICTURE, Label.WINDOW, Label.WALL, Label.FLOOR)


def shadows(boxes: Solids, point: Floats, normal: Floats, lamp: Vector, size: tuple[int, int]) -> Floats:
    """Return how much of a lamp's light each pixel misses.

    Args:
        boxes: All boxes; the largest cast shadows.
        point: Points in the camera's frame, ``[3, H * W]``.
        normal: Unit normals in the camera's frame, ``[3, H * W]``.
        lamp: The lamp in the camera's frame.
        size: H and W.

    Returns:
        Shares in [0, 1], ``[H * W]``.
    """
    height, width = size
    step = max(height // _ROWS, 1)
    grid = [np.arange(step // 2, count, step) for count in size]
    at = (grid[0][:, None] * width + grid[1]).ravel()
    start = point[:, at] + normal[:, at] * np.float32(_LIFT)
    coarse = _blocked(boxes, _largest(boxes), start, lamp).reshape(len(grid[0]), len(grid[1]))
    return _spread(_spread(coarse, height, step).T, width, step).T.ravel()


def _largest(boxes: Solids) -> Ints:
    x, y, z = boxes.half.T
    area = np.maximum(np.maximum(x * y, y * z), x * z)
    area = np.where(np.isin(boxes.label, _FLAT), 0.0, area)
    order = np.argsort(-area, kind="stable")[:_BLOCKERS]
    largest: Ints = order[area[order] > 0.01]
    return largest


def _blocked(boxes: Solids, chosen: Ints, start: Floats, lamp: Vector) -> Floats:
    enter: Floats = np.full((len(chosen), start.shape[1]), 0.0, np.float32)
    leave: Floats = np.ones_like(enter)
    for axis in range(3):
        own = boxes.axes[chosen, axis].astype(np.float32)[:, :, None]
        eye, half = (a[chosen, axis].astype(np.float32)[:, None] for a in (boxes.eye, boxes.half))
        here = own[:, 0] * start[0] + own[:, 1] * start[1] + (own[:, 2] * start[2] + eye)
        there = (
            own[:, 0] * np.float32(lamp[0]) + own[:, 1] * np.float32(lamp[1]) + own[:, 2] * np.float32(lamp[2]) + eye
        )
        way = there - here
        scale = 1 / np.where(np.abs(way) < 1e-6, np.float32(1e-6), way)
        middle, reach = -here * scale, np.abs(half * scale)
        enter, leave = np.maximum(enter, middle - reach), np.minimum(leave, middle + reach)
    x, y, z = np.float32(lamp[0]) - start[0], np.float32(lamp[1]) - start[1], np.float32(lamp[2]) - start[2]
    through = np.maximum(leave - enter, 0) * (np.sqrt(x * x + y * y + z * z) * np.float32(1 / _SOFT))
    total: Floats = np.minimum(np.maximum.reduce(through, axis=0, initial=0), 1)
    return total


def _spread(coarse: Floats, count: int, step: int) -> Floats:
    place = np.clip((np.arange(count, dtype=np.float32) - step // 2) / np.float32(step), 0, len(coarse) - 1)
    low = np.minimum(place.astype(np.int64), max(len(coarse) - 2, 0))
    high = np.minimum(low + 1, len(coarse) - 1)
    share = (place - low).astype(np.float32)[:, None]
    fine: Floats = coarse[low] + (coarse[high] - coarse[low]) * share
    return fine
