"""Spatial singular value decomposition of a weight, with scales that belong to single tasks."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from niwaki.methods.expand.expansion import Expansion
from niwaki.surgery.layout import Layout

__all__ = ["ALL", "Combine", "Factors", "combined", "factorise"]

Combine = Literal["product", "mean", "per_task", "anneal"]

ALL = "*"
"""Owner of a scale that all tasks learn."""

_NEGLIGIBLE = 1e-6
"""Singular values below this share of the largest count as zero."""


def factorise(matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """Split matrices into two factors of equal scale: ``A = U V``, half of each singular value in each.

    Where a singular value is zero, U has an orthonormal column and V a row of zeros: the product is exact, and its
    gradient with respect to V is not zero, so that a weight of lower rank, or one of zeros, still learns.

    Args:
        matrix: ``[groups, rows, columns]``.
        rank: Columns of U to keep, in [1, min(rows, columns)]; all of them by default.

    Returns:
        U ``[groups, rows, rank]`` and V ``[groups, rank, columns]``, in the matrix's type and on its device.

    Examples:
        >>> u, v = factorise(torch.tensor([[[3.0, 0.0], [0.0, 0.0]]]))
        >>> (u @ v).round().tolist(), v[0, 1].tolist()
        ([[[3.0, 0.0], [0.0, 0.0]]], [0.0, 0.0])
    """
    left, values, right = torch.linalg.svd(matrix.detach().cpu().double(), full_matrices=False)
    left, values, right = left[..., :rank], values[..., :rank], right[..., :rank, :]
    counts = values > _NEGLIGIBLE * values[..., :1]
    halves = values.sqrt()
    u = left * torch.where(counts, halves, 1.0)[..., None, :]
    v = right * torch.where(counts, halves, 0.0)[..., None]
    return u.to(matrix), v.to(matrix)


def combined(scales: Sequence[Tensor], combine: Combine) -> Tensor:
    """Make one scale of those of the tasks.

    Args:
        scales: Logarithms ``d_t`` of each task's scale ``m_t``, `[groups, rank]` each; at least one.
        combine: ``"product"`` takes ``prod_t m_t``, the others the mean.

    Returns:
        `[groups, rank]`, above 0.

    Examples:
        >>> logs = [torch.tensor([0.0]), torch.tensor([4.0]).log()]
        >>> combined(logs, "product").item(), combined(logs, "mean").item()
        (4.0, 2.5)
    """
    stacked = torch.stack(list(scales))
    return stacked.sum(0).exp() if combine == "product" else stacked.exp().mean(0)


class Factors(Expansion):
    """``W[o, i, y, x] = sum_r U[i, y, r] m[r] V[r, o, x]``, with ``m`` made of one scale for each task.

    Args:
        layout: The layer's.
        owners: The tasks that have a scale.
        rank: Columns of U.
        combine: How the tasks' scales become one. ``"per_task"`` and ``"anneal"`` have a weight for each task, between
            which `task` chooses; `blend` leads from the tasks' own scales (0) to their mean (1).
        kept: Whether the factors stay two layers in the end.
    """

    blend: Tensor

    def __init__(
        self, layout: Layout, owners: Sequence[str], rank: int, combine: Combine, *, kept: bool = False
    ) -> None:
        super().__init__(layout)
        self.owners = tuple(owners)
        self.rank = rank
        self.combine: Combine = combine
        self.kept = kept
        self.task: str | None = None
        self.scales.extend(nn.Parameter(torch.zeros(layout.groups, rank)) for _ in owners)
        if combine == "anneal":
            self.register_buffer("blend", torch.zeros(()))

    def right_inverse(self, weight: Tensor) -> Sequence[Tensor]:
        """Split the weight; see `factorise`."""
        self.scales.to(weight.device, weight.dtype)
        return factorise(self.layout.matrix(weight), self.rank)

    def compute(self, tensors: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:
        """Multiply out, as the task sees it that runs."""
        u, v = tensors
        return self.layout.weight((u * self._scale(scales).unsqueeze(-2)) @ v)

    def kept_factors(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return U and V in float64 with half of the scale in each.

        Args:
            tensors: The trained U and V.
        """
        u, v = (each.detach().cpu().double() for each in tensors)
        half = self._scale([each.detach().cpu().double() for each in self.scales]).sqrt()
        return u * half.unsqueeze(-2), v * half.unsqueeze(-1)

    def _scale(self, scales: Sequence[Tensor]) -> Tensor:
        if self.task not in self.owners:
            return combined(scales, self.combine)
        own = scales[self.owners.index(self.task)].exp()
        if self.combine == "per_task":
            return own
        return torch.lerp(own, combined(scales, "mean"), self.blend.to(own))
