"""The run of an expansion: parameter groups, decay of the folded weight, the fold and its proof."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.contract import Named
from niwaki.methods.base import Method, Run
from niwaki.methods.expand.expansion import Expansion
from niwaki.methods.expand.factors import Factors
from niwaki.methods.expand.verify import compare_folded, require_same_answers
from niwaki.methods.expand.wiring import expansions, fold_layer, tensors_of
from niwaki.modules import evaluating
from niwaki.records import FoldedLayer, Folding, RecordBase
from niwaki.surgery import recompile, unwrap

__all__ = ["ExpandingRun", "Given"]


@dataclass(frozen=True)
class Given:
    """What a run was started with.

    Attributes:
        settings: The method.
        example: The inputs that the fold is proved on.
        tasks: The tasks, or None.
        steps: Optimizer steps in all.
        data: Batches, or None.
        ranks: Layers whose factors are kept, with their ranks, where a saved run has chosen them already.
    """

    settings: Method
    example: Any
    tasks: Sequence[Named] | None
    steps: int
    data: Iterable[Any] | None
    ranks: Mapping[str, int] | None = None


class ExpandingRun(Run):
    """Expanded layers in somebody's training loop: they learn as any parameter does, and are folded in the end.

    Args:
        given: What the method was started with.
        plain: The layers that stayed plain, with their reasons.
    """

    def __init__(self, given: Given, plain: Mapping[str, str]) -> None:
        self.given = given
        self.plain = dict(plain)
        self.step = 0
        self.decay: float | None = None
        self.optimizer_bytes: tuple[int, int] | None = None
        self.found: Folding | None = None
        self.folded_before = False

    def parameter_groups(self, model: nn.Module, *, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Return the plain parameters, what weights are computed from, and the tasks' own scales, as three groups.

        Only the first group has weight decay; that of the expanded layers is a part of `penalty`, since it belongs to
        the weight and not to what it is computed from. See `niwaki.methods.Run.parameter_groups`.
        """
        if self.decay is None:
            self.decay = weight_decay
        tensors, scales = self._expanded(model)
        ours = {id(each) for each in (*tensors, *scales)}
        others = [each for each in model.parameters() if id(each) not in ours]
        expanded_lr, scale_lr = (lr * getattr(self.given.settings, name, 1.0) for name in ("expanded_lr", "scale_lr"))
        groups = [
            {"params": others, "lr": lr, "weight_decay": weight_decay},
            {"params": tensors, "lr": expanded_lr, "weight_decay": 0.0, "passing": True},
            {"params": scales, "lr": scale_lr, "weight_decay": 0.0, "passing": True},
        ]
        return [groups[0], *(group for group in groups[1:] if group["params"])]

    def penalty(self, model: nn.Module) -> Tensor:
        """Return half the weight decay times the squared length of the folded weights: what plain training decays."""
        found = [(tensors_of(layer), expansion) for _, layer, expansion in expansions(unwrap(model))]
        if not self.decay or not found:
            return torch.zeros(())
        with torch.autocast(found[0][0][0].device.type, enabled=False):
            return self.decay / 2 * torch.stack([each.decayed(tensors) for tensors, each in found]).sum()

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Count the step."""
        self.step += 1
        if self.step == self.given.steps:
            self.optimizer_bytes = self._bytes(model, optimizer)
        return model

    def finish(self, model: nn.Module) -> nn.Module:
        """Fold every layer in a copy, and prove that it answers as the trained network.

        Raises:
            SurgeryError: When it does not.
        """
        folded = self._folded(model)
        if next(expansions(unwrap(model)), None) is not None:
            self._prove(unwrap(model), unwrap(folded))
        return folded

    def findings(self) -> Mapping[str, RecordBase]:
        """Return the record of the fold."""
        return {} if self.found is None else {"folding": self.found}

    def state_dict(self) -> dict[str, Any]:
        """Return the steps taken, the decay, and the record of a fold that was made."""
        return {
            "step": self.step,
            "decay": self.decay,
            "optimizer_bytes": self.optimizer_bytes,
            "found": None if self.found is None else self.found.to_json(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.step = int(state["step"])
        self.decay = state["decay"]
        held = state["optimizer_bytes"]
        self.optimizer_bytes = None if held is None else (int(held[0]), int(held[1]))
        self.found = None if state["found"] is None else Folding.from_json(state["found"])
        self.folded_before = self.found is not None

    def _folded(self, model: nn.Module) -> nn.Module:
        """Return a copy in which every layer is plain."""
        folded = recompile(deepcopy(model), model)
        for _, layer, expansion in list(expansions(unwrap(folded))):
            fold_layer(layer, expansion)
        return folded

    def _prove(self, trained: nn.Module, folded: nn.Module) -> None:
        """Compare, and write the record; a run that was resumed after its fold keeps the record of then."""
        if self.folded_before:
            return
        with evaluating(trained), evaluating(folded):
            agreements = compare_folded(trained, folded, self.given.example, self.given.tasks)
        require_same_answers(agreements)
        self.found = Folding(
            method=self.given.settings.kind,
            layers=tuple(_row(*each) for each in expansions(trained)),
            plain=self.plain,
            differences={each.output: each.error for each in agreements},
            scales={each.output: each.scale for each in agreements},
            params=sum(each.numel() for each in folded.parameters()),
            training_params=sum(each.numel() for each in trained.parameters()),
            factored=any(isinstance(each, Factors) and each.kept for _, _, each in expansions(trained)),
            optimizer_bytes=None if self.optimizer_bytes is None else self.optimizer_bytes[0],
            plain_optimizer_bytes=None if self.optimizer_bytes is None else self.optimizer_bytes[1],
        )

    def _expanded(self, model: nn.Module) -> tuple[list[Tensor], list[nn.Parameter]]:
        """Return what weights are computed from, and the tasks' own scales."""
        found = list(expansions(unwrap(model)))
        tensors = [each for _, layer, _ in found for each in tensors_of(layer)]
        return tensors, [scale for _, _, each in found for scale in each.scales]

    def _bytes(self, model: nn.Module, optimizer: Optimizer) -> tuple[int, int]:
        """Return the bytes of the optimizer's state, and about what it would keep for the plain network."""
        held = {id(each): _size(optimizer.state.get(each, {})) for each in model.parameters()}
        now = sum(held.values())
        for _, layer, expansion in expansions(unwrap(model)):
            ours = [*tensors_of(layer), *expansion.scales]
            numbers = sum(each.numel() for each in ours)
            share = sum(held.get(id(each), 0) for each in ours) / numbers
            now_plain = share * torch.Size(expansion.layout.shape).numel()
            held.update({id(each): 0 for each in ours})
            held[id(layer)] = round(now_plain)
        return now, sum(held.values())


def _row(name: str, layer: nn.Module, expansion: Expansion) -> FoldedLayer:
    shape = expansion.layout.shape
    return FoldedLayer(
        name=name,
        shape=shape,
        params=torch.Size(shape).numel(),
        training_params=sum(each.numel() for each in (*tensors_of(layer), *expansion.scales)),
        tasks=expansion.owners,
        rank=expansion.rank if isinstance(expansion, Factors) else None,
    )


def _size(state: Mapping[str, Any]) -> int:
    return sum(each.numel() * each.element_size() for each in state.values() if isinstance(each, Tensor))
