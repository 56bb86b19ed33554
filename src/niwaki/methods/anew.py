"""A network built anew: the same shapes and plans, with random weights."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn
from torch.optim import Optimizer

from niwaki.errors import ContractError, SurgeryError
from niwaki.modules import device_of, leaving_chance_alone
from niwaki.surgery import plans_of, recompile, unwrap

__all__ = ["built_anew", "move_afresh", "require_resettable"]

Build = Callable[[], nn.Module]
_DENSE = "let it make the dense network that was given"


def require_resettable(model: nn.Module, build: Build | None, *, asked: str, instead: str) -> None:
    """Refuse a network that can't be trained from random weights.

    Args:
        model: The model that is to be built anew.
        build: Makes it anew, or None.
        asked: The setting that asks for it, for messages.
        instead: What may be asked for instead.

    Raises:
        ContractError: When parameters are frozen, ``build`` makes another network, or, without it, a module with
            parameters of its own has no `reset_parameters`; the message names the first.
    """
    for name, parameter in unwrap(model).named_parameters():
        if not parameter.requires_grad:
            raise ContractError(
                f"{asked} would leave the frozen parameter {name!r} at random weights; unfreeze it, or use {instead}"
            )
    for name, module in [] if build is not None else unwrap(model).named_modules():
        if any(True for _ in module.parameters(recurse=False)) and _reset_of(module) is None:
            raise ContractError(
                f"{asked} needs random weights for every parameter, but {name or type(module).__name__!r} "
                f"({type(module).__name__}) has no reset_parameters(); give build=, a function that makes the dense "
                "network anew"
            )
    if build is not None:
        built_anew(model, build, 0)  # now, and not after hours of training


def built_anew(small: nn.Module, build: Build | None, seed: int) -> nn.Module:
    """Return a network of the shapes of another, with random weights.

    Args:
        small: The network, which remembers the plans it was cut by.
        build: Makes the dense network, to which the plans are applied; without it every module's `reset_parameters` is
            called on a copy.
        seed: Seed of the weights; the caller's generators stay as they are.

    Returns:
        The network: on the device, in the mode and compiled as the other.

    Raises:
        ContractError: When ``build`` makes another network.

    Examples:
        >>> net = nn.Linear(2, 3)
        >>> fresh = built_anew(net, None, 0)
        >>> bool((fresh.weight != net.weight).all()), bool((built_anew(net, None, 0).weight == fresh.weight).all())
        (True, True)
    """
    device = device_of(small)
    with leaving_chance_alone(device):
        torch.manual_seed(seed)
        fresh = deepcopy(unwrap(small)) if build is None else build().to(device)
        for module in fresh.modules() if build is None else ():
            reset = _reset_of(module)
            if reset is not None:
                reset()
    try:
        for plan in plans_of(small) if build is not None else ():
            fresh = plan.apply(fresh, verify=False)
    except SurgeryError as error:
        raise ContractError(f"build makes another network: {error}; {_DENSE}") from error
    mine, theirs = (
        {name: (tuple(each.shape), each.dtype) for name, each in model.named_parameters()}
        for model in (fresh, unwrap(small))
    )
    if mine != theirs:
        name = next(each for each in (*theirs, *mine) if mine.get(each) != theirs.get(each))
        raise ContractError(
            f"build makes another network: {name!r} is {mine.get(name, 'missing')} there and "
            f"{theirs.get(name, 'missing')} in the model; {_DENSE}"
        )
    return recompile(fresh.train(small.training), small)


def move_afresh(optimizer: Optimizer, before: nn.Module, after: nn.Module) -> None:
    """Point an optimizer at the parameters of a network with the same names, without any state.

    Args:
        optimizer: Holds parameters of ``before``; groups keep their order and options.
        before: The network before.
        after: The network after.

    Examples:
        >>> old, new = nn.Linear(1, 1), nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(old.parameters(), lr=0.1)
        >>> move_afresh(optimizer, old, new)
        >>> optimizer.param_groups[0]["params"][0] is new.weight
        True
    """
    new = dict(unwrap(after).named_parameters())
    moved = {id(each): new[name] for name, each in unwrap(before).named_parameters()}
    for group in optimizer.param_groups:
        for each in group["params"]:
            if id(each) in moved:
                optimizer.state.pop(each, None)
        group["params"][:] = [moved.get(id(each), each) for each in group["params"]]


def _reset_of(module: nn.Module) -> Callable[[], None] | None:
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
