"""Sparsity: which weights a sparse network keeps, what was never sparse, and what its training would cost."""

from niwaki.records.base import RecordBase

__all__ = ["DenseWeights", "DensityMoment", "SparseLayer", "SparseTraining", "Sparsity"]


class SparseLayer(RecordBase):
    """A weight that could be sparse.

    Attributes:
        name: Name of the parameter.
        part: ``trunk``, ``branch a+b`` or ``head a``.
        size: Number of its weights.
        kept: How many the mask keeps.
        nonzeros: How many of those are not zero.
    """

    name: str
    part: str
    size: int
    kept: int
    nonzeros: int

    @property
    def density(self) -> float:
        """Share of the weights that the mask keeps."""
        return self.kept / self.size


class DenseWeights(RecordBase):
    """A parameter that was never sparse.

    Attributes:
        name: Name of the parameter.
        part: ``trunk``, ``branch a+b``, ``head a`` or ``unused``.
        size: Number of its entries.
        reason: Why it stays dense.
    """

    name: str
    part: str
    size: int
    reason: str


class DensityMoment(RecordBase):
    """How many weights the masks kept from one step on.

    Attributes:
        step: Optimizer steps before.
        kept: Weights that the masks keep.
        changed: Weights that were dropped or grown.
    """

    step: int
    kept: int
    changed: int = 0


class SparseTraining(RecordBase):
    """What a training with these masks costs on a machine that skips every zero: theoretical, dense kernels skip none.

    Attributes:
        forward: Multiply-accumulates of a forward pass with the final masks, as a share of the dense model's.
        training: The same of all forward and backward passes, with the masks of each step and the full gradients that
            growing needs; a backward pass counts twice a forward.
        nonzeros: Parameters that hold a value in the end: weights that are kept, and everything never sparse.
        optimizer_bytes: State of the optimizer for these alone.
        dense_optimizer_bytes: State of the optimizer for the dense model, as it is held.
    """

    forward: float
    training: float
    nonzeros: int
    optimizer_bytes: int
    dense_optimizer_bytes: int


class Sparsity(RecordBase):
    """What a sparse method reached.

    Attributes:
        asked: Part to the density that was asked for, of its weights that can be sparse.
        layers: The weights that could be sparse.
        dense: What was never sparse.
        timeline: The number of weights while training went on.
        theoretical: What the training would cost where zeros are free, or None where the model's work is not known.
        notes: Remarks.
        version: Version of this form.

    Examples:
        >>> layer = SparseLayer(name="conv.weight", part="trunk", size=100, kept=10, nonzeros=10)
        >>> norm = DenseWeights(name="norm.weight", part="trunk", size=20, reason="norm or bias")
        >>> found = Sparsity(asked={"trunk": 0.1}, layers=(layer,), dense=(norm,))
        >>> found.density, found.overall
        (0.1, 0.25)
        >>> found.share(norm)
        0.6666666666666666
    """

    asked: dict[str, float]
    layers: tuple[SparseLayer, ...]
    dense: tuple[DenseWeights, ...] = ()
    timeline: tuple[DensityMoment, ...] = ()
    theoretical: SparseTraining | None = None
    notes: tuple[str, ...] = ()
    version: int = 1

    @property
    def size(self) -> int:
        """How many weights could be sparse."""
        return sum(each.size for each in self.layers)

    @property
    def kept(self) -> int:
        """How many of them the masks keep."""
        return sum(each.kept for each in self.layers)

    @property
    def remaining(self) -> int:
        """Parameters that remain: weights that are kept, and what was never sparse."""
        return self.kept + sum(each.size for each in self.dense)

    @property
    def density(self) -> float:
        """Share kept of the weights that could be sparse."""
        return self.kept / self.size

    @property
    def overall(self) -> float:
        """Share kept of all parameters."""
        return self.remaining / (self.remaining - self.kept + self.size)

    @property
    def target(self) -> float:
        """The density that was asked for, of all weights that could be sparse."""
        return sum(self.asked[each.part] * each.size for each in self.layers) / self.size

    def share(self, each: DenseWeights) -> float:
        """Return the share that a dense parameter has in what remains."""
        return each.size / self.remaining

    def parts(self) -> dict[str, tuple[int, int]]:
        """Return, for each part, how many weights could be sparse there and how many are kept."""
        found: dict[str, tuple[int, int]] = {}
        for each in self.layers:
            size, kept = found.get(each.part, (0, 0))
            found[each.part] = (size + each.size, kept + each.kept)
        return found

    def __str__(self) -> str:
        dense = 1 - self.kept / self.remaining
        return (
            f"keeps {self.kept:,} of {self.size:,} weights that can be sparse: {self.density:.2%} ({self.target:.2%} "
            f"was asked for), {self.overall:.2%} of all parameters; {dense:.0%} of what remains was never sparse"
        )
