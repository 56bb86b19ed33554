"""Data sets by task, loaded by one set of worker processes."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

import torch
from torch.utils.data import DataLoader

from niwaki.train.by_task import TaskBatches
from niwaki.train.streams import Batches

__all__ = ["PooledBatches", "as_it_is"]

Places = list[tuple[int, int]]


class _Samples(Protocol):
    def __getitems__(self, places: Places) -> Any: ...


class _Placed(Batches, Protocol):
    """Batches that also tell which samples they are made of."""

    samples: _Samples

    def places(self, epoch: int, start: int = 0) -> Iterator[Places]: ...


class PooledBatches(TaskBatches):
    """`TaskBatches` of data sets whose samples all come from the same workers: twenty tasks need no forty processes.

    Args:
        sources: Task to the batches of its data set.
        workers: Processes, at least 1.
        again: Whether shorter ones begin again.
        pin: Whether batches are laid into pinned memory.
    """

    def __init__(self, sources: Mapping[str, _Placed], workers: int, *, again: bool, pin: bool = False) -> None:
        super().__init__(sources, again=again)
        self._placed = dict(sources)
        self._position = (0, 0)
        self._loader: DataLoader[Any] = DataLoader(
            _EachTask({task: source.samples for task, source in sources.items()}),  # type: ignore[arg-type]  # as loader.py
            batch_sampler=cast("Any", _Rows(self)),
            num_workers=workers,
            persistent_workers=True,
            collate_fn=as_it_is,
            generator=torch.Generator(),
            pin_memory=pin,
        )

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""
        self._position = (epoch, start)
        return iter(self._loader)

    def resume(self, state: dict[str, Any], epoch: int, start: int) -> Iterator[Any]:  # noqa: ARG002 - it is empty
        """Go on in an epoch."""
        return self.iterate(epoch, start)

    def rows(self) -> Iterator[dict[str, Places]]:
        """Iterate over the samples of each step: task to places."""
        return self._side_by_side({task: each.places for task, each in self._placed.items()}, *self._position)

    def _pass_of(self, task: str, epoch: int) -> Iterator[Any]:
        return self._placed[task].places(epoch)


class _Rows:
    """A batch sampler: what a step is made of."""

    def __init__(self, batches: PooledBatches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[dict[str, Places]]:
        return self._batches.rows()

    def __len__(self) -> int:
        return cast("int", self._batches.count)


class _EachTask:
    """Loads a step: every task's samples from its own data set."""

    def __init__(self, samples: Mapping[str, _Samples]) -> None:
        self._samples = dict(samples)

    def __getitems__(self, row: dict[str, Places]) -> dict[str, Any]:
        return {task: self._samples[task].__getitems__(places) for task, places in row.items()}


def as_it_is(batch: Any) -> Any:
    """Return a batch that is one already: a `DataLoader` would otherwise stack it."""
    return batch
