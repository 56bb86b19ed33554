"""Modules that only wrap another: compiled, distributed, set up by Fabric."""

from typing import cast

from torch import nn

__all__ = ["plain_name", "rewrap", "unwrap"]

_INNER = ("_orig_mod", "_original_module", "_forward_module")
"""Attributes that hold the wrapped module: of `torch.compile`, and of Lightning Fabric."""

_PARALLEL = (nn.parallel.DistributedDataParallel, nn.DataParallel)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside any compiling or distributing wrappers.

    Args:
        model: A module, wrapped or not.

    Returns:
        The innermost module: the one whose parameter names bear no wrapper's prefix.

    Example:
        >>> plain = nn.Linear(2, 2)
        >>> unwrap(nn.DataParallel(plain)) is plain
        True
    """
    while True:
        inner = _inner(model)
        if inner is None:
            return model
        model = inner


def rewrap(model: nn.Module, like: nn.Module) -> nn.Module:
    """Compile a module the way another was compiled; other wrappers are the caller's to put back.

    Args:
        model: A plain module.
        like: The module it replaces, wrapped or not.

    Returns:
        `model`, compiled with the same options when `like` was compiled.
    """
    context = like.__dict__.get("dynamo_ctx")
    if "_orig_mod" in like._modules and context is not None:  # noqa: SLF001 - torch's own registry of children
        return type(like)(model, context)
    return model


def plain_name(name: str) -> str:
    """Return a tensor's or module's name without the prefixes that wrappers add.

    Args:
        name: A dotted name.

    Returns:
        The name inside the innermost module.

    Example:
        >>> plain_name("_orig_mod.encoder.weight")
        'encoder.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _INNER)


def _inner(model: nn.Module) -> nn.Module | None:
    if isinstance(model, _PARALLEL):
        return cast("nn.Module", model.module)
    children = model._modules  # noqa: SLF001 - torch's own registry of children
    return next((child for key in _INNER if (child := children.get(key)) is not None), None)
