"""Modules that only wrap another: compiled, distributed, set up by Fabric; and modules compiled in place."""

import inspect
import warnings
from typing import Any

from torch import nn

from niwaki.errors import SurgeryError
from niwaki.modules import WRAPPED_AS, unwrap

__all__ = ["plain_name", "recompile", "require_plain_inside", "rewrap", "unwrap"]


def require_plain_inside(model: nn.Module) -> None:
    """Refuse a model with a wrapped module somewhere inside.

    Args:
        model: The model, unwrapped.

    Raises:
        SurgeryError: When a module inside is compiled or wrapped; the message names it.
    """
    for name, _ in model.named_modules():
        owner, _, last = name.rpartition(".")
        if last in WRAPPED_AS:
            raise SurgeryError(
                f"the module {owner!r} is compiled or wrapped inside the model, so that its tensors have other names; "
                "compile the whole model instead, or give the plain one and compile what comes back"
            )


def rewrap(model: nn.Module, like: nn.Module) -> nn.Module:
    """Compile a module the way another was compiled; other wrappers are the caller's to put back.

    Args:
        model: A plain module.
        like: The module it replaces, wrapped or not.

    Returns:
        `model`, compiled with the same options when `like` was compiled.
    """
    recompile(model, like)
    context = like.__dict__.get("dynamo_ctx")
    if "_orig_mod" in like._modules and context is not None:  # noqa: SLF001 - torch's own registry of children
        return type(like)(model, context)
    return model


def recompile(model: nn.Module, like: nn.Module) -> nn.Module:
    """Compile in place those modules of a copy that `torch.nn.Module.compile` compiled in the original.

    A copy of a module forgets that it was compiled. One warning tells where it can't be compiled in the same way.

    Args:
        model: A copy of `like`, whole or cut, wrapped or not; changed in place.
        like: The original.

    Returns:
        `model`.

    Examples:
        >>> from copy import deepcopy
        >>> net = nn.Linear(2, 2)
        >>> net.compile(backend="eager")
        >>> deepcopy(net)._compiled_call_impl is None, recompile(deepcopy(net), net)._compiled_call_impl is None
        (True, False)
    """
    copies = dict(unwrap(model).named_modules())
    lost = []
    for name, module in unwrap(like).named_modules():
        implementation = module._compiled_call_impl  # noqa: SLF001 - where torch keeps what compile() made
        if implementation is None or inspect.ismethod(implementation) or name not in copies:
            continue
        context = _context_of(implementation)
        if context is None:
            lost.append(name or type(module).__name__)
        else:
            copies[name]._compiled_call_impl = context(copies[name]._call_impl)  # noqa: SLF001 - the same
    if lost:
        warnings.warn(
            f"{', '.join(lost)} was compiled in place, in a way that can't be repeated after a cut or copy; call "
            "compile() on it again",
            UserWarning,
            stacklevel=2,
        )
    return model


def _context_of(implementation: Any) -> Any:
    """Return what torch.compile compiles with: its backend and options, which only the compiled function holds."""
    if not inspect.isfunction(implementation):
        return None
    context = inspect.getclosurevars(implementation).nonlocals.get("self")
    return context if callable(context) else None


def plain_name(name: str) -> str:
    """Return a tensor's or module's name without the prefixes that wrappers add.

    Args:
        name: A dotted name.

    Returns:
        The name inside the innermost module.

    Examples:
        >>> plain_name("_orig_mod.encoder.weight")
        'encoder.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPED_AS)
