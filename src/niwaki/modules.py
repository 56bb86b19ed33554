"""Any torch module from outside: its wrappers, device, mode and copy, what names stand for, and chance around it."""

import copy
import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from niwaki.errors import ContractError, did_you_mean

__all__ = [
    "WRAPPED_AS",
    "copied",
    "device_of",
    "evaluating",
    "kept_parameters",
    "leaving_chance_alone",
    "require_module",
    "unwrap",
]

WRAPPED_AS = ("_orig_mod", "_original_module", "_forward_module")
"""Attributes that hold the wrapped module: of `torch.compile`, and of Lightning Fabric."""

_TABLES = (OrderedDict, dict, set)
_PARALLEL = (nn.parallel.DistributedDataParallel, nn.DataParallel)


def copied(model: nn.Module, instead: Mapping[int, Any]) -> nn.Module:
    """Return what `copy.deepcopy` does, in half the time: most of what a module holds are empty tables of hooks.

    Args:
        model: A module that holds nothing but what can be copied.
        instead: Identity of an object that the model holds to what the copy is to hold in its place.

    Returns:
        The copy.

    Examples:
        >>> layer = nn.Linear(2, 2)
        >>> copied(layer, {id(layer.weight): layer.weight}).weight is layer.weight
        True
    """
    empty = {
        id(value): type(value)()
        for module in model.modules()
        for value in vars(module).values()
        if type(value) in _TABLES and not value and not getattr(value, "__dict__", None)
    }
    return copy.deepcopy(model, {**empty, **instead})


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while; afterwards every module is in the mode it was in.

    Args:
        model: The model.

    Examples:
        >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
        >>> with evaluating(net):
        ...     net[0].training
        False
        >>> net[0].training, net[1].training
        (True, False)
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Return where a model lies: the device of its first parameter or buffer.

    Args:
        model: The model.

    Returns:
        The device; the CPU for a model without tensors.

    Examples:
        >>> device_of(nn.Linear(2, 2, device="meta")), device_of(nn.ReLU())
        (device(type='meta'), device(type='cpu'))
    """
    return next((each.device for each in (*model.parameters(), *model.buffers())), torch.device("cpu"))


@contextmanager
def leaving_chance_alone(device: torch.device | None = None) -> Iterator[None]:
    """Put the states of all generators of random numbers back after a block: Python's, NumPy's and torch's.

    Args:
        device: Whose generator is meant beside that of the CPU, where it is a CUDA device.

    Examples:
        >>> random.seed(0)
        >>> with leaving_chance_alone():
        ...     first = random.random(), torch.rand(1).item()
        >>> first == (random.random(), torch.rand(1).item())
        True
    """
    drawing = [device] if device is not None and device.type == "cuda" else []
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # saved for the caller, not drawn from
    try:
        with torch.random.fork_rng(devices=drawing):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002  # the same


def require_module(model: object) -> nn.Module:
    """Return a model that is one.

    Args:
        model: Whatever was given as the model.

    Returns:
        The same object.

    Raises:
        ContractError: When it is no `torch.nn.Module`.

    Examples:
        >>> require_module(nn.ReLU())
        ReLU()
    """
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise ContractError(f"a model is an instance of torch.nn.Module; got the class: give {model.__name__}(...)")
    raise ContractError(
        f"a model is an instance of torch.nn.Module; got {type(model).__name__}: give the module whose forward "
        "returns the outputs"
    )


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside any compiling or distributing wrappers.

    Args:
        model: A module, wrapped or not.

    Returns:
        The innermost module: the one whose parameter names bear no wrapper's prefix.

    Raises:
        ContractError: When it is no module at all.

    Examples:
        >>> plain = nn.Linear(2, 2)
        >>> unwrap(nn.DataParallel(plain)) is plain
        True
    """
    require_module(model)
    while True:
        inner = _inner(model)
        if inner is None:
            return model
        model = inner


def kept_parameters(model: nn.Module, keep: Sequence[str], *, setting: str = "keep") -> list[str]:
    """Find the parameters that names and patterns stand for.

    Args:
        model: The model.
        keep: Names of modules or parameters, or patterns with ``*`` and ``?``; a module stands for all it holds.
        setting: What the names were given as, for messages.

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
            raise ContractError(f"{setting}: {pattern!r} fits no module or parameter of the model{hint}")
        found.update(fitting)
    return [name for name in parameters if name in found]


def _inner(model: nn.Module) -> nn.Module | None:
    if isinstance(model, _PARALLEL):
        return cast("nn.Module", model.module)
    children = model._modules  # noqa: SLF001 - torch's own registry of children
    return next((child for key in WRAPPED_AS if (child := children.get(key)) is not None), None)


def _owners(name: str) -> list[str]:
    """Return a parameter's name, the modules it lies in, and the root's empty name."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) + 1)]
