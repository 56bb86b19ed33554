"""Lottery tickets: train, remove the smallest weights, wind the others back, and train again."""

from collections.abc import Mapping
from math import ceil, log
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import ContractError
from niwaki.methods.base import methods
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.one_shot import pick
from niwaki.methods.sparse.rounds import target_after
from niwaki.methods.sparse.subject import Subject
from niwaki.modules import unwrap

__all__ = ["LotteryTicket"]


@methods.register("lottery_ticket")
class LotteryTicket(SparseMethod):
    """Train, remove the lowest `|w|`, wind back what stays to where it was early in training, again and again.

    Frankle, Carbin, arXiv 1803.03635; winding back to a step later than the first: Frankle et al., arXiv 1912.05671.
    The steps are shared evenly by the rounds and the last training. After each rewind every weight and statistic is as
    it was, and the optimizer remembers nothing. Give `niwaki.Training` a constant learning rate: a schedule would go on
    through all rounds and leave little for the last.

    Attributes:
        share: Share of the weights left that goes in each round, in (0, 1); the last round ends at the target.
        rewind: Moment that weights are wound back to, as a fraction of the first training; 0 is the start.

    Examples:
        >>> LotteryTicket(density=0.5).rounds, LotteryTicket(density=0.5).updates(100)
        (4, [20, 40, 60, 80])
    """

    kind: Literal["lottery_ticket"] = "lottery_ticket"
    share: float = Field(0.2, gt=0, lt=1)
    rewind: float = Field(0.0, ge=0, lt=1)

    @property
    def rounds(self) -> int:
        """How often weights go: until the lowest density that is asked for is reached."""
        heads = self.heads.values() if isinstance(self.heads, dict) else [self.heads]
        least = min(each for each in (self.overall, self.trunk, *heads) if each is not None)
        return max(1, ceil(log(least) / log(1 - self.share) - 1e-9))

    def updates(self, steps: int) -> list[int]:
        """Return after how many optimizer steps each round ends.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            One number for each round; none without steps: then all that has to goes at the end.

        Raises:
            ContractError: When there are too few steps for the rounds.
        """
        if steps == 0:
            return []
        if steps <= self.rounds:
            raise ContractError(
                f"{self.rounds} rounds and the last training need {self.rounds + 1} steps or more; got {steps}: train "
                "for more, or raise `share`"
            )
        return [round(steps * index / (self.rounds + 1)) for index in range(1, self.rounds + 1)]

    def make_run(self, subject: Subject, given: Given) -> SparseRun:
        """Return a run that has no masks yet."""
        return _LotteryRun(self, subject, given)


class _LotteryRun(SparseRun):
    """Remembers the early weights, and winds back to them after each round."""

    method: LotteryTicket

    def __init__(self, method: LotteryTicket, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self._updates = method.updates(given.steps)
        self._early_step = round(method.rewind * self._updates[0]) if self._updates else 0
        self._early: dict[str, Tensor] = {}
        self._wound_back = False

    @property
    def settled(self) -> bool:
        return bool(self._updates) and self.step >= self._updates[-1]

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        if self.step == self._early_step and self._updates:
            self._early = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if self.step not in self._updates:
            return None
        masks = self._smaller(model, self._updates.index(self.step) + 1)
        self._wind_back(model)
        return masks

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        return None if self.settled else self._smaller(model, self.method.rounds)

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        model = super().after_step(model, optimizer)
        if self._wound_back:
            for parameter in unwrap(model).parameters():
                optimizer.state.pop(parameter, None)
            self._wound_back = False
        return model

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "early": dict(self._early)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._early = dict(state["early"])

    def _smaller(self, model: nn.Module, done: int) -> dict[str, Tensor]:
        """Return the masks after a number of rounds: of those that are left the largest stay."""
        least = 0.0 if done == self.method.rounds else (1 - self.method.share) ** done
        target = target_after(self.method, lambda density: max(density, least))
        sizes = self.subject.magnitudes(model)
        self.counts = target.counts(self.subject.layers, sizes)
        return pick({name: torch.where(self.masks[name], size, -1.0) for name, size in sizes.items()}, self.counts)

    @torch.no_grad()
    def _wind_back(self, model: nn.Module) -> None:
        for name, tensor in model.state_dict().items():
            tensor.copy_(self._early[name])
        self._wound_back = True
        if self.step == self._updates[-1]:
            self._early = {}
