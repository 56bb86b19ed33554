"""Files of frames: NumPy arrays and pictures, read without running anything that stands in them."""

from pathlib import Path

import numpy as np
from PIL import Image

from niwaki.data.frames.plane import Array

__all__ = ["UNREADABLE", "header", "load"]

UNREADABLE = (OSError, ValueError, EOFError, SyntaxError)
"""What NumPy and Pillow raise of a file that is missing, damaged, or none of theirs."""

_MODES: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "L": (np.uint8, ()),
    "P": (np.uint8, ()),
    "RGB": (np.uint8, (3,)),
    "RGBA": (np.uint8, (4,)),
    "I;16": (np.uint16, ()),
    "I": (np.int32, ()),
    "F": (np.float32, ()),
}


def header(path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return shape and dtype of the array a file holds, without reading its pixels.

    Args:
        path: A NumPy array (``.npy``) or a picture.

    Returns:
        The shape, channels last, and the dtype.

    Raises:
        OSError: When the file can't be read.
        ValueError: When a file is no plain NumPy array, or a picture of an unknown kind.
    """
    if path.suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array.shape, array.dtype
    with Image.open(path) as image:
        if image.mode not in _MODES:
            raise ValueError(f"a picture of mode {image.mode}, not one of {', '.join(_MODES)}")
        dtype, channels = _MODES[image.mode]
        return (image.height, image.width, *channels), np.dtype(dtype)


def load(path: Path) -> Array:
    """Return the array a file holds; colours are in the order red, green, blue.

    Args:
        path: A NumPy array (``.npy``) or a picture.

    Returns:
        The array, channels last.

    Raises:
        OSError: When the file can't be read.
        ValueError: When a file is no plain NumPy array.
    """
    if path.suffix == ".npy":
        array: Array = np.load(path, allow_pickle=False)
        return array
    with Image.open(path) as image:
        return np.asarray(image)
