"""BNScale: a channel is worth the scale of its norm (network slimming, Liu et al. 2017, arXiv 1708.06519)."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria, sum_over_classes
from niwaki.methods.prune.criteria.magnitude import Magnitude
from niwaki.methods.prune.evidence import Evidence
from niwaki.methods.prune.ranks import ranks_by_part
from niwaki.methods.prune.sides import read_sides

__all__ = ["BNScale"]


@criteria.register("bn_scale")
class BNScale(Criterion):
    """The size ``|gamma|`` of a norm's scale, summed over the norms of the channel.

    Until the last cut, ``strength * sum(|gamma|)`` over the channels that may go is added to the loss, so that scales
    shrink where they are not needed. Channels without a norm are judged by their magnitude; both kinds are then ranked
    among themselves, and the plan says so.

    Attributes:
        strength: Of the penalty, at least 0; 0 leaves the training as it is.

    Examples:
        >>> BNScale(strength=0)
        BNScale(kind='bn_scale', strength=0.0)
    """

    kind: Literal["bn_scale"] = "bn_scale"
    strength: float = Field(1e-4, ge=0)

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:  # noqa: ARG002 - weights are enough
        """Return the scales, ``[classes]``, or ranks in [0, 1]. See `Criterion.score`."""
        places = read_sides(channels).scales
        sizes = {place: model.get_parameter(place[0]).detach().abs().double().cpu().numpy() for place in places}
        scales = sum_over_classes(channels, sizes)
        normed = self._normed(channels)
        if normed[channels.removable].all():
            return scales
        parts = np.where(channels.removable, normed.astype(np.int64), -1)
        return ranks_by_part(np.where(normed, scales, Magnitude().score(model, channels)), parts)

    def penalty(self, model: nn.Module, channels: Channels) -> Tensor | None:
        """Return the L1 penalty on the scales of channels that may go, or None where there is none."""
        found = []
        for name, dim in read_sides(channels).scales if self.strength else ():
            scale = model.get_parameter(name)
            may_go = torch.as_tensor(channels.removable[channels.tensors[name][dim]], device=scale.device)
            found.append((scale.abs() * may_go).sum())
        return self.strength * torch.stack(found).sum() if found else None

    def notes(self, channels: Channels, evidence: Evidence | None) -> tuple[str, ...]:  # noqa: ARG002 - the hook's signature
        """Say which channels have no scale."""
        bare = int((channels.removable & ~self._normed(channels)).sum())
        if not bare:
            return ()
        return (f"{bare} channels have no norm: they were ranked by their magnitude, among themselves",)

    def _normed(self, channels: Channels) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        places = read_sides(channels).scales
        counts = sum_over_classes(
            channels, {place: np.ones(channels.traced.shapes[place[0]][place[1]]) for place in places}
        )
        return counts > 0
