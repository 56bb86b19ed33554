"""Filter sharing at work in somebody's loop: it shares layers when they are due, and remembers what it did."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from niwaki.methods.base import Run, carry_over
from niwaki.methods.share.installing import Live
from niwaki.methods.share.layers import Layer
from niwaki.methods.share.sharing import Shared, Sharer
from niwaki.records import RecordBase
from niwaki.records.front import Front
from niwaki.records.sharing import SharedLayer, Sharing
from niwaki.surgery import banks_of, follow, plans_of, recall, unwrap

if TYPE_CHECKING:  # the method makes its run
    from niwaki.methods.share.method import FilterSharing

__all__ = ["SharingRun"]


class SharingRun(Run):
    """Shares layers at some moments, and lets the networks train between and after.

    Attributes:
        method: The settings.
        moments: Steps after which each turn shares its layers.
        turns: The layers of each turn.
        step: Optimizer steps so far.
        steps: What was done to the model, as JSON: cuts and banks.
        told: What became of the layers so far.
        fronts: What the searches found.
        start: How alike the networks were, and how they were aligned.
    """

    def __init__(
        self, method: "FilterSharing", sharer: Sharer, turns: Sequence[tuple[Layer, ...]], moments: Sequence[int]
    ) -> None:
        self.method = method
        self.moments = list(moments)
        self.turns = list(turns)
        self.step = 0
        self.steps: tuple[str, ...] = ()
        self.told: tuple[SharedLayer, ...] = ()
        self.fronts: tuple[Front, ...] = ()
        self.start: tuple[float | None, str] = (None, "")
        self.sharer = sharer
        self._done = 0
        self._live: Live = {}

    @property
    def settled(self) -> bool:
        """Whether every layer is shared."""
        return self._done >= len(self.turns)

    def begin(self, model: nn.Module) -> nn.Module:
        """Share the layers that are due before training."""
        return self._share_if_due(model, None)

    def after_backward(self, model: nn.Module) -> None:
        """Divide the gradient of each filter by the number of its users, where the mean was asked for."""
        if self.method.gradient == "sum":
            return
        for bank in banks_of(model):
            if bank.filters.grad is not None:
                counts = bank.counts().clamp(min=1).to(bank.filters.grad)
                bank.filters.grad /= counts.reshape(-1, *[1] * (bank.filters.ndim - 1))

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Count a step; share layers, and let the optimizer follow, when a turn is due.

        Args:
            model: The model of this run, which the optimizer has just changed.
            optimizer: Holds its parameters.

        Returns:
            The model to go on with.
        """
        self.step += 1
        return self._share_if_due(model, optimizer)

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the shared model; layers whose turn training ended too early for are shared now.

        Args:
            model: The model of this run.

        Returns:
            The module inside any wrappers, with its banks: `niwaki.materialise` makes plain convolutions of them.
        """
        while not self.settled:
            model = self._share(model, None)
        return unwrap(model)

    def findings(self) -> Mapping[str, RecordBase]:
        """Return what became of each filter, and what the searches found."""
        cosine, aligned = self.start
        return {"sharing": Sharing(layers=self.told, fronts=self.fronts, matched_cosine=cosine, aligned=aligned)}

    def state_dict(self) -> dict[str, Any]:
        """Return the step, what was done to the model, and what was told of it; nothing is searched again."""
        cosine, aligned = self.start
        return {
            "step": self.step,
            "done": self._done,
            "steps": list(self.steps),
            "live": {module: list(left) for module, left in self._live.items()},
            "told": [layer.to_json() for layer in self.told],
            "fronts": [front.to_json() for front in self.fronts],
            "start": [cosine, aligned],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state; the model has to have the banks it had then, as `resume` gives it."""
        self.step, self._done = int(state["step"]), int(state["done"])
        self.steps = tuple(state["steps"])
        self._live = {module: tuple(left) for module, left in state["live"].items()}
        self.told = tuple(SharedLayer.from_json(text) for text in state["told"])
        self.fronts = tuple(Front.from_json(text) for text in state["fronts"])
        cosine, aligned = state["start"]
        self.start = (cosine, aligned)

    def _share_if_due(self, model: nn.Module, optimizer: Optimizer | None) -> nn.Module:
        while not self.settled and self.step >= self.moments[self._done]:
            model = self._share(model, optimizer)
        return model

    def _share(self, model: nn.Module, optimizer: Optimizer | None) -> nn.Module:
        shared = self.sharer.share(model, self.turns[self._done], self._live)
        self._done += 1
        self._live = shared.live
        self.steps += recall(shared.model)[len(recall(model)) :]
        self.told += shared.layers
        self.fronts += () if shared.found.front is None else (shared.found.front,)
        if optimizer is not None:
            _follow(optimizer, model, shared)
        return shared.model


@torch.no_grad()
def _follow(optimizer: Optimizer, before: nn.Module, shared: Shared) -> None:
    """Let an optimizer go from a model over its cut to its banks."""
    if shared.cut is not None:
        follow(optimizer, before, shared.cut, plans_of(shared.cut)[-1])
        before = shared.cut
    carry_over(optimizer, before, shared.model)
