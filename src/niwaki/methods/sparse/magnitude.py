"""Magnitude pruning: the smallest weights go, at once or in rounds while training goes on."""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.one_shot import pick
from niwaki.methods.sparse.rounds import Curve, density_after, even_rounds, target_after
from niwaki.methods.sparse.subject import Subject

__all__ = ["MagnitudePruning"]


@methods.register("magnitude_pruning")
class MagnitudePruning(SparseMethod):
    """Remove the weights with the smallest `|w|` (Han et al., arXiv 1506.02626), and train on with the others.

    One round is one shot. Several rounds prune while training goes on, evenly between two moments; many rounds on a
    cubic curve are gradual pruning (Zhu, Gupta, arXiv 1710.01878), a few on a geometric one iterative pruning.

    Attributes:
        rounds: Number of times that weights go, at least 1.
        begin: Moment from which rounds are counted, as a fraction of the steps; a single round falls exactly there.
        until: Moment of the last of several rounds.
        curve: How much has to stay after each round: `density_after`.

    Examples:
        >>> MagnitudePruning(density=0.1, rounds=10).updates(100)
        [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    """

    kind: Literal["magnitude_pruning"] = "magnitude_pruning"
    rounds: int = Field(1, ge=1)
    begin: float = Field(0.0, ge=0, le=1)
    until: float = Field(0.5, gt=0, le=1)
    curve: Curve = "cubic"

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.rounds > 1 and self.begin >= self.until:
            raise ValueError(
                f"begin={self.begin:g} must lie before until={self.until:g} where there are several rounds"
            )
        return self

    def updates(self, steps: int) -> list[int]:
        """Return after how many optimizer steps each round falls due.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            One number for each round, increasing; 0 means before training.

        Raises:
            ContractError: When there are fewer steps between ``begin`` and ``until`` than rounds.
        """
        return even_rounds(self.rounds, self.begin, self.until, steps)

    def make_run(self, subject: Subject, given: Given) -> SparseRun:
        """Return a run that has no masks yet."""
        return _MagnitudeRun(self, subject, given)


class _MagnitudeRun(SparseRun):
    """Prunes when a round is due."""

    method: MagnitudePruning

    def __init__(self, method: MagnitudePruning, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self._updates = method.updates(given.steps)

    @property
    def settled(self) -> bool:
        return self.step >= self._updates[-1]

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        return self._pruned(model, self._updates.index(self.step) + 1) if self.step in self._updates else None

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        return None if self.settled else self._pruned(model, len(self._updates))

    def _pruned(self, model: nn.Module, done: int) -> dict[str, Tensor]:
        """Return the masks after a number of rounds: of those that are left the largest stay."""
        progress, curve = done / len(self._updates), self.method.curve
        target = target_after(self.method, lambda density: density_after(progress, density, curve))
        sizes = self.subject.magnitudes(model)
        self.counts = target.counts(self.subject.layers, sizes)
        return pick({name: torch.where(self.masks[name], size, -1.0) for name, size in sizes.items()}, self.counts)
