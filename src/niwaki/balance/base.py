"""What every balancer keeps: losses by task in, one scalar out, and a state that goes on with the same bits."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.surrogate import with_gradient
from niwaki.errors import ContractError, FileError
from niwaki.registry import Registry

__all__ = ["Balancer", "balancers", "stacked", "weighted_sum"]


class Balancer(ABC):
    """A small live object: called once for each training batch with the losses of the tasks the batch has labels for.

    Its weights have a fixed scale where the method leaves it open: they sum to the number of tasks, so equal
    weighting is the plain sum and step sizes can be compared across balancers. A task that is absent from a batch
    adds nothing, and the others' weights stay as they are.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        self._used: dict[str, float | Tensor] = {}

    def __call__(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar to differentiate, and update the balancer.

        Args:
            losses: Task name to its loss, a tensor of one number. May be empty: then the scalar is a zero.

        Returns:
            One number that carries the graph of every loss.

        Raises:
            ContractError: When a loss is not a tensor of one number.
        """
        scalars = {task: _scalar(task, loss) for task, loss in losses.items()}
        self._used = {}
        return self._combine(scalars) if scalars else torch.zeros((), requires_grad=True)

    @property
    def weights(self) -> dict[str, float]:
        """The factor each task's loss was multiplied with in the last call; for the log."""
        return {task: float(weight) for task, weight in self._used.items()}

    @property
    def emphasis(self) -> dict[str, float]:
        """The same, of losses over their scales where the balancer has any: 1 is then an equal share; for charts."""
        return self.weights

    def after_step(self, losses: Mapping[str, Tensor]) -> None:  # noqa: B027  # a hook; most need none
        """Take the losses of the same batch after the optimizer's step, for the balancers that need them.

        Args:
            losses: Task name to its loss, taken again.
        """

    def end_epoch(self) -> None:  # noqa: B027  # a hook; most need none
        """Say that an epoch of training has ended."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options as plain data: what a recipe would say."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything learned from losses."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as nested dicts of tensors and plain data.

        Returns:
            What `load_state_dict` of a balancer of the same kind takes.
        """
        return {"kind": self.kind, **self._state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another balancer of the same kind stopped.

        Args:
            state: What its `state_dict` returned.

        Raises:
            FileError: When the state is another kind's.
        """
        if state.get("kind") != self.kind:
            raise FileError(
                f"this is the state of the balancer {state.get('kind')!r}, not of {self.kind!r}; resume with the "
                "balancer the run was started with"
            )
        self.reset()
        self._load(state)

    @property
    def wants_losses_after_step(self) -> bool:
        """Whether `after_step` does anything: a loop need not compute the losses again where it doesn't."""
        return type(self).after_step is not Balancer.after_step

    @abstractmethod
    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        """Combine at least one loss, and set `_used`."""

    def _sloped(self, losses: Mapping[str, Tensor], weights: Tensor, value: Tensor | None = None) -> Tensor:
        """Set `_used`, and return the scalar whose slopes along the losses are these weights, `[tasks]`.

        Its value is their weighted sum where no other is given.
        """
        self._used = dict(zip(losses, weights.unbind(), strict=True))
        if value is None:
            return weighted_sum(losses, self._used)
        slopes = [weight.to(loss) for weight, loss in zip(weights.unbind(), losses.values(), strict=True)]
        return with_gradient(value, list(losses.values()), slopes)

    def _state(self) -> dict[str, Any]:
        return {}

    def _load(self, state: Mapping[str, Any]) -> None:  # noqa: B027  # a hook; most need none
        """Take over what `_state` returned."""


balancers: Registry[type[Balancer]] = Registry("balancer")
"""Name, short and long, to class; made live by ``balancers.get("UW")(lr=1e-3)``."""


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float | Tensor]) -> Tensor:
    """Return `sum_t w_t L_t` over the tasks that have a loss.

    Args:
        losses: Task name to its loss; at least one.
        weights: Task name to its weight; every task of `losses` has one.

    Returns:
        One number.

    Examples:
        >>> weighted_sum({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"a": 1.0, "b": 0.5, "c": 9.0}).item()
        3.5
    """
    terms = [loss * weights[task] for task, loss in losses.items()]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def stacked(losses: Mapping[str, Tensor]) -> Tensor:
    """Return losses as a vector `[tasks]` of float32, without their graphs.

    Args:
        losses: Task name to its loss; at least one, all on one device.

    Examples:
        >>> stacked({"a": torch.tensor(2.0), "b": torch.tensor(3.0, dtype=torch.bfloat16)})
        tensor([2., 3.])
    """
    return torch.stack([loss.detach().reshape(()).float() for loss in losses.values()])


def _scalar(task: str, loss: object) -> Tensor:
    if not isinstance(loss, Tensor):
        raise ContractError(f"the loss of task {task!r} is a {type(loss).__name__}; give a tensor of one number")
    if loss.numel() != 1:
        raise ContractError(f"the loss of task {task!r} has shape {tuple(loss.shape)}; reduce it to one number")
    return loss.reshape(())
