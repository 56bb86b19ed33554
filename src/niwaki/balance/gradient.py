"""What every balancer of gradients keeps: one direction for the shared parameters, each head its own gradient."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, stacked
from niwaki.balance.jacobian import TaskGradients, task_gradients
from niwaki.balance.surrogate import with_gradient

__all__ = ["DirectionBalancer", "GradientBalancer", "nearest_weights"]


def nearest_weights(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return the weights `w` for which `w J` comes closest to a vector: what a log shows of a rule that has none.

    Args:
        matrix: The tasks' gradients `J`, `[tasks, entries]`.
        vector: An aggregate of them, `[entries]`.

    Returns:
        `[tasks]`; of several, the smallest.

    Examples:
        >>> nearest_weights(torch.eye(2), torch.tensor([0.5, 2.0])).tolist()
        [0.5, 2.0]
    """
    products = (matrix @ matrix.T).nan_to_num(0.0, 0.0, 0.0)  # a NaN still comes in by the vector
    inverse: Tensor = torch.linalg.pinv(products, hermitian=True)
    return inverse @ (matrix @ vector)


class GradientBalancer(Balancer):
    """A balancer that looks at each task's gradient, not only at its loss: one backward pass for each task.

    Attributes:
        masks: Parameter to a bool mask of its shape, for the parameters of a sparse network; False marks a weight that
            is masked out. Such weights take no part in lengths and inner products.
    """

    def __init__(self) -> None:
        super().__init__()
        self.masks: Mapping[Tensor, Tensor] = {}

    def _kept(self, found: TaskGradients) -> Tensor | None:
        """Return which shared entries take part, `[entries]`, or None when all do."""
        if not any(leaf in self.masks for leaf in found.shared):
            return None
        parts = [self.masks.get(leaf, torch.ones_like(leaf, dtype=torch.bool)) for leaf in found.shared]
        return torch.cat([part.reshape(-1).to(found.matrix.device) for part in parts])


class DirectionBalancer(GradientBalancer):
    """A balancer that puts a direction of its own on the parameters that two or more tasks reach.

    It finds them among the leaves of the losses' graphs. A task that doesn't reach one of them counts with zeros there.
    A leaf that one task reaches, such as a head's, gets that task's own gradient, unweighted. What is returned has the
    losses' sum as its value and all this as its gradient. Masked weights receive the weighted sum of the tasks'
    gradients, which only a rule that grows weights reads.
    """

    @abstractmethod
    def _aggregate(self, matrix: Tensor, losses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the direction `[entries]` and the weights `[tasks]`, of at least two tasks' gradients.

        Args:
            matrix: Gradients, `[tasks, entries]`.
            losses: The losses of the rows, without graph.
        """

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        found = task_gradients(losses)
        self._used = dict.fromkeys(losses, 1.0)
        tensors, gradients = [leaf for leaf, _ in found.own], [gradient for _, gradient in found.own]
        if found.tasks:
            tensors += found.shared
            gradients += found.split(self._direction(found, losses))
        return with_gradient(stacked(losses).sum(), tensors, gradients)

    def _direction(self, found: TaskGradients, losses: dict[str, Tensor]) -> Tensor:
        matrix, kept = found.matrix, self._kept(found)
        seen = matrix if kept is None else matrix * kept
        rows = {task: losses[task].detach() for task in found.tasks}
        with torch.no_grad(), torch.autocast(matrix.device.type, enabled=False):
            vector, weights = self._aggregate(seen, rows)
            if kept is not None:
                vector = torch.where(kept, vector, weights.to(matrix) @ matrix)
        self._used.update(zip(found.tasks, weights.unbind(), strict=True))
        return vector
