"""What a method is given of the training data before training: one sample to trace, and batches to look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from niwaki.contract import Call, Example, read_batch
from niwaki.errors import DataError
from niwaki.tasks import Task
from niwaki.train.batch import relocate
from niwaki.train.engine import Engine
from niwaki.train.randomness import own_randomness
from niwaki.train.streams import Batches

__all__ = ["TrainData", "first_example"]


@dataclass(frozen=True)
class TrainData:
    """Training batches for a method, as `niwaki.contract.read_batch` takes them, on the device of the training.

    Each is ``(x, {task: target})``, or ``{task: (Example(…), {task: target})}`` where tasks have a call of their own.
    They are loaded when they are asked for, and start with the same one each time; the loop's order and random numbers
    don't notice. In the middle of an epoch an iterable of the user's own gives only those kept of its beginning.

    Attributes:
        model: The plain model, which knows whether it is routed.
        tasks: The tasks.
        batches: Training data.
        engine: Device.
    """

    model: nn.Module
    tasks: tuple[Task, ...]
    batches: Batches
    engine: Engine

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        if self.batches.count is None:
            raise TypeError("the training data has no length")
        return self.batches.count

    def __iter__(self) -> Iterator[Any]:
        names, engine = [task.name for task in self.tasks], self.engine
        for raw in self.batches.peek():
            batch = relocate(read_batch(raw, names, self.model), engine.move, channels_last=engine.channels_last)
            yield batch.given()


def first_example(batches: Batches, tasks: Sequence[Task], model: nn.Module | None = None) -> Any:
    """Return the inputs of one sample, for tracing and counting: the first of the first batch.

    Where a batch has inputs for some of the tasks only, batches are read until each task was met.

    Args:
        batches: Training data.
        tasks: The tasks.
        model: The plain model, or None for one that is not routed.

    Returns:
        One `Example`; or a list of them, one for each task in their order, where tasks have a call of their own.

    Raises:
        DataError: When there is no batch, or none with inputs for a task.
    """
    names = [task.name for task in tasks]
    found: dict[str, Call] = {}
    with own_randomness():
        for raw in batches.peek():
            for call in read_batch(raw, names, model).calls:
                found.update({task: call for task in call.tasks if task not in found or len(call.tasks) == len(names)})
            if len(found) == len(names):
                break
        else:
            missing = ", ".join(name for name in names if name not in found)
            raise DataError(
                f"the training data holds no batch with inputs for {missing}; give at least one, with its targets"
                if found
                else "the training data holds no batch; give at least one"
            )
    calls = list(dict.fromkeys(found[name] for name in names))
    paths = [_one_sample(call.example) for call in calls]
    return paths[0] if len(paths) == 1 else paths


def _one_sample(example: Example) -> Example:
    """Return the first sample of a batch: of every tensor that is as long as the batch, wherever it lies."""
    size = example.batch
    return example.map(lambda each: each[:1] if len(each.shape) > 0 and each.shape[0] == size else each)
