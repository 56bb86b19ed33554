"""FPGM: filters near the geometric median of their layer can be spared (He et al. 2019, arXiv 1811.00250)."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria, sum_over_classes
from niwaki.methods.prune.evidence import Evidence
from niwaki.methods.prune.sides import read_sides

__all__ = ["FPGM", "distances_to_others"]


def distances_to_others(weight: Tensor, dim: int = 0) -> NDArray[np.float64]:
    """Return the sum of the Euclidean distances of each filter to all filters of its layer.

    Args:
        weight: ``[..., n, ...]``.
        dim: The dimension of the filters.

    Returns:
        ``[n]``, at least 0.

    Examples:
        >>> distances_to_others(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])).tolist()
        [5.0, 10.0, 5.0]
    """
    exact = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    rows = exact.movedim(dim, 0).reshape(weight.shape[dim], -1)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1).double().cpu().numpy()


@criteria.register("fpgm")
class FPGM(Criterion):
    """How far a filter lies from the others of its layer, summed over the layers that make the channel.

    Examples:
        >>> FPGM()
        FPGM(kind='fpgm')
    """

    kind: Literal["fpgm"] = "fpgm"

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:  # noqa: ARG002 - weights are enough
        """Return the distances, ``[classes]``. See `Criterion.score`."""
        rows = read_sides(channels).rows
        return sum_over_classes(
            channels, {place: distances_to_others(model.get_parameter(place[0]), place[1]) for place in rows}
        )
