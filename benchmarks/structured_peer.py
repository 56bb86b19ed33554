"""Torch-Pruning's group norm in the same training: its regulariser and groups, the same MACs in as many rounds."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import niwaki as nw
from niwaki.errors import MissingExtraError
from structured_arms import ROUNDS, Job, Prepared

__all__ = ["group_norm"]

STEPS = 400
"""Into how many steps the peer divides its way to nothing, so that it can stop near any number of MACs."""


def group_norm(ready: Prepared, job: Job) -> nn.Module:
    """Train and prune with `GroupNormPruner`: rounds and their moments are those of the iterative arm.

    The peer is told which layers are heads. Its optimizer starts afresh at each cut, since it carries no state over.
    """
    problem = ready.problem
    model = ready.build(job.seed).train()
    pruner = _pruner(model, ready.example)
    dense = _macs(model, ready)
    moments = {round(problem.steps * (0.1 + 0.5 * (i + 1) / ROUNDS)): (i + 1) / ROUNDS for i in range(ROUNDS)}
    optimizer = _optimizer(model, job)
    for step, (x, targets) in enumerate(_batches(ready, job.seed), start=1):
        for group in optimizer.param_groups:
            group["lr"] = job.lr * _rate(step, problem.steps)
        optimizer.zero_grad()
        torch.stack(list(nw.task_losses(ready.tasks, model(x), targets).values())).sum().backward()
        if step <= max(moments):
            pruner.regularize(model)
        optimizer.step()
        if step in moments:
            _cut(pruner, model, ready, dense * (1 - moments[step] * (1 - job.macs)))
            pruner.update_regularizer()
            optimizer = _optimizer(model, job)
    return model.eval()


def _pruner(model: nn.Module, example: Tensor) -> Any:
    try:
        import torch_pruning  # noqa: PLC0415 - a peer, which needs no place in the library
    except ImportError:
        raise MissingExtraError("the peer needs torch-pruning: pip install 'niwaki[compare]'") from None
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


def _rate(step: int, steps: int) -> float:
    """Warm up over 5 % of the steps, then follow a cosine to 0."""
    warm = 0.05 * steps
    turn = torch.tensor((step - warm) / (steps - warm) * torch.pi)
    return step / warm if step < warm else 0.5 * (1 + float(turn.cos()))


def _batches(ready: Prepared, seed: int) -> Any:
    generator, left = torch.Generator().manual_seed(seed), ready.problem.steps
    while left:
        loader = torch.utils.data.DataLoader(
            ready.splits.train, ready.problem.batch, shuffle=True, drop_last=True, generator=generator
        )
        for batch in loader:
            if left:
                left -= 1
                yield batch
