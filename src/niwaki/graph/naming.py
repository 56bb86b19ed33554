"""Canonical names: one for each tensor object, however many modules hold it."""

from collections.abc import Iterator

from torch import Tensor, nn

__all__ = ["canonical_names", "named_tensors"]


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield every name of every parameter, then of every buffer, tied ones under each of their names.

    Args:
        model: Any module.

    Yields:
        Dotted name and tensor.

    Examples:
        >>> [name for name, _ in named_tensors(nn.BatchNorm1d(2))]
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def canonical_names(model: nn.Module) -> dict[str, str]:
    """Map every name of a parameter or buffer to the first name of the same object.

    Args:
        model: Any module.

    Returns:
        Name to canonical name; a name that is canonical maps to itself.

    Examples:
        >>> first = nn.Linear(2, 2, bias=False)
        >>> canonical_names(nn.Sequential(first, first))
        {'0.weight': '0.weight', '1.weight': '0.weight'}
    """
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in named_tensors(model)}
