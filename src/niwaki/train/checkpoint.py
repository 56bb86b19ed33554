"""Everything a killed training needs to go on with the same bits, as nested tensors and plain data."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import FileError, TrainingError
from niwaki.modules import unwrap
from niwaki.records import first_difference

__all__ = ["fingerprint", "load_optimizer", "load_tensors", "optimizer_state", "require_same", "tensors_of"]


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer, also those that `state_dict` leaves out; a tied one once.

    Args:
        model: Any module.

    Returns:
        Name to the tensor itself, detached.
    """
    return {name: each.detach() for name, each in (*model.named_parameters(), *model.named_buffers())}


def fingerprint(model: nn.Module, *, weights: bool) -> dict[str, str | None]:
    """Return what tells a model from another one of the same shapes.

    Args:
        model: Any module.
        weights: Whether its weights matter, and not only its class.

    Returns:
        ``kind``: name of the class, ``weights``: SHA-256 of names and tensors, or None.

    Examples:
        >>> one, two = nn.Linear(1, 1), nn.Linear(1, 1)
        >>> fingerprint(one, weights=True) == fingerprint(two, weights=True)
        False
        >>> fingerprint(one, weights=False)
        {'kind': 'Linear', 'weights': None}
    """
    plain = unwrap(model)
    if not weights:
        return {"kind": type(plain).__name__, "weights": None}
    digest = sha256()
    for name, tensor in tensors_of(plain).items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return {"kind": type(plain).__name__, "weights": digest.hexdigest()}


@torch.no_grad()
def load_tensors(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy tensors into a model of the same structure; its own keep their identity, device and layout.

    Args:
        model: The model; it is changed.
        state: What `tensors_of` returned.

    Raises:
        FileError: When a tensor is missing, unknown or of another shape; the message names the first.
    """
    mine = tensors_of(model)
    odd = sorted(mine.keys() ^ state.keys())
    if odd:
        side = "the checkpoint" if odd[0] in mine else "the model"
        raise FileError(f"the checkpoint does not fit the model: {side} has no {odd[0]!r}")
    for name, tensor in mine.items():
        if tensor.shape != state[name].shape:
            raise FileError(
                f"the checkpoint does not fit the model: {name!r} is {list(tensor.shape)} in the model and "
                f"{list(state[name].shape)} in the checkpoint"
            )
        tensor.copy_(state[name])


def optimizer_state(optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
    """Return an optimizer's groups and state by parameter name, so that nothing hangs on an order.

    Args:
        optimizer: Any optimizer whose parameters are the model's.
        model: The model.

    Returns:
        ``groups``: options and parameter names; ``state``: parameter name to tensors and numbers.

    Raises:
        TrainingError: When the optimizer holds a parameter that the model does not.
    """
    names = {id(each): name for name, each in model.named_parameters()}
    strangers = sum(id(each) not in names for group in optimizer.param_groups for each in group["params"])
    if strangers:
        raise TrainingError(
            f"the optimizer holds {strangers} parameters that the model does not have; a method that replaces "
            "parameters has to move the optimizer too (niwaki.surgery.follow)"
        )
    groups = [
        {"names": [names[id(each)] for each in group["params"]], "options": _options(group)}
        for group in optimizer.param_groups
    ]
    state = {names[id(parameter)]: dict(values) for parameter, values in optimizer.state.items()}
    return {"groups": groups, "state": state}


def load_optimizer(optimizer: Optimizer, model: nn.Module, saved: Mapping[str, Any]) -> None:
    """Put an optimizer into a saved state, on the parameters of a model of the same structure.

    Args:
        optimizer: An optimizer of the same kind; its groups are replaced.
        model: The model.
        saved: What `optimizer_state` returned.

    Raises:
        FileError: When the model has no parameter of a saved name.
    """
    parameters = dict(model.named_parameters())
    missing = [name for group in saved["groups"] for name in group["names"] if name not in parameters]
    if missing:
        raise FileError(f"the checkpoint does not fit the model: its optimizer knows a parameter {missing[0]!r}")
    defaults = optimizer.param_groups[0]
    optimizer.param_groups = [
        {**defaults, **_tuples(group["options"]), "params": [parameters[name] for name in group["names"]]}
        for group in saved["groups"]
    ]
    optimizer.state.clear()
    for name, values in saved["state"].items():
        optimizer.state[parameters[name]] = {key: _like(each, parameters[name]) for key, each in values.items()}


def require_same(now: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Refuse to resume with other settings than those the run was begun with.

    Args:
        now: Settings of this call, as plain data.
        saved: Settings in the checkpoint.

    Raises:
        TrainingError: With the first setting that differs.

    Examples:
        >>> require_same({"lr": 0.1}, {"lr": 0.2})
        Traceback (most recent call last):
        niwaki.errors.TrainingError: can't resume: lr is 0.1 but the checkpoint was made with 0.2; ...
    """
    difference = first_difference(now, saved)
    if difference is not None:
        place, mine, theirs = difference
        raise TrainingError(
            f"can't resume: {place} is {mine!r} but the checkpoint was made with {theirs!r}; use the same settings, or "
            "start a new run in another directory"
        )


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in group.items() if key != "params"}


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def _like(value: Any, parameter: Tensor) -> Any:
    """Give a state tensor its parameter's device and memory layout; a step count stays where it is."""
    if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim() > 0:
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
    return value.clone() if isinstance(value, Tensor) else value
