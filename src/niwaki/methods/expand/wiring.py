"""Putting expansions into a model's layers, and folding them back into plain weights."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from niwaki.methods.expand.expansion import Expansion

__all__ = ["expand_layer", "expansions", "fold_layer", "tensors_of"]


def expand_layer(layer: nn.Module, expansion: Expansion) -> None:
    """Let a layer compute its weight.

    Args:
        layer: A plain layer with a weight; changed in place.
        expansion: Made for its layout.
    """
    with torch.random.fork_rng(devices=[]):
        parametrize.register_parametrization(layer, "weight", expansion, unsafe=True)  # it changes the shape


def expansions(model: nn.Module) -> Iterator[tuple[str, nn.Module, Expansion]]:
    """Yield the expanded layers of a model with their names.

    Args:
        model: The model, unwrapped.

    Yields:
        Name, layer and expansion.
    """
    for name, layer in model.named_modules():
        found = _expansion_of(layer)
        if found is not None:
            yield name, layer, found


def tensors_of(layer: nn.Module) -> list[Tensor]:
    """Return the tensors that an expanded layer's weight is computed from, without the tasks' own scales.

    Args:
        layer: An expanded layer.
    """
    held = _parametrizations(layer)
    return [getattr(held, f"original{place}") for place in range(held.ntensors)]


def fold_layer(layer: nn.Module, expansion: Expansion) -> None:
    """Make an expanded layer plain again.

    Args:
        layer: The layer; changed in place. Its parameters come in the order they had.
        expansion: Its expansion.
    """
    weight = nn.Parameter(expansion.folded(tensors_of(layer)))
    layer.__class__ = type(layer).__bases__[0]  # torch's own removal would also strip the class of every other copy
    del layer.parametrizations
    own = {"weight": weight, **dict(layer.named_parameters(recurse=False))}
    for name in [name for name, each in layer._parameters.items() if each is not None]:  # noqa: SLF001 - torch's own
        delattr(layer, name)
    for name, each in own.items():
        layer.register_parameter(name, each)


def _expansion_of(layer: nn.Module) -> Expansion | None:
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    first = _parametrizations(layer)[0]
    return first if isinstance(first, Expansion) else None


def _parametrizations(layer: nn.Module) -> parametrize.ParametrizationList:
    held = layer.parametrizations
    assert isinstance(held, nn.ModuleDict)
    found = held["weight"]
    assert isinstance(found, parametrize.ParametrizationList)
    return found
