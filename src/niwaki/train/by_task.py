"""Batches of tasks that have inputs of their own."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, count, islice, takewhile
from typing import Any, cast

from niwaki.errors import DataError
from niwaki.train.streams import Batches

__all__ = ["TaskBatches"]


_END = object()


class TaskBatches:
    """Each step takes one batch of every task, in the order of the tasks.

    For training an epoch is as long as the longest task's; shorter ones begin again, in another order where they have
    one. Every task's data is resumed at the place where its own current pass began. For measuring every batch comes
    once: where a task's data has ended, batches go on without the task.

    Args:
        sources: Task to batches.
        again: Whether shorter ones begin again.

    Raises:
        DataError: When a task has no batch, or its number of batches is needed and not known.

    Examples:
        >>> from niwaki.train.streams import ReadyBatches
        >>> batches = TaskBatches({"far": ReadyBatches([1, 2, 3]), "near": ReadyBatches([7])})
        >>> list(batches.iterate(epoch=0, start=1))
        [{'far': 2, 'near': 7}, {'far': 3, 'near': 7}]
    """

    def __init__(self, sources: Mapping[str, Batches], *, again: bool = True) -> None:
        counts = {task: source.count for task, source in sources.items()}
        endless = [task for task, count in counts.items() if count is None]
        if endless and again:
            raise DataError(f"data by task needs a length for each; without one: {', '.join(endless)}")
        empty = [task for task, count in counts.items() if count == 0]
        if empty:
            raise DataError(f"data by task holds no batch for: {', '.join(empty)}")
        self._sources = dict(sources)
        self._again = again
        self.count: int | None = None if endless else max(count for count in counts.values() if count)

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
        """Iterate over batches of all tasks, as many as the longest has; for training shorter ones begin again."""
        streams = {task: source.peek() for task, source in self._sources.items()}
        running = set(streams)
        while True:
            batch = {task: next(stream, _END) for task, stream in streams.items()}
            for task in [task for task, each in batch.items() if each is _END]:
                running.discard(task)
                if self._again:
                    streams[task] = self._sources[task].peek()
                    batch[task] = next(streams[task], _END)
            if not running:
                return
            yield _without_ends(batch)

    def _side_by_side(self, openers: Mapping[str, Any], epoch: int, start: int) -> Iterator[Any]:
        streams = {task: self._stream(task, opener, epoch, start) for task, opener in openers.items()}
        rows = ({task: next(stream, _END) for task, stream in streams.items()} for _ in count(start))
        return takewhile(bool, map(_without_ends, rows if self.count is None else islice(rows, self.count - start)))

    def _stream(self, task: str, opener: Any, epoch: int, start: int) -> Iterator[Any]:
        """Open a task's pass that batch ``start`` follows on; what comes after it begins when it is asked for."""
        source = self._sources[task]
        if not self._again or self.count is None or source.count is None:
            return cast("Iterator[Any]", opener(epoch, start))
        passes = -(-self.count // source.count)
        now = max(0, start - 1) // source.count  # where a pass has just ended, its successor must not begin yet
        first = opener(epoch * passes + now, start - now * source.count)
        later = (self._pass_of(task, epoch * passes + turn) for turn in range(now + 1, passes))
        return chain(first, chain.from_iterable(later))

    def _pass_of(self, task: str, epoch: int) -> Iterator[Any]:
        return self._sources[task].iterate(epoch)


def _without_ends(batch: dict[str, Any]) -> dict[str, Any]:
    return {task: each for task, each in batch.items() if each is not _END}
