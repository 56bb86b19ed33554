"""The class of each pixel: drawn from objects, or read from a panoptic picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.data.coco.masks import rendered
from niwaki.data.coco.objects import Object
from niwaki.data.frames import Fault
from niwaki.data.frames.files import UNREADABLE, load

__all__ = ["UNLABELLED", "Regions", "Segments", "region_labels", "segment_labels"]

UNLABELLED = -1


class Segments(NamedTuple):
    """The segments of a panoptic picture.

    Attributes:
        file: A colour picture; ``red + 256 green + 256^2 blue`` is a segment's id, and 0 is unlabelled.
        classes: Id of a segment to its class.
    """

    file: Path
    classes: Mapping[int, int]


class Regions(NamedTuple):
    """The objects of a picture as regions of it.

    Attributes:
        objects: The objects.
        background: Whether the rest is a class of its own, the first; else it is unlabelled.
    """

    objects: Sequence[Object]
    background: bool


def region_labels(regions: Regions, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the class of each pixel, -1 where unlabelled: also where objects of two classes lie over each other.

    Args:
        regions: The objects.
        size: Height and width of the picture.

    Returns:
        int ``[H, W]``.
    """
    labels = np.full(size, 0 if regions.background else UNLABELLED, np.int64)
    taken = np.zeros(size, np.bool_)
    for each in regions.objects:
        pixels = rendered(each.mask, size)
        own = each.category + regions.background
        labels[pixels] = np.where(taken[pixels] & (labels[pixels] != own), UNLABELLED, own)
        taken |= pixels
    return labels


def segment_labels(segments: Segments, size: tuple[int, int]) -> npt.NDArray[np.int64] | Fault:
    """Return the class of each pixel, -1 where unlabelled, or what is wrong with the file.

    Args:
        segments: The panoptic picture.
        size: Height and width of the picture it belongs to.

    Returns:
        int ``[H, W]``, or the fault.
    """
    try:
        colours = load(segments.file)
    except UNREADABLE as error:
        return Fault(f"a file that can't be read ({error})", "a colour picture")
    if colours.dtype != np.uint8 or colours.shape != (*size, 3):
        return Fault(f"{colours.dtype} {list(colours.shape)}", f"a colour picture of {size[0]}x{size[1]}")
    ids, where = np.unique(colours.astype(np.int64) @ np.array([1, 256, 256**2]), return_inverse=True)
    stranger = next((each for each in ids.tolist() if each and each not in segments.classes), None)
    if stranger is not None:
        return Fault(f"the segment {stranger}", "segments that the file of annotations lists, and 0 where unlabelled")
    classes = np.array([segments.classes.get(each, UNLABELLED) for each in ids.tolist()], np.int64)
    return classes[where].reshape(size)
