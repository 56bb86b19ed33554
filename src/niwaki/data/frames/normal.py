"""Surface normals of pixels: floating unit vectors, or bytes that encode them."""

from collections.abc import Callable

import numpy as np

from niwaki.data.frames.plane import Array, Fault, Plane
from niwaki.tasks import decode_normals

__all__ = ["normal_fault", "normal_plane", "unit_normals"]

_TOLERANCE = 0.02


def normal_plane(name: str, target: str, *, decode: Callable[[Array], Array], kinds: str = "fu") -> Plane:
    """Return the plane of normals.

    Args:
        name: What the layout calls it.
        target: The task.
        decode: Brings a file's array to float32 ``[H, W, 3]``, 0 where unlabelled.
        kinds: NumPy's letters of the number kinds allowed: ``f`` for unit vectors, ``u`` for bytes.

    Returns:
        The plane.
    """
    said = {"f": "floating unit vectors", "u": "uint8 that encodes them as (n + 1) * 127.5"}
    return Plane(name, target, 3, kinds, ", or ".join(said[letter] for letter in kinds), normal_fault, decode)


def unit_normals(array: Array) -> Array:
    """Return normals as float32 unit vectors ``[H, W, 3]``, 0 where unlabelled.

    Bytes encode ``n`` as ``(n + 1) * 127.5``; black, grey and white pixels encode no direction.

    Examples:
        >>> unit_normals(np.array([[[128, 128, 0], [128, 128, 128], [255, 255, 255]]], np.uint8)).round(2).tolist()
        [[[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]
    """
    if array.dtype.kind != "u":
        return array.astype(np.float32)
    normals: Array = decode_normals(array)
    normals /= np.maximum(np.sqrt((normals * normals).sum(-1, keepdims=True)), np.float32(1e-6))
    return normals


def normal_fault(array: Array) -> Fault | None:
    """Tell what is wrong with normals: components that are no numbers, vectors of another length than 1, wide codes."""
    if array.dtype.kind == "u":
        return None if array.dtype == np.uint8 else Fault(f"dtype {array.dtype}", "uint8, or floating unit vectors")
    expected = "unit vectors, and 0 where unlabelled"
    if not np.isfinite(array).all():
        return Fault("NaN or infinite components", expected)
    length = np.sqrt(np.square(array, dtype=np.float32).sum(-1))
    off = (length > 1e-3) & (np.abs(length - 1) > _TOLERANCE)
    if off.any():
        return Fault(f"{off.mean():.1%} of vectors off unit length (up to {float(length.max()):.3g})", expected)
    return None
