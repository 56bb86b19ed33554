"""Counting of what a split holds, sample by sample, with the eyes of its tasks."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from niwaki.data.base import Sample
from niwaki.data.findings import SplitFindings
from niwaki.tasks import Task, build_tasks

__all__ = ["Tally"]

_NUMBERS = ("depth", "regression")


class Tally:
    """Counts labels, classes and ranges of one split.

    Args:
        tasks: Ready tasks as plain data; a label is what the task takes for one.
        classes: Names of the classes, by task; classes without names go by their numbers.

    Examples:
        >>> tally = Tally([{"kind": "depth"}])
        >>> tally.add((torch.zeros(3, 1, 2), {"depth": torch.tensor([[[0.0, 2.5]]])}))
        >>> found = tally.findings("train", 1)
        >>> found.labelled, found.ranges
        ({'depth': 0.5}, {'depth': (2.5, 2.5)})
    """

    def __init__(self, tasks: Iterable[Mapping[str, Any]], classes: Mapping[str, Sequence[str]] | None = None) -> None:
        self._counts = [_Count(task, (classes or {}).get(task.name)) for task in build_tasks(tasks)]
        self._sizes: set[tuple[int, ...]] = set()
        self._samples = 0

    def add(self, sample: Sample) -> None:
        """Count one sample; a target it lacks is without labels."""
        image, targets = sample
        self._samples += 1
        size = tuple(image.shape[-2:])
        self._sizes.add(size)
        for count in self._counts:
            count.add(targets.get(count.name), prod(size))

    def findings(self, split: str, samples: int) -> SplitFindings:
        """Return what was counted.

        Args:
            split: The split's name.
            samples: How many samples it has in all.

        Returns:
            The findings of the split.
        """
        return SplitFindings(
            split=split,
            samples=samples,
            looked_at=self._samples,
            size=next(iter(self._sizes)) if len(self._sizes) == 1 else None,
            labelled={each.name: each.labelled / max(each.pixels, 1) for each in self._counts},
            histograms={each.name: each.histogram() for each in self._counts if each.names},
            ranges={each.name: each.ends for each in self._counts if each.ends is not None},
            units={each.name: each.unit for each in self._counts if each.unit},
        )


class _Count:
    """What one task's targets held so far."""

    def __init__(self, task: Task, names: Sequence[str] | None) -> None:
        settings = getattr(task, "settings", None)
        number = getattr(settings, "classes", 0)
        self.task, self.name = task, task.name
        self.names = tuple(names) if names else tuple(str(label) for label in range(number))
        self.ends: tuple[float, float] | None = None
        self.labelled = 0.0
        self.pixels = 0
        self._has_range = getattr(settings, "kind", "") in _NUMBERS
        self.unit = task.units[task.primary] if self._has_range else ""
        self._seen = torch.zeros(len(self.names), dtype=torch.int64)

    def add(self, target: Tensor | None, pixels: int) -> None:
        self.pixels += pixels
        if target is None:
            return
        mask = self.task.labelled(target[None])[0]
        self.labelled += float(mask.float().mean()) * pixels
        if self.names:
            self._seen += torch.bincount(target[mask].flatten(), minlength=len(self.names))
        if self._has_range and mask.any():
            low, high = (float(end) for end in target[mask].aminmax())
            self.ends = (low, high) if self.ends is None else (min(low, self.ends[0]), max(high, self.ends[1]))

    def histogram(self) -> dict[str, float]:
        total = max(int(self._seen.sum()), 1)
        return {name: int(number) / total for name, number in zip(self.names, self._seen, strict=True)}
