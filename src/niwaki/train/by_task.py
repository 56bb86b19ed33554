"""Batches of tasks that have inputs of their own."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, cast

from niwaki.errors import DataError
from niwaki.train.streams import Batches

__all__ = ["TaskBatches"]


class TaskBatches:
    """Each step takes one batch of every task, in the order of the tasks.

    An epoch is as long as the longest task's; shorter ones begin again, in another order where they have one. Every
    task's data is resumed at the place where its own current pass began.

    Args:
        sources: Task to batches.

    Raises:
        DataError: When a task's number of batches is not known.

    Examples:
        >>> from niwaki.train.streams import ReadyBatches
        >>> batches = TaskBatches({"far": ReadyBatches([1, 2, 3]), "near": ReadyBatches([7])})
        >>> list(batches.iterate(epoch=0, start=1))
        [{'far': 2, 'near': 7}, {'far': 3, 'near': 7}]
    """

    def __init__(self, sources: Mapping[str, Batches]) -> None:
        endless = [task for task, source in sources.items() if source.count is None]
        if endless:
            raise DataError(f"data by task needs a length for each; without one: {', '.join(endless)}")
        empty = [task for task, source in sources.items() if not source.count]
        if empty:
            raise DataError(f"data by task holds no batch for: {', '.join(empty)}")
        self._sources = dict(sources)
        self.count: int | None = max(cast("int", source.count) for source in self._sources.values())

    def iterate(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of an epoch, from batch ``start`` on."""
        return self._side_by_side({task: source.iterate for task, source in self._sources.items()}, epoch, start)

    def state(self) -> dict[str, Any]:
        """Return the states of all tasks' batches."""
        return {task: source.state() for task, source in self._sources.items()}

    def resume(self, state: dict[str, Any], epoch: int, start: int) -> Iterator[Any]:
        """Go on in an epoch: each task in its own pass."""
        openers = {task: partial(source.resume, state[task]) for task, source in self._sources.items()}
        return self._side_by_side(openers, epoch, start)

    def peek(self) -> Iterator[Any]:
        """Iterate over batches of all tasks, as many as the longest has; shorter ones begin again."""
        streams = {task: source.peek() for task, source in self._sources.items()}
        running = set(streams)
        while True:
            batch = {task: next(stream, None) for task, stream in streams.items()}
            for task in [task for task, each in batch.items() if each is None]:
                running.discard(task)
                streams[task] = self._sources[task].peek()
                batch[task] = next(streams[task], None)
            if not running or None in batch.values():
                return
            yield batch

    def _side_by_side(self, openers: Mapping[str, Any], epoch: int, start: int) -> Iterator[Any]:
        streams = {task: self._stream(task, opener, epoch, start) for task, opener in openers.items()}
        return ({task: next(stream) for task, stream in streams.items()} for _ in range(start, cast("int", self.count)))

    def _stream(self, task: str, opener: Any, epoch: int, start: int) -> Iterator[Any]:
        """Open a task's pass that batch ``start`` follows on; what comes after it begins when it is asked for."""
        source, longest = self._sources[task], cast("int", self.count)
        size = cast("int", source.count)
        passes = -(-longest // size)
        now = max(0, start - 1) // size  # where a pass has just ended, its successor must not begin yet
        first = opener(epoch * passes + now, start - now * size)
        later = (source.iterate(epoch * passes + turn) for turn in range(now + 1, passes))
        return chain(first, chain.from_iterable(later))
