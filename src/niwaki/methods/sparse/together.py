"""What the processes of a distributed training decide together; alone everything stays as it is.

Each function is called by all processes at the same moment, with names in the same order.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, distributed

__all__ = ["agree", "said_by_any", "summed"]


def agree(chosen: Mapping[str, Tensor], standing: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let every process go on with the masks of the first.

    Args:
        chosen: Name to new mask, as this process would have it; on the others it may be for other names.
        standing: Name to mask so far, the same everywhere; what the first process leaves out stays like that.

    Returns:
        Name to mask: those chosen where a process is alone, else all.

    Examples:
        >>> agree({"a": torch.tensor([True])}, {"a": torch.tensor([False]), "b": torch.tensor([False])})
        {'a': tensor([True])}
    """
    if _alone():
        return dict(chosen)
    shared = {}
    for name, mask in {**standing, **chosen}.items():
        sent = mask.to(torch.uint8)
        distributed.broadcast(sent, src=0)
        shared[name] = sent.bool()
    return shared


def said_by_any(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Return which of some flags are set in at least one process.

    Args:
        flags: As many everywhere.
        device: Where tensors are exchanged.

    Examples:
        >>> said_by_any([True, False], torch.device("cpu"))
        [True, False]
    """
    if _alone():
        return list(flags)
    sent = torch.tensor(flags, dtype=torch.uint8, device=device)
    distributed.all_reduce(sent, distributed.ReduceOp.MAX)
    return sent.bool().tolist()


def summed(value: Tensor) -> Tensor:
    """Return the sum over the processes.

    Args:
        value: Of the same shape and type everywhere.

    Examples:
        >>> summed(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if _alone():
        return value
    sent = value.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(sent)
    return sent


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())
