"""Frames as samples. Each is checked whenever it is read: nothing wrong is ever trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.frames.files import UNREADABLE, load
from niwaki.data.frames.plane import Array, Frame, Plane, size_of
from niwaki.data.frames.problems import present
from niwaki.data.images import nearest, resample
from niwaki.errors import DataError

__all__ = ["Frames"]


class Frames(SampleDataset):
    """Frames of one split. A sample lacks the target of a plane its frame has no file of.

    Args:
        root: The data's folder.
        planes: The kinds of files, the picture first.
        frames: The files of each frame.
        size: Height and width to bring every frame to, or None to leave them as they are.
    """

    def __init__(
        self, root: Path, planes: Sequence[Plane], frames: Sequence[Frame], *, size: tuple[int, int] | None = None
    ) -> None:
        self.root = root
        self.planes = tuple(planes)
        self.frames = list(frames)
        self.size = size

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is not among the {len(self)} of this split")
        (picture, path), *others = present(self.root, self.planes, self.frames[index])
        image = torch.from_numpy(_checked(picture, path, None)).permute(2, 0, 1).contiguous()
        native = (image.shape[1], image.shape[2])
        size = self.size or native
        targets = {str(plane.target): _as_target(_checked(plane, path, native), size) for plane, path in others}
        return resample(image, size), targets


def _checked(plane: Plane, path: Path, size: tuple[int, int] | None) -> Array:
    """Return a file's array in the library's units; the picture has what size it has."""
    try:
        array = load(path)
    except UNREADABLE as error:
        raise DataError(f"{path} can't be read: {error}; run `niwaki check-data`") from error
    fault = plane.form_fault(array.shape, array.dtype, size or size_of(array.shape)) or plane.fault(array)
    if fault is not None:
        raise DataError(f"{path}: found {fault.found}; expected {fault.expected}")
    return plane.decode(array)


def _as_target(array: Array, size: tuple[int, int]) -> Tensor:
    chosen = nearest(array, size)
    return torch.from_numpy(np.ascontiguousarray(chosen if chosen.ndim == 2 else np.moveaxis(chosen, -1, 0)))
