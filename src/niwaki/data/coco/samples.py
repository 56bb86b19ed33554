"""Pictures with what is annotated on them, as samples. Each file is checked whenever it is read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.coco.letterbox import Letterbox
from niwaki.data.coco.objects import Object
from niwaki.data.coco.people import Person
from niwaki.data.coco.points import centres, keypoints, unlabelled_centres, unlabelled_keypoints
from niwaki.data.coco.semantic import UNLABELLED, Regions, Segments, region_labels, segment_labels
from niwaki.data.findings import Problem
from niwaki.data.frames import Fault
from niwaki.data.frames.files import UNREADABLE
from niwaki.errors import DataError

__all__ = ["Annotated", "AnnotatedPictures", "Vocabulary", "picture_fault", "value_problems"]


@dataclass(frozen=True)
class Annotated:
    """A picture and what is annotated on it; None for a task whose file does not list the picture.

    Attributes:
        file: The picture's file.
        size: Its height and width.
        regions: What segmentation is drawn from.
        objects: What centres are taken of.
        people: Whose keypoints are taken.
    """

    file: Path
    size: tuple[int, int]
    regions: Regions | Segments | None = None
    objects: tuple[Object, ...] | None = None
    people: tuple[Person, ...] | None = None


@dataclass(frozen=True)
class Vocabulary:
    """What is told apart, the same in all splits.

    Attributes:
        segmentation: Names of the classes of pixels.
        centres: Names of the categories of objects.
        keypoints: Names of the keypoints.
        twins: What each keypoint becomes in a mirror.
    """

    segmentation: tuple[str, ...] = ()
    centres: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    twins: tuple[int, ...] = ()


class AnnotatedPictures(SampleDataset):
    """Pictures of one split in frames of one size; centres and keypoints as points, which `Drawn` turns into heat.

    Args:
        pictures: What is annotated.
        words: What is told apart.
        size: Height and width of the frames; None for each picture's own.
    """

    def __init__(self, pictures: Sequence[Annotated], words: Vocabulary, size: tuple[int, int] | None) -> None:
        self.pictures = list(pictures)
        self.words = words
        self.size = size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} is not among the {len(self)} of this split")
        each = self.pictures[index]
        box = Letterbox(each.size, self.size or each.size)
        return box.picture(_sound(_pixels(each))), self._targets(each, box)

    def _targets(self, each: Annotated, box: Letterbox) -> dict[str, Tensor]:
        targets = {}
        if each.regions is not None:
            targets["segmentation"] = box.labels(_sound(_labels(each.regions, each.size)), UNLABELLED)
        if each.objects is not None:
            number = len(self.words.centres)
            targets["centres.points"] = centres(each.objects).placed(box)
            targets["centres.unlabelled"] = box.labels(unlabelled_centres(each.objects, number, each.size), number)
        if each.people is not None:
            number = len(self.words.keypoints)
            targets["keypoints.points"] = keypoints(each.people, self.words.twins).placed(box)
            targets["keypoints.unlabelled"] = box.labels(unlabelled_keypoints(each.people, number, each.size), number)
        return targets


def picture_fault(each: Annotated) -> Fault | None:
    """Tell what a picture's header says that its annotations don't: that it can't be read, or another size."""
    try:
        with Image.open(each.file) as image:
            size = (image.height, image.width)
    except UNREADABLE as error:
        return _unreadable(error)
    if size != each.size:
        return Fault(f"{size[0]}x{size[1]} pixels", f"{each.size[0]}x{each.size[1]}, as its annotations say")
    return None


def value_problems(each: Annotated) -> Iterator[Problem]:
    """Read a picture, and what its segmentation is drawn from, and yield what is wrong."""
    for read in (_pixels(each), None if each.regions is None else _labels(each.regions, each.size)):
        if isinstance(read, Problem):
            yield read


def _pixels(each: Annotated) -> Tensor | Problem:
    """Return a picture as red, green and blue, ``float32 [3, H, W]`` in [0, 1]; a grey one has three times the same."""
    fault = picture_fault(each)
    if fault is not None:
        return Problem(str(each.file), *fault)
    try:
        with Image.open(each.file) as image:
            pixels = np.array(image.convert("RGB"))
    except UNREADABLE as error:
        return Problem(str(each.file), *_unreadable(error))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _labels(regions: Regions | Segments, size: tuple[int, int]) -> npt.NDArray[np.int64] | Problem:
    if isinstance(regions, Regions):
        return region_labels(regions, size)
    labels = segment_labels(regions, size)
    return Problem(str(regions.file), *labels) if isinstance(labels, Fault) else labels


def _unreadable(error: Exception) -> Fault:
    return Fault(f"a file that can't be read ({error})", "a picture")


T = TypeVar("T")


def _sound(read: T | Problem) -> T:
    """Return what was read, and raise where that is a problem."""
    if isinstance(read, Problem):
        raise DataError(str(read))
    return read
