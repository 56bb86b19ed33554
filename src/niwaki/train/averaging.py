"""An averaged copy of a model (EMA)."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

__all__ = ["Average"]


class Average:
    """An exponential moving average of a model's weights and float buffers.

    ``a <- d a + (1 - d) w`` after each step n = 1, 2, …, with ``d = min(decay, (1 + n) / (10 + n))``, so that a short
    training is not still averaging in its start.

    Args:
        model: The model; its copy starts equal.
        decay: The largest d, in (0, 1).

    Examples:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> average = Average(net, decay=0.5)
        >>> start = net.weight.item()
        >>> with torch.no_grad():
        ...     _ = net.weight.add_(1.0)
        >>> average.update(net)
        >>> round(average.model.weight.item() - start, 4)   # d = 2/11
        0.8182
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates: int
        self._masks: dict[str, Tensor] = {}
        self.model = nn.Module()
        self.restart(model)

    def restart(self, model: nn.Module) -> None:
        """Begin again at a model whose shape or weights can't be followed.

        Args:
            model: The model to copy.
        """
        self.model = deepcopy(model).requires_grad_(requires_grad=False)
        self.updates = 0
        self._masks = {}

    @torch.no_grad()
    def update(self, model: nn.Module, masks: Mapping[str, Tensor] | None = None) -> None:
        """Take one step towards a model.

        Args:
            model: A model of the same shape.
            masks: Name of a parameter to bools of its shape; the average is zero where they are False, as the model is.
        """
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        mine, theirs = _tensors(self.model), _tensors(model)
        floats = [index for index, tensor in enumerate(mine) if tensor.is_floating_point()]
        torch._foreach_lerp_([mine[i] for i in floats], [theirs[i] for i in floats], weight)
        for average, tensor in zip(mine, theirs, strict=True):
            if not tensor.is_floating_point():
                average.copy_(tensor)
        for name, mask in (masks or {}).items():
            if mask is not self._masks.get(name):  # between two zeros the average stays zero
                self.model.get_parameter(name).masked_fill_(~mask, 0.0)
                self._masks[name] = mask


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*(each.detach() for each in model.parameters()), *model.buffers()]
