"""Frames of the tree as samples. Each is checked whenever it is read: nothing wrong is ever trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.images import nearest, resample
from niwaki.data.mtan.frames import Frame, frame_problems, read_frame
from niwaki.errors import DataError

__all__ = ["Frames", "checked_frame"]


def checked_frame(split: Path, number: int, classes: int) -> Frame:
    """Read a frame and refuse values that can't be.

    Args:
        split: The split's folder.
        number: The frame's number.
        classes: How many classes there are.

    Returns:
        The frame.

    Raises:
        DataError: When a file can't be read or holds what the layout does not allow; the message names it.
    """
    try:
        frame = read_frame(split, number)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"frame {number} of {split} can't be read: {error}; run `niwaki check-data`") from error
    problem = next(frame_problems(split, number, frame, classes), None)
    if problem is not None:
        raise DataError(str(problem))
    return frame


class Frames(SampleDataset):
    """Frames of one split.

    Args:
        split: The split's folder.
        numbers: The frames' numbers.
        classes: How many classes there are.
        size: Height and width to bring every frame to, or None to leave them as they are.
    """

    def __init__(
        self, split: Path, numbers: Sequence[int], *, classes: int, size: tuple[int, int] | None = None
    ) -> None:
        self.split = split
        self.numbers = list(numbers)
        self.classes = classes
        self.size = size

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is not among the {len(self)} of this split")
        frame = checked_frame(self.split, self.numbers[index], self.classes)
        size = self.size or (frame.label.shape[0], frame.label.shape[1])
        image = resample(torch.from_numpy(frame.image).permute(2, 0, 1).contiguous(), size)
        label = np.asarray(nearest(frame.label, size)).astype(np.int64)
        depth = np.ascontiguousarray(nearest(frame.depth, size))
        normal = np.ascontiguousarray(np.moveaxis(nearest(frame.normal, size), -1, 0))
        targets = {
            "segmentation": torch.from_numpy(label),
            "depth": torch.from_numpy(depth)[None],
            "normals": torch.from_numpy(normal),
        }
        return image, targets
