"""Who learns from what: all tasks the shared part, each task its own scales, in turns or together."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, distributed, nn

from niwaki.balance.jacobian import gradients_of, leaves_of
from niwaki.balance.surrogate import with_gradient

__all__ = ["Alternate", "OwnGradients", "Phases", "Scales"]

Alternate = Literal["step", "epoch", "joint"]
Scales = Literal["task", "shared", "normalised"]


@dataclass(frozen=True)
class Phases:
    """Which part learns in which step.

    Attributes:
        period: Steps that one phase takes before the other has its turn; 0 lets both learn in every step.

    Examples:
        >>> turns = Phases(period=2)
        >>> [turns.shared(step) for step in range(5)]
        [True, True, False, False, True]
    """

    period: int

    def shared(self, step: int) -> bool:
        """Whether the shared part learns in a step, counted from 0."""
        return self.period == 0 or step // self.period % 2 == 0

    def task(self, step: int) -> bool:
        """Whether the tasks' own scales learn in it."""
        return self.period == 0 or not self.shared(step)


@dataclass
class OwnGradients:
    """Gathers, over the batches of one step, what each task's own loss says of its own scales.

    The gradient of one task's loss with respect to another task's scale is never taken.

    Attributes:
        normalised: Whether all tasks learn the same scales instead, each with a gradient of the same length: the mean
            of the tasks' lengths. A control, which tells apart what scales of their own do and what their weighting.
    """

    normalised: bool = False
    _sums: dict[nn.Parameter, Tensor] = field(default_factory=dict)
    _batches: int = 0

    def see(self, losses: Mapping[str, Tensor], scales: Mapping[str, Sequence[nn.Parameter]]) -> None:
        """Look at one batch: one backward pass for each task, to all that its loss reaches but other tasks' scales.

        No pass is taken twice: where the mapping can be changed, each loss gives way to one of the same value that
        carries these gradients, and what is made of the losses then needs no pass through the network. A loss keeps its
        graph where a parameter has hooks, which would change the gradient a second time.

        Args:
            losses: Task to its own loss, unweighted.
            scales: Task to the scales that learn from it.
        """
        self._batches += 1
        every = {id(each) for own in scales.values() for each in own}
        rows = []
        for task, loss in [pair for pair in losses.items() if pair[1].requires_grad]:
            own = scales.get(task, ())
            others = every - {id(each) for each in own}
            leaves = leaves_of(loss)
            gradients = dict(gradients_of(loss, [leaf for leaf in leaves if id(leaf) not in others]))
            rows.append({scale: gradients[scale] for scale in own if scale in gradients})
            hooked = any(leaf._backward_hooks for leaf in leaves)  # noqa: SLF001 - torch tells of them nowhere else
            if isinstance(losses, MutableMapping) and not hooked:
                losses[task] = with_gradient(loss, leaves, [gradients.get(leaf) for leaf in leaves])
        for row in _normalised(rows) if self.normalised else rows:
            for scale, gradient in row.items():
                self._sums[scale] = self._sums[scale] + gradient if scale in self._sums else gradient

    def give(self, scales: Iterable[nn.Parameter]) -> None:
        """Set the scales' gradients to the mean over the batches seen, and begin anew; None where no task spoke.

        Args:
            scales: All of them.
        """
        every = list(scales)
        means = {scale: total / max(1, self._batches) for scale, total in self._sums.items()}
        self._sums, self._batches = {}, 0
        for scale, gradient in zip(every, _over_processes([means.get(scale) for scale in every], every), strict=True):
            scale.grad = gradient


def _normalised(rows: Iterable[dict[nn.Parameter, Tensor]]) -> list[dict[nn.Parameter, Tensor]]:
    """Give every task's gradient the mean of their lengths."""
    known = [row for row in rows if row]
    if not known:
        return []
    lengths = [torch.stack([each.norm() for each in row.values()]).norm() for row in known]
    mean = torch.stack(lengths).mean()
    tiny = torch.finfo(mean.dtype).tiny
    return [
        {scale: each * (mean / length.clamp_min(tiny)) for scale, each in row.items()}
        for row, length in zip(known, lengths, strict=True)
    ]


def _over_processes(gradients: list[Tensor | None], scales: Sequence[Tensor]) -> list[Tensor | None]:
    """Average over the processes of a distributed training, which does so with the shared part by itself."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return gradients
    size = distributed.get_world_size()
    averaged: list[Tensor | None] = []
    for gradient, scale in zip(gradients, scales, strict=True):
        sent = torch.cat([torch.zeros(1), torch.zeros(scale.numel())]).to(scale)
        if gradient is not None:
            sent = torch.cat([sent.new_ones(1), gradient.flatten()])
        distributed.all_reduce(sent)
        averaged.append((sent[1:] / size).view_as(scale) if sent[0] > 0 else None)
    return averaged
