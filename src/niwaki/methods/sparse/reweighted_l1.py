"""Reweighted l1: training under a penalty that counts the weights, then pruning, then training with what is left."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.one_shot import pick
from niwaki.methods.sparse.subject import Subject
from niwaki.modules import unwrap

__all__ = ["ReweightedL1", "reweighting", "weighted_l1"]


def reweighting(weight: Tensor, eps: float) -> Tensor:
    """Return the factors `1 / (|W_k| + eps)` (Candes, Wakin, Boyd 2008, equation 9): a small weight pays most.

    Args:
        weight: `W_k`, any shape.
        eps: Above 0.

    Returns:
        The same shape, in float32 or wider.

    Examples:
        >>> reweighting(torch.tensor([0.5, -0.25, 0.0]), 0.25).tolist()
        [1.3333333730697632, 2.0, 4.0]
    """
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    return 1 / (wide.abs() + eps)


def weighted_l1(weights: Mapping[str, Tensor], factors: Mapping[str, Tensor]) -> Tensor:
    """Return `sum |W| f`. With the factors of the same weights it counts those that are not zero.

    Args:
        weights: Layer to weights.
        factors: Layer to factors, of the weights' shapes; at least one layer.

    Returns:
        A scalar with the weights' graph.

    Examples:
        >>> weights = {"a": torch.tensor([0.5, -0.1, 0.0, 2.0])}
        >>> round(weighted_l1(weights, {"a": reweighting(weights["a"], 1e-6)}).item(), 3)
        3.0
    """
    parts = [torch.dot(weights[name].to(each).abs().reshape(-1), each.reshape(-1)) for name, each in factors.items()]
    return torch.stack([part.to(parts[0].device) for part in parts]).sum()


@methods.register("reweighted_l1")
class ReweightedL1(SparseMethod):
    """Pretrain, train under `strength * sum |W| / (|W_k| + eps)`, prune each layer by magnitude, train what is left.

    Engine A of Guo et al., Neurocomputing 650:130865 (2025). `W_k` are the weights when the penalty was last renewed:
    at its start, and then evenly until the pruning.

    Attributes:
        strength: Factor of the penalty, above 0.
        eps: Size below which a weight hardly differs from zero, above 0.
        pretrain: Share of the steps before the penalty; 0 for a model that is trained already.
        penalised: Share of the steps with the penalty; the rest trains with fixed masks.
        renewals: How often `W_k` is renewed, at least 1.

    Raises:
        SettingError: When the shares are more than the whole.

    Examples:
        >>> ReweightedL1(rate=60, pretrain=0.2, penalised=0.6).stages(1000)
        ([200, 400, 600], 800)
    """

    kind: Literal["reweighted_l1"] = "reweighted_l1"
    strength: float = Field(1e-7, gt=0)
    eps: float = Field(1e-6, gt=0)
    pretrain: float = Field(0.25, ge=0, lt=1)
    penalised: float = Field(0.5, gt=0, le=1)
    renewals: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.pretrain + self.penalised > 1 + 1e-9:
            raise ValueError(
                f"pretrain={self.pretrain:g} and penalised={self.penalised:g} are shares of the steps; together they "
                "are at most 1, and what is left trains with fixed masks"
            )
        return self

    def stages(self, steps: int) -> tuple[list[int], int]:
        """Return when the penalty is renewed, and when the weights are pruned.

        Args:
            steps: Optimizer steps in all, at least 0.

        Returns:
            Steps at which `W_k` is renewed, increasing, and the step of the pruning.
        """
        first, last = round(self.pretrain * steps), min(round((self.pretrain + self.penalised) * steps), steps)
        found = [first + (last - first) * index // self.renewals for index in range(self.renewals)]
        return [step for step in dict.fromkeys(found) if step < last], last

    def make_run(self, subject: Subject, given: Given) -> SparseRun:
        """Return a run that has no masks yet."""
        return _ReweightedRun(self, subject, given)


class _ReweightedRun(SparseRun):
    """Holds the factors of the penalty, and after the pruning the masks."""

    method: ReweightedL1

    def __init__(self, method: ReweightedL1, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self._renewals, self._last = method.stages(given.steps)
        self._factors: dict[str, Tensor] = {}

    @property
    def settled(self) -> bool:
        return self.step >= self._last and self.given.steps > 0

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        if self.step in self._renewals:
            weights = self.subject.weights(model)
            self._factors = {name: reweighting(weight, self.method.eps) for name, weight in weights.items()}
        if self.step != self._last or self.given.steps == 0:
            return None
        self._factors = {}
        return self._pruned(model)

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        return None if self.settled else self._pruned(model)

    def penalty(self, model: nn.Module) -> Tensor:
        if not self._factors:
            return super().penalty(model)
        inner = unwrap(model)
        weights = {name: inner.get_parameter(name) for name in self._factors}
        self._factors = {name: each.to(weights[name].device) for name, each in self._factors.items()}
        return self.method.strength * weighted_l1(weights, self._factors)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "factors": dict(self._factors)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._factors = dict(state["factors"])

    def _pruned(self, model: nn.Module) -> dict[str, Tensor]:
        sizes = self.subject.magnitudes(model)
        self.counts = self.method.counts(self.subject.layers, sizes)
        return pick(sizes, self.counts)
