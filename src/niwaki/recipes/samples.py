"""What a run asks of a split, whether it is one data set or one by task."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import Subset

from niwaki.data import Sample, Split
from niwaki.data.spread import spread as places_of

__all__ = ["first_target", "head", "longest", "size", "spread"]


def size(split: Split) -> int:
    """Return how many samples a split has in all.

    Examples:
        >>> size({"cars": range(3), "boats": range(4)})
        7
    """
    return sum(len(each) for each in split.values()) if isinstance(split, dict) else len(split)


def longest(split: Split) -> int:
    """Return how many samples an epoch takes of a task: of data by task, those of the longest.

    Examples:
        >>> longest({"cars": range(3), "boats": range(4)})
        4
    """
    return max(len(each) for each in split.values()) if isinstance(split, dict) else len(split)


def head(split: Split, count: int) -> Any:
    """Return the first samples of a split, of each task as many."""
    if isinstance(split, dict):
        return {task: Subset(each, range(min(count, len(each)))) for task, each in split.items()}
    return Subset(split, range(min(count, len(split))))


def spread(split: Split, count: int) -> Iterator[tuple[str, Sample]]:
    """Yield samples spread evenly over a split, of each task as many, and what each is called.

    Args:
        split: The split.
        count: How many samples, at most all.

    Yields:
        Names of letters, digits, ``_`` and ``-`` that sort in this order (of data by task, for each task), and samples.
    """
    if isinstance(split, dict):
        for task, each in split.items():
            yield from ((f"{task}-{name}", sample) for name, sample in spread(each, count))
        return
    places = places_of(len(split), count)
    for number, place in enumerate(places):
        yield f"{number:0{len(str(max(len(places) - 1, 0)))}}", split[place]


def first_target(split: Split, task: str) -> Tensor | None:
    """Return the first target of a task, or None where no sample has one."""
    if isinstance(split, dict):
        return first_target(split[task], task) if task in split else None
    return next((targets[task] for _, targets in map(split.__getitem__, range(len(split))) if task in targets), None)
