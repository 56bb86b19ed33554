"""CosPrune: the channels on which the tasks pull apart go first (Garg, Zhang, Guan 2023, arXiv 2304.06840)."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.calibration import Gradients
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria, required
from niwaki.methods.prune.criteria.taylor import TaylorEvidence
from niwaki.methods.prune.evidence import Evidence, over_classes
from niwaki.methods.prune.ranks import ranks_by_part
from niwaki.methods.prune.sides import Place, read_sides

__all__ = ["CosEvidence", "CosPrune", "mean_pairwise_cosine", "slice_products"]

_DEAD = -2.0


def slice_products(gradients: Tensor, dim: int) -> Tensor:
    """Return the inner products of the tasks' gradients, slice by slice.

    Args:
        gradients: ``[tasks, ..., n, ...]``, one parameter's gradient for each task.
        dim: The parameter's dimension of the slices.

    Returns:
        ``[tasks, tasks, n]``.

    Examples:
        >>> slice_products(torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]]), 0).squeeze(-1)
        tensor([[ 5.,  1.],
                [ 1., 10.]])
    """
    wide = gradients.to(torch.promote_types(gradients.dtype, torch.float32))
    rows = wide.movedim(dim + 1, 1).reshape(len(wide), wide.shape[dim + 1], -1)
    return torch.einsum("ind,jnd->ijn", rows, rows)


def mean_pairwise_cosine(products: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
    """Return the paper's ``c(f) = 2 / (T (T - 1)) * sum over i < j of cos(g_i(f), g_j(f))``.

    The pairs run over the tasks whose loss reaches the channel. A gradient of zero has the cosine 0 with every other.

    Args:
        products: Inner products of the tasks' gradients, ``[tasks, tasks, n]``.
        reached: Whether a task's loss reaches the channel, ``[tasks, n]``.

    Returns:
        ``c``, ``[n]``, in [-1/(T-1), 1] for the T tasks that reach the channel, 0 where fewer than two do; and whether
        two do, ``[n]``.

    Examples:
        >>> mean_pairwise_cosine(torch.tensor([[4.0, -6.0], [-6.0, 9.0]])[..., None], torch.ones(2, 1) > 0)
        (tensor([-1.]), tensor([True]))
    """
    norms = products.diagonal(dim1=0, dim2=1).movedim(-1, 0).sqrt()
    scale = norms[:, None] * norms[None]
    cosines = torch.where(scale > 0, products / torch.where(scale > 0, scale, 1.0), 0.0).clamp(-1, 1)
    pair = (reached[:, None] & reached[None]).to(products.dtype)
    first, second = torch.triu_indices(len(products), len(products), 1, device=products.device)
    count = pair[first, second].sum(0)
    total = (cosines * pair)[first, second].sum(0)
    return total / count.clamp(min=1), count > 0


class CosEvidence(Evidence):
    """Sums of ``c(f)`` over the batches, which tasks reach what, what is alive, and Taylor's scores beside them.

    Attributes:
        taylor: For the channels that a single task reaches.
        total: Sum of ``c`` by class, ``[classes]``.
        counted: Batches in which two tasks reached the class, ``[classes]``.
        alive: Whether any gradient was not zero, ``[classes]``.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._rows = read_sides(channels).rows
        self._cache: dict[Place, Tensor] = {}
        self.taylor = TaylorEvidence(channels)
        self.parameters = tuple(dict.fromkeys([*(name for name, _ in self._rows), *self.taylor.parameters]))
        self.total = torch.zeros(channels.count, dtype=torch.float64)
        self.counted = torch.zeros(channels.count, dtype=torch.float64)
        self.alive = torch.zeros(channels.count, dtype=torch.bool)
        self.reached: dict[str, Tensor] = {}

    @property
    def batches(self) -> int:  # type: ignore[override]  # what the base declares as an attribute is Taylor's count
        """How many batches were seen."""
        return self.taylor.batches

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Add one batch. See `Evidence.see`."""
        tasks = sorted(gradients)
        if tasks:
            products, reached = self._products(parameters, gradients, tasks)
            mean, paired = mean_pairwise_cosine(products, reached)
            self.total = self.total.to(mean) + mean
            self.counted = self.counted.to(mean) + paired
            self.alive = self.alive.to(mean.device) | (products.diagonal(dim1=0, dim2=1) > 0).any(-1)
            for task, own in zip(tasks, reached, strict=True):
                self.reached[task] = own | self.reached[task].to(own.device) if task in self.reached else own
        self.taylor.see(parameters, gradients)

    def parts(self) -> NDArray[np.int64]:
        """Number the sets of tasks whose losses reach a class, ``[classes]``: -1 for classes that can't go."""
        table = np.stack([each.cpu().numpy() for each in self.reached.values()], axis=1)
        _, parts = np.unique(table, axis=0, return_inverse=True)
        return np.where(self._channels.removable, parts.ravel(), -1).astype(np.int64)

    def shared(self) -> NDArray[np.bool_]:
        """Tell whether the losses of two tasks or more reach a class, ``[classes]``."""
        found: NDArray[np.bool_] = self.counted.cpu().numpy() > 0
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return sums and marks."""
        own = {"total": self.total, "counted": self.counted, "alive": self.alive, "reached": dict(self.reached)}
        return {**own, "taylor": self.taylor.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over sums and marks."""
        self.total, self.counted, self.alive = state["total"], state["counted"], state["alive"]
        self.reached = dict(state["reached"])
        self.taylor.load_state_dict(state["taylor"])

    def _products(
        self, parameters: Mapping[str, Tensor], gradients: Gradients, tasks: list[str]
    ) -> tuple[Tensor, Tensor]:
        """Return inner products by class, ``[tasks, tasks, classes]``, and which tasks reach it."""
        products = torch.zeros(len(tasks), len(tasks), self._channels.count, dtype=torch.float64)
        reached = torch.zeros(len(tasks), self._channels.count, dtype=torch.bool)
        for place in self._rows:
            name, dim = place
            own = [gradients[task].get(name) for task in tasks]
            some = torch.stack([torch.zeros_like(parameters[name]) if each is None else each for each in own])
            part = over_classes(self._channels, place, slice_products(some, dim), cache=self._cache)
            here = torch.tensor([each is not None for each in own], device=some.device)
            bears = over_classes(self._channels, place, part.new_ones(some.shape[dim + 1]), cache=self._cache) > 0
            products = products.to(part) + part
            reached = reached.to(part.device) | (here[:, None] & bears)
        return products, reached


