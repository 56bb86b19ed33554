"""Which layers the user wants whole: modules, names and patterns, as parameter names."""

from collections.abc import Iterable, Mapping

from torch import nn

from niwaki.errors import ContractError
from niwaki.methods.prune.sides import Place
from niwaki.modules import kept_parameters

__all__ = ["least_widths", "names_of"]


def names_of(model: nn.Module, keep: Iterable[str | nn.Module] | str | nn.Module) -> tuple[str, ...]:
    """Replace modules by their names.

    Args:
        model: The model.
        keep: Modules of it, names or patterns; one may stand alone.

    Returns:
        Names and patterns.

    Raises:
        ContractError: When a module is no part of the model.

    Examples:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> names_of(net, [net[0], "1*"])
        ('0', '1*')
    """
    known = {id(module): name for name, module in model.named_modules()}
    names = []
    for each in [keep] if isinstance(keep, str | nn.Module) else keep:
        if not isinstance(each, str) and id(each) not in known:
            raise ContractError(
                f"keep: this {type(each).__name__} is no part of the model; give one of its own modules"
            )
        names.append(each if isinstance(each, str) else known[id(each)])
    return tuple(names)


def least_widths(model: nn.Module, widths: Mapping[str, int], rows: Iterable[Place]) -> dict[Place, int]:
    """Find the least widths of layers.

    Args:
        model: The model.
        widths: Names or patterns of modules to the channels that each of their layers keeps at least.
        rows: The weights that make channels, with their dimensions.

    Returns:
        Weight and dimension to the largest number that was asked of it.

    Raises:
        ContractError: When a name or pattern fits nothing, or no layer with channels.

    Examples:
        >>> net = nn.Sequential(nn.Linear(2, 8), nn.ReLU())
        >>> least_widths(net, {"*": 4, "0": 6}, [("0.weight", 0)])
        {('0.weight', 0): 6}
    """
    found: dict[Place, int] = {}
    places = list(rows)
    for pattern, least in widths.items():
        names = set(kept_parameters(model, [pattern], setting="widths"))
        fitting = [place for place in places if place[0] in names]
        if not fitting:
            raise ContractError(f"widths: {pattern!r} holds no layer that makes channels; name a convolution or linear")
        found |= {place: max(least, found.get(place, 1)) for place in fitting}
    return found
