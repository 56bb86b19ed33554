"""Storage: the bytes of a model that keeps some of its channels."""

from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import nn

from niwaki.graph import Channels, Labels, drawn_from_banks

__all__ = ["Storage"]


class Storage:
    """Counts the bytes of parameters and saved buffers after a cut, as `niwaki.measure` does.

    Args:
        model: The model.
        channels: Its channel classes.

    Examples:
        >>> import torch
        >>> from niwaki.graph import find_channels, trace
        >>> net = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2))
        >>> channels = find_channels(trace(net, torch.zeros(1, 3)))
        >>> keep = np.ones(channels.count, dtype=bool)
        >>> Storage(net, channels).bytes(keep)
        200
    """

    def __init__(self, model: nn.Module, channels: Channels) -> None:
        saved = model.state_dict(keep_vars=True)
        held = [*model.named_parameters(), *(each for each in model.named_buffers() if each[0] in saved)]
        self._tensors: dict[str, tuple[int, tuple[int, ...], Labels]] = {}
        for name, tensor in held:
            canonical = channels.traced.names[name]
            labels = channels.tensors.get(canonical, (None,) * tensor.ndim)
            self._tensors[canonical] = (tensor.element_size(), tuple(tensor.shape), labels)
        self._stays = ~channels.removable
        self._banks = drawn_from_banks(channels)

    def bytes(self, keep: NDArray[np.bool_]) -> int:
        """Return the bytes of a model that keeps some of its channels.

        Args:
            keep: By class id, whether the class stays.

        Returns:
            Bytes of parameters and saved buffers, dense.
        """
        stays, known = keep | self._stays, dict[int, int]()
        total = 0
        for name, (width, shape, labels) in self._tensors.items():
            sizes = list(shape)
            for dim, drawn in enumerate(self._banks.get(name, ())):
                sizes[dim] = drawn.count(stays)
            for dim, classes in enumerate(labels):
                if classes is not None:
                    sizes[dim] = known.setdefault(id(classes), int(stays[classes].sum()))
            total += width * prod(sizes)
        return total
