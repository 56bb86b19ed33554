"""Batches that can be taken up again in the middle of an epoch, and the user's own iterable as such."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, Protocol

import torch

from niwaki.errors import DataError
from niwaki.train.randomness import own_randomness, random_state, set_random_state

__all__ = ["Batches", "ReadyBatches"]

_END = object()


class Batches(Protocol):
    """Batches of ``(x, {task: target})``, epoch by epoch.

    Attributes:
        count: Batches in an epoch, or None when that shows only at its end.
    """

    count: int | None

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""

    def state(self) -> dict[str, Any]:
        """Return what `resume` needs, in the middle of an epoch."""

    def resume(self, state: dict[str, Any], epoch: int, start: int) -> Iterator[Any]:
        """Go on in an epoch; the caller sets the global generators before it takes the next batch."""

    def peek(self) -> Iterator[Any]:
        """Iterate over batches beside the loop: the epoch at work and the global generators don't notice.

        The first ones are the same each time; how many there are is left open in the middle of an epoch.
        """


class ReadyBatches:
    """The user's own iterable of batches.

    A resume goes to the beginning of the epoch (the generators of torch, NumPy, Python and of the loader are put back
    to where they were then), skips the batches that were done, and goes on. This is exact when the iterable draws from
    those generators in this process, or from nothing.

    Args:
        data: An iterable of ``(x, {task: target})`` that can be iterated again for each epoch.
        keep: How many of an epoch's first batches are read ahead and kept for `peek`.

    Raises:
        DataError: When it can be iterated only once.
    """

    def __init__(self, data: Iterable[Any], keep: int = 0) -> None:
        if iter(data) is data:
            raise DataError("the data can be iterated only once; give an iterable such as a DataLoader or list")
        self._data = data
        self._keep = keep
        self._first: list[Any] | None = None
        self._begun: dict[str, Any] = {}
        self.count: int | None = _length(data)

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""
        owners: list[Any] = [self._data, *(getattr(self._data, name, None) for name in ("sampler", "batch_sampler"))]
        for owner in owners:
            if hasattr(owner, "set_epoch"):
                owner.set_epoch(epoch)
        self._begun = self._now()
        rest = iter(self._data)
        self._first = first = list(islice(rest, self._keep))
        stream = chain(first, rest)
        for _ in islice(stream, start):  # now, not at the first `next`: the caller sets the generators afterwards
            pass
        return stream

    def state(self) -> dict[str, Any]:
        """Return the state of the generators, and of the loader's own, when the epoch at work began."""
        return self._begun

    def resume(self, state: dict[str, Any], epoch: int, start: int) -> Iterator[Any]:
        """Go back to the beginning of an epoch and skip what was done."""
        self._restore(state)
        return self.iterate(epoch, start)

    def peek(self) -> Iterator[Any]:
        """Iterate over the batches that were kept: another iterator could be the one at work. Before, over all."""
        return self._apart() if self._first is None else iter(self._first)

    def _apart(self) -> Iterator[Any]:
        """Iterate with generators of its own, which start as those around it are now."""
        state, stream = self._now(), None
        while True:
            with own_randomness():
                around = self._generator()
                self._restore(state)
                stream = iter(self._data) if stream is None else stream
                batch = next(stream, _END)
                state = self._now()
                self._set_generator(around)
            if batch is _END:
                return
            yield batch

    def _now(self) -> dict[str, Any]:
        return {"random": random_state(), "data": self._generator()}

    def _restore(self, state: dict[str, Any]) -> None:
        set_random_state(state["random"])
        self._set_generator(state["data"])

    def _generator(self) -> dict[str, Any]:
        generator = getattr(self._data, "generator", None)
        return {"generator": generator.get_state()} if isinstance(generator, torch.Generator) else {}

    def _set_generator(self, state: dict[str, Any]) -> None:
        generator = getattr(self._data, "generator", None)
        if "generator" in state and isinstance(generator, torch.Generator):
            generator.set_state(state["generator"])


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:  # none, or a DataLoader whose sampler has none
        return None
