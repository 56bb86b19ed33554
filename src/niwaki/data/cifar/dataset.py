"""Records as samples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.cifar.records import SIDE, open_records

__all__ = ["Records"]


class Records(SampleDataset):
    """Some records of a file. The file is read as samples are asked for.

    Args:
        path: ``train.bin`` or ``test.bin``, checked.
        places: Numbers of the records, int ``[samples]``.
        labels: Task to the label of each of these records, int ``[samples]``.
    """

    def __init__(self, path: Path, places: npt.NDArray[np.int64], labels: Mapping[str, npt.NDArray[np.int64]]) -> None:
        self.path = path
        self.places = places
        self.labels = {task: torch.from_numpy(values) for task, values in labels.items()}
        self._open: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} is not among the {len(self)} of this split")
        if self._open is None:
            self._open = open_records(self.path)
        planes = self._open[self.places[index], 2:].reshape(3, SIDE, SIDE)
        image = torch.from_numpy(planes.astype(np.float32)) / 255
        return image, {task: values[index] for task, values in self.labels.items()}

    def __getstate__(self) -> dict[str, object]:
        # A worker process opens the file for itself instead of receiving its contents.
        return {**self.__dict__, "_open": None}
