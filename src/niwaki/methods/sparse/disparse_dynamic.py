"""DiSparse while training: what each layer drops grows again where one of its tasks wants it most."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from torch import Tensor, nn

from niwaki.methods.calibration import task_gradients
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.choosing import top_k
from niwaki.methods.sparse.one_shot import pick
from niwaki.methods.sparse.ranks import agreed_ranks
from niwaki.methods.sparse.rewiring import decayed, turnover
from niwaki.methods.sparse.saliency import Gathered
from niwaki.methods.sparse.subject import Subject
from niwaki.modules import unwrap

__all__ = ["DiSparseDynamicRun", "Exchange", "growth_ranks"]


@dataclass(frozen=True)
class Exchange:
    """When weights are exchanged, and how many.

    Attributes:
        every: Steps between two updates.
        drop: Share of a layer's weights that goes in the first.
        until: Moment of the last, as a fraction of the steps.
    """

    every: int
    drop: float
    until: float

    def updates(self, steps: int) -> range:
        """Return after how many of some steps an update is due; what grew after the last step would never learn."""
        return range(self.every, min(ceil(self.until * steps), steps - 1) + 1, self.every)

    def dropped(self, step: int, steps: int) -> float:
        """Return the share that goes after some of the steps: a cosine that falls to 0."""
        return self.drop * decayed("cosine", step / steps, self.until, ())


def growth_ranks(sizes: Mapping[str, Tensor], free: Tensor) -> Tensor:
    """Return for the free weights of a layer the best rank that a task gives them, by its own gradient's size.

    The smallest of these ranks are the union of what the tasks would grow, cut off at any number.

    Args:
        sizes: Task to `|dL_t/dw|`, each of the layer's shape.
        free: Where weights could grow, a bool mask.

    Returns:
        The layer's shape, in (0, 1]; 1 where nothing can grow.

    Examples:
        >>> import torch
        >>> sizes = {"near": torch.tensor([9.0, 4.0, 1.0, 0.0]), "far": torch.tensor([9.0, 0.0, 1.0, 2.0])}
        >>> growth_ranks(sizes, torch.tensor([False, True, True, True])).tolist()[1:]
        [0.3333333333333333, 0.6666666666666666, 0.3333333333333333]
    """
    ranks = agreed_ranks({task: {"free": each[free]} for task, each in sizes.items()})["free"]
    found = ranks.new_ones(free.shape)
    found[free] = ranks
    return found


class DiSparseDynamicRun(SparseRun):
    """Holds each layer's number of weights, and exchanges some at every update."""

    def __init__(self, method: SparseMethod, exchange: Exchange, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self._exchange = exchange
        self.updates = exchange.updates(given.steps)
        self._gathered: Gathered | None = None

    @property
    def settled(self) -> bool:
        """Whether the last update is made."""
        return not self.updates or self.step >= self.updates[-1]

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        """Look at each task's own gradient right before an update."""
        if self.step + 1 in self.updates:
            self._gathered = self._gathered or Gathered(self.subject.names, by_task=True)
            weights = self.subject.weights(unwrap(model))
            self._gathered.see(weights, task_gradients(weights, losses))

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        """Return the first masks, by magnitude, or those after an update."""
        if self.step == 0:
            return pick(self.subject.magnitudes(model), self.counts)
        gathered = self._gathered
        if gathered is None or self.step not in self.updates:
            return None
        self._gathered = None
        gathered.pool(self.subject.tasks, self.subject.weights(model))
        return self._updated(model, gathered)

    def _updated(self, model: nn.Module, gathered: Gathered) -> dict[str, Tensor]:
        """Exchange weights in each layer that a task's gradient reached."""
        found: dict[str, Tensor] = {}
        share = self._exchange.dropped(self.step, self.given.steps)
        for name, worth in self.subject.magnitudes(model).items():
            sizes = {task: own[name] for task, own in sorted(gathered.sizes.items()) if name in own and own[name].any()}
            kept, after = turnover(self.counts[name], worth.numel(), share, 0.0)
            if sizes:
                staying = top_k(worth, kept, self.masks[name])
                found[name] = staying | top_k(1 - growth_ranks(sizes, ~staying), after - kept, ~staying)
        return found
