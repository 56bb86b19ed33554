"""Second derivatives of any loss, as products with a vector: no matrix is ever made."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["hessian_product"]


def hessian_product(loss: Tensor, parameters: Mapping[str, Tensor], vector: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `H v`: the gradient of `<dL/dw, v>`, by two backward passes (Pearlmutter 1994).

    Args:
        loss: A scalar whose graph can be differentiated twice; the graph is used up.
        parameters: Name to parameter; each requires a gradient.
        vector: Name to direction, of the parameter's shape, for each parameter.

    Returns:
        Name to product; zeros where the gradient does not move with the parameter.

    Examples:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hessian_product((w[0] * w[1] ** 2), {"w": w}, {"w": torch.tensor([1.0, 0.0])})
        {'w': tensor([0., 4.])}
    """
    names, leaves = list(parameters), list(parameters.values())
    first = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    moving = [(each, vector[name]) for name, each in zip(names, first, strict=True) if each is not None]
    along = torch.stack([(each * direction).sum() for each, direction in moving]).sum() if moving else loss.detach()
    if not along.requires_grad:
        return {name: torch.zeros_like(each) for name, each in parameters.items()}
    second = torch.autograd.grad(along, leaves, allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if each is None else each
        for name, leaf, each in zip(names, leaves, second, strict=True)
    }
