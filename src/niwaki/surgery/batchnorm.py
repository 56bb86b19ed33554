"""Batch-norm statistics, taken anew: what a cut, a fold or an averaged model needs before it is used in eval mode."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from niwaki.contract import Example, as_examples
from niwaki.errors import ContractError

__all__ = ["reestimate_batchnorm", "settled_statistics"]

_ENOUGH = 8
"""Values of a channel from which its mean and variance can be told."""


def reestimate_batchnorm(model: nn.Module, batches: Iterable[Any], *, num_batches: int | None = None) -> nn.Module:
    """Estimate the running statistics of every batch norm anew, as the plain average over some batches.

    Only the norms run in train mode; dropout stays off and no gradient is kept. Norms that no batch reaches keep what
    they had.

    Args:
        model: The model; its running statistics are changed in place, its mode and momenta are left as they were.
        batches: Inputs: tensors, `Example`s, lists of `Example`s for several paths, or pairs such as ``(x, targets)``
            of which the first part is fed: a tensor, a tuple of positional inputs, an `Example`, or a list of these.
            On the model's device.
        num_batches: How many to use, at least 1; all of them by default.

    Returns:
        The same model.

    Raises:
        ContractError: When `num_batches` is below 1, there was no batch, or a batch holds no inputs.

    Examples:
        >>> norm = nn.BatchNorm1d(1, momentum=0.1)
        >>> batches = [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [6.0]])]
        >>> reestimate_batchnorm(norm, batches).running_mean
        tensor([3.])
    """
    if num_batches is not None and num_batches < 1:
        raise ContractError(f"num_batches={num_batches}: batch norms need at least 1 batch")
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    seen = 0
    with _averaging(model, norms), torch.no_grad():
        for batch in islice(batches, num_batches):
            for each in _paths(batch):
                each.call(model)
            seen += 1
    if not seen:
        raise ContractError(
            "there was no batch to estimate batch norms from; an iterator that was read before is empty"
        )
    return model


def settled_statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance with which a batch norm passes a signal on, whatever its input looks like.

    Args:
        values: One input of the norm, `[batch, channels, ...]`.

    Returns:
        Each `[channels]`: of the channel's own values, where one that varies less than all do in the mean counts as
        varying so much, since it would drown the others; of all channels alike where each has but a few values.

    Examples:
        >>> mean, var = settled_statistics(torch.tensor([[[0.0, 2.0] * 4, [1.0] * 8]]))
        >>> mean.tolist(), [round(each, 2) for each in var.tolist()]
        ([1.0, 1.0], [1.0, 0.5])
    """
    rows = values.transpose(0, 1).flatten(1)
    few = rows.shape[1] < _ENOUGH
    var, mean = torch.var_mean(rows.flatten()[None] if few else rows, 1, correction=0)
    return mean.expand(len(rows)).clone(), var.clamp(min=var.mean().item() + 1e-6).expand(len(rows)).clone()


@contextmanager
def _averaging(model: nn.Module, norms: list[_NormBase]) -> Iterator[None]:
    """Put only the norms in train mode, averaging plainly; put everything back, and what no batch reached."""
    modes = {module: module.training for module in model.modules()}
    before = [(norm, norm.momentum, _statistics(norm)) for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None stands for the cumulative average
        norm.training = True
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for norm, momentum, statistics in before:
            norm.momentum = momentum
            _restore_unreached(norm, statistics)


def _statistics(norm: _NormBase) -> list[Tensor]:
    return [buffer.detach().clone() for buffer in norm.buffers(recurse=False)]


def _restore_unreached(norm: _NormBase, statistics: list[Tensor]) -> None:
    if norm.num_batches_tracked is not None and norm.num_batches_tracked.item() > 0:
        return
    for buffer, old in zip(norm.buffers(recurse=False), statistics, strict=True):
        buffer.copy_(old)


def _paths(batch: Any) -> list[Example]:
    """Read a batch's inputs: all of it, or the first part of a pair, which data loaders also give as a list."""
    if isinstance(batch, tuple | list) and not all(isinstance(each, Example) for each in batch):
        return as_examples(batch[0])
    return as_examples(batch)
