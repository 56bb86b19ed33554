"""How alike channels of two networks are: by their weights, or by what they answer to the same inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.methods.share.pairing import Pair, Side
from niwaki.modules import evaluating

__all__ = ["Likeness", "Orders", "activation_likeness", "weight_likeness"]

Orders = dict[int, NDArray[np.int64]]
"""Pair to its order: for each channel of the reference the channel of the other network that is to stand there."""

Likeness = Callable[[Side, Orders], Tensor]
"""How much each position of the reference resembles each of the other network, `[n, n]`, under some orders."""


def weight_likeness(model: nn.Module, pairs: Sequence[Pair]) -> Likeness:
    """Return the inner products of weights, the other network's in the order it has so far."""
    at = {(side.second, side.dim): (number, side) for number, pair in enumerate(pairs) for side in pair.sides}

    def of(side: Side, orders: Orders) -> Tensor:
        first, second = (
            model.get_submodule(name).get_parameter("weight").detach().double().cpu()
            for name in (side.first, side.second)
        )
        across = at.get((side.second, 1 - side.dim))
        if across is not None:
            second = second.index_select(1 - side.dim, _moved(across[1], orders[across[0]]))
        rows = (each.transpose(0, side.dim).flatten(1) for each in (first, second))
        return torch.matmul(next(rows), next(rows).T)

    return of


def _moved(side: Side, order: NDArray[np.int64]) -> Tensor:
    """Return which position of the other network stands at each of the reference's, under an order."""
    position = {int(channel): place for place, channel in enumerate(side.others) if channel >= 0}
    moved = [
        place if channel < 0 else position.get(int(order[channel]), place)
        for place, channel in enumerate(side.channels)
    ]
    return torch.tensor(moved)


def activation_likeness(
    model: nn.Module, networks: tuple[str, str], pairs: Sequence[Pair], inputs: Sequence[Example]
) -> Likeness:
    """Return the correlations of what matched convolutions make of the same inputs.

    Args:
        model: All networks.
        networks: The reference and the other.
        pairs: Their groups.
        inputs: What both are shown.

    Returns:
        The likeness of filters; orders don't matter to it.
    """
    seen = _activations(model, networks, pairs, inputs)

    def of(side: Side, _orders: Orders) -> Tensor:
        one, other = (
            nn.functional.normalize(each - each.mean(1, keepdim=True), dim=1)
            for each in (seen[side.first], seen[side.second])
        )
        return one @ other.T

    return of


def _activations(
    model: nn.Module, networks: tuple[str, str], pairs: Sequence[Pair], inputs: Sequence[Example]
) -> dict[str, Tensor]:
    """Run both networks on the same inputs; return what the matched convolutions make, `[out, samples]`."""
    names = {name for pair in pairs for side in pair.sides if side.dim == 0 for name in (side.first, side.second)}
    seen: dict[str, list[Tensor]] = {name: [] for name in names}

    def note(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, made: seen[name].append(made.transpose(0, 1).flatten(1).cpu())

    handles = [model.get_submodule(name).register_forward_hook(note(name)) for name in names]
    given = [(each.args, {key: value for key, value in each.kwargs.items() if key != "task"}) for each in inputs]
    calls = [Example(*args, **kwargs, task=network) for args, kwargs in given for network in networks]
    try:
        with evaluating(model), torch.no_grad():
            for call in calls:
                call.call(model)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(made, dim=1).double() for name, made in seen.items()}
