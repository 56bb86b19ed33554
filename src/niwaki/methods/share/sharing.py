"""Layers of a model shared: filters chosen, channels that nothing stands for cut, banks put in."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from niwaki.graph import Channels, Traced, find_channels, trace
from niwaki.methods.share.batches import Looks
from niwaki.methods.share.importance import Taylor, bn_scales
from niwaki.methods.share.installing import Live, install, live_after
from niwaki.methods.share.layers import Layer
from niwaki.methods.share.leaving import leaving_plan, unfit_rows
from niwaki.methods.share.merging import Merge, count_for, merge_stack
from niwaki.methods.share.selecting import Found, Question, Selection
from niwaki.methods.share.stack import LayerStack
from niwaki.methods.share.stacking import stack_layer
from niwaki.modules import unwrap
from niwaki.records.sharing import SharedLayer
from niwaki.surgery import Plan, cut, plans_of

if TYPE_CHECKING:  # the method's run makes the sharer
    from niwaki.methods.share.method import FilterSharing

__all__ = ["Shared", "Sharer"]


@dataclass(frozen=True, eq=False)
class Shared:
    """What sharing some layers gave.

    Attributes:
        model: The model with banks.
        cut: The model between the cut and the banks; None where nothing was cut.
        live: Input channels that are left, in the coordinates of the dense model.
        layers: What became of each layer.
        found: What the selector answered.
    """

    model: nn.Module
    cut: nn.Module | None
    live: Live
    layers: tuple[SharedLayer, ...]
    found: Found


@dataclass(frozen=True, eq=False)
class Sharer:
    """Shares layers of models by one method's settings.

    Attributes:
        method: The settings.
        example: The model's inputs.
        looks: Batches to look at.
        tasks: Names of the tasks.
    """

    method: "FilterSharing"
    example: Any
    looks: Looks
    tasks: tuple[str, ...]

    def share(self, model: nn.Module, layers: Sequence[Layer], live: Mapping[str, tuple[int, ...]]) -> Shared:
        """Choose filters of some layers, and share them.

        Args:
            model: The model; it is left as it is.
            layers: The layers.
            live: Input channels that are left of the dense model's.

        Returns:
            The shared copy, and what became of the layers.
        """
        turn = _Turn(self, unwrap(model), tuple(layers), dict(live))
        return turn.carried_out(self.method.selector.select(turn.question()))


@dataclass(frozen=True, eq=False)
class _Turn:
    """Some layers of a model, to be shared now."""

    sharer: Sharer
    model: nn.Module
    layers: tuple[Layer, ...]
    live: Live

    @cached_property
    def stacks(self) -> tuple[LayerStack, ...]:
        """The filters of the layers, with what they are worth."""
        modules = [each.module for layer in self.layers for each in layer.members]
        worth: Any = self.sharer.method.importance
        if worth == "taylor":
            worth = Taylor.of(self.model, modules, self.sharer.looks.require_calibration())
        elif worth == "bn_scale":
            worth = bn_scales(self.model, self.traced, modules)
        return tuple(stack_layer(self.model, layer, self.live, worth) for layer in self.layers)

    @cached_property
    def traced(self) -> Traced:
        """The programs of the model."""
        return trace(self.model, self.sharer.example, tasks=self.sharer.tasks)

    @cached_property
    def channels(self) -> Channels:
        """The channels of the model."""
        return find_channels(self.traced)

    def question(self) -> Question:
        """Ask which filters stay."""
        method, calibration = self.sharer.method, self.sharer.looks.calibration

        def judge(selection: Selection) -> Mapping[str, float]:
            assert calibration is not None
            return calibration.mean_losses(self.carried_out(Found(selection), verify=False).model)

        rates = [method.rate_of(layer) for layer in self.layers]
        counts = [
            count_for(rate, stack.size) for rate, stack in zip(rates, self.stacks, strict=True) if rate is not None
        ]
        return Question(
            stacks=self.stacks,
            counts=tuple(counts) if len(counts) == len(self.stacks) else None,
            least=tuple(count_for(method.least, stack.size) for stack in self.stacks),
            scale=method.scale,
            limit=method.limit,
            below=method.below,
            judge=judge if calibration is not None else None,
            seed=method.seed,
        )

    def carried_out(self, found: Found, *, verify: bool = True) -> Shared:
        """Share by a selection.

        Args:
            found: The selection.
            verify: Whether a cut proves itself.

        Returns:
            The shared copy.
        """
        merges = self._merged(found.selection)
        small, plan = self._cut(merges, verify=verify)
        left = self.live if plan is None else live_after(self.live, plan, self.model)
        gone = {} if plan is None else _filters_gone(plan)
        made = deepcopy(small)
        told = install(made, self.layers, merges, left, gone)
        if plan is not None or any(len(merge.kept) < merge.stack.size for merge in merges):
            self.sharer.looks.refresh(made, self.sharer.tasks)
        return Shared(made, None if plan is None else small, left, told, found)

    def _merged(self, selection: Selection) -> tuple[Merge, ...]:
        method = self.sharer.method
        limit = method.limit if selection.limit is None else selection.limit
        how: Any = {"scale": method.scale, "centroids": method.centroids, "limit": limit, "below": method.below}
        return tuple(merge_stack(stack, kept, **how) for stack, kept in zip(self.stacks, selection.kept, strict=True))

    def _cut(self, merges: Sequence[Merge], *, verify: bool) -> tuple[nn.Module, Plan | None]:
        """Cut the channels of which every filter had better go."""
        unfit = unfit_rows(merges)
        if not any(bool(flags.any()) for flags in unfit.values()):
            return self.model, None
        plan = leaving_plan(self.model, self.sharer.example, self.channels, unfit)
        if plan is None:
            return self.model, None
        small = cut(self.model, plan, channels=self.channels, form="module", verify=verify)
        return small, plans_of(small)[-1]


def _filters_gone(plan: Plan) -> dict[str, list[int]]:
    return {
        tensor.rpartition(".")[0]: gone
        for (tensor, dim), gone in plan.removed_positions().items()
        if dim == 0 and tensor.endswith(".weight")
    }
