"""The model that is pruned, read: its channels, and what its criterion and limits look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from niwaki.errors import ContractError
from niwaki.graph import Channels, find_channels, named_tensors, trace
from niwaki.methods.calibration import Calibration
from niwaki.methods.prune.criteria import Criterion, Scores
from niwaki.methods.prune.evidence import Evidence
from niwaki.methods.prune.scope import inside
from niwaki.methods.prune.settings import Selection
from niwaki.modules import kept_parameters
from niwaki.surgery.silence import own_tensors

__all__ = ["Subject", "read_subject"]


@dataclass(frozen=True)
class Subject:
    """A model that was read: its channels, what was seen of them, and the example they were read from.

    Attributes:
        model: The model, unwrapped.
        example: Its inputs.
        channels: The channel classes that may go by the selection.
        evidence: What the criterion gathers, or None where weights are enough.
        calibration: Batches to look at, where limits or the criterion need them.
    """

    model: nn.Module
    example: Any
    channels: Channels
    evidence: Evidence | None
    calibration: Calibration | None = None

    def looked_at(self, calibration: Calibration) -> "Subject":
        """Return the model with batches to look at, which the criterion is shown if it looks at any."""
        if self.evidence is not None:
            calibration.show(self.model, self.evidence)
        return replace(self, calibration=calibration)

    def still_of(self, model: nn.Module) -> bool:
        """Tell whether a model still holds the tensors that these channels were read from."""
        if self.model is not model:
            return False
        now = {id(tensor) for _, tensor in named_tensors(model)}
        held = (tensor for program in self.channels.traced.programs for tensor in own_tensors(program).values())
        return all(id(tensor) in now for tensor in held)

    def scores(self, criterion: Criterion) -> Scores:
        """Return what each channel class is worth.

        Args:
            criterion: Judges them.

        Returns:
            ``[classes]``, by class id.

        Raises:
            ContractError: When the criterion has seen too little, does not give each class one number, or gives what is
                not a number to a channel that may go.
        """
        found = np.asarray(criterion.score(self.model, self.channels, self.evidence))
        if found.shape != (self.channels.count,):
            raise ContractError(
                f"criterion {criterion.kind!r} gives scores of shape {found.shape}; a score for each of the "
                f"{self.channels.count} channel classes is needed (channels.count)"
            )
        broken = int(np.isnan(found[self.channels.removable]).sum())
        if broken:
            raise ContractError(
                f"criterion {criterion.kind!r} gives NaN to {broken} of {int(self.channels.removable.sum())} channels: "
                "weights, inputs or losses are not finite; look for the first of them that is not"
            )
        return found


def read_subject(model: nn.Module, example: Any, selection: Selection, tasks: Sequence[str] | None = None) -> Subject:
    """Read a model's channels.

    Args:
        model: The model, unwrapped; it stays as it is.
        example: A tensor, a tuple of positional inputs, a `niwaki.Example`, or a list of these.
        selection: What is chosen, and how.
        tasks: Names of the outputs, or None.

    Returns:
        The model with the channels that may go.

    Raises:
        ContractError: When ``keep`` names what the model does not have.
    """
    traced = trace(model, example, tasks=tasks)
    kept = kept_parameters(model, selection.keep)
    channels = find_channels(traced, keep=kept, permutations=selection.form == "graph", attention=selection.attention)
    channels = inside(channels, selection.scope)
    return Subject(model, example, channels, selection.criterion.gather(channels))
