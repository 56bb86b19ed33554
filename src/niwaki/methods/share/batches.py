"""The batches that a run looks at: inputs for batch norms, and losses of the tasks where it knows them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import nn

from niwaki.contract import Example, Named, read_batch
from niwaki.errors import DataError
from niwaki.methods.calibration import Calibration, open_calibration
from niwaki.modules import device_of, unwrap
from niwaki.surgery import reestimate_batchnorm
from niwaki.tasks import Task

__all__ = ["Looks", "open_batches"]


@dataclass(frozen=True)
class Looks:
    """Some batches.

    Attributes:
        batches: As `niwaki.contract.read_batch` takes them; empty where none were given.
        tasks: The tasks, or None.
    """

    batches: tuple[Any, ...]
    tasks: tuple[Named, ...] | None

    @property
    def calibration(self) -> Calibration | None:
        """Losses of the tasks on the batches; None where either is unknown."""
        known = tuple(each for each in self.tasks or () if isinstance(each, Task))
        if not self.batches or not known or len(known) < len(self.tasks or ()):
            return None
        return Calibration(known, self.batches)

    def require_calibration(self) -> Calibration:
        """Return the losses of the tasks on the batches.

        Raises:
            ContractError: When there is no data, or a task has no loss.
        """
        return self.calibration or open_calibration(self.tasks, self.batches or None, None)

    def refresh(self, model: nn.Module, tasks: Sequence[str]) -> None:
        """Estimate the batch norms of each network anew, on its own inputs; without batches they stay as they are.

        Args:
            model: The model; changed in place.
            tasks: Names of the tasks.
        """
        inputs = self.inputs(model, tasks)
        if inputs:
            reestimate_batchnorm(model, inputs)

    def inputs(self, model: nn.Module, tasks: Sequence[str]) -> list[Example]:
        """Return the inputs of every call that the batches stand for, on the model's device.

        Args:
            model: The model.
            tasks: Names of the tasks.
        """
        device = device_of(model)
        calls = [call for batch in self.batches for call in read_batch(batch, tasks, unwrap(model)).calls]
        return [call.example.map(lambda each: each.to(device)) for call in calls]


def open_batches(tasks: Sequence[Named] | None, data: Iterable[Any] | None, count: int) -> Looks:
    """Take the first batches of some data.

    Args:
        tasks: The tasks, or None.
        data: Batches, or None.
        count: How many are taken at most.

    Returns:
        The batches.

    Raises:
        DataError: When there is data, but no batch in it.
    """
    batches = tuple(islice(data, count)) if data is not None else ()
    if data is not None and not batches:
        raise DataError("the calibration data holds no batch; an iterator that was read before is empty")
    return Looks(batches, tuple(tasks) if tasks is not None else None)
