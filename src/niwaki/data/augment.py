"""Joint augmentation: what is done to the picture is done to every target, each in its own way."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from niwaki.data.base import Sample, SampleDataset
from niwaki.data.kinds import KINDS, Window
from niwaki.data.mixing import mix
from niwaki.errors import DataError
from niwaki.settings import Settings

__all__ = ["Augment", "Augmented", "Change", "mirror", "zoom"]


class Augment(Settings):
    """Which random changes a training sample goes through: a crop that is scaled back up, and a mirror.

    Attributes:
        scales: Zoom factors, each as likely, at least 1. Zooming by s divides depth by s, and multiplies inverse depth.
        mirror: The share of samples that are mirrored left to right.

    Raises:
        SettingError: When a scale is below 1 or the share is outside [0, 1].

    Examples:
        >>> Augment().scales
        (1.0, 1.2, 1.5)
    """

    scales: Annotated[tuple[Annotated[float, Field(ge=1.0)], ...], Field(min_length=1)] = (1.0, 1.2, 1.5)
    mirror: float = Field(default=0.5, ge=0.0, le=1.0)

    def apply(self, sample: Sample, generator: torch.Generator, kinds: Mapping[str, str]) -> Sample:
        """Return a sample changed at random.

        Args:
            sample: Input and targets; nothing in it is changed in place.
            generator: Where random numbers come from.
            kinds: The kind of each target, one of `niwaki.data.kinds.KINDS`.

        Returns:
            The changed sample, of the same shapes.

        Raises:
            DataError: When a target has no kind, or one that can't be augmented.
        """
        chosen, top, left, side = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        _refuse_unknown(sample[1], kinds)
        scale = self.scales[int(chosen * len(self.scales))]
        if scale > 1.0:
            sample = zoom(sample, scale, (top, left), kinds)
        return mirror(sample, kinds) if side < self.mirror else sample


def _refuse_unknown(targets: Iterable[str], kinds: Mapping[str, str]) -> None:
    for task in targets:
        if kinds.get(task) not in KINDS:
            found = f"is of kind {kinds[task]!r}, which can't be augmented" if task in kinds else "has no kind"
            raise DataError(
                f"target {task!r} {found}; name its kind (one of {', '.join(KINDS)}) or open the data without "
                "augmentation"
            )


def zoom(sample: Sample, scale: float, place: tuple[float, float], kinds: Mapping[str, str]) -> Sample:
    """Cut a window out of a sample and scale it back to full size.

    The picture is interpolated; labels, depth and normals take the nearest pixel, so that none is invented. Things
    look nearer by the factor, so depth is divided by it, and inverse depth multiplied; directions stay.

    Args:
        sample: Input ``[3, H, W]`` and targets.
        scale: How much larger things become, at least 1.
        place: Where the window lies, from 0 (top, left) to 1 (bottom, right).
        kinds: The kind of each target.

    Returns:
        The changed sample.

    Examples:
        >>> sample = (torch.zeros(3, 4, 4), {"depth": torch.full((1, 4, 4), 3.0)})
        >>> zoom(sample, 1.5, (0.0, 1.0), {"depth": "depth"})[1]["depth"][0, 0, 0].item()
        2.0
    """
    image, targets = sample
    height, width = image.shape[-2:]
    high, wide = max(round(height / scale), 1), max(round(width / scale), 1)
    top, left = int(place[0] * (height - high + 1)), int(place[1] * (width - wide + 1))
    top, left = min(top, height - high), min(left, width - wide)
    window = image[:, top : top + high, left : left + wide]
    rows = top + _nearest(height, high)
    columns = left + _nearest(width, wide)
    part = Window(left / width, top / height, wide / width, high / height)
    changed = {}
    for task, target in targets.items():
        kind = KINDS[kinds[task]]
        near = target[..., rows[:, None], columns] if kind.on_pixels else target
        near = near if kind.cropped is None else kind.cropped(near, part)
        changed[task] = near if kind.zoomed is None else kind.zoomed(near, scale)
    larger = F.interpolate(window[None], (height, width), mode="bilinear", align_corners=False)[0]
    return larger, changed


def _nearest(count: int, among: int) -> Tensor:
    return ((torch.arange(count) * 2 + 1) * among).div(2 * count, rounding_mode="floor")


def mirror(sample: Sample, kinds: Mapping[str, str]) -> Sample:
    """Swap left and right of a sample; the x of normals changes its sign.

    Args:
        sample: Input ``[3, H, W]`` and targets.
        kinds: The kind of each target.

    Returns:
        The changed sample.

    Examples:
        >>> normals = torch.tensor([0.6, 0.0, -0.8]).reshape(3, 1, 1)
        >>> _, targets = mirror((torch.zeros(3, 1, 1), {"normals": normals}), {"normals": "normals"})
        >>> [round(v, 1) for v in targets["normals"].flatten().tolist()]
        [-0.6, 0.0, -0.8]
    """
    image, targets = sample
    changed = {}
    for task, target in targets.items():
        kind = KINDS[kinds[task]]
        flipped = target.flip(-1) if kind.on_pixels else target
        changed[task] = flipped if kind.mirrored is None else kind.mirrored(flipped)
    return image.flip(-1), changed


class Change(Protocol):
    """Random changes of a sample: `Augment`, `ShiftMirror`, or the user's own."""

    def apply(self, sample: Sample, generator: torch.Generator, kinds: Mapping[str, str]) -> Sample:
        """Return a sample changed at random; nothing in it is changed in place."""
        ...


class Augmented(SampleDataset):
    """A data set whose samples change from epoch to epoch, and never by chance.

    Index ``epoch * len + i`` gives sample ``i`` as epoch ``epoch`` sees it. What is drawn depends on seed, epoch and
    ``i`` alone: not on the order of reading, on workers, or on where a run was resumed.

    Args:
        dataset: Map-style data of samples.
        augment: What may change.
        seed: Names the stream of changes, 0 or more.
        kinds: The kind of each target; `kinds_of` reads them from the tasks.
    """

    def __init__(self, dataset: SampleDataset, augment: Change, seed: int, kinds: Mapping[str, str]) -> None:
        self.dataset = dataset
        self.augment = augment
        self.seed = seed
        self.kinds = dict(kinds)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        if index < 0:
            raise IndexError(f"index {index} is negative; write epoch * {len(self)} + i")
        generator = torch.Generator().manual_seed(mix(self.seed, index))
        return self.augment.apply(self.dataset[index % len(self)], generator, self.kinds)
