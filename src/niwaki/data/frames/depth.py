"""Depth of pixels: metres, or the inverse of a distance."""

from functools import partial

import numpy as np

from niwaki.data.frames.plane import Array, Fault, Plane, flat

__all__ = ["depth", "depth_fault", "depth_plane"]


def depth_plane(name: str, target: str, *, what: str = "metres") -> Plane:
    """Return the plane of depths, or of disparities.

    Args:
        name: What the layout calls it.
        target: The task.
        what: What its numbers are, for people.

    Returns:
        A plane that decodes to float32 ``[H, W, 1]``, 0 where unlabelled.
    """
    return Plane(name, target, 1, "fiu", "real numbers of any dtype", partial(depth_fault, what=what), depth)


def depth(array: Array) -> Array:
    """Return depth as float32 ``[H, W, 1]``."""
    return flat(array).astype(np.float32)[..., None]


def depth_fault(array: Array, *, what: str) -> Fault | None:
    """Tell what is wrong with depths: numbers that are none, or below zero."""
    expected = f"{what} above 0, and 0 where unlabelled"
    if not np.isfinite(array).all():
        return Fault(f"{int((~np.isfinite(array)).sum())} NaN or infinite depths", expected)
    if float(array.min()) < 0:
        return Fault(f"depths down to {float(array.min()):g}", expected)
    return None
