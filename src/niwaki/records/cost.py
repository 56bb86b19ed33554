"""What a model costs: whole, trunk, branches and each head."""

from typing import Self

from niwaki.records.base import RecordBase

__all__ = ["Cost", "PartCost"]


class PartCost(RecordBase):
    """The cost of one part of a model.

    Attributes:
        params: Number of parameters; a tied parameter counts once.
        nonzeros: Parameters that are not zero.
        macs: Multiply-accumulates of one forward pass on the example (one MAC is two FLOPs).
        bytes: Bytes of parameters and buffers as stored, dense.

    Examples:
        >>> PartCost(params=2, nonzeros=1, macs=8, bytes=8) + PartCost(params=1, nonzeros=1, macs=1, bytes=4)
        PartCost(params=3, nonzeros=2, macs=9, bytes=12)
    """

    params: int
    nonzeros: int
    macs: int
    bytes: int

    def __add__(self, other: Self) -> "PartCost":
        mine, theirs = self.model_dump(), other.model_dump()
        return PartCost(**{name: mine[name] + theirs[name] for name in mine})


class Cost(RecordBase):
    """The cost of a model for one example of its input.

    Attributes:
        whole: The whole model.
        trunk: What every task uses.
        branches: What two or more tasks use, but not all; keyed by their names joined with ``+``.
        heads: What one task uses, by task.
        norms: The normalisation layers of all parts, counted in the parts too.
        per_task: What each task alone would need: trunk, its branches, its head.
        peak_activation_bytes: Largest sum of live activations at any step of the exported program.
        uncounted: Operators without a MAC count that are not elementwise.
    """

    whole: PartCost
    trunk: PartCost
    branches: dict[str, PartCost]
    heads: dict[str, PartCost]
    norms: PartCost
    per_task: dict[str, PartCost]
    peak_activation_bytes: int
    uncounted: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [("whole", self.whole), ("trunk", self.trunk)]
        rows += [(f"branch {name}", part) for name, part in self.branches.items()]
        rows += [(f"head {name}", part) for name, part in self.heads.items()]
        rows += [("norm layers", self.norms)]
        lines = [f"{'':<28}{'params':>14}{'non-zeros':>14}{'MACs':>18}{'bytes':>14}"]
        lines += [f"{name:<28}{p.params:>14,}{p.nonzeros:>14,}{p.macs:>18,}{p.bytes:>14,}" for name, p in rows]
        lines.append(f"peak activations {self.peak_activation_bytes:,} bytes; one MAC is one multiply-accumulate")
        if self.uncounted:
            lines.append(f"not counted: {', '.join(self.uncounted)}")
        return "\n".join(lines)
