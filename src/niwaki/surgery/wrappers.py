"""Modules that only wrap another: compiled, distributed, set up by Fabric."""

from torch import nn

from niwaki.modules import WRAPPED_AS, unwrap

__all__ = ["plain_name", "rewrap", "unwrap"]


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
    return ".".join(part for part in name.split(".") if part not in WRAPPED_AS)
