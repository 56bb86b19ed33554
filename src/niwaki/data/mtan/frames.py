"""One frame: its four files read, checked value by value, and brought to the units of the library."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from niwaki.data.findings import Problem
from niwaki.data.mtan.tree import Folder

__all__ = ["FOLDERS", "Frame", "frame_problems", "read_frame"]

FOLDERS = (
    Folder("image", 3, "fu", "floating numbers in [0, 1], or uint8"),
    Folder("label", 0, "fiu", "whole numbers of any dtype"),
    Folder("depth", 1, "fiu", "real numbers of any dtype"),
    Folder("normal", 3, "fu", "floating unit vectors, or uint8 that encodes them as (n + 1) * 127.5"),
)
_UNIT_TOLERANCE = 0.02

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """A frame in the library's units, channels last.

    Attributes:
        image: float32 ``[H, W, 3]`` in [0, 1].
        label: int64 ``[H, W]``, -1 where unlabelled.
        depth: float32 ``[H, W]``, metres, 0 where unlabelled.
        normal: float32 ``[H, W, 3]``, unit vectors, 0 where unlabelled.
    """

    image: Array
    label: Array
    depth: Array
    normal: Array


def read_frame(split: Path, number: int) -> Frame:
    """Read the four files of a frame.

    Args:
        split: The split's folder.
        number: The frame's number.

    Returns:
        The frame, its values not yet checked.

    Raises:
        OSError: When a file can't be read.
        ValueError: When a file is no NumPy array.
    """
    image, label, depth, normal = (np.load(split / each.name / f"{number}.npy", allow_pickle=False) for each in FOLDERS)
    return Frame(_image(image), _flat(label), _flat(depth).astype(np.float32), _normal(normal))


def frame_problems(split: Path, number: int, frame: Frame, classes: int) -> Iterator[Problem]:
    """Look for values that can't be.

    Args:
        split: The split's folder.
        number: The frame's number.
        frame: The frame as read.
        classes: How many classes there are.

    Yields:
        At most one problem a file.
    """
    looks = (
        _image_fault(frame.image),
        _label_fault(frame.label, classes),
        _depth_fault(frame.depth),
        _normal_fault(frame),
    )
    for folder, fault in zip(FOLDERS, looks, strict=True):
        if fault is not None:
            yield Problem(str(split / folder.name / f"{number}.npy"), *fault)


def _flat(array: Array) -> Array:
    return array[..., 0] if array.ndim == 3 else array


def _image(array: Array) -> Array:
    if array.dtype.kind == "u":
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    return array.astype(np.float32)


def _normal(array: Array) -> Array:
    if array.dtype.kind != "u":
        return array.astype(np.float32)
    decoded = array.astype(np.float32) / np.float32(127.5) - 1
    length = np.sqrt((decoded * decoded).sum(-1, keepdims=True))
    # 127 and 128 stand for zero: a grey pixel has no direction.
    known = (np.abs(array.astype(np.int16) * 2 - 255) > 1).any(-1, keepdims=True)
    return np.where(known, decoded / np.maximum(length, np.float32(1e-6)), np.float32(0))


def _image_fault(image: Array) -> tuple[str, str] | None:
    if not np.isfinite(image).all():
        return "NaN or infinite values", "values in [0, 1]"
    low, high = float(image.min()), float(image.max())
    if low < -1e-3 or high > 1 + 1e-3:
        return f"values from {low:g} to {high:g}", "values in [0, 1]; divide by 255, or store uint8"
    return None


def _label_fault(label: Array, classes: int) -> tuple[str, str] | None:
    expected = f"whole numbers from 0 to {classes - 1}, and -1 where unlabelled"
    if label.dtype.kind == "f" and not (np.isfinite(label).all() and (label == np.floor(label)).all()):
        return "labels that are no whole numbers", expected
    low, high = int(label.min()), int(label.max())
    if low < -1 or high >= classes:
        return f"labels from {low} to {high}", expected
    return None


def _depth_fault(depth: Array) -> tuple[str, str] | None:
    expected = "metres above 0, and 0 where unlabelled"
    if not np.isfinite(depth).all():
        return f"{int((~np.isfinite(depth)).sum())} NaN or infinite depths", expected
    if float(depth.min()) < 0:
        return f"depths down to {float(depth.min()):g}", expected
    return None


def _normal_fault(frame: Frame) -> tuple[str, str] | None:
    normal = frame.normal
    expected = "unit vectors, and 0 where unlabelled"
    if not np.isfinite(normal).all():
        return "NaN or infinite components", expected
    length = np.sqrt((normal * normal).sum(-1))
    off = (length > 1e-3) & (np.abs(length - 1) > _UNIT_TOLERANCE)
    if off.any():
        return f"{off.mean():.1%} of vectors off unit length (up to {float(length.max()):.3g})", expected
    return None
