"""Aggregators in which the tasks don't count alike: one leads, or outliers are left out."""

from typing import ClassVar

from niwaki.balance.base import balancers
from niwaki.balance.named import NamedAggregator

__all__ = ["PCD", "Krum"]


@balancers.register("Krum")
class Krum(NamedAggregator):
    """The gradients that lie nearest to the others; outliers are left out (Blanchard et al., NeurIPS 2017).

    A batch needs three tasks more than `n_byzantine`.

    Args:
        n_byzantine: Gradients that may be outliers, at least 0.
        n_selected: Gradients that are kept, at least 1.

    Raises:
        SettingError: When an option is outside.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> Krum()({"a": trunk[0], "b": 1.5 * trunk[0], "c": -9 * trunk[1]}).backward()
        >>> trunk.grad.tolist()
        [3.0, 0.0]
    """

    kind: ClassVar[str] = "Krum"
    method: ClassVar[str] = "Krum"

    def __init__(self, *, n_byzantine: int = 0, n_selected: int = 1) -> None:
        super().__init__("tasks", n_byzantine=n_byzantine, n_selected=n_selected)


@balancers.register("PCD")
class PCD(NamedAggregator):
    """The first task leads; each other gets at least a given part of its progress (arXiv 2606.29521).

    The first is the first among the tasks of the batch that share a parameter.

    Args:
        tau: Share of the progress along its own gradient that each other task gets, in [0, 1].
        beta: Decay of the average of the squared lengths, in [0, 1).
        eps: Added to that average.

    Raises:
        SettingError: When an option is outside.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> PCD(tau=0.0)({"a": 2 * trunk[0], "b": trunk[0] + trunk[1]}).backward()
        >>> trunk.grad.tolist()
        [2.0, 0.0]
    """

    kind: ClassVar[str] = "PCD"
    method: ClassVar[str] = "PCD"

    def __init__(self, *, tau: float = 0.02, beta: float = 0.999, eps: float = 1e-8) -> None:
        super().__init__(tau=tau, beta=beta, eps=eps)
