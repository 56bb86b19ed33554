"""Training data as batches that can be taken up again in the middle of an epoch."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from itertools import chain, islice
from typing import Any, Protocol, cast

import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate

from niwaki.contract import Example
from niwaki.data import Augmented
from niwaki.errors import DataError
from niwaki.train.order import Order
from niwaki.train.randomness import own_randomness, seed_host
from niwaki.train.settings import Training

__all__ = ["Batches", "DatasetBatches", "ReadyBatches", "TaskBatches", "collate", "open_batches"]


class Batches(Protocol):
    """Batches of ``(x, {task: target})``, epoch by epoch.

    Attributes:
        count: Batches in an epoch, or None when that shows only at its end.
    """

    count: int | None

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""

    def state(self) -> dict[str, Any]:
        """Return what has to be saved when an epoch begins."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of the beginning of an epoch."""

    def calibration(self, count: int) -> list[Any]:
        """Return up to ``count`` batches, without disturbing the epoch that is being iterated."""


class DatasetBatches:
    """Batches of a map-style data set, in an order that depends on the seed and the epoch alone.

    Samples that are drawn at random come out the same after a resume and with any number of worker processes: every
    sample is given its own seed, by the training's, the epoch and its index. A `niwaki.data.Augmented`, and any data
    set that says ``epoch_indexed = True``, is asked for ``epoch * len(dataset) + index``.

    Args:
        dataset: Has ``__len__`` and ``__getitem__``, which returns ``(x, {task: target})``.
        training: Holds ``batch_size``, ``num_workers`` and ``seed``.
        shuffle: Whether samples come in random order, and a last batch that is not full is left out.
        pin: Whether batches are laid into pinned memory, from which a CUDA device takes them faster.

    Examples:
        >>> samples = [(torch.full((1,), float(i)), {"depth": torch.zeros(1)}) for i in range(4)]
        >>> batches = DatasetBatches(samples, Training(epochs=1, batch_size=2), shuffle=False)
        >>> [x.flatten().tolist() for x, _ in batches.iterate(epoch=0, start=1)]
        [[2.0, 3.0]]
    """

    def __init__(self, dataset: Any, training: Training, *, shuffle: bool, pin: bool = False) -> None:
        size = len(dataset)
        if size == 0:
            raise DataError("the data set is empty; it needs at least one sample")
        drop_last = shuffle and size >= training.batch_size
        self._order = Order(size, training.batch_size, training.seed if shuffle else None, drop_last=drop_last)
        self.count: int | None = len(self._order)
        self._samples = _Samples(dataset, training.seed)
        self._loader: DataLoader[Any] = DataLoader(
            self._samples,  # type: ignore[arg-type]  # a DataLoader with a batch sampler needs only __getitems__
            batch_sampler=cast("Any", self._order),
            num_workers=training.num_workers,
            persistent_workers=training.num_workers > 0,
            collate_fn=_as_it_is,
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

    def load_state(self, state: dict[str, Any]) -> None:
        """Do nothing."""

    def calibration(self, count: int) -> list[Any]:
        """Return the first batches of epoch 0, loaded in this process."""
        order = copy(self._order)
        order.epoch, order.start = 0, 0
        return [self._samples.__getitems__(places) for places in islice(order, count)]


class ReadyBatches:
    """The user's own iterable of batches.

    A resume goes to the beginning of the epoch (the generators of torch, NumPy, Python and of the loader are put back
    to where they were then), skips the batches that were done, and goes on. This is exact when the iterable draws from
    those generators in this process, or from nothing.

    Args:
        data: An iterable of ``(x, {task: target})`` that can be iterated again for each epoch.
        keep: How many of an epoch's first batches are read ahead and kept for `calibration`.

    Raises:
        DataError: When it can be iterated only once.
    """

    def __init__(self, data: Iterable[Any], keep: int = 0) -> None:
        if iter(data) is data:
            raise DataError(
                "the training data can be iterated only once; give an iterable such as a DataLoader or list"
            )
        self._data = data
        self._keep = keep
        self._first: list[Any] | None = None
        self.count: int | None = _length(data)

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""
        owners: list[Any] = [self._data, *(getattr(self._data, name, None) for name in ("sampler", "batch_sampler"))]
        for owner in owners:
            if hasattr(owner, "set_epoch"):
                owner.set_epoch(epoch)
        rest = iter(self._data)
        self._first = first = list(islice(rest, self._keep))
        stream = chain(first, rest)
        for _ in islice(stream, start):  # now, not at the first `next`: the caller sets the generators afterwards
            pass
        return stream

    def state(self) -> dict[str, Any]:
        """Return the state of the loader's own generator, where it has one."""
        generator = getattr(self._data, "generator", None)
        return {"generator": generator.get_state()} if isinstance(generator, torch.Generator) else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put the loader's own generator back."""
        generator = getattr(self._data, "generator", None)
        if "generator" in state and isinstance(generator, torch.Generator):
            generator.set_state(state["generator"])

    def calibration(self, count: int) -> list[Any]:
        """Return the first batches of the epoch, as many as were kept: another iterator could be the one at work."""
        if self._first is None:  # no epoch has begun
            state = self.state()
            self._first = list(islice(iter(self._data), max(count, self._keep)))
            self.load_state(state)
        return self._first[:count]


class TaskBatches:
    """Batches of tasks that have inputs of their own: each step takes one batch of every task.

    An epoch is as long as the longest task's; shorter ones begin again.

    Args:
        sources: Task to batches.

    Raises:
        DataError: When a task's number of batches is not known.
    """

    def __init__(self, sources: Mapping[str, Batches]) -> None:
        endless = [task for task, source in sources.items() if source.count is None]
        if endless:
            raise DataError(f"data by task needs a length for each; without one: {', '.join(endless)}")
        self._sources = dict(sources)
        self.count: int | None = max(cast("int", source.count) for source in self._sources.values())

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""
        streams = {task: self._stream(source, epoch, start) for task, source in self._sources.items()}
        steps = range(start, cast("int", self.count))
        return ({task: next(stream) for task, stream in streams.items()} for _ in steps)

    def state(self) -> dict[str, Any]:
        """Return the states of all tasks' batches."""
        return {task: source.state() for task, source in self._sources.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the states of all tasks' batches."""
        for task, source in self._sources.items():
            source.load_state(state.get(task, {}))

    def calibration(self, count: int) -> list[Any]:
        """Return batches of all tasks, as many as every task has."""
        each = {task: source.calibration(count) for task, source in self._sources.items()}
        return [dict(zip(each, batches, strict=True)) for batches in zip(*each.values(), strict=False)]

    def _stream(self, source: Batches, epoch: int, start: int) -> Iterator[Any]:
        size, longest = cast("int", source.count), cast("int", self.count)
        rounds = -(-longest // size)
        now, skipped = divmod(start, size)
        first = source.iterate(epoch * rounds + now, skipped)
        later = (source.iterate(epoch * rounds + turn) for turn in range(now + 1, rounds))
        return chain(first, chain.from_iterable(later))


def open_batches(data: Any, training: Training, *, shuffle: bool, keep: int = 0, pin: bool = False) -> Batches:
    """Read what a user gives as data.

    Args:
        data: A map-style data set of samples; a list, `DataLoader`, `IterableDataset` or other iterable of batches; or
            a dict of these by task.
        training: Settings of the loading.
        shuffle: Whether a data set's samples come in random order.
        keep: How many batches `Batches.calibration` will be asked for.
        pin: Whether a data set's batches are laid into pinned memory.

    Returns:
        Its batches.

    Raises:
        DataError: When it is none of these, or empty.
    """
    if isinstance(data, Mapping):
        return TaskBatches(
            {str(k): open_batches(each, training, shuffle=shuffle, keep=keep, pin=pin) for k, each in data.items()}
        )
    if _is_dataset(data):
        return DatasetBatches(data, training, shuffle=shuffle, pin=pin)
    if isinstance(data, Iterable):
        return ReadyBatches(data, keep)
    raise DataError(
        "data is a data set (with __len__ and __getitem__), an iterable of batches (x, {task: target}), or a dict of "
        f"these by task; got {type(data).__name__}"
    )


def collate(samples: list[Any]) -> Any:
    """Stack samples to a batch.

    Args:
        samples: ``(x, {task: target})`` each; all with the same tasks.

    Returns:
        ``(x, {task: target})`` with a leading batch dimension.

    Raises:
        DataError: When samples have different tasks.
    """
    if not all(isinstance(sample, tuple | list) and len(sample) == 2 for sample in samples):
        raise DataError(f"a sample is (x, {{task: target}}); got {type(samples[0]).__name__}")
    keys = [set(targets) for _, targets in samples if isinstance(targets, Mapping)]
    odd = next((each for each in keys if each != keys[0]), None)
    if odd is not None:
        raise DataError(
            f"samples of one batch have different tasks: {sorted(keys[0])} and {sorted(odd)}; mark missing labels by "
            "the ignore index or NaN, or bring batches of your own"
        )
    if isinstance(samples[0][0], tuple):  # several inputs: torch would make a list of them, which means several paths
        inputs = Example(*(default_collate(list(each)) for each in zip(*(x for x, _ in samples), strict=True)))
        return inputs, default_collate([targets for _, targets in samples])
    return default_collate(samples)


class _Samples:
    """Turns places ``(epoch, index)`` into a batch, and draws nothing from the generators around it."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.epoch_indexed = isinstance(dataset, Augmented) or bool(getattr(dataset, "epoch_indexed", False))
        self.collate = getattr(dataset, "collate_fn", None) or collate

    def __getitems__(self, places: list[tuple[int, int]]) -> Any:
        with own_randomness():
            return self.collate([self._sample(*place) for place in places])

    def _sample(self, epoch: int, index: int) -> Any:
        seed_host(((self.seed * 1_000_003 + epoch) * 1_000_003 + index) % 2**63)
        return self.dataset[epoch * len(self.dataset) + index if self.epoch_indexed else index]


def _as_it_is(batch: Any) -> Any:
    return batch


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:  # none, or a DataLoader whose sampler has none
        return None


def _is_dataset(data: Any) -> bool:
    if isinstance(data, list | tuple | DataLoader | IterableDataset):
        return False  # iterables of batches, though they have a length and torch's base class has __getitem__
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")
