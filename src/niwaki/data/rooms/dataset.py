"""Rooms as samples: on the spot, or out of a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.rooms.arrays import Bytes
from niwaki.data.rooms.render import render_room
from niwaki.data.rooms.store import pack, store_file, stored, unpack

__all__ = ["Rooms"]


class Rooms(SampleDataset):
    """Drawn rooms with segmentation, depth and normals. The cache changes the time, never a value.

    Args:
        seed: Names a world of rooms, 0 or more.
        indices: Names the rooms.
        size: Height and width in pixels.
        cache: Whether rooms are kept in a file; it is drawn now, where it is missing.
        report: Told how many rooms are drawn.

    Raises:
        DataError: When the cache can't be written.

    Examples:
        >>> x, targets = Rooms(seed=0, indices=range(4), size=(24, 32), cache=False)[3]
        >>> {task: tuple(target.shape) for task, target in targets.items()}
        {'segmentation': (24, 32), 'depth': (1, 24, 32), 'normals': (3, 24, 32)}
    """

    def __init__(
        self,
        *,
        seed: int,
        indices: range,
        size: tuple[int, int] = (96, 128),
        cache: bool = True,
        report: Callable[[int], None] | None = None,
    ) -> None:
        self.seed = seed
        self.indices = indices
        self.size = size
        self._file: Path | None = None
        self._open: Bytes | None = None
        if cache and len(indices):
            path = store_file(seed, size, indices.start, len(indices))
            self._file = stored(path, seed, size, indices, report)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"room {index} is not among the {len(self)} of this split")
        image, label, depth, normals = unpack(self._planes(index))
        targets = {
            "segmentation": torch.from_numpy(label.astype(np.int64)),
            "depth": torch.from_numpy(depth)[None],
            "normals": torch.from_numpy(normals),
        }
        return torch.from_numpy(image), targets

    def _planes(self, index: int) -> Bytes:
        if self._file is None:
            return pack(render_room(self.seed, self.indices[index], self.size))
        if self._open is None:
            self._open = np.load(self._file, mmap_mode="r", allow_pickle=False)
        return np.asarray(self._open[index])

    def __getstate__(self) -> dict[str, object]:
        # A worker process opens the file for itself instead of receiving its contents.
        return {**self.__dict__, "_open": None}
