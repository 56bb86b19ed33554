"""Layers of a model shared: filters chosen, channels that nothing stands for cut, banks put in."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from niwaki.graph import find_channels, trace
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
        root = unwrap(model)
        stacks = self.stacks(root, layers, live)
        found = self.method.selector.select(self._question(root, layers, stacks, live))
        return self._carried_out(root, layers, self._merged(stacks, found.selection), live, found)

    def stacks(
        self, model: nn.Module, layers: Sequence[Layer], live: Mapping[str, tuple[int, ...]]
    ) -> tuple[LayerStack, ...]:
        """Stack the filters of some layers, with what they are worth."""
        modules = [each.module for layer in layers for each in layer.members]
        worth: Any = self.method.importance
        if worth == "taylor":
            worth = Taylor.of(model, modules, self.looks.require_calibration())
        elif worth == "bn_scale":
            worth = bn_scales(model, trace(model, self.example, tasks=self.tasks), modules)
        return tuple(stack_layer(model, layer, live, worth) for layer in layers)

    def _question(
        self,
        model: nn.Module,
        layers: Sequence[Layer],
        stacks: tuple[LayerStack, ...],
        live: Mapping[str, tuple[int, ...]],
    ) -> Question:
        method, calibration = self.method, self.looks.calibration

        def judge(selection: Selection) -> Mapping[str, float]:
            assert calibration is not None
            shared = self._carried_out(model, layers, self._merged(stacks, selection), live, Found(selection))
            return calibration.mean_losses(shared.model)

        rates = [method.rate_of(layer) for layer in layers]
        counts = [count_for(rate, stack.size) for rate, stack in zip(rates, stacks, strict=True) if rate is not None]
        return Question(
            stacks=stacks,
            counts=tuple(counts) if len(counts) == len(stacks) else None,
            least=tuple(count_for(method.least, stack.size) for stack in stacks),
            scale=method.scale,
            limit=method.limit,
            below=method.below,
            judge=judge if calibration is not None else None,
            seed=method.seed,
        )

    def _merged(self, stacks: Sequence[LayerStack], selection: Selection) -> tuple[Merge, ...]:
        method = self.method
        limit = method.limit if selection.limit is None else selection.limit
        how: Any = {"scale": method.scale, "centroids": method.centroids, "limit": limit, "below": method.below}
        return tuple(merge_stack(stack, kept, **how) for stack, kept in zip(stacks, selection.kept, strict=True))

    def _carried_out(
        self,
        model: nn.Module,
        layers: Sequence[Layer],
        merges: Sequence[Merge],
        live: Mapping[str, tuple[int, ...]],
        found: Found,
    ) -> Shared:
        small, plan = self._cut(model, merges)
        left = dict(live) if plan is None else live_after(live, plan, model)
        gone = {} if plan is None else _filters_gone(plan)
        made = deepcopy(small)
        told = install(made, layers, merges, left, gone)
        if plan is not None or any(len(merge.kept) < merge.stack.size for merge in merges):
            self.looks.refresh(made, self.tasks)
        return Shared(made, None if plan is None else small, left, told, found)

    def _cut(self, model: nn.Module, merges: Sequence[Merge]) -> tuple[nn.Module, Plan | None]:
        """Cut the channels of which every filter had better go."""
        unfit = unfit_rows(merges)
        if not any(bool(flags.any()) for flags in unfit.values()):
            return model, None
        channels = find_channels(trace(model, self.example, tasks=self.tasks))
        plan = leaving_plan(model, self.example, channels, unfit)
        if plan is None:
            return model, None
        small = cut(model, plan, channels=channels, form="module")
        return small, plans_of(small)[-1]


def _filters_gone(plan: Plan) -> dict[str, list[int]]:
    return {
        tensor.rpartition(".")[0]: gone
        for (tensor, dim), gone in plan.removed_positions().items()
        if dim == 0 and tensor.endswith(".weight")
    }
