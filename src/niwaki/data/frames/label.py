"""Class labels of pixels."""

from functools import partial

import numpy as np

from niwaki.data.frames.plane import Array, Fault, Plane, flat

__all__ = ["label_fault", "label_plane", "labels"]

UNLABELLED = -1
_NAMED_AT_MOST = 3


def label_plane(name: str, target: str, classes: int, *, ignored: int = UNLABELLED, first: int = 0) -> Plane:
    """Return the plane of class labels.

    Args:
        name: What the layout calls it.
        target: The task.
        classes: How many classes there are.
        ignored: What a file holds where a pixel has no label.
        first: What a file holds for class 0.

    Returns:
        A plane that decodes to int64, 0 to ``classes - 1``, and -1 where unlabelled.
    """
    fault = partial(label_fault, classes=classes, ignored=ignored, first=first)
    decode = partial(labels, ignored=ignored, first=first)
    return Plane(name, target, 0, "fiu", "whole numbers of any dtype", fault, decode)


def labels(array: Array, *, ignored: int, first: int) -> Array:
    """Return labels as int64 ``[H, W]``, -1 where unlabelled.

    Examples:
        >>> labels(np.array([[0, 1, 17]], np.uint8), ignored=0, first=1).tolist()
        [[-1, 0, 16]]
    """
    found = flat(array).astype(np.int64)
    return np.where(found == ignored, UNLABELLED, found - first)


def label_fault(array: Array, *, classes: int, ignored: int, first: int) -> Fault | None:
    """Tell what is wrong with labels: no whole numbers, or none of the classes."""
    expected = f"whole numbers from {first} to {first + classes - 1}, and {ignored} where unlabelled"
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        return Fault("labels that are no whole numbers", expected)
    wrong = np.unique(array[(array != ignored) & ((array < first) | (array >= first + classes))])
    if not wrong.size:
        return None
    named = ", ".join(f"{label:g}" for label in wrong[:_NAMED_AT_MOST].astype(np.float64))
    more = f" and {wrong.size - _NAMED_AT_MOST} more" if wrong.size > _NAMED_AT_MOST else ""
    return Fault(f"the label{'s' if wrong.size > 1 else ''} {named}{more}", expected)
