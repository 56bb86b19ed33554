"""What the tasks' losses say of single weights: gradients of some batches, gathered by task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from niwaki.errors import DataError
from niwaki.methods.calibration import Calibration, Gradients
from niwaki.methods.sparse.together import said_by_any, summed

__all__ = ["Gathered", "gather", "saliency"]


def saliency(weight: Tensor, gradient: Tensor) -> Tensor:
    """Return `|w dL/dw|`: how much the loss would change, to first order, if a weight went.

    It is the gradient with respect to a mask of ones (Lee, Ajanthan, Torr: SNIP, arXiv 1810.02340, equation 4).

    Args:
        weight: Any shape.
        gradient: Of a loss with respect to it, of the same shape.

    Returns:
        The same shape, at least 0.

    Examples:
        >>> saliency(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])).tolist()
        [1.0, 3.0]
    """
    return (weight.detach() * gradient).abs()


class Gathered:
    """The gradients of some batches: their sum over tasks and batches, or the sum of their sizes for each task.

    Args:
        parameters: Names of the weights that are judged.
        by_task: Which of the two.

    Attributes:
        parameters: The same.
        seen: The tasks whose losses were seen.
        total: Name to the sum over all tasks and batches of the gradients; empty ``by_task``.
        sizes: Task to name to the sum over batches of the gradients' sizes, `|dL_t/dw|`; else empty.
    """

    def __init__(self, parameters: Sequence[str], *, by_task: bool) -> None:
        self.parameters = tuple(parameters)
        self.by_task = by_task
        self.seen: set[str] = set()
        self.total: dict[str, Tensor] = {}
        self.sizes: dict[str, dict[str, Tensor]] = {}

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:  # noqa: ARG002 - the hook's signature
        """Add one batch. See `niwaki.methods.calibration.Watcher.see`."""
        self.seen |= gradients.keys()
        for task, own in gradients.items():
            sums = self.sizes.setdefault(task, {}) if self.by_task else self.total
            for name, gradient in own.items():
                _add(sums, name, gradient.abs() if self.by_task else gradient)

    def pool(self, tasks: Sequence[str], weights: Mapping[str, Tensor]) -> None:
        """Take in what the other processes of a distributed training gathered: all batches count alike.

        Args:
            tasks: Names of all tasks; a process may have seen labels for some of them only.
            weights: Name to the weight that is judged.
        """
        device = next(iter(weights.values())).device
        seen = said_by_any([task in self.seen for task in tasks], device)
        self.seen |= {task for task, there in zip(tasks, seen, strict=True) if there}
        for sums in [self.sizes.setdefault(task, {}) for task in tasks] if self.by_task else [self.total]:
            reached = said_by_any([name in sums for name in self.parameters], device)
            for name in (each for each, there in zip(self.parameters, reached, strict=True) if there):
                sums[name] = summed(sums[name] if name in sums else _wide(torch.zeros_like(weights[name])))

    def total_of(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the summed gradient of each weight; zeros where no loss reaches it."""
        return {name: self.total.get(name, torch.zeros_like(each)) for name, each in weights.items()}

    def sizes_of(self, task: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a task's summed sizes for each weight; zeros where its loss does not reach it."""
        own = self.sizes.get(task, {})
        return {name: own.get(name, torch.zeros_like(each)) for name, each in weights.items()}


def gather(model: nn.Module, parameters: Sequence[str], calibration: Calibration, *, by_task: bool = False) -> Gathered:
    """Gather the gradients of a calibration's batches, in a distributed training of every process's.

    Args:
        model: The model, unwrapped; it is left as it was.
        parameters: Names of the weights that are judged.
        calibration: The batches and the tasks.
        by_task: Whether each task's sizes are wanted, and not the sum.

    Returns:
        The gradients.

    Raises:
        DataError: When the batches have no label for a task.
    """
    gathered = Gathered(parameters, by_task=by_task)
    calibration.show(model, gathered)
    gathered.pool([task.name for task in calibration.tasks], {name: model.get_parameter(name) for name in parameters})
    silent = next((task.name for task in calibration.tasks if task.name not in gathered.seen), None)
    if silent is not None:
        raise DataError(
            f"none of the {len(calibration.batches)} batches that are looked at has a label for {silent!r}, which "
            "would lose the weights that only it uses; raise `batches`, or begin `data` with batches that have labels"
        )
    return gathered


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + _wide(value) if name in sums else _wide(value)


def _wide(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))
