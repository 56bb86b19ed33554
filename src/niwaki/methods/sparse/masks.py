"""Masks: which weights of a model stay, and everything that has to be zero where one does not."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from niwaki.errors import ContractError

__all__ = ["Masks", "agree"]


class Masks(Mapping[str, Tensor]):
    """A bool mask for each sparse parameter; True marks a weight that stays.

    Weights, gradients and optimizer state are set to +0.0 where a mask is False. As long as the gradients are masked
    before every step and the state after every change of the masks, momentum, moments and weight decay keep them there.

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
        self._gone: dict[str, Tensor] = {}
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
        return {name: int(mask.sum()) for name, mask in self._masks.items()}

    def change(self, masks: Mapping[str, Tensor]) -> None:
        """Take over other masks, for some of the parameters or for all.

        Args:
            masks: Name to mask.
        """
        self._masks.update(masks)
        self._gone.update({name: ~mask for name, mask in masks.items()})

    @torch.no_grad()
    def put_on_weights(self, model: nn.Module) -> None:
        """Zero the weights of a model, unwrapped, that don't stay."""
        for parameter, gone in self._beside(model):
            parameter.masked_fill_(gone, 0.0)

    @torch.no_grad()
    def put_on_gradients(self, model: nn.Module) -> None:
        """Zero the gradients of a model, unwrapped, of the weights that don't stay."""
        for parameter, gone in self._beside(model):
            if parameter.grad is not None:
                parameter.grad.masked_fill_(gone, 0.0)

    @torch.no_grad()
    def hold(self, model: nn.Module) -> bool:
        """Say whether every weight of a model, unwrapped, that doesn't stay is +0.0."""
        return not any(
            bool((gone & ((parameter != 0) | parameter.signbit())).any()) for parameter, gone in self._beside(model)
        )

    def clear_state(self, model: nn.Module, optimizer: Optimizer, changed: Mapping[str, Tensor] | None = None) -> None:
        """Zero what an optimizer remembers of weights that don't stay, and of those that changed.

        Args:
            model: The model, unwrapped.
            optimizer: Holds its parameters. Every state tensor of a parameter's shape is cleared (momentum, moments,
                also the largest second moments of AMSGrad); counts and factored moments say nothing of single weights.
            changed: Name to the weights that were dropped or grown in this update, as bool masks.
        """
        for (name, mask), (parameter, gone) in zip(self._masks.items(), self._beside(model), strict=True):
            where = gone | changed[name].to(mask.device) if changed is not None and name in changed else gone
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.masked_fill_(where, 0)

    def _beside(self, model: nn.Module) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield each parameter with what doesn't stay of it; masks follow a model that went to another device."""
        for name, gone in self._gone.items():
            parameter = model.get_parameter(name)
            if gone.device != parameter.device:
                self.change({each: mask.to(parameter.device) for each, mask in self._masks.items() if each == name})
            yield parameter, self._gone[name]

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


def agree(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let every process of a distributed training go on with the masks of the first; alone they stay as they are.

    Args:
        masks: Name to mask, in the same order everywhere.

    Returns:
        The masks of rank 0.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return dict(masks)
    shared = {}
    for name, mask in masks.items():
        sent = mask.to(torch.uint8)
        distributed.broadcast(sent, src=0)
        shared[name] = sent.bool()
    return shared
