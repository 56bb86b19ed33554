"""Random scores: the control that every criterion has to beat."""

from typing import Literal

import numpy as np
from pydantic import Field
from torch import nn

from niwaki.graph import Channels
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria
from niwaki.methods.prune.evidence import Evidence

__all__ = ["RandomScore"]


@criteria.register("random")
class RandomScore(Criterion):
    """Scores drawn uniformly from [0, 1): the same ones whenever the seed and the model's structure are the same.

    Attributes:
        seed: Seed of the draw, at least 0.

    Examples:
        >>> RandomScore(seed=3)
        RandomScore(kind='random', seed=3)
    """

    kind: Literal["random"] = "random"
    seed: int = Field(0, ge=0)

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:  # noqa: ARG002 - chance looks at nothing
        """Return one random number for each class, ``[classes]``. See `Criterion.score`."""
        return np.random.default_rng(self.seed).random(len(channels.removable))
