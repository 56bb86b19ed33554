"""Folding: what was expanded while a network trained, what that cost, and how exactly it was folded back."""

from niwaki.records.base import RecordBase

__all__ = ["FoldedLayer", "Folding"]


class FoldedLayer(RecordBase):
    """One layer that trained in an expanded form.

    Attributes:
        name: Name of the layer.
        shape: Shape of its plain weight.
        params: Numbers in its plain weight.
        training_params: Numbers that its weight was computed from while it trained.
        tasks: Tasks that had a scale of their own in it.
        rank: Rank of its factors; None where it was not factorised.
    """

    name: str
    shape: tuple[int, ...]
    params: int
    training_params: int
    tasks: tuple[str, ...] = ()
    rank: int | None = None


class Folding(RecordBase):
    """What an expansion did to a network, and what was left of it.

    Attributes:
        method: Registry name of the method.
        layers: The layers that were expanded.
        plain: Every other convolution and linear layer, and why it stayed plain.
        differences: Output to the largest difference between the trained network and the folded one, in evaluation mode
            and in the output's unit.
        scales: Output to its largest absolute value there.
        params: Parameters of the network before.
        training_params: Parameters while it trained.
        optimizer_bytes: Bytes of the optimizer's state at the last step; None where no step was taken.
        plain_optimizer_bytes: Bytes that the same optimizer would have kept for the plain network.
        factored: Whether the factors stay apart in the result.
        notes: Remarks.
        version: Version of this form.
    """

    method: str
    layers: tuple[FoldedLayer, ...]
    plain: dict[str, str] = {}
    differences: dict[str, float] = {}
    scales: dict[str, float] = {}
    params: int
    training_params: int
    optimizer_bytes: int | None = None
    plain_optimizer_bytes: int | None = None
    factored: bool = False
    notes: tuple[str, ...] = ()
    version: int = 1

    @property
    def largest_difference(self) -> float:
        """The largest difference over all outputs; 0 where nothing was compared."""
        return max(self.differences.values(), default=0.0)

    def __str__(self) -> str:
        ratio = self.training_params / self.params if self.params else 1.0
        lines = [
            f"{self.method}: {len(self.layers)} layers trained in another form, {len(self.plain)} stayed plain",
            f"parameters {self.params:,}, while training {self.training_params:,} ({ratio:.2f} times)",
        ]
        if self.optimizer_bytes is not None and self.plain_optimizer_bytes:
            lines.append(f"optimizer state {self.optimizer_bytes:,} bytes, plain {self.plain_optimizer_bytes:,}")
        lines += [
            f"{output}: folded = trained within {difference:.2g} (largest value {self.scales.get(output, 0.0):.3g})"
            for output, difference in self.differences.items()
        ]
        return "\n".join([*lines, *(f"{name or 'the model'} stayed plain: {why}" for name, why in self.plain.items())])
