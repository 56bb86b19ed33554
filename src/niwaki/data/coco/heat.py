"""Heat: points become maps that are 1 on a point's cell and fall off around it.

Pictures are cropped, scaled and mirrored first, their points with them, and heat is drawn last: heat that was scaled
itself would lose its peaks, or double them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.coco.letterbox import Letterbox

__all__ = ["LABELLED", "Drawn", "Heat", "Points", "heat"]

LABELLED = -1
"""What a plane holds where all maps have labels; a map's number stands for that map, the number of maps for all."""

_REACH = 3.0
_LEAST = 1 / 3


class Points(NamedTuple):
    """Points of one picture, in its pixels.

    Attributes:
        maps: Which map each is in, int ``[P]``.
        twins: Which map it is in when the picture is mirrored, int ``[P]``.
        places: ``x, y``, float ``[P, 2]``.
        spreads: Standard deviation of the heat around it, float ``[P]``.
    """

    maps: Sequence[int]
    twins: Sequence[int]
    places: npt.NDArray[np.float64]
    spreads: Sequence[float]

    def placed(self, box: Letterbox) -> Tensor:
        """Return them in a frame, as the kind of target ``points``: float ``[P, 5]``."""
        x, y = box.places(self.places[:, 0], self.places[:, 1])
        columns = [torch.tensor(each, dtype=torch.float64) for each in (self.maps, self.twins, self.spreads)]
        return torch.stack([*columns[:2], x, y, columns[2] * box.scale], dim=1)


class Heat(NamedTuple):
    """How the points of a task become heat.

    Attributes:
        task: The task.
        maps: How many maps there are.
        stride: Pixels of the frame to a cell of the maps, in both directions.
    """

    task: str
    maps: int
    stride: int

    @property
    def points(self) -> str:
        """Name of the target that holds the points."""
        return f"{self.task}.points"

    @property
    def unlabelled(self) -> str:
        """Name of the target that holds, for each pixel, which map has no label there."""
        return f"{self.task}.unlabelled"


def heat(points: Tensor, unlabelled: Tensor, maps: int, stride: int) -> Tensor:
    """Return heat around points.

    Args:
        points: Rows of map, twin, x, y (shares of width and height) and spread in pixels, float ``[P, 5]``.
        unlabelled: int ``[H, W]``: the map without label, `LABELLED`, or ``maps`` for all.
        maps: How many maps there are.
        stride: Pixels to a cell; divides H and W.

    Returns:
        float32 ``[maps, H / stride, W / stride]`` in [0, 1], NaN where unlabelled. The nearer of two points counts. The
        cell of a point has a label wherever it lies; points outside the frame have none.

    Examples:
        >>> heat(torch.tensor([[0, 0, 0.1, 0.5, 1.0]]), torch.full((1, 3), LABELLED), 1, 1).tolist()
        [[[1.0, 0.606530..., 0.135335...]]]
    """
    high, wide = (side // stride for side in unlabelled.shape)
    drawn = np.zeros((maps, high, wide), np.float32)
    inside = [row for row in points.tolist() if 0 <= row[2] < 1 and 0 <= row[3] < 1]
    cells = [(int(each), int(y * high), int(x * wide)) for each, _, x, y, _ in inside]
    for (own, row, column), (*_, spread) in zip(cells, inside, strict=True):
        _add(drawn[own], row, column, max(spread / stride, _LEAST))
    plane = unlabelled[stride // 2 :: stride, stride // 2 :: stride].numpy()
    for absent in np.unique(plane[plane != LABELLED]).tolist():
        drawn[slice(None) if absent == maps else absent, plane == absent] = np.nan
    for cell in cells:
        drawn[cell] = 1.0
    return torch.from_numpy(drawn)


def _add(drawn: npt.NDArray[np.float32], row: int, column: int, spread: float) -> None:
    """Add a point to a map ``[H, W]``, in place; its heat ends after three standard deviations."""
    reach = int(np.ceil(_REACH * spread))
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, drawn.shape[0]))
    columns = np.arange(max(column - reach, 0), min(column + reach + 1, drawn.shape[1]))
    distance = np.square(rows - row)[:, None] + np.square(columns - column)
    part = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    np.maximum(part, np.exp(-distance / (2 * spread**2)).astype(np.float32), out=part)


class Drawn(SampleDataset):
    """Samples whose points are drawn as heat.

    Args:
        dataset: Samples with the targets that each `Heat` names; a sample may lack them.
        heats: What is drawn.
        epoch_indexed: Whether the samples change from epoch to epoch, as of `niwaki.data.Augmented`.
    """

    def __init__(self, dataset: SampleDataset, heats: Iterable[Heat], *, epoch_indexed: bool = False) -> None:
        self.dataset = dataset
        self.heats = tuple(heats)
        self.epoch_indexed = epoch_indexed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        image, found = self.dataset[index]
        targets = dict(found)
        for each in self.heats:
            if each.points in targets:
                points, unlabelled = targets.pop(each.points), targets.pop(each.unlabelled)
                targets[each.task] = heat(points, unlabelled, each.maps, each.stride)
        return image, targets
