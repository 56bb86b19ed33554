"""Thinning: what the tasks' losses are without some channels, before anything is decided."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils import _pytree as pytree

from niwaki.errors import SurgeryError
from niwaki.graph import Channels, Program, named_tensors
from niwaki.methods.calibration import Calibration
from niwaki.modules import copied, device_of, leaving_chance_alone
from niwaki.surgery import cut_away, silenced_outputs
from niwaki.surgery.compare import agreements
from niwaki.surgery.rehearsal import draw

__all__ = ["Thinning", "silenced"]


@dataclass(frozen=True)
class Thinning:
    """Takes the tasks' losses of a model without some channels.

    Channels are set to zero where that leaves them out. Where it does not, as in layer and group norms, which take
    their statistics from all that is there, they are cut; a cut that does not prove itself, since the graph would come
    back or chunks would not be equal, is estimated by zeros all the same.

    Attributes:
        model: The model; it stays as it is.
        channels: Its channel classes.
        calibration: The batches on which losses are taken.
    """

    model: nn.Module
    channels: Channels
    calibration: Calibration

    def losses(self, gone: NDArray[np.bool_]) -> dict[str, float]:
        """Return each task's mean loss over the batches; a task without any label is missing.

        Args:
            gone: By class id, whether the class goes.
        """
        if not self._zeros_leave_out:
            try:
                return self.calibration.mean_losses(cut_away(self.model, self.channels, gone))
            except SurgeryError:
                pass
        return self.calibration.mean_losses(silenced(self.model, self.channels, gone))

    @cached_property
    def _zeros_leave_out(self) -> bool:
        """Whether the model answers with zeros in half of its channels as it does without these."""
        half = self.channels.removable & (np.arange(self.channels.count) % 2 == 0)
        programs = self.channels.traced.eval_programs
        twin = silenced(self.model, self.channels, half).eval()
        with leaving_chance_alone(device_of(twin)), torch.no_grad():
            return bool(programs) and all(self._agree(each, twin, half) for each in programs)

    def _agree(self, program: Program, twin: nn.Module, gone: NDArray[np.bool_]) -> bool:
        inputs = draw(program.example, 0)
        expected = silenced_outputs(program, self.channels, gone, inputs=inputs)
        found = pytree.tree_leaves(inputs.copied().call(twin))
        return all(each.holds for each in agreements(program, expected, found))


def silenced(model: nn.Module, channels: Channels, gone: NDArray[np.bool_]) -> nn.Module:
    """Return a copy of a model in which some channels are zero.

    All their slices are zero, in every parameter and buffer. The answers are those of the cut model, but for norms that
    take their statistics from the features themselves (layer and group norms), where it is an estimate.

    Args:
        model: The model; it stays as it is.
        channels: Its channel classes.
        gone: By class id, whether the class is silenced.

    Returns:
        The copy, in the same mode.

    Examples:
        >>> from niwaki.graph import find_channels, trace
        >>> net = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1, bias=False))
        >>> channels = find_channels(trace(net, torch.ones(1, 1)))
        >>> silenced(net, channels, channels.removable)(torch.ones(1, 1)).item()
        0.0
    """
    twin = copied(model, {})
    with torch.no_grad():
        for name, tensor in named_tensors(twin):
            for dim, positions in _positions(channels, name, gone):
                tensor.index_fill_(dim, torch.tensor(positions, device=tensor.device), 0)
    return twin


def _positions(channels: Channels, name: str, gone: NDArray[np.bool_]) -> Iterator[tuple[int, list[int]]]:
    """Yield each dimension of a tensor that loses positions, with these."""
    for dim, labels in enumerate(channels.tensors.get(name, ())):
        if labels is not None and gone[labels].any():
            yield dim, np.flatnonzero(gone[labels]).tolist()
