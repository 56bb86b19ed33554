"""Pictures: red, green, blue, as bytes or as numbers in [0, 1]."""

import numpy as np

from niwaki.data.frames.plane import PICTURE_NAME, Array, Fault, Plane

__all__ = ["PICTURE", "picture", "picture_fault"]


def picture(array: Array) -> Array:
    """Return a picture as float32 in [0, 1].

    Examples:
        >>> picture(np.array([[[0, 51, 255]]], np.uint8)).tolist()
        [[[0.0, 0.20000000298023224, 1.0]]]
    """
    if array.dtype.kind == "u":
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    return array.astype(np.float32)


def picture_fault(array: Array) -> Fault | None:
    """Tell what is wrong with a picture: numbers that are none, or outside [0, 1]."""
    if array.dtype.kind == "u":
        return None
    if not np.isfinite(array).all():
        return Fault("NaN or infinite values", "values in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1 + 1e-3:
        return Fault(f"values from {low:g} to {high:g}", "values in [0, 1]; divide by 255, or store uint8")
    return None


PICTURE = Plane(PICTURE_NAME, None, 3, "fu", "floating numbers in [0, 1], or uint8", picture_fault, picture)
"""The input of a frame, channels in the order red, green, blue."""
