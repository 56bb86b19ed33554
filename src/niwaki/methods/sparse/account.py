"""The figures of a sparse training: when the masks changed, and what it would cost where zeros are free."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.methods.sparse.masks import Masks
from niwaki.methods.sparse.subject import Subject
from niwaki.methods.sparse.target import Target
from niwaki.records.sparsity import DenseWeights, DensityMoment, SparseLayer, SparseTraining, Sparsity

__all__ = ["Account", "forward_share"]


def forward_share(subject: Subject, kept: Mapping[str, int]) -> float:
    """Return the multiply-accumulates of a forward pass in which masked weights cost nothing, as a share of the dense.

    Args:
        subject: The layers with their work.
        kept: Layer to the weights that its mask keeps.

    Returns:
        The share, in (0, 1]; 1 for a model without any work that is counted.
    """
    if not subject.macs:
        return 1.0
    spared = sum(each.macs * (1 - kept[each.name] / each.size) for each in subject.layers)
    return 1 - spared / subject.macs


class Account:
    """Adds up what a run costs, step by step, and writes the record in the end.

    Args:
        subject: The layers.

    Attributes:
        timeline: When the masks changed.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.timeline: list[DensityMoment] = []
        self._forward = 1.0
        self._spent = [0.0, 0]
        self._state_bytes: dict[str, int] = {}
        self._layers: tuple[SparseLayer, ...] = ()

    def note_change(self, step: int, masks: Masks, changed: Mapping[str, Tensor]) -> None:
        """Write down a change of the masks.

        Args:
            step: Optimizer steps before it.
            masks: The masks from now on.
            changed: Layer to the weights that were dropped or grown, as bool masks.
        """
        kept = masks.kept
        moved = sum(int(each.count_nonzero()) for each in changed.values())
        self.timeline.append(DensityMoment(step=step, kept=sum(kept.values()), changed=moved))
        self._forward = forward_share(self.subject, kept)

    def note_step(self, model: nn.Module, optimizer: Optimizer, *, full_gradient: bool = False) -> None:
        """Add the work of one step.

        A backward pass takes twice the work of a forward: a product for the gradient of the inputs and one for that of
        the weights, which is the dense one where growing needs the full gradient.

        Args:
            model: The model, unwrapped.
            optimizer: Holds its parameters.
            full_gradient: Whether gradients of masked weights were looked at.
        """
        share = self._forward
        self._spent[0] += (2 * share + (1.0 if full_gradient else share)) / 3
        self._spent[1] += 1
        if not self._state_bytes:
            self._state_bytes = _state_bytes(model, optimizer)

    def close(self, masks: Masks, model: nn.Module) -> None:
        """Count what is left in the finished model.

        Args:
            masks: The final masks.
            model: The finished model.
        """
        kept = masks.kept
        self._layers = tuple(
            SparseLayer(
                name=each.name,
                part=each.part,
                size=each.size,
                kept=kept[each.name],
                nonzeros=int(model.get_parameter(each.name).detach().count_nonzero()),
            )
            for each in self.subject.layers
        )

    def record(self, target: Target, notes: Sequence[str] = ()) -> Sparsity:
        """Return the record, after `close`.

        Args:
            target: What was asked for.
            notes: Remarks of the method.
        """
        dense = tuple(
            DenseWeights(name=each.name, part=each.part, size=each.size, reason=reason)
            for each, reason in self.subject.dense.items()
        )
        return Sparsity(
            asked={each.part: target.density_of(each.part) for each in self.subject.layers},
            layers=self._layers,
            dense=dense,
            timeline=tuple(self.timeline),
            theoretical=self._theoretical() if self.subject.macs else None,
            notes=(*self.subject.notes, *notes),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the figures so far as plain data."""
        return {
            "timeline": [each.model_dump() for each in self.timeline],
            "forward": self._forward,
            "spent": list(self._spent),
            "state_bytes": dict(self._state_bytes),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over saved figures."""
        self.timeline = [DensityMoment(**each) for each in state["timeline"]]
        self._forward = float(state["forward"])
        self._spent = [float(state["spent"][0]), int(state["spent"][1])]
        self._state_bytes = {name: int(each) for name, each in state["state_bytes"].items()}

    def _theoretical(self) -> SparseTraining:
        kept = {each.name: each.kept for each in self._layers}
        sizes = {each.name: each.size for each in (*self.subject.layers, *self.subject.dense)}
        held = {name: kept.get(name, size) for name, size in sizes.items()}
        spent, steps = self._spent
        return SparseTraining(
            forward=forward_share(self.subject, kept),
            training=spent / steps if steps else self._forward,
            nonzeros=sum(held.values()),
            optimizer_bytes=sum(each * held[name] for name, each in self._state_bytes.items()),
            dense_optimizer_bytes=sum(each * sizes[name] for name, each in self._state_bytes.items()),
        )


def _state_bytes(model: nn.Module, optimizer: Optimizer) -> dict[str, int]:
    """Return the bytes that an optimizer holds for each single weight of a parameter."""
    return {
        name: sum(
            value.element_size()
            for value in optimizer.state.get(parameter, {}).values()
            if isinstance(value, Tensor) and value.shape == parameter.shape
        )
        for name, parameter in model.named_parameters()
    }
