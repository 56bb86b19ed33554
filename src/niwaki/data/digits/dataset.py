"""Pairs of pictures as samples, composed when asked for."""

import numpy as np
import torch

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.digits.archive import Pictures
from niwaki.data.digits.compose import draw, overlap

__all__ = ["Pairs"]


class Pairs(SampleDataset):
    """Pairs of a left and a right picture. Sample ``i`` depends on the seed, the pictures and ``i`` alone.

    Args:
        left: Pictures for the task ``left``.
        right: Pictures for the task ``right``.
        seed: Names the pairs.
        count: How many pairs.
        shift: The largest shift out of the corners, in pixels.
    """

    def __init__(self, left: Pictures, right: Pictures, *, seed: int, count: int, shift: int) -> None:
        self.left = left
        self.right = right
        self.seed = seed
        self.count = count
        self.shift = shift

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} is not among the {len(self)} of this split")
        chosen = draw(self.seed, index, (len(self.left.labels), len(self.right.labels)), self.shift)
        picture = overlap(self.left.images[chosen.left], self.right.images[chosen.right], chosen)
        labels = {"left": self.left.labels[chosen.left], "right": self.right.labels[chosen.right]}
        image = torch.from_numpy(picture.astype(np.float32))[None] / 255
        return image, {task: torch.tensor(int(label)) for task, label in labels.items()}
