"""Which flat face each pixel sees: spans of whole rows, and a depth buffer of packed keys."""

from dataclasses import dataclass

import numpy as np

from niwaki.data.rooms.arrays import Doubles, Floats, Ints
from niwaki.data.rooms.faces import Faces

__all__ = ["Raster", "Screen", "draw_faces"]

_FACE_BITS = 20
_GRAZE = 1e-12


@dataclass(frozen=True)
class Screen:
    """Rays of the pixels' middles.

    Attributes:
        height: Rows.
        width: Columns.
        focal: Focal length in pixels.
        x: The rays' first component for each column, ``[W]``; the third is 1.
        y: The rays' second component for each row, ``[H]``.
    """

    height: int
    width: int
    focal: float
    x: Doubles
    y: Doubles


def make_screen(height: int, width: int, focal: float) -> Screen:
    """Return the rays of an image.

    Args:
        height: Rows.
        width: Columns.
        focal: Focal length in pixels; the principal point is the image's middle.

    Returns:
        The rays.
    """
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (np.arange(height) + 0.5 - height / 2) / focal
    return Screen(height, width, focal, x, y)


@dataclass(frozen=True)
class Raster:
    """What each pixel sees.

    Attributes:
        inverse: Inverse depth, ``[H, W]``.
        face: Row of the face table, ``[H, W]``.
    """

    inverse: Floats
    face: Ints


def draw_faces(screen: Screen, shell: Faces, boxes: Faces) -> Raster:
    """Draw the six faces of the shell and the faces of boxes.

    Args:
        screen: The pixels.
        shell: What is behind everything; face numbers 0 to 5.
        boxes: Faces in front of it; face numbers from 6.

    Returns:
        The nearest face of each pixel.
    """
    keys = _shell_keys(screen, shell)
    first, count = _spans(screen, boxes.edges)
    filled = np.flatnonzero(count)
    lengths = count.ravel()[filled]
    span = np.repeat(filled, lengths)
    starts = np.cumsum(lengths) - lengths
    column = np.arange(len(span)) + np.repeat(first.ravel()[filled] - starts, lengths)
    face, row = span // screen.height, span % screen.height
    per_row = boxes.inverse[:, 1:2] * screen.y + boxes.inverse[:, 2:3]
    inverse = (boxes.inverse[face, 0] * screen.x[column] + per_row.ravel()[span]).astype(np.float32)
    np.maximum.at(keys, row * screen.width + column, _key(inverse, face + 6))
    bits = (keys >> _FACE_BITS).astype(np.uint32)
    size = (screen.height, screen.width)
    return Raster(bits.view(np.float32).reshape(size), (keys & ((1 << _FACE_BITS) - 1)).reshape(size))


def _key(inverse: Floats, face: Ints | int) -> Ints:
    # The bits of a positive float grow with its value, so that the largest key is the nearest face.
    key: Ints = (np.maximum(inverse, np.float32(0)).view(np.int32).astype(np.int64) << _FACE_BITS) | face
    return key


def _shell_keys(screen: Screen, shell: Faces) -> Ints:
    keys: Ints | None = None
    for number, (a, b, c) in enumerate(shell.inverse):
        inverse = (a * screen.x + (b * screen.y + c)[:, None]).astype(np.float32)
        key = _key(inverse, number)
        keys = key if keys is None else np.maximum(keys, key)
    assert keys is not None
    return keys.ravel()


def _spans(screen: Screen, edges: Doubles) -> tuple[Ints, Ints]:
    low = np.full((len(edges), screen.height), screen.x[0])
    high = np.full((len(edges), screen.height), screen.x[-1])
    for edge in range(4):
        slope = edges[:, edge, 0]
        slope = np.where(np.abs(slope) < _GRAZE, _GRAZE, slope)
        limit = (edges[:, edge, 1, None] * screen.y + edges[:, edge, 2, None]) / -slope[:, None]
        rising = (slope > 0)[:, None]
        low = np.where(rising, np.maximum(low, limit), low)
        high = np.where(rising, high, np.minimum(high, limit))
    middle = screen.width / 2 - 0.5
    # Limits outside the image are cut before they become whole numbers.
    first = np.ceil(np.minimum(low, 2 * screen.x[-1] + 1) * screen.focal + middle - 1e-6).astype(np.int64)
    last = np.floor(np.maximum(high, 2 * screen.x[0] - 1) * screen.focal + middle + 1e-6).astype(np.int64)
    return first, np.maximum(last - first + 1, 0)
