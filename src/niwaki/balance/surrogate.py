"""A scalar whose gradient is given: how a balancer hands its own gradient to `backward`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["CARRIER", "with_gradient"]

CARRIER = "_CarrierBackward"
"""Name of the node of a scalar whose gradient is given; it has the tensors of no gradient as leaves, too."""


class _Carrier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor | None], *_: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> Any:
        given: Sequence[Tensor | None] = ctx.saved_tensors
        return None, None, *(each if each is None else each * factor.to(each.device, each.dtype) for each in given)


def with_gradient(value: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor:
    """Return a scalar of a given value whose gradient with respect to some tensors is given.

    It is linear, so that loss scaling, the mean over accumulated batches and a penalty added to it act as on any loss.

    Args:
        value: One number, the scalar's value.
        tensors: Leaves or parts of a graph, such as losses.
        gradients: For each tensor its gradient, of the tensor's shape and type, or None: a backward pass then reaches
            it, so that its hooks are called, and leaves its ``grad``.

    Returns:
        One number that carries the graph of the tensors.

    Examples:
        >>> leaf = torch.ones(2, requires_grad=True)
        >>> scalar = with_gradient(torch.tensor(7.0), [leaf], [torch.tensor([1.0, -3.0])])
        >>> (scalar / 2).backward()
        >>> scalar.item(), leaf.grad.tolist()
        (7.0, [0.5, -1.5])
    """
    given = [each if each is None else each.detach() for each in gradients]
    scalar: Tensor = _Carrier.apply(value.detach(), given, *tensors)
    return scalar