@criteria.register("cos")
class CosPrune(Criterion):
    """The mean cosine between the tasks' gradients: channels on which the tasks pull apart go first.

    ``g_t(f)`` is the gradient of task t's loss with respect to the rows that make the channel, over all layers of its
    group; the score is the mean of ``c(f)`` (`mean_pairwise_cosine`) over the batches. A channel without any gradient
    is dead and goes before all others. Where a single task's loss reaches a channel (heads, or one task), there is no
    pair: Taylor's score of that task decides. Scores of different kinds, or of different sets of tasks, can't be
    compared; as soon as there are several, each set's channels are ranked among themselves, and the plan says so.

    Examples:
        >>> CosPrune()
        CosPrune(kind='cos')
    """

    kind: Literal["cos"] = "cos"

    def gather(self, channels: Channels) -> Evidence:
        """Return evidence that compares the tasks' gradients."""
        return CosEvidence(channels)

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:  # noqa: ARG002 - the evidence says it all
        """Return the scores, ``[classes]``: in [-1, 1], the dead below, or ranks in [0, 1]. See `Criterion.score`.

        Raises:
            ContractError: When no batch was seen.
        """
        gathered = cast("CosEvidence", required(evidence, CosEvidence, self.kind))
        alive = gathered.alive.cpu().numpy()
        mean = (gathered.total / gathered.counted.clamp(min=1)).cpu().numpy()
        if not _mixed(channels, gathered):
            return np.where(alive, mean, _DEAD)
        scores = np.where(gathered.shared(), mean, gathered.taylor.summed())
        return np.where(alive, ranks_by_part(np.where(alive, scores, -np.inf), gathered.parts()), 0.0)

    def notes(self, channels: Channels, evidence: Evidence | None) -> tuple[str, ...]:
        """Say where the cosine could not decide."""
        gathered = cast("CosEvidence", required(evidence, CosEvidence, self.kind))
        alone = int((channels.removable & ~gathered.shared()).sum())
        if not alone:
            return ()
        return (f"{alone} channels that no two tasks share were ranked by Taylor, each part of the network by itself",)


def _mixed(channels: Channels, gathered: CosEvidence) -> bool:
    parts = gathered.parts()
    return len(np.unique(parts[parts >= 0])) > 1 or not gathered.shared()[channels.removable].all()
