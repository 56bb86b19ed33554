"""DynamicSparse: the network trains with few weights from the start, and moves them where the loss wants them."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.choosing import top_k
from niwaki.methods.sparse.rewiring import Decay, decayed, drop_scores, rewire, turnover
from niwaki.methods.sparse.subject import Subject
from niwaki.modules import unwrap
from niwaki.records import RecordBase

__all__ = ["PRESETS", "DynamicSparse"]

PRESETS: dict[str, dict[str, Any]] = {
    "dst": {},
    "set": {"initial": "random", "allocation": "erk", "grow": "random", "every": 100},
    "rigl": {"initial": "random", "allocation": "erk", "decay": "cosine", "every": 100},
    "mest_em": {
        "initial": "random",
        "allocation": "erk",
        "gradient_weight": 1.0,
        "grow": "random",
        "fraction": 0.2,
        "decay": "step",
        "every": 1 / 32,
        "milestones": (9 / 16, 3 / 4),
    },
    "mest_ems": {
        "initial": "random",
        "allocation": "erk",
        "gradient_weight": 1.0,
        "grow": "random",
        "fraction": 0.5,
        "overshoot": 0.5,
        "decay": "step",
        "every": 1 / 32,
        "milestones": (9 / 16, 3 / 4),
    },
}
"""What the methods of the literature set differently."""


@methods.register("dynamic_sparse")
class DynamicSparse(SparseMethod):
    """Train with a fixed number of weights, some of which move at every update.

    An update drops the weights that are worth least and grows others among those that are off, layer by layer. The
    number of weights after each update is the target, or the target and an overshoot; at the last it is the target.

    The settings as they are give the dynamic sparse training of *A min-max optimization framework for sparse multi-task
    deep neural network* (Neurocomputing 650, 2025), with its number of weights held at the target. The presets are
    other settings of the same machine.

    Attributes:
        preset: Whose settings are taken where others are not given: ``"dst"``, ``"set"`` (Mocanu et al.,
            arXiv 1707.04780), ``"rigl"`` (Evci et al., arXiv 1911.11134), ``"mest_em"`` or ``"mest_ems"`` (Yuan et al.,
            arXiv 2110.14032).
        initial: The first masks: the largest weights of each layer, or random ones.
        gradient_weight: How much a weight's gradient counts beside its magnitude where weights are dropped, at least 0.
        grow: Where weights are grown: where the gradient of the balanced loss is largest, or at random.
        fraction: Share of the target that turns over in an update, in (0, 1].
        overshoot: Share of the target that is grown past it until the last update, which then only drops; it decays
            with the fraction.
        decay: How the fraction falls: not at all, as a cosine until ``until``, or at the milestones.
        milestones: Moments at which ``decay="step"`` falls by equal amounts, to 0 at the last; fractions of the steps.
        every: Steps between two updates: a number, or a fraction of all steps.
        begin: Moment from which updates are counted, as a fraction of the steps.
        until: Moment of the last update, as a fraction of the steps.

    Raises:
        SettingError: When there is no target, or a value is not allowed.

    Examples:
        >>> DynamicSparse(rate=10).updates(100)
        [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75]
        >>> rigl = DynamicSparse(density=0.1, preset="rigl")
        >>> rigl.decay, rigl.allocation.kind, DynamicSparse(**rigl.model_dump(mode="json")) == rigl
        ('cosine', 'erk', True)
    """

    kind: Literal["dynamic_sparse"] = "dynamic_sparse"
    preset: Literal["dst", "set", "rigl", "mest_em", "mest_ems"] = "dst"
    initial: Literal["magnitude", "random"] = "magnitude"
    gradient_weight: float = Field(0.0, ge=0)
    grow: Literal["gradient", "random"] = "gradient"
    fraction: float = Field(0.3, gt=0, le=1)
    overshoot: float = Field(0.0, ge=0, le=1)
    decay: Decay = "constant"
    milestones: tuple[float, ...] = ()
    every: int | float = Field(0.05, gt=0)
    begin: float = Field(0.0, ge=0, lt=1)
    until: float = Field(0.75, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _as_preset(cls, values: Any) -> Any:
        known = PRESETS.get(values.get("preset", "dst"), {}) if isinstance(values, Mapping) else {}
        return {**known, **values} if known else values

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if isinstance(self.every, float) and self.every > 1:
            raise ValueError(f"every as a fraction lies in (0, 1], a number of steps is an int; got {self.every:g}")
        if self.begin >= self.until:
            raise ValueError(f"begin={self.begin:g} must lie before until={self.until:g}")
        if (self.decay == "step") != bool(self.milestones):
            raise ValueError('milestones belong to decay="step", which needs at least one; give both or neither')
        if self.overshoot > self.fraction:
            raise ValueError(
                f"overshoot={self.overshoot:g} is more than an update grows (fraction={self.fraction:g}); lower it"
            )
        return self

    def updates(self, steps: int) -> list[int]:
        """Return after how many optimizer steps the weights move.

        Args:
            steps: Optimizer steps in all.

        Returns:
            Increasing numbers, each below ``steps``: what is grown after the last step would never learn.
        """
        gap = self.every if isinstance(self.every, int) else self.every * steps
        first, last = self.begin * steps, self.until * steps
        turns = int((last - first) / gap + 1e-9) if gap else 0
        found = {ceil(first + gap * turn - 1e-9) for turn in range(1, turns + 1)}
        return sorted(each for each in found if 0 < each < steps)

    def make_run(self, subject: Subject, given: Given) -> "_DynamicRun":
        """Return a run that has no masks yet."""
        return _DynamicRun(self, subject, given)


class _DynamicRun(SparseRun):
    """Moves weights when an update is due."""

    method: DynamicSparse

    def __init__(self, method: DynamicSparse, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self.updates = method.updates(given.steps)
        self._gradients: dict[str, Tensor] = {}

    @property
    def settled(self) -> bool:
        """Whether the last update is made."""
        return not self.updates or self.step >= self.updates[-1]

    def after_backward(self, model: nn.Module) -> None:
        """Remember the gradients of all weights right before an update, then zero those of masked ones."""
        self.reads_all = self.step + 1 in self.updates and self.method.grow == "gradient"
        if self.step + 1 in self.updates and (self.reads_all or self.method.gradient_weight):
            weights = self.subject.weights(unwrap(model)).items()
            self._gradients = {name: each.grad.detach().clone() for name, each in weights if each.grad is not None}
        super().after_backward(model)

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        """Return the first masks, or those after an update that is due."""
        if self.step == 0:
            return self._first(model)
        if self.step not in self.updates:
            return None
        found = {
            name: self._moved(name, weight)
            for name, weight in self.subject.weights(model).items()
            if weight.requires_grad
        }
        self._gradients = {}
        return found

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        """Drop what lies past the target, where training ended before the last update."""
        worth = self.subject.magnitudes(model)
        over = [name for name, kept in self.masks.kept.items() if kept > self.counts[name]]
        return {name: top_k(worth[name], self.counts[name], self.masks[name]) for name in over} or None

    def findings(self) -> Mapping[str, RecordBase]:
        """Return the sparsity that was reached, after `finish`; say so where the training was too short for updates."""
        short = self.given.steps > 0 and not self.updates
        note = f"no update fell within {self.given.steps} steps: the first masks stayed; lower `every`"
        return {"sparsity": self.account.record(self.method, [note] if short else [])}

    def _first(self, model: nn.Module) -> dict[str, Tensor]:
        worth = self.subject.magnitudes(model)
        if self.method.initial == "random":
            worth = {name: self._random(name, each) for name, each in worth.items()}
        return {name: top_k(each, self.counts[name]) for name, each in worth.items()}

    def _moved(self, name: str, weight: Tensor) -> Tensor:
        method, gradient = self.method, self._gradients.get(name)
        last = self.step == self.updates[-1]
        left = decayed(method.decay, self.step / self.given.steps, method.until, method.milestones)
        over = method.overshoot * left
        kept, after = turnover(self.counts[name], weight.numel(), method.fraction * left, over)
        if last and method.overshoot:
            kept = after = self.counts[name]

        def promise() -> Tensor:
            return self._random(name, weight) if method.grow == "random" or gradient is None else gradient.abs()

        return rewire(self.masks[name], drop_scores(weight, gradient, method.gradient_weight), promise, kept, after)

    def _random(self, name: str, like: Tensor) -> Tensor:
        """Draw numbers that seed, step and layer decide, so that there is no generator to keep."""
        place = self.subject.names.index(name)
        where = (self.method.seed * 10**9 + self.step) * 10**4 + place
        generator = torch.Generator().manual_seed(where % 2**63)
        return torch.rand(like.shape, generator=generator).to(like.device)
