"""AdapMTL: thresholds that are learned with the weights, one for the trunk and one for each head."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from niwaki.methods.base import methods
from niwaki.methods.sparse.allocation import Allocation, Global, allocations
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.one_shot import pick, worth
from niwaki.methods.sparse.subject import Subject
from niwaki.modules import unwrap
from niwaki.records import RecordBase
from niwaki.settings import family

__all__ = ["AdapMTL", "soft_threshold", "threshold_gradients"]


def soft_threshold(raw: Tensor, logit: Tensor) -> Tensor:
    """Return `sign(V) relu(|V| - sigmoid(s))` (Kusupati et al., arXiv 2002.03231, equation 5; AdapMTL shares `s`).

    Args:
        raw: `V`, any shape.
        logit: `s`, a scalar.

    Returns:
        The same shape.

    Examples:
        >>> soft_threshold(torch.tensor([0.75, -0.6, 0.4]), torch.tensor(0.0))
        tensor([ 0.2500, -0.1000,  0.0000])
    """
    return raw.sign() * (raw.abs() - logit.sigmoid()).relu()


def threshold_gradients(raw: Tensor, logit: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of a loss with respect to raw weights and logit, from that of the thresholded weights.

    Args:
        raw: `V`.
        logit: `s`, a scalar.
        gradient: Of the loss with respect to `soft_threshold(V, s)`, of the shape of `V`.

    Returns:
        The gradient of `V`, and that of `s`.

    Examples:
        >>> weights, logit = threshold_gradients(torch.tensor([0.75, 0.4]), torch.tensor(0.0), torch.tensor([2.0, 3.0]))
        >>> weights.tolist(), logit.item()
        ([2.0, 0.0], -0.5)
    """
    level = logit.sigmoid()
    passed = torch.where(raw.abs() > level, gradient, 0.0)
    return passed, -(passed * raw.sign()).sum() * level * (1 - level)


@methods.register("adapmtl")
class AdapMTL(SparseMethod):
    """Train through `sign(V) relu(|V| - sigmoid(s))`, with an `s` for each part of the network that learns as well.

    Xiang et al., AdapMTL, arXiv 2408.03913. Where the thresholds have brought the density to the target they are
    frozen; what then stays is chosen exactly, by how far `|V|` is above its threshold, and trains on with fixed masks.
    Thresholds that have not come so far by ``until`` are cut short there. The paper's task weights are a balancer of
    their own, `niwaki.balance.RelativeChange`.

    Each `s` follows its own gradient and that of `strength/2 s^2`, by Adam, so fast that it could pass the whole way
    from ``initial`` to 0 in half the steps that it has.

    Attributes:
        initial: Where every `s` begins, below 0: a threshold of `sigmoid(initial)`.
        strength: What draws `s` towards 0 and the thresholds up, at least 0.
        until: Moment at which the masks are chosen at the latest, as a fraction of the steps.

    Examples:
        >>> AdapMTL(density=0.2, heads=0.1).allocation
        Global(kind='global')
    """

    kind: Literal["adapmtl"] = "adapmtl"
    allocation: Annotated[Allocation, *family(allocations)] = Global()
    initial: float = Field(-8.0, lt=0)
    strength: float = Field(0.1, ge=0)
    until: float = Field(0.5, gt=0, le=1)

    def make_run(self, subject: Subject, given: Given) -> SparseRun:
        """Return a run that has no masks yet."""
        return _AdapRun(self, subject, given)


