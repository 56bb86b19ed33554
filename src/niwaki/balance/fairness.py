"""Aggregators that ask for a fair share of the progress for every task."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from niwaki.balance.base import balancers
from niwaki.balance.named import NamedAggregator, Preference
from niwaki.balance.options import not_allowed

__all__ = ["IMTLG", "MGDA", "AlignedMTL", "ExcessMTL", "FairGrad", "NashMTL"]


@balancers.register("MGDA")
class MGDA(NamedAggregator):
    """The shortest vector in the convex hull of the tasks' gradients (arXiv 1810.04650, algorithm 2).

    Args:
        normalise: What a gradient is divided by before the weights are sought: ``"none"``; ``"l2"``, its length;
            ``"loss"``, its loss; ``"loss+"``, both. The weights act on the gradients as they are.
        epsilon: Step of the Frank-Wolfe search at which it stops, above 0.
        max_iters: Most steps of the search, at least 1.

    Raises:
        SettingError: When an option is outside.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> MGDA()({"a": trunk[0], "b": trunk[1] - trunk[0]}).backward()
        >>> [round(each, 2) for each in trunk.grad.tolist()]
        [0.4, 0.8]
    """

    kind: ClassVar[str] = "MGDA"
    method: ClassVar[str] = "MGDA"

    def __init__(
        self,
        *,
        normalise: Literal["none", "l2", "loss", "loss+"] = "none",
        epsilon: float = 1e-3,
        max_iters: int = 100,
    ) -> None:
        if normalise not in {"none", "l2", "loss", "loss+"}:
            raise not_allowed(self.kind, "normalise", normalise, "none, l2, loss or loss+")
        super().__init__("tasks", epsilon=epsilon, max_iters=max_iters)
        self._normalise = normalise

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {**super().describe(), "normalise": self._normalise}

    def _aggregate(self, matrix: Tensor, losses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        sizes = matrix.new_ones(len(matrix))
        if self._normalise in {"l2", "loss+"}:
            sizes = sizes * matrix.norm(dim=1)
        if self._normalise in {"loss", "loss+"}:
            sizes = sizes * torch.stack([loss.to(matrix) for loss in losses.values()])
        unit = torch.where(sizes == 0, 1.0, sizes)
        _, weights = super()._aggregate(matrix / unit[:, None], losses)
        return weights @ matrix, weights


@balancers.register("Nash_MTL")
class NashMTL(NamedAggregator):
    """The bargain in which every task gains in proportion (arXiv 2202.01017, algorithm 1); it sets its own length.

    Args:
        max_norm: Length the direction is cut to, at least 0; 0 for none.
        update_weights_every: Calls after which the weights are sought anew, at least 1.
        optim_niter: Most rounds of the search, at least 1.

    Raises:
        SettingError: When an option is outside.
        MissingExtraError: When TorchJD, cvxpy or ecos is not installed.

    Examples:
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> NashMTL(max_norm=0)({"a": trunk[0], "b": 2 * trunk[1]}).backward()
        >>> [round(each, 2) for each in trunk.grad.tolist()]
        [1.0, 1.0]
    """

    kind: ClassVar[str] = "Nash_MTL"
    method: ClassVar[str] = "NashMTL"

    def __init__(self, *, max_norm: float = 1.0, update_weights_every: int = 1, optim_niter: int = 20) -> None:
        super().__init__(max_norm=max_norm, update_weights_every=update_weights_every, optim_niter=optim_niter)


@balancers.register("IMTL")
@balancers.register("IMTL_G")
class IMTLG(NamedAggregator):
    """The direction on which all tasks' gradients project equally (Liu et al., ICLR 2021, equation 3).

    LibMTL's IMTL also scales the losses as `IMTL_L` does, which leaves this direction as it is.

    Raises:
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> IMTLG()({"a": trunk[0], "b": 3 * trunk[1]}).backward()
        >>> [round(each, 4) for each in trunk.grad.tolist()]
        [1.5, 1.5]
    """

    kind: ClassVar[str] = "IMTL_G"
    method: ClassVar[str] = "IMTLG"

    def __init__(self) -> None:
        super().__init__("tasks")


@balancers.register("Aligned_MTL")
class AlignedMTL(NamedAggregator):
    """The gradients' principal parts are given equal lengths (arXiv 2305.19000, algorithm 1).

    Args:
        preference: What each task counts; 1 when None.
        scale_mode: Which length they get: of the smallest part, the median, or the root mean square.

    Raises:
        SettingError: When `scale_mode` is another.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> AlignedMTL()({"a": trunk[0], "b": 3 * trunk[1]}).backward()
        >>> [round(each, 4) for each in trunk.grad.tolist()]
        [1.0, 1.0]
    """

    kind: ClassVar[str] = "Aligned_MTL"
    method: ClassVar[str] = "AlignedMTL"

    def __init__(self, *, preference: Preference = None, scale_mode: Literal["min", "median", "rmse"] = "min") -> None:
        if scale_mode not in {"min", "median", "rmse"}:
            raise not_allowed(self.kind, "scale_mode", scale_mode, "min, median or rmse")
        super().__init__("tasks" if preference is None else 1.0, preference=preference, scale_mode=scale_mode)


@balancers.register("FairGrad")
class FairGrad(NamedAggregator):
    """The alpha-fair share of the progress (arXiv 2402.15638, equation 4); it sets its own length.

    Args:
        alpha: 0 is the mean gradient, 1 the proportional share, large the worst task's.
        max_iters: Most steps of the search; SciPy's own number when None.

    Raises:
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> FairGrad()({"a": trunk[0], "b": 2 * trunk[1]}).backward()
        >>> [round(each, 3) for each in trunk.grad.tolist()]
        [1.0, 1.0]
    """

    kind: ClassVar[str] = "FairGrad"
    method: ClassVar[str] = "FairGrad"

    def __init__(self, *, alpha: float = 1.0, max_iters: int | None = None) -> None:
        if not alpha >= 0:
            raise not_allowed(self.kind, "alpha", alpha, "at least 0")
        super().__init__(alpha=alpha, max_iters=max_iters)


@balancers.register("ExcessMTL")
class ExcessMTL(NamedAggregator):
    """The tasks that are farthest from their best count more (He et al., ICML 2024, equations 6 to 9).

    It keeps the squared gradients of every task on every shared parameter.

    Args:
        robust_step_size: Step of the weights, above 0.
        n_warmup_steps: First calls, in which the weights stay equal.

    Raises:
        SettingError: When an option is outside.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> trunk = torch.zeros(2, requires_grad=True)
        >>> ExcessMTL(n_warmup_steps=1)({"a": trunk[0], "b": 3 * trunk[1]}).backward()
        >>> trunk.grad.tolist()
        [1.0, 3.0]
    """

    kind: ClassVar[str] = "ExcessMTL"
    method: ClassVar[str] = "ExcessMTL"

    def __init__(self, *, robust_step_size: float = 1.0, n_warmup_steps: int = 0) -> None:
        super().__init__("tasks", robust_step_size=robust_step_size, n_warmup_steps=n_warmup_steps)
