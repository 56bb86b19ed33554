"""Ranks that tasks agree on: a weight is worth what it is worth to the task that needs it most (DiSparse)."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["TaskScores", "agreed_ranks", "relative_ranks"]

TaskScores = Mapping[str, Mapping[str, Tensor]]
"""Task to parameter to scores of its weights; a task has only the parameters that it uses."""


def relative_ranks(scores: Tensor) -> Tensor:
    """Return each score's rank over their number: the highest has 1/n, the lowest 1; of equal ones the first is higher.

    Args:
        scores: `[n]`.

    Returns:
        `[n]`, in (0, 1], in float64 where the device has it.

    Examples:
        >>> relative_ranks(torch.tensor([0.2, 9.0, 0.5, 0.1])).tolist()
        [0.75, 0.25, 0.5, 1.0]
    """
    order = scores.argsort(descending=True, stable=True)
    exact = torch.float32 if scores.device.type == "mps" else torch.float64
    steps = torch.arange(1, len(scores) + 1, device=scores.device, dtype=exact) / len(scores)
    return torch.empty_like(steps).index_copy_(0, order, steps)


def agreed_ranks(scores: TaskScores) -> dict[str, Tensor]:
    """Return `r_i = min over tasks of rank_t(i) / n_t` (Sun et al., DiSparse, CVPR 2022, made exact).

    Each task ranks all the weights it uses together. A weight goes only where all its tasks agree: those that stay at a
    threshold `r <= k` are the union of what the tasks keep at `k`. Keeping the N smallest `r` reaches N exactly, where
    a union of masks would keep `1 - (1 - k)^T` of independent scores.

    Args:
        scores: Task to parameter to scores, each of the parameter's shape; higher stays.

    Returns:
        Parameter to ranks in (0, 1], of its shape; lower stays.

    Examples:
        >>> trunk, near, far = torch.tensor([5.0, 1.0]), torch.tensor([3.0]), torch.tensor([4.0, 2.0])
        >>> ranks = agreed_ranks({"near": {"trunk": trunk, "near": near}, "far": {"trunk": -trunk, "far": far}})
        >>> [round(each, 2) for each in ranks["trunk"].tolist()], ranks["far"].tolist()
        ([0.33, 0.75], [0.25, 0.5])
    """
    found: dict[str, Tensor] = {}
    for own in scores.values():
        if not own:
            continue
        ranks = relative_ranks(torch.cat([each.flatten() for each in own.values()]))
        parts = ranks.split([each.numel() for each in own.values()])
        for (name, score), part in zip(own.items(), parts, strict=True):
            mine = part.view_as(score)
            found[name] = torch.minimum(found[name], mine) if name in found else mine
    return found
