"""Training data as batches that can be taken up again in the middle of an epoch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset

from niwaki.data import Augmented
from niwaki.errors import DataError
from niwaki.tasks import Task
from niwaki.train.by_task import TaskBatches
from niwaki.train.collate import collate
from niwaki.train.order import Order
from niwaki.train.pooled import PooledBatches, as_it_is
from niwaki.train.randomness import own_randomness, seed_host
from niwaki.train.settings import Training
from niwaki.train.streams import Batches, ReadyBatches

__all__ = ["DatasetBatches", "open_batches"]


class DatasetBatches:
    """Batches of a map-style data set, in an order that depends on the seed and the epoch alone.

    Samples that are drawn at random come out the same after a resume and with any number of worker processes: every
    sample is given its own seed, by the training's, the epoch and its index. A `niwaki.data.Augmented`, and any data
    set that says ``epoch_indexed = True``, is asked for ``epoch * len(dataset) + index``.

    Args:
        dataset: Has ``__len__`` and ``__getitem__``, which returns ``(x, {task: target})``.
        training: Holds ``batch_size``, ``num_workers`` and ``seed``.
        shuffle: Whether samples come in random order, and a last batch that is not full is left out.
        tasks: The tasks, which know how a label that a sample lacks is marked.
        pin: Whether batches are laid into pinned memory, from which a CUDA device takes them faster.

    Examples:
        >>> samples = [(torch.full((1,), float(i)), {"depth": torch.zeros(1)}) for i in range(4)]
        >>> batches = DatasetBatches(samples, Training(epochs=1, batch_size=2), shuffle=False)
        >>> [x.flatten().tolist() for x, _ in batches.iterate(epoch=0, start=1)]
        [[2.0, 3.0]]
    """

    def __init__(
        self, dataset: Any, training: Training, *, shuffle: bool, tasks: Sequence[Task] = (), pin: bool = False
    ) -> None:
        size = len(dataset)
        if size == 0:
            raise DataError("the data set is empty; it needs at least one sample")
        drop_last = shuffle and size >= training.batch_size
        self._order = Order(size, training.batch_size, training.seed if shuffle else None, drop_last=drop_last)
        self.count: int | None = len(self._order)
        self.samples = _Samples(dataset, training.seed, tasks)
        self._loader: DataLoader[Any] = DataLoader(
            self.samples,  # type: ignore[arg-type]  # a DataLoader with a batch sampler needs only __getitems__
            batch_sampler=cast("Any", self._order),
            num_workers=training.num_workers,
            persistent_workers=training.num_workers > 0,
            collate_fn=as_it_is,
            generator=torch.Generator(),
            pin_memory=pin,
        )

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""
        self._order.epoch, self._order.start = epoch, start
        return iter(self._loader)

    def state(self) -> dict[str, Any]:
        """Return nothing: the position is all there is."""
        return {}

    def resume(self, state: dict[str, Any], epoch: int, start: int) -> Iterator[Any]:  # noqa: ARG002 - it is empty
        """Go on in an epoch."""
        return self.iterate(epoch, start)

    def peek(self) -> Iterator[Any]:
        """Iterate over the batches of epoch 0, loaded in this process."""
        return map(self.samples.__getitems__, self.places(0))

    def places(self, epoch: int, start: int = 0) -> Iterator[list[tuple[int, int]]]:
        """Iterate over the places ``(epoch, index)`` of each batch's samples, from batch ``start`` on."""
        order = copy(self._order)
        order.epoch, order.start = epoch, start
        return iter(order)


def open_batches(
    data: Any, training: Training, tasks: Sequence[Task] = (), *, shuffle: bool, keep: int = 0, pin: bool = False
) -> Batches:
    """Read what a user gives as data.

    Args:
        data: A map-style data set of samples; a list, `DataLoader`, `IterableDataset` or other iterable of batches; or
            a dict of these by task.
        training: Settings of the loading.
        tasks: The tasks; of data by task only theirs is read.
        shuffle: Whether it is for training: a data set's samples come in random order, and of data by task the shorter
            begin again within an epoch.
        keep: How many batches of an iterable `Batches.peek` still gives in the middle of an epoch.
        pin: Whether a data set's batches are laid into pinned memory.

    Returns:
        Its batches.

    Raises:
        DataError: When it is none of these, empty, or lacks a task.
    """
    if isinstance(data, Mapping):
        given = {str(name): each for name, each in data.items()}
        names = [task.name for task in tasks] or list(given)
        missing = [name for name in names if name not in given]
        if missing:
            raise DataError(
                f"there is no data for {', '.join(missing)}; data by task was given for: {', '.join(given) or 'none'}; "
                "give it under the task's name, or leave the task out"
            )
        open_one = partial(open_batches, training=training, tasks=tasks, shuffle=shuffle, keep=keep, pin=pin)
        sources = {name: open_one(given[name]) for name in names}
        if training.num_workers and all(isinstance(each, DatasetBatches) for each in sources.values()):
            return PooledBatches(cast("Any", sources), training.num_workers, again=shuffle, pin=pin)
        return TaskBatches(sources, again=shuffle)
    if _is_dataset(data):
        return DatasetBatches(data, training, shuffle=shuffle, tasks=tasks, pin=pin)
    if isinstance(data, Iterable):
        return ReadyBatches(data, keep)
    raise DataError(
        "data is a data set (with __len__ and __getitem__), an iterable of batches (x, {task: target}), or a dict of "
        f"these by task; got {type(data).__name__}"
    )


class _Samples:
    """Turns places ``(epoch, index)`` into a batch, and draws nothing from the generators around it."""

    def __init__(self, dataset: Any, seed: int, tasks: Sequence[Task]) -> None:
        self.dataset = dataset
        self.seed = seed
        self.epoch_indexed = isinstance(dataset, Augmented) or bool(getattr(dataset, "epoch_indexed", False))
        self.collate = getattr(dataset, "collate_fn", None) or partial(collate, tasks=tuple(tasks))

    def __getitems__(self, places: list[tuple[int, int]]) -> Any:
        with own_randomness():
            return self.collate([self._sample(*place) for place in places])

    def _sample(self, epoch: int, index: int) -> Any:
        seed_host(((self.seed * 1_000_003 + epoch) * 1_000_003 + index) % 2**63)
        return self.dataset[epoch * len(self.dataset) + index if self.epoch_indexed else index]


def _is_dataset(data: Any) -> bool:
    if isinstance(data, list | tuple | DataLoader | IterableDataset):
        return False  # iterables of batches, though they have a length and torch's base class has __getitem__
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")
