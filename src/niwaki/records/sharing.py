"""Sharing: what became of the filters of several networks, and what the bank and its index take."""

from niwaki.records.base import RecordBase
from niwaki.records.front import Front

__all__ = ["SharedLayer", "SharedMember", "Sharing"]


class SharedMember(RecordBase):
    """One network's part in a layer.

    Attributes:
        module: Dotted name of the convolution.
        network: Name of its network; empty where there is only one.
        filters: Filters that it had.
        kept: Filters of its own that stay.
        merged: Filters that another one stands for.
        pruned: Filters that went for good, with their channels.
    """

    module: str
    network: str
    filters: int
    kept: int
    merged: int
    pruned: int


class SharedLayer(RecordBase):
    """One bank and its users.

    Attributes:
        name: Name of the layer: its first member's module.
        members: Its users.
        bank: Shape of the bank.
        bank_bytes: Bytes of its filters.
        index_bits: Bits of the users' indices and of their live inputs.
        scale_bytes: Bytes of the users' scales.
        distance: Sum of what is lost over the sum of what there was, from 0 to 1: ``sum_i |X_i - a X_I(i)|^2 / sum_i
            |X_i|^2``, before training went on.
    """

    name: str
    members: tuple[SharedMember, ...]
    bank: tuple[int, ...]
    bank_bytes: int
    index_bits: int
    scale_bytes: int
    distance: float

    @property
    def filters(self) -> int:
        """Filters of all members before."""
        return sum(member.filters for member in self.members)


class Sharing(RecordBase):
    """What filter sharing made of a model.

    Attributes:
        layers: Every layer that was shared.
        fronts: What each search found that nothing beats: one where all layers were shared at once.
        matched_cosine: Mean cosine of filters at equal positions of different networks, less that of any two, before
            anything was done; None where there is one network.
        aligned: How the networks' channels were brought into one order: empty for not at all, ``"activations"`` or
            ``"weights"``.
    """

    layers: tuple[SharedLayer, ...]
    fronts: tuple[Front, ...] = ()
    matched_cosine: float | None = None
    aligned: str = ""

    @property
    def index_bits(self) -> int:
        """Bits of all indices."""
        return sum(layer.index_bits for layer in self.layers)

    def __str__(self) -> str:
        wide = max([24, *(len(layer.name) + 2 for layer in self.layers)])
        lines = [f"{'layer':<{wide}}{'filters':>9}{'kept':>7}{'merged':>8}{'pruned':>8}{'index bits':>12}"]
        for layer in self.layers:
            counts = [sum(getattr(each, name) for each in layer.members) for name in ("kept", "merged", "pruned")]
            lines.append(
                f"{layer.name:<{wide}}{layer.filters:>9}{counts[0]:>7}{counts[1]:>8}{counts[2]:>8}"
                f"{layer.index_bits:>12,}"
            )
        return "\n".join(lines)