class _AdapRun(SparseRun):
    """Keeps the raw weights; the model holds the thresholded ones, but while the optimizer steps.

    So the model is plain at all times, and whatever compiles, averages, saves or exports it sees zeros. The raw weights
    are lent to the optimizer between `after_backward` and `after_step`, with their own gradients.
    """

    method: AdapMTL

    def __init__(self, method: AdapMTL, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self._last = round(method.until * given.steps)
        self._logits = {each.part: torch.tensor(method.initial) for each in subject.layers}
        self._adam = Adam(self._logits.values(), lr=-2 * method.initial / max(self._last, 1))
        self._raw: dict[str, Tensor] = {}
        self._frozen_at: int | None = None
        self._came = False

    @property
    def settled(self) -> bool:
        return not self._raw and self.given.steps > 0

    @property
    def logits(self) -> dict[str, float]:
        """Part to its `s`."""
        return {part: logit.item() for part, logit in self._logits.items()}

    def begin(self, model: nn.Module) -> None:
        super().begin(model)
        if sum(self.counts.values()) < self.subject.size and self._last > 0:
            self._lift(model)

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        if not self._raw:
            return None if self.step or self._last else self._chosen(self.subject.magnitudes(model))
        alive = torch.stack([weight.count_nonzero() for weight in self.subject.weights(model).values()]).sum()
        self._came = int(alive) <= sum(self.counts.values())
        if not self._came and self.step < self._last:
            return None
        raw, heights = self._raw, self._heights()
        masks = self._chosen(heights)
        self._step_back(model, raw, heights, masks)
        return masks

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        if not self._raw:
            return None
        sizes, heights = self.subject.magnitudes(model), self._heights()
        return self._chosen(
            {name: torch.where(size > 0, size, heights[name].clamp(max=0)) for name, size in sizes.items()}
        )

    @torch.no_grad()
    def after_backward(self, model: nn.Module) -> None:
        if not self._raw:
            super().after_backward(model)
            return
        slopes = {part: self.method.strength * logit for part, logit in self._logits.items()}
        for part, weight, raw, logit in self._members(unwrap(model)):
            if weight.grad is not None:
                weight.grad, slope = threshold_gradients(raw, logit, weight.grad)
                slopes[part] = slopes[part] + slope.to(slopes[part])
            weight.copy_(raw)
        for part, logit in self._logits.items():
            logit.grad = slopes[part]

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        if self._raw:
            self._adam.step()
            self._lift(unwrap(model))
        return super().after_step(model, optimizer)

    def findings(self) -> Mapping[str, RecordBase]:
        levels = ", ".join(f"{part} {logit.sigmoid():.2g}" for part, logit in self._logits.items())
        late = "" if self._came else ", before they had come to the target"
        told = () if self._frozen_at is None else (f"thresholds frozen at step {self._frozen_at}{late}: {levels}",)
        return {"sparsity": self.account.record(self.method, told)}

    def state_dict(self) -> dict[str, Any]:
        learned = {"logits": dict(self._logits), "raw": dict(self._raw), "adam": self._adam.state_dict()}
        return {**super().state_dict(), **learned, "frozen_at": self._frozen_at, "came": self._came}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._raw = dict(state["raw"])
        for part, logit in self._logits.items():
            logit.copy_(state["logits"][part])
        self._adam.load_state_dict(state["adam"])
        self._frozen_at, self._came = state["frozen_at"], bool(state["came"])

    @torch.no_grad()
    def _lift(self, model: nn.Module) -> None:
        """Take the weights as the raw ones, and put the thresholded ones into the model."""
        self._raw = {name: weight.detach().clone() for name, weight in self.subject.weights(model).items()}
        for _, weight, raw, logit in self._members(model):
            weight.copy_(soft_threshold(raw, logit))

    def _members(self, model: nn.Module) -> list[tuple[str, nn.Parameter, Tensor, Tensor]]:
        """Return each layer's part, weight, raw weight and logit."""
        found = []
        for each in self.subject.layers:
            weight = model.get_parameter(each.name)
            raw = self._raw[each.name] = self._raw[each.name].to(weight.device)
            found.append((each.part, weight, raw, self._logits[each.part].to(weight)))
        return found

    @torch.no_grad()
    def _heights(self) -> dict[str, Tensor]:
        """Return how far each raw weight is above its threshold."""
        logits = {each.name: self._logits[each.part] for each in self.subject.layers}
        return {name: raw.abs() - logits[name].to(raw).sigmoid() for name, raw in self._raw.items()}

    def _chosen(self, heights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the masks of the highest weights; from now on nothing is learned but the weights."""
        self._frozen_at, self._raw = self.step if self._raw else None, {}
        scores = worth(heights)
        self.counts = self.method.counts(self.subject.layers, scores)
        return pick(scores, self.counts)

    @torch.no_grad()
    def _step_back(
        self, model: nn.Module, raw: Mapping[str, Tensor], heights: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> None:
        """Where the last step of the thresholds went past the target, lower them to where they passed it."""
        lowest = min(float(heights[name][mask].min()) for name, mask in masks.items())
        for name, weight in self.subject.weights(model).items() if lowest < 0 else ():
            weight.copy_(raw[name].sign() * (heights[name] - lowest).relu())
