"""Taking chance out of a forward: dropout, and the near-ties of pools that return indices."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["WithoutChance"]

_NEAR = 1e-4
"""How close two entries are, relative to the largest, for a pool to take either."""


class WithoutChance(TorchFunctionMode):
    """Runs torch without dropout, and with pools that decide near-ties as another run did.

    Which entries dropout drops is chance, and the sizes differ after a cut. A pool between two entries that differ by a
    rounding error may return either index; an unpool then puts the value elsewhere.

    Args:
        choices: Indices that the other run's pools returned, in order; without them near-ties fall as they fall.
    """

    def __init__(self, choices: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self._choices = iter(choices)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = str(getattr(func, "__name__", "")).partition(".")[0]  # an operator's carries its overload
        if name in _HANDLERS:
            return _HANDLERS[name](func, args, kwargs)
        found = func(*args, **kwargs)
        choice = next(self._choices, None) if name in _POOLS else None
        return found if choice is None else _steered(args[0] if args else kwargs["input"], found, choice, _POOLS[name])


def _keep(_: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs["input"]


def _attend(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) > 4:
        return func(*args[:4], 0.0, *args[5:], **kwargs)
    return func(*args, **{**kwargs, "dropout_p": 0.0})


def _steered(source: Tensor, found: tuple[Tensor, Tensor], choice: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Take the other run's index where its entry is as large as the one found, but for rounding."""
    values, indices = found
    if choice.shape != indices.shape:
        return found
    flat = source.flatten(source.ndim - dims)
    theirs = flat.gather(-1, choice.flatten(choice.ndim - dims)).reshape(values.shape)
    near = (values - theirs).abs() <= _NEAR * values.abs().max().clamp(min=1e-12)
    return torch.where(near, theirs, values), torch.where(near, choice, indices)


_HANDLERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d"), _keep),
    **dict.fromkeys(("alpha_dropout", "alpha_dropout_", "feature_dropout", "feature_dropout_"), _keep),
    **dict.fromkeys(("feature_alpha_dropout", "feature_alpha_dropout_"), _keep),
    "scaled_dot_product_attention": _attend,
}

_POOLS = {f"{kind}max_pool{n}d_with_indices": n for kind in ("", "adaptive_") for n in (1, 2, 3)}
"""Pools that return indices, with the number of dimensions they pool."""
