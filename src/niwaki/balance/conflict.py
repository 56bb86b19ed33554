"""Aggregators that act where the tasks' gradients point against each other."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from niwaki.balance.base import balancers
from niwaki.balance.named import NamedAggregator, Preference

__all__ = ["CAGrad", "ConFIG", "DualProj", "GradDrop", "GradVac", "PCGrad", "UPGrad"]


@balancers.register("PCGrad")
class PCGrad(NamedAggregator):
    """Each task's gradient loses what points against another task's (arXiv 2001.06782, algorithm 1).

    Args:
        seed: Seed of the order in which the others come.

    Raises:
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> PCGrad()({"a": trunk[0], "b": trunk[1] - trunk[0]}).backward()
        >>> trunk.grad.tolist()
        [0.5, 1.5]
    """

    kind: ClassVar[str] = "PCGrad"
    method: ClassVar[str] = "PCGrad"
    draws: ClassVar[bool] = True

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)


@balancers.register("GradVac")
class GradVac(NamedAggregator):
    """Each pair of gradients is turned towards the cosine it has had on average (arXiv 2010.05874, algorithm 1).

    Args:
        beta: Share of the newest cosine in the average, in [0, 1].
        seed: Seed of the order in which the others come.

    Raises:
        SettingError: When `beta` is outside.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> GradVac()({"a": trunk[0], "b": trunk[1]}).backward()
        >>> trunk.grad.tolist()
        [1.0, 1.0]
    """

    kind: ClassVar[str] = "GradVac"
    method: ClassVar[str] = "GradVac"
    draws: ClassVar[bool] = True

    def __init__(self, *, beta: float = 0.5, seed: int = 0) -> None:
        super().__init__(beta=beta, seed=seed)


@balancers.register("GradDrop")
class GradDrop(NamedAggregator):
    """Every entry of the gradient takes one sign, drawn by how the tasks vote (arXiv 2010.06808, algorithm 1).

    It has no weights; a log shows those that come closest.

    Args:
        leak: Share of each task's gradient, in [0, 1], that passes whatever is drawn; none when None.
        seed: Seed of the draws.

    Raises:
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> GradDrop()({"a": trunk[0], "b": trunk[0] - 3 * trunk[1]}).backward()
        >>> trunk.grad.tolist()
        [2.0, -3.0]
    """

    kind: ClassVar[str] = "GradDrop"
    method: ClassVar[str] = "GradDrop"
    draws: ClassVar[bool] = True

    def __init__(self, *, leak: dict[str, float] | None = None, seed: int = 0) -> None:
        super().__init__(leak=leak, seed=seed)


@balancers.register("CAGrad")
class CAGrad(NamedAggregator):
    """The best for the worst-served task within a ball around the mean gradient (arXiv 2110.14048, algorithm 1).

    What comes out is divided by `1 + c^2`, as in the authors' code.

    Args:
        c: Radius of the ball over the length of the mean gradient, at least 0; 0 is equal weighting.
        norm_eps: Length, over that of all gradients together, below which a direction counts as none.

    Raises:
        SettingError: When an option is negative.
        MissingExtraError: When TorchJD or cvxpy is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> CAGrad(c=0.0)({"a": trunk[0], "b": trunk[1] - trunk[0]}).backward()
        >>> trunk.grad.tolist()
        [0.0, 1.0]
    """

    kind: ClassVar[str] = "CAGrad"
    method: ClassVar[str] = "CAGrad"

    def __init__(self, *, c: float = 0.5, norm_eps: float = 1e-4) -> None:
        super().__init__("tasks", c=c, norm_eps=norm_eps)
        self._shrink = 1 / (1 + c * c)

    def _aggregate(self, matrix: Tensor, losses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        vector, weights = super()._aggregate(matrix, losses)
        return vector * self._shrink, weights * self._shrink


@balancers.register("UPGrad")
class UPGrad(NamedAggregator):
    """Each gradient is projected to where no task gets worse, then all are added (arXiv 2406.16232, equation 4).

    Args:
        preference: What each task counts; 1 when None.

    Raises:
        MissingExtraError: When TorchJD or quadprog is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> UPGrad()({"a": trunk[0], "b": trunk[1] - trunk[0]}).backward()
        >>> [round(each, 3) for each in trunk.grad.tolist()]
        [0.5, 1.5]
    """

    kind: ClassVar[str] = "UPGrad"
    method: ClassVar[str] = "UPGrad"

    def __init__(self, *, preference: Preference = None) -> None:
        super().__init__(_scale(preference), preference=preference)


@balancers.register("DualProj")
class DualProj(NamedAggregator):
    """The sum of the gradients, projected to where no task gets worse (arXiv 1706.08840, equation 11).

    Args:
        preference: What each task counts; 1 when None.

    Raises:
        MissingExtraError: When TorchJD or quadprog is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> DualProj()({"a": trunk[0], "b": trunk[1] - 4 * trunk[0]}).backward()
        >>> [round(abs(each), 1) for each in trunk.grad.tolist()]
        [0.0, 1.0]
    """

    kind: ClassVar[str] = "DualProj"
    method: ClassVar[str] = "DualProj"

    def __init__(self, *, preference: Preference = None) -> None:
        super().__init__(_scale(preference), preference=preference)


@balancers.register("ConFIG")
class ConFIG(NamedAggregator):
    """The direction at equal angles to all gradients, as long as their projections on it (arXiv 2408.11104).

    It is equation 2 of the paper.

    Args:
        preference: How near each task's gradient it comes; all equally when None.

    Raises:
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> ConFIG()({"a": trunk[0], "b": 3 * trunk[1]}).backward()
        >>> [round(each, 4) for each in trunk.grad.tolist()]
        [2.0, 2.0]
    """

    kind: ClassVar[str] = "ConFIG"
    method: ClassVar[str] = "ConFIG"

    def __init__(self, *, preference: Preference = None) -> None:
        super().__init__(preference=preference)


def _scale(preference: Mapping[str, float] | None) -> float | str:
    """Return what makes a sum of a TorchJD class: its default preference is a mean."""
    return "tasks" if preference is None else 1.0
