"""Magnitude: a channel is worth the size of its weights (Li et al. 2017, arXiv 1608.08710, on whole channel groups)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria, parameters_of, sum_over_classes
from niwaki.methods.prune.evidence import Evidence

__all__ = ["Magnitude", "slice_magnitudes"]


def slice_magnitudes(weight: Tensor, dims: Sequence[int], norm: Literal[1, 2]) -> dict[int, NDArray[np.float64]]:
    """Return the sum of ``|w|**norm`` over each slice of a tensor, along several dimensions.

    Args:
        weight: A parameter, ``[..., n, ...]``.
        dims: The dimensions whose positions are the slices, at least one.
        norm: 1 or 2.

    Returns:
        Dimension to one sum for each of its positions, ``[n]``, in float64.

    Examples:
        >>> import torch
        >>> sums = slice_magnitudes(torch.tensor([[3.0, -4.0], [0.0, 1.0]]), (0, 1), 2)
        >>> sums[0].tolist(), sums[1].tolist()
        ([25.0, 1.0], [9.0, 17.0])
    """
    exact = weight.to(torch.promote_types(weight.dtype, torch.float32))
    powers = exact.abs() if norm == 1 else exact.square()
    others = [dim for dim in range(weight.ndim) if dim not in dims]
    table = (powers.sum(others, dtype=torch.float64) if others else powers.double()).cpu().numpy()
    axes = {dim: axis for axis, dim in enumerate(sorted(dims))}
    return {dim: table.sum(tuple(axis for axis in axes.values() if axis != axes[dim])) for dim in dims}


@criteria.register("magnitude")
class Magnitude(Criterion):
    """The L1 or L2 norm of everything that would go with a channel: filters, biases, norms and consumers' columns.

    Attributes:
        norm: 1 or 2.

    Examples:
        >>> Magnitude(norm=1)
        Magnitude(kind='magnitude', norm=1)
    """

    kind: Literal["magnitude"] = "magnitude"
    norm: Literal[1, 2] = 2

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:  # noqa: ARG002 - weights are enough
        """Return the norm of each class, ``[classes]``. See `Criterion.score`."""
        slices: dict[tuple[str, int], NDArray[np.float64]] = {}
        for name, tensor in parameters_of(model, channels).items():
            dims = [dim for dim, labels in enumerate(channels.tensors[name]) if labels is not None]
            sums = slice_magnitudes(tensor, dims, self.norm) if dims else {}
            slices |= {(name, dim): values for dim, values in sums.items()}
        total = sum_over_classes(channels, slices)
        return total if self.norm == 1 else np.sqrt(total)
