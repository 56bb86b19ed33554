"""Augmentation of small pictures with one label each: a shift inside a black border, and a mirror."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch.nn import functional as F

from niwaki.data.base import Sample
from niwaki.errors import DataError
from niwaki.settings import Settings

__all__ = ["ShiftMirror"]


class ShiftMirror(Settings):
    """Random changes of CIFAR's literature: pad, crop back at a random place, and mirror.

    Attributes:
        pad: Pixels of black border on every side; the picture moves by up to so many each way, 0 or more.
        mirror: The share of samples that are mirrored left to right.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> ShiftMirror().pad
        4
    """

    pad: int = Field(default=4, ge=0)
    mirror: float = Field(default=0.5, ge=0.0, le=1.0)

    def apply(self, sample: Sample, generator: torch.Generator, kinds: Mapping[str, str]) -> Sample:
        """Return a sample changed at random.

        Args:
            sample: Input ``[C, H, W]`` and labels; nothing in it is changed in place.
            generator: Where random numbers come from.
            kinds: The kind of each target: ``classification``, since other targets would have to move along.

        Returns:
            The changed sample, of the same shapes.

        Raises:
            DataError: When a target is no classification.
        """
        image, targets = sample
        moved = next((task for task in targets if kinds.get(task) != "classification"), None)
        if moved is not None:
            raise DataError(
                f"target {moved!r} is of kind {kinds.get(moved)!r}, and a shift moves pictures with class labels only; "
                "open the data without augmentation"
            )
        down, right, side = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        places = 2 * self.pad + 1
        top, left = int(down * places), int(right * places)
        height, width = image.shape[-2:]
        image = F.pad(image, (self.pad,) * 4)[:, top : top + height, left : left + width]
        return (image.flip(-1) if side < self.mirror else image.contiguous()), targets
