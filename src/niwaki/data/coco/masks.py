"""Masks as COCO writes them, polygons or run lengths: what is wrong with one, and its pixels."""

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from niwaki.data.frames import Fault
from niwaki.errors import MissingExtraError

__all__ = ["Mask", "Polygons", "Runs", "read_mask", "rendered", "rle"]

_CORNERS = 3
_ZERO = 48


class Polygons(NamedTuple):
    """A mask as outlines.

    Attributes:
        outlines: Of each its corners ``x, y, x, y, ...`` in pixels, at least three; arrays, since there are many.
    """

    outlines: "tuple[array[float], ...]"


class Runs(NamedTuple):
    """A mask as lengths of runs down the columns, background first.

    Attributes:
        counts: The lengths, or COCO's packing of them.
    """

    counts: tuple[int, ...] | bytes


Mask: TypeAlias = Polygons | Runs


def rle() -> Any:
    """Return pycocotools' module of masks.

    Raises:
        MissingExtraError: When it is not installed.
    """
    try:
        from pycocotools import mask  # noqa: PLC0415 - an optional package
    except ImportError as missing:
        raise MissingExtraError("coco", "reading COCO's masks") from missing
    return mask


def read_mask(given: Any, size: tuple[int, int]) -> Mask | Fault:
    """Return a mask as annotated.

    Args:
        given: A list of polygons, or run lengths ``{"size": [H, W], "counts": ...}``, plain or packed.
        size: Height and width of the picture.

    Returns:
        The mask, polygons of less than three corners left out; or what is wrong with it.

    Examples:
        >>> read_mask([[0, 0, 2, 0, 2, 2]], (4, 4))
        Polygons(outlines=(array('d', [0.0, 0.0, 2.0, 0.0, 2.0, 2.0]),))
        >>> read_mask({"size": [4, 4], "counts": [3, 4]}, (4, 4))
        Fault(found='run lengths that make 7 pixels', expected='16 pixels, as 4x4')
    """
    if isinstance(given, list):
        return _polygons(given, size)
    if isinstance(given, dict) and given.get("size") == list(size):
        return _runs(given.get("counts"), size)
    found = f"a mask of {given.get('size')}" if isinstance(given, dict) else f"a mask of type {type(given).__name__}"
    return Fault(found, f"polygons, or run lengths of {list(size)} as the picture has")


def _polygons(given: Sequence[Any], size: tuple[int, int]) -> Mask | Fault:
    outlines = []
    for each in given:
        try:
            corners = np.asarray(each, np.float64)
        except (TypeError, ValueError):
            corners = np.full(1, np.nan)
        if corners.ndim != 1 or corners.size % 2 or not np.isfinite(corners).all():
            return Fault("a polygon that is no list of x, y, x, y, ...", "finite numbers, two for each corner")
        if corners.size and (corners.min() < -max(size) or corners.max() > 2 * max(size)):
            return Fault(f"a polygon up to {np.abs(corners).max():g}", f"corners in a picture of {size[0]}x{size[1]}")
        if corners.size >= 2 * _CORNERS:
            outlines.append(array("d", corners))
    return Polygons(tuple(outlines))


def _runs(counts: Any, size: tuple[int, int]) -> Mask | Fault:
    pixels = size[0] * size[1]
    if isinstance(counts, str):
        unpacked = _unpacked(counts.encode())
        if unpacked is None or sum(unpacked) != pixels or min(unpacked) < 0:
            return Fault("packed run lengths that don't fit", f"{pixels} pixels, as {size[0]}x{size[1]}")
        return Runs(counts.encode())
    if not isinstance(counts, list) or not all(isinstance(each, int) and each >= 0 for each in counts):
        return Fault(f"run lengths of type {type(counts).__name__}", "whole numbers, or their packing as text")
    if sum(counts) != pixels:
        return Fault(f"run lengths that make {sum(counts)} pixels", f"{pixels} pixels, as {size[0]}x{size[1]}")
    return Runs(tuple(counts))


def _unpacked(packed: bytes) -> list[int] | None:
    """Return the run lengths of COCO's packing, or None where it breaks off.

    A number is groups of 5 bits, lowest first and in two's complement, the sixth bit for "more follows"; from the
    fourth number on it is the difference to the last but one.
    """
    counts: list[int] = []
    value = shift = 0
    for byte in packed:
        bits = byte - _ZERO
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (bits >> 4 & 1) << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts if counts and not shift else None


def rendered(mask: Mask, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return a mask's pixels.

    Args:
        mask: The mask.
        size: Height and width of the picture.

    Returns:
        bool ``[H, W]``.

    Raises:
        MissingExtraError: When pycocotools is not installed.

    Examples:
        >>> rendered(Runs((1, 2, 1)), (2, 2)).tolist()
        [[False, True], [True, False]]
    """
    if isinstance(mask, Polygons):
        if not mask.outlines:
            return np.zeros(size, np.bool_)
        tool = rle()
        mask = Runs(tool.merge(tool.frPyObjects([list(each) for each in mask.outlines], *size))["counts"])
    counts = _unpacked(mask.counts) if isinstance(mask.counts, bytes) else mask.counts
    assert counts is not None
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size[::-1]).T
