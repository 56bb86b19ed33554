"""Planes: the kinds of files that make up one frame, such as its picture, its labels, its depth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["PICTURE_NAME", "Array", "Fault", "Frame", "Plane", "flat", "size_of"]

PICTURE_NAME = "image"
"""What every layout calls the plane that is the input."""

Array: TypeAlias = npt.NDArray[Any]

Frame: TypeAlias = tuple[str | None, ...]
"""One path for each plane, relative to the data's folder; None where the frame lacks it."""


class Fault(NamedTuple):
    """What is wrong with an array.

    Attributes:
        found: What it holds.
        expected: What the layout says.
    """

    found: str
    expected: str


@dataclass(frozen=True)
class Plane:
    """One kind of file in a frame.

    Attributes:
        name: What the layout calls it; in a tree, its folder.
        target: The task it is the target of; None for the picture.
        channels: Channels last, or 0 for a plain map ``[H, W]``.
        kinds: NumPy's letters of the number kinds allowed.
        numbers: The same for people.
        fault: Tells what is wrong with the values of a file, at most one thing.
        decode: Brings a file's array to the library's units: ``[H, W, channels]``, or ``[H, W]`` where there are none.
    """

    name: str
    target: str | None
    channels: int
    kinds: str
    numbers: str
    fault: Callable[[Array], Fault | None]
    decode: Callable[[Array], Array]

    def shape_of(self, size: tuple[int, int]) -> str:
        """Return the expected shape as text."""
        return f"[{size[0]}, {size[1]}, {self.channels}]" if self.channels else f"[{size[0]}, {size[1]}]"

    def form_fault(self, shape: tuple[int, ...], dtype: np.dtype[Any], size: tuple[int, int]) -> Fault | None:
        """Tell what is wrong with an array's form: its dtype, or its shape beside a picture of that size."""
        if dtype.kind not in self.kinds:
            return Fault(f"dtype {dtype}", self.numbers)
        right = shape == ((*size, self.channels) if self.channels else size)
        # A map with one channel may leave it out, and a plain map may have one.
        right = right or (self.channels <= 1 and shape in {size, (*size, 1)})
        if right and 0 not in shape:
            return None
        return Fault(f"shape {list(shape)}", f"shape {self.shape_of(size)}, as the {PICTURE_NAME} of that frame has")


def size_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of a shape, 0 where it has none.

    Examples:
        >>> size_of((2, 3, 1)), size_of((7,))
        ((2, 3), (7, 0))
    """
    height, width, *_ = (*shape, 0, 0)
    return height, width


def flat(array: Array) -> Array:
    """Return a map without its one channel.

    Examples:
        >>> flat(np.zeros((2, 3, 1))).shape, flat(np.zeros((2, 3))).shape
        ((2, 3), (2, 3))
    """
    return array[..., 0] if array.ndim == 3 else array
