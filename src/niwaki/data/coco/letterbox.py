"""Pictures of any shape in frames of one: scaled to fit, centred, with a border."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from niwaki.data.images import nearest, resample

__all__ = ["Letterbox"]


class Letterbox(NamedTuple):
    """Where a picture lies in its frame. Everything that goes with the picture goes through the same one.

    Attributes:
        native: Height and width of the picture.
        size: Height and width of the frame.
    """

    native: tuple[int, int]
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """How much larger the picture becomes."""
        return min(new / old for new, old in zip(self.size, self.native, strict=True))

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width that the picture takes in the frame."""
        high, wide = (max(round(side * self.scale), 1) for side in self.native)
        return high, wide

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the picture's first pixel in the frame."""
        (top, left) = ((new - own) // 2 for new, own in zip(self.size, self.inner, strict=True))
        return top, left

    def picture(self, image: Tensor) -> Tensor:
        """Return a picture ``float [C, h, w]`` in its frame ``[C, H, W]``, the border black."""
        frame = image.new_zeros((image.shape[0], *self.size))
        frame[(slice(None), *self._inside())] = resample(image, self.inner)
        return frame

    def labels(self, labels: npt.NDArray[np.int64], border: int) -> Tensor:
        """Return labels ``int [h, w]`` in their frame ``[H, W]``, each the nearest one, the border as said."""
        frame = torch.full(self.size, border)
        frame[self._inside()] = torch.from_numpy(nearest(labels, self.inner))
        return frame

    def places(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Return places in pixels of the picture as shares of the frame's width and height.

        Examples:
            >>> x, y = Letterbox((10, 20), (40, 40)).places(np.array([20.0]), np.array([0.0]))
            >>> x.tolist(), y.tolist()
            ([1.0], [0.25])
        """
        shares = []
        for place, axis in ((x, 1), (y, 0)):
            moved = self.corner[axis] + place * self.inner[axis] / self.native[axis]
            shares.append(torch.from_numpy(moved / self.size[axis]))
        return shares[0], shares[1]

    def _inside(self) -> tuple[slice, slice]:
        (top, left), (high, wide) = self.corner, self.inner
        return slice(top, top + high), slice(left, left + wide)
