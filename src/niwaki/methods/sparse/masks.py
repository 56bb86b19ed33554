"""Masks: which weights of a model stay, and everything that has to be zero where one does not."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import ContractError

__all__ = ["Masks", "keeps_zeros"]


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of a float to the integers of its size."""


class Masks(Mapping[str, Tensor]):
    """A bool mask for each sparse parameter; True marks a weight that stays.

    Weights, gradients and optimizer state are set to +0.0 where a mask is False, whatever they were. As long as the
    gradients are masked before every step and the state after every change of the masks, momentum, moments and weight
    decay keep them there.

    Args:
        masks: Canonical name of a parameter to its mask.

    Examples:
        >>> net = nn.Linear(3, 1, bias=False)
        >>> masks = Masks({"weight": torch.tensor([[True, False, True]])})
        >>> masks.put_on_weights(net)
        >>> net.weight[0, 1].item(), masks.kept
        (0.0, {'weight': 2})
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self._masks: dict[str, Tensor] = {}
        self._bits: dict[str, Tensor] = {}  # all ones where a weight stays: a bitwise "and" is several times faster
        self._whole: dict[str, bool] = {}  # whether everything stays
        self.change(masks)

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def kept(self) -> dict[str, int]:
        """Parameter to the number of its weights that stay."""
        return {name: int(mask.count_nonzero()) for name, mask in self._masks.items()}

    def change(self, masks: Mapping[str, Tensor]) -> None:
        """Take over other masks, for some of the parameters or for all.

        Args:
            masks: Name to mask.
        """
        self._masks.update(masks)
        self._whole.update({name: bool(mask.all()) for name, mask in masks.items() if not mask.is_meta})
        for name in masks:
            self._bits.pop(name, None)

    @torch.no_grad()
    def put_on_weights(self, model: nn.Module) -> None:
        """Zero the weights of a model, unwrapped, that don't stay."""
        for name, parameter in self._beside(model):
            self._clear(name, parameter)

    @torch.no_grad()
    def put_on_gradients(self, model: nn.Module) -> None:
        """Zero the gradients of a model, unwrapped, of the weights that don't stay."""
        for name, parameter in self._beside(model):
            if parameter.grad is not None:
                self._clear(name, parameter.grad)

    @torch.no_grad()
    def hold(self, model: nn.Module) -> bool:
        """Say whether every weight of a model, unwrapped, that doesn't stay is +0.0."""
        return not any(
            bool((~self._masks[name] & ((each != 0) | each.signbit())).any()) for name, each in self._beside(model)
        )

    def clear_state(self, model: nn.Module, optimizer: Optimizer, changed: Mapping[str, Tensor] | None = None) -> None:
        """Zero what an optimizer remembers of weights that don't stay, and of those that changed.

        Args:
            model: The model, unwrapped.
            optimizer: Holds its parameters. Every state tensor of a parameter's shape is cleared (momentum, moments,
                also the largest second moments of AMSGrad); counts and factored moments say nothing of single weights.
            changed: Name to the weights that were dropped or grown in this update, as bool masks.
        """
        for name, parameter in self._beside(model):
            held = [each for each in optimizer.state.get(parameter, {}).values() if isinstance(each, Tensor)]
            for value in (each for each in held if each.shape == parameter.shape):
                self._clear(name, value)
                if changed is not None and name in changed:
                    value.masked_fill_(changed[name].to(value.device), 0)

    def _beside(self, model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter; its mask follows it to another device."""
        for name, mask in list(self._masks.items()):
            parameter = model.get_parameter(name)
            if mask.device != parameter.device:
                self.change({name: mask.to(parameter.device)})
            yield name, parameter

    def _clear(self, name: str, values: Tensor) -> None:
        """Set values to +0.0 where the mask is False, also those that are no numbers."""
        if self._whole.get(name):
            return
        kind = _BITS[values.element_size()]
        bits = self._bits.get(name)
        if bits is None or bits.dtype != kind or bits.stride() != values.stride():
            bits = torch.empty_like(values, dtype=kind).copy_(self._masks[name]).neg_()
            self._bits[name] = bits
        values.detach().view(kind).bitwise_and_(bits)

    def state_dict(self) -> dict[str, Any]:
        """Return the masks by name."""
        return dict(self._masks)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved masks.

        Raises:
            ContractError: When they are of other parameters or shapes.
        """
        mine, theirs = ({name: list(each.shape) for name, each in masks.items()} for masks in (self, state))
        if mine != theirs:
            name = next(each for each in (*mine, *theirs) if mine.get(each) != theirs.get(each))
            raise ContractError(
                f"the saved masks don't fit the model: {name!r} has shape {mine.get(name)} here and "
                f"{theirs.get(name)} in the state; resume with the model and the settings of the saved run"
            )
        self.change({name: state[name].to(mask.device) for name, mask in self.items()})


_ELEMENTWISE = frozenset(
    {torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam}
)
"""Optimizers whose step at a weight depends on that weight alone; Muon's, say, does not."""


def keeps_zeros(optimizer: Optimizer) -> bool:
    """Say whether a step is known to leave a weight at zero whose gradient and state are zero.

    Args:
        optimizer: Any optimizer, also one that only wraps another.

    Returns:
        False where it is not known; weights are then masked after every step.

    Examples:
        >>> keeps_zeros(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))
        True
    """
    return type(optimizer) in _ELEMENTWISE
