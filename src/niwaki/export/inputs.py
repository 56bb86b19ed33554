"""Inputs like an example: other values, other batch sizes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from niwaki.export.calls import Call

__all__ = ["draw_like", "with_batch"]


def with_batch(call: Call, batch: int) -> list[Tensor]:
    """Return the tensors of a call at another batch size.

    Args:
        call: The call; its own samples are repeated in turn.
        batch: Number of samples, at least 1.

    Returns:
        One tensor for each of the call's; those without a batch dimension are as they were.
    """
    rows = torch.arange(batch)
    pairs = zip(call.tensors, call.axes, strict=True)
    return [each.index_select(0, rows % len(each)) if axis and len(each) else each for each, axis in pairs]


def draw_like(tensors: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Draw inputs whose values come from the ranges of given ones.

    Values are drawn from the tensor's own, so that pixels stay in their range and indices stay valid; a floating tensor
    that is constant gives standard normal noise, because a constant would show nothing.

    Args:
        tensors: The inputs to be like.
        generator: Source of randomness.

    Returns:
        Tensors of the same shapes and types.
    """
    return [_draw(each, generator) for each in tensors]


def _draw(like: Tensor, generator: torch.Generator) -> Tensor:
    if like.is_floating_point() and (like.numel() < 2 or bool((like == like.flatten()[0]).all())):
        return torch.randn(like.shape, generator=generator).to(like.dtype)
    if like.numel() == 0:
        return like
    picks = torch.randint(like.numel(), (like.numel(),), generator=generator)
    return like.flatten()[picks].reshape(like.shape)
