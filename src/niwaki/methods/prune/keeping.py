"""Which layers the user wants whole: modules, names and patterns, as parameter names."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from niwaki.errors import ContractError, did_you_mean

__all__ = ["kept_parameters", "names_of"]


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


def kept_parameters(model: nn.Module, keep: Sequence[str]) -> list[str]:
    """Find the parameters that names and patterns stand for.

    Args:
        model: The model.
        keep: Names of modules or parameters, or patterns with ``*`` and ``?``; a module stands for all it holds.

    Returns:
        Names of parameters, each once, in the model's order.

    Raises:
        ContractError: When a name or pattern fits nothing; the message names the closest.

    Examples:
        >>> kept_parameters(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), ["0"])
        ['0.weight', '0.bias']
    """
    parameters = [name for name, _ in model.named_parameters()]
    found: set[str] = set()
    for pattern in keep:
        fitting = [name for name in parameters if any(fnmatchcase(part, pattern) for part in _owners(name))]
        if not fitting:
            hint = did_you_mean(pattern, [name for name, _ in model.named_modules() if name] + parameters)
            raise ContractError(f"keep: {pattern!r} fits no module or parameter of the model{hint}")
        found.update(fitting)
    return [name for name in parameters if name in found]


def _owners(name: str) -> list[str]:
    """Return a parameter's name, the modules it lies in, and the root's empty name."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) + 1)]
