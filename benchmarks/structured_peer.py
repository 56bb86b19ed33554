"""Torch-Pruning's group norm in the same training: its regulariser and groups, the same MACs in as many rounds."""

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import niwaki as nw
from niwaki.errors import MissingExtraError
from niwaki.train.loader import DatasetBatches
from niwaki.train.schedule import lr_factor
from structured_arms import ITERATIVE, Job, Prepared

__all__ = ["group_norm"]

STEPS = 400
"""Into how many steps the peer divides its way to nothing, so that it can stop near any number of MACs."""


def group_norm(ready: Prepared, job: Job) -> nn.Module:
    """Train and prune with `GroupNormPruner`: steps, rates, batches, rounds and moments are the iterative arm's.

    The peer is told which layers are heads. Its optimizer starts afresh at each cut, since it carries no state over.
    """
    training = ready.training(job, ready.problem.steps)
    model = ready.build(job.seed).train()
    pruner = _pruner(model, ready.example)
    allowed = _allowed(_macs(model, ready), job.macs, ready.problem.steps)
    optimizer = _optimizer(model, job)
    for step, (x, targets) in enumerate(_batches(ready, training), start=1):
        for group in optimizer.param_groups:
            group["lr"] = job.lr * lr_factor(step - 1, ready.problem.steps, training)
        optimizer.zero_grad()
        torch.stack(list(nw.task_losses(ready.tasks, model(x), targets).values())).sum().backward()
        if step <= max(allowed):
            pruner.regularize(model)
        optimizer.step()
        if step in allowed:
            _cut(pruner, model, ready, allowed[step])
            pruner.update_regularizer()
            optimizer = _optimizer(model, job)
    return model.eval()


def _allowed(dense: float, share: float, steps: int) -> dict[int, float]:
    """Return after how many steps is cut, and how many MACs may stay then: each round goes as far as the others."""
    moments = nw.StructuredPruning(budget=nw.Budget(macs=share), **ITERATIVE).moments(steps)
    return {moment: dense * (1 - number / len(moments) * (1 - share)) for number, moment in enumerate(moments, 1)}


def _pruner(model: nn.Module, example: Tensor) -> Any:
    try:
        import torch_pruning  # noqa: PLC0415 - a peer, which needs no place in the library
    except ImportError:
        raise MissingExtraError("compare", "the peer Torch-Pruning") from None
    return torch_pruning.pruner.GroupNormPruner(
        model,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=0.9,
        iterative_steps=STEPS,
        ignored_layers=list(model.get_submodule("heads").modules()),
        forward_fn=lambda model, x: list(model(x).values()),
    )


def _cut(pruner: Any, model: nn.Module, ready: Prepared, allowed: float) -> None:
    while _macs(model, ready) > allowed and pruner.current_step < STEPS:
        pruner.step()


def _macs(model: nn.Module, ready: Prepared) -> float:
    """Count by torch's formulas, as `niwaki.measure` does, but without reading the model's program each time."""
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(ready.example)
    model.train()
    return counter.get_total_flops() / 2


def _optimizer(model: nn.Module, job: Job) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=job.lr, weight_decay=1e-4)


def _batches(ready: Prepared, training: nw.Training) -> Iterator[Any]:
    batches = DatasetBatches(ready.splits.train, training, shuffle=True, tasks=ready.tasks)
    return islice(chain.from_iterable(map(batches.iterate, count())), training.steps)
