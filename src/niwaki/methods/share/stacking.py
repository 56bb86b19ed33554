"""Layers of a model as stacks of filters, in the coordinates of its dense self."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from niwaki.methods.share.importance import Importance, norm_of
from niwaki.methods.share.layers import Layer
from niwaki.methods.share.stack import LayerStack

__all__ = ["matched_cosine", "stack_layer"]


def stack_layer(
    model: nn.Module,
    layer: Layer,
    live: Mapping[str, Sequence[int]],
    worth: Mapping[str, Tensor] | Importance = "l1",
) -> LayerStack:
    """Stack the filters of a layer, network by network.

    Input channels that a network lost are zeros: filters of all networks are as wide as those of their dense selves.

    Args:
        model: The plain model.
        layer: The layer.
        live: Module to the input channels of its dense self that are left; all where it is missing.
        worth: What the filters are worth: module to `[n]`, or the norm to take.

    Returns:
        The stack; float32, or float64 where the model is.

    Examples:
        >>> from niwaki.methods.share.layers import Convolution
        >>> net = nn.Sequential(nn.Conv2d(2, 3, 1))
        >>> stack = stack_layer(net, Layer((Convolution("0", "", ("output",), ()),)), {})
        >>> list(stack.filters.shape), stack.owners.tolist()
        ([3, 2], [0, 0, 0])
    """
    width = max(max(live.get(each.module, (0,))) + 1 for each in layer.members)
    weights = [_weight(model, each.module) for each in layer.members]
    width = max(width, *(weight.shape[1] for weight in weights))
    filters = torch.cat(
        [_widened(weight, live.get(each.module), width) for each, weight in zip(layer.members, weights, strict=True)]
    )
    owners = [torch.full((weight.shape[0],), number) for number, weight in enumerate(weights)]
    if isinstance(worth, str):
        importance = norm_of(filters, worth)
    else:
        importance = torch.cat([worth[each.module] for each in layer.members])
    return LayerStack(
        name=layer.name,
        members=tuple(each.module for each in layer.members),
        filters=filters,
        owners=torch.cat(owners),
        tasks=tuple(each.tasks for each in layer.members),
        importance=importance,
    )


def matched_cosine(stacks: Sequence[LayerStack]) -> float | None:
    """Say how much more alike filters at equal positions of different networks are than any two.

    Networks from a common start keep their channels in one order, and their filters turn only so far; networks trained
    apart have theirs in any order.

    Args:
        stacks: The layers.

    Returns:
        The mean cosine of filters at equal positions less that of any two, by parameters over layers and pairs of
        networks; None where no layer has two networks of equally many filters.

    Examples:
        >>> filters = torch.eye(4).repeat(2, 1)
        >>> owners = torch.arange(8) // 4
        >>> stack = LayerStack("a", ("a", "b"), filters, owners, (("a",), ("b",)), torch.ones(8))
        >>> matched_cosine([stack])
        0.75
    """
    pairs = [pair for stack in stacks for pair in combinations(_parts(stack), 2) if pair[0].shape == pair[1].shape]
    weight = sum(first.numel() for first, _ in pairs)
    return sum(first.numel() * _lift(first, second) for first, second in pairs) / weight if weight else None


def _parts(stack: LayerStack) -> list[Tensor]:
    return [stack.filters[stack.owners == number] for number in range(len(stack.members))]


def _lift(first: Tensor, second: Tensor) -> float:
    found = nn.functional.normalize(first, dim=1) @ nn.functional.normalize(second, dim=1).T
    return float(found.diagonal().mean() - found.mean())


def _weight(model: nn.Module, module: str) -> Tensor:
    weight = model.get_submodule(module).get_parameter("weight").detach().cpu()
    return weight if weight.dtype == torch.float64 else weight.float()


def _widened(weight: Tensor, live: Sequence[int] | None, width: int) -> Tensor:
    if live is None:
        return weight.flatten(1)
    whole = weight.new_zeros(weight.shape[0], width, *weight.shape[2:])
    whole[:, list(live)] = weight
    return whole.flatten(1)
