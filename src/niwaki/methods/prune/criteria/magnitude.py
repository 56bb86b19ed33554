"""Magnitude: a channel is worth the size of its weights (Li et al. 2017, arXiv 1608.08710, on whole channel groups)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria, parameters_of, sum_over_classes

__all__ = ["Magnitude", "slice_magnitudes"]


def slice_magnitudes(weight: Tensor, dim: int, norm: Literal[1, 2]) -> NDArray[np.float64]:
    """Return the sum of ``|w|**norm`` over each slice of a tensor.

    Args:
        weight: A parameter, ``[..., n, ...]``.
        dim: The dimension whose positions are the slices.
        norm: 1 or 2.

    Returns:
        One sum for each position along ``dim``, ``[n]``, in float64.

    Example:
        >>> import torch
        >>> slice_magnitudes(torch.tensor([[3.0, -4.0], [0.0, 1.0]]), 0, 2).tolist()
        [25.0, 1.0]
    """
    powers = weight.double().abs() if norm == 1 else weight.double().square()
    others = [each for each in range(weight.ndim) if each != dim]
    sums: NDArray[np.float64] = (powers.sum(others) if others else powers).cpu().numpy()
    return sums


@criteria.register("magnitude")
class Magnitude(Criterion):
    """The L1 or L2 norm of everything that would go with a channel: filters, biases, norms and consumers' columns.

    Attributes:
        norm: 1 or 2.

    Example:
        >>> Magnitude(norm=1)
        Magnitude(kind='magnitude', norm=1)
    """

    kind: Literal["magnitude"] = "magnitude"
    norm: Literal[1, 2] = 2

    def score(self, model: nn.Module, channels: Channels) -> Scores:
        """Return the norm of each class, ``[classes]``. See `Criterion.score`."""
        slices = {
            (name, dim): slice_magnitudes(tensor, dim, self.norm)
            for name, tensor in parameters_of(model, channels).items()
            for dim, labels in enumerate(channels.tensors[name])
            if labels is not None
        }
        total = sum_over_classes(channels, slices)
        return total if self.norm == 1 else np.sqrt(total)
