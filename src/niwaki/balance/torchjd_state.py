"""What a TorchJD object has learned, as plain data: its own `state_dict` leaves out what is no tensor."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["read_state", "write_state"]

_OF_TORCH = frozenset(vars(nn.Module()))
_NOTHING = object()


def read_state(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the plain attributes, tensors and optimizers of a module and of the modules in it.

    Args:
        module: An aggregator or a scalarizer.

    Returns:
        Name of each module inside to its attributes; what is no data, such as a solver's problem, is left out.

    Examples:
        >>> norm = nn.BatchNorm1d(1)
        >>> state = read_state(norm)
        >>> state[""]["momentum"], state[""]["running_var"]
        (0.1, {'tensor': tensor([1.]), 'device': 'cpu'})
    """
    return {name: _read_one(each) for name, each in module.named_modules()}


def write_state(module: nn.Module, state: dict[str, dict[str, Any]]) -> None:
    """Put a module of the same class into a state.

    Args:
        module: It is changed.
        state: What `read_state` returned.

    Examples:
        >>> one, other = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
        >>> _ = one(torch.tensor([[1.0], [3.0]]))
        >>> write_state(other, read_state(one))
        >>> torch.equal(one.running_mean, other.running_mean)
        True
    """
    for name, each in module.named_modules():
        for key, packed in state.get(name, {}).items():
            _write_one(each, key, _unpacked(packed, each))
        if state.get(name, {}).get("step") and hasattr(each, "_init_optim_problem"):
            each._init_optim_problem()  # noqa: SLF001  # Nash-MTL builds its problem in the first step only


def _read_one(module: nn.Module) -> dict[str, Any]:
    held = {key: value for key, value in vars(module).items() if key not in _OF_TORCH}
    held |= module._buffers | module._parameters  # noqa: SLF001  # named_buffers leaves out those that are None
    packed = {key: _packed(value) for key, value in held.items()}
    return {key: value for key, value in packed.items() if value is not _NOTHING}


def _write_one(module: nn.Module, key: str, value: Any) -> None:
    parameter = module._parameters.get(key)  # noqa: SLF001  # as in _read_one
    if parameter is not None:
        parameter.data = value.data
    elif key in module._buffers:  # noqa: SLF001
        module._buffers[key] = value  # noqa: SLF001
    else:
        option = vars(module).get(key)
        vars(module)[key] = value.to(option) if isinstance(option, Tensor) else value


def _packed(value: Any) -> Any:
    """Return a value as tensors and plain data, or `_NOTHING` where it is neither."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    pack = next((each for kind, each in _PACKERS.items() if isinstance(value, kind)), None)
    return pack(value) if pack is not None else _NOTHING


def _packed_parts(value: Sequence[Any]) -> Any:
    parts = [_packed(each) for each in value]
    return {type(value).__name__: parts} if all(each is not _NOTHING for each in parts) else _NOTHING


def _unpacked(packed: Any, module: nn.Module) -> Any:
    if not isinstance(packed, dict):
        return packed
    kind, content = next(iter(packed.items()))
    if kind == "tensor":
        there = packed["device"] == "cpu" or torch.cuda.is_available()
        return content.clone().to(packed["device"] if there else "cpu")
    if kind == "optimizer":
        optimizer = getattr(torch.optim, content)(list(module.parameters()))
        optimizer.load_state_dict(packed["state"])
        return optimizer
    made = {
        "array": lambda: content.numpy().copy(),
        "dtype": lambda: getattr(torch, content),
        "place": lambda: torch.device(content),
        "tuple": lambda: tuple(_unpacked(each, module) for each in content),
        "list": lambda: [_unpacked(each, module) for each in content],
    }
    return made[kind]()


def _copied(state: Any) -> Any:
    """Copy the tensors of nested dicts and lists."""
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state.clone() if isinstance(state, Tensor) else state


_PACKERS: dict[type, Callable[[Any], Any]] = {
    Tensor: lambda value: {"tensor": value.detach().clone(), "device": str(value.device)},
    np.ndarray: lambda value: {"array": torch.from_numpy(value.copy())},
    torch.dtype: lambda value: {"dtype": str(value).removeprefix("torch.")},
    torch.device: lambda value: {"place": str(value)},
    Optimizer: lambda value: {"optimizer": type(value).__name__, "state": _copied(value.state_dict())},
    tuple: _packed_parts,
    list: _packed_parts,
}
"""Type to what writes a value of it down."""
