"""The run of Overparam: shared and task phases, the way from the tasks' own weights to one, and the fold."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from math import ceil
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import ContractError
from niwaki.methods.base import carry_over
from niwaki.methods.expand.factors import ALL, Combine, Factors
from niwaki.methods.expand.passes import join_passes, passes_of, show_task
from niwaki.methods.expand.phases import OwnGradients, Phases, Scales
from niwaki.methods.expand.run import ExpandingRun, Given
from niwaki.methods.expand.wiring import expansions, tensors_of
from niwaki.models import TaskNets
from niwaki.records.factoring import Factoring
from niwaki.surgery import factor, recompile, unwrap
from niwaki.surgery.factored import fill_pair

__all__ = ["ScaledRun", "kept_ranks"]


class Options(Protocol):
    """What the run needs of its settings."""

    @property
    def combine(self) -> Combine:
        """How the tasks' scales become one."""

    @property
    def scales(self) -> Scales:
        """Whose the scales are."""

    @property
    def rebalance(self) -> int:
        """Steps between two rebalancings, or 0."""

    @property
    def until(self) -> float:
        """Moment at which the tasks' weights have become one."""


class ScaledRun(ExpandingRun):
    """Factorised layers at work: each task's scales learn from its own loss alone.

    Args:
        given: What the method was started with.
        plain: The layers that stayed plain.
        options: The settings.
        phases: Which part learns in which step.
    """

    def __init__(self, given: Given, plain: Mapping[str, str], options: Options, phases: Phases) -> None:
        super().__init__(given, plain)
        self.options = options
        self.phases = phases
        self.ranks: dict[str, int] = {}
        self.own = OwnGradients(normalised=options.scales == "normalised")

    @property
    def arrival(self) -> int:
        """The step after which all tasks see one weight."""
        return ceil(self.options.until * self.given.steps) if self.options.combine == "anneal" else 0

    @property
    def settled(self) -> bool:
        """Whether all tasks see one weight already, or each its own for good."""
        return self.step >= self.arrival

    def penalty(self, model: nn.Module) -> Tensor:
        """Return the decay of the folded weights; nothing in a task phase, in which no weight but the scales learns."""
        return super().penalty(model) if self.phases.shared(self.step) else torch.zeros(())

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        """In a task phase take each task's gradient, in a backward pass for each, and leave it with the task's loss."""
        if self.options.scales != "shared" and self.phases.task(self.step):
            self.own.see(losses, self._scales(model, losses))

    def after_backward(self, model: nn.Module) -> None:
        """Leave gradients to the part whose turn it is; the other's are None, so that no optimizer moves it."""
        scales = self._expanded(model)[1]
        if not self.phases.task(self.step):
            _clear(scales)
        elif self.options.scales != "shared":
            self.own.give(scales)
        if not self.phases.shared(self.step):
            ours = {id(each) for each in scales}
            _clear(each for each in model.parameters() if id(each) not in ours)

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Count the step, rebalance where it is time, and go on from the tasks' own weights towards one."""
        model = super().after_step(model, optimizer)
        if self.options.rebalance and self.step % self.options.rebalance == 0:
            for _, layer, _ in expansions(unwrap(model)):
                _rebalance(*tensors_of(layer))
        return self._approach(model, optimizer)

    def finish(self, model: nn.Module) -> nn.Module:
        """Fold, and prove the fold; with ``"per_task"`` into a network for each task. See `ExpandingRun.finish`.

        Raises:
            ContractError: When ``"anneal"`` has begun and not arrived at one weight yet.
            SurgeryError: When the fold does not answer as the trained network.
        """
        if self.step and not self.settled:
            raise ContractError(
                f"after {self.step} of {self.given.steps} steps the tasks still see weights of their own, which no "
                f"single network has; train for {self.arrival} steps, or lower `until`"
            )
        return super().finish(model)

    def state_dict(self) -> dict[str, Any]:
        """Return also the ranks of factors that are kept, which weights of another moment would choose otherwise."""
        return {**super().state_dict(), "ranks": self.ranks}

    def _folded(self, model: nn.Module) -> nn.Module:
        if self.options.combine != "per_task" or not passes_of(unwrap(model)):
            folded = super()._folded(model)
            join_passes(unwrap(folded))
            return _with_factors(folded, unwrap(model))
        nets = {}
        for task in passes_of(unwrap(model)):
            net = deepcopy(unwrap(model))
            join_passes(net, task)
            show_task(net, task)
            nets[task] = super()._folded(net)
        return TaskNets(nets).train(model.training)

    def _scales(self, model: nn.Module, tasks: Iterable[str]) -> dict[str, list[nn.Parameter]]:
        """Return the scales that learn from each task's loss."""
        found: dict[str, list[nn.Parameter]] = {task: [] for task in tasks}
        for _, _, expansion in expansions(unwrap(model)):
            for task, scale in zip(expansion.owners, expansion.scales, strict=True):
                for learner in found if task == ALL else [task]:
                    found.setdefault(learner, []).append(scale)
        return found

    def _approach(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Bring the tasks' weights closer; once they are one, return a network of one pass."""
        if self.options.combine != "anneal" or self.step > self.arrival:
            return model
        share = self.step / self.arrival
        for _, _, expansion in expansions(unwrap(model)):
            assert isinstance(expansion, Factors)
            expansion.blend.fill_(share)
        if self.step < self.arrival:
            return model
        joined = recompile(deepcopy(model), model)
        join_passes(unwrap(joined))
        carry_over(optimizer, model, joined)
        return joined


def kept_ranks(model: nn.Module) -> dict[str, int]:
    """Return the layers whose factors stay two layers in the end, with their ranks.

    Args:
        model: The model in training, unwrapped.
    """
    return {name: each.rank for name, _, each in expansions(model) if isinstance(each, Factors) and each.kept}


def _with_factors(folded: nn.Module, trained: nn.Module) -> nn.Module:
    """Put two layers where factors are kept."""
    ranks = kept_ranks(trained)
    if not ranks:
        return folded
    split = factor(folded, Factoring(ranks=ranks))
    for name, layer, each in expansions(trained):
        if name in ranks:
            pair, bias = unwrap(split).get_submodule(name), layer.bias
            assert isinstance(each, Factors)
            assert isinstance(pair, nn.Sequential)
            factors = each.kept_factors(tensors_of(layer))
            fill_pair(pair, each.layout, *factors, bias if isinstance(bias, Tensor) else None)
    return recompile(split, folded)


def _clear(parameters: Iterable[Tensor]) -> None:
    for each in parameters:
        each.grad = None


@torch.no_grad()
def _rebalance(u: Tensor, v: Tensor) -> None:
    """Bring each column of U `[groups, rows, rank]` and row of V `[groups, rank, columns]` to one length, in place."""
    lengths = u.norm(dim=-2), v.norm(dim=-1)
    ratio = torch.where((lengths[0] > 0) & (lengths[1] > 0), (lengths[1] / lengths[0]).sqrt(), 1.0)
    u.mul_(ratio.unsqueeze(-2))
    v.div_(ratio.unsqueeze(-1))
