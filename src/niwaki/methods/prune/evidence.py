"""Evidence: what the tasks' own gradients say of each channel, gathered over batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.prune.sides import Place

__all__ = ["Evidence", "Gradients", "over_classes", "requiring_grad", "task_gradients"]

Gradients = Mapping[str, Mapping[str, Tensor]]
"""Task to parameter to the gradient of the task's own loss; a parameter that the loss does not reach is missing."""


class Evidence(ABC):
    """What a criterion remembers of the batches since the last cut.

    Attributes:
        parameters: Canonical names of the parameters whose gradients it reads.
        batches: How many batches it has seen.
    """

    parameters: tuple[str, ...]
    batches: int

    @abstractmethod
    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Add one batch.

        Args:
            parameters: Name to value, of `parameters` at least.
            gradients: Each labelled task's gradients.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered, as tensors and plain data."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


def task_gradients(parameters: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the gradient of each task's own loss: one backward pass a task, which reaches these parameters only.

    The graph is kept, and no ``grad`` is touched.

    Args:
        parameters: Name to parameter; those that need no gradient are left out.
        losses: Task to scalar.

    Returns:
        Task to name to gradient, the tasks in alphabetical order, so that nothing hangs on theirs.

    Examples:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> task_gradients({"w": w}, {"near": w.sum(), "far": (w * w).sum()})
        {'far': {'w': tensor([2., 4.])}, 'near': {'w': tensor([1., 1.])}}
    """
    wanted = {name: each for name, each in parameters.items() if each.requires_grad}
    found: dict[str, dict[str, Tensor]] = {}
    for task in sorted(losses):
        if not losses[task].requires_grad or not wanted:
            found[task] = {}
            continue
        gradients = torch.autograd.grad(losses[task], list(wanted.values()), retain_graph=True, allow_unused=True)
        found[task] = {name: each for name, each in zip(wanted, gradients, strict=True) if each is not None}
    return found


def over_classes(
    channels: Channels, place: Place, values: Tensor, *, cache: dict[Place, Tensor] | None = None
) -> Tensor:
    """Add the values of a dimension's positions up by channel class.

    Args:
        channels: The channel classes.
        place: A tensor and its dimension of ``n`` positions.
        values: ``[..., n]``.
        cache: Where class ids are kept on the values' device.

    Returns:
        ``[..., classes]``, in float64 where the device has it.
    """
    labels = None if cache is None else cache.get(place)
    if labels is None or labels.device != values.device:
        bare = channels.tensors[place[0]][place[1]]
        labels = torch.as_tensor(bare, device=values.device)
        if cache is not None:
            cache[place] = labels
    exact = torch.float32 if values.device.type == "mps" else torch.float64
    total = torch.zeros(*values.shape[:-1], channels.count, dtype=exact, device=values.device)
    return total.index_add_(-1, labels, values.to(exact))


@contextmanager
def requiring_grad(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Let parameters need gradients for a while; afterwards each is as frozen as it was.

    Args:
        model: The model.
        names: Canonical names of its parameters.

    Examples:
        >>> net = nn.Linear(2, 2).requires_grad_(False)
        >>> with requiring_grad(net, ["weight"]):
        ...     net.weight.requires_grad
        True
        >>> net.weight.requires_grad
        False
    """
    frozen = [each for each in map(model.get_parameter, names) if not each.requires_grad]
    try:
        for each in frozen:
            each.requires_grad = True
        yield
    finally:
        for each in frozen:
            each.requires_grad = False
