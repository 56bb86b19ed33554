"""What stays: the density asked for, in trunk and heads, and which weights are never sparse."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import Tensor

from niwaki.errors import BudgetError
from niwaki.methods.sparse.allocation import Allocation, Uniform, allocations
from niwaki.methods.sparse.layers import Layer
from niwaki.settings import Settings, family

__all__ = ["Target"]

Density = Annotated[float, Field(gt=0, le=1)]


class Target(Settings):
    """How many weights stay, and where. A density is that of the weights that can be sparse.

    Attributes:
        density: Share that stays, in (0, 1]; or else
        rate: How many times fewer weights stay, at least 1: ``rate=60`` is a density of 1/60.
        trunk: Density of what two or more tasks use, where it is not that of the rest.
        heads: Density of what one task uses: one for all heads, or by task; other heads take ``density``.
        allocation: How much each layer keeps of what trunk and heads together, or each with a density of its own, keep.
        keep_first: Whether layers that read the model's input stay dense.
        keep_predictions: Whether layers that make an output stay dense.
        keep: Names or patterns (``"encoder.*"``) of modules or parameters that stay dense as well. Norms and biases
            always do.

    Raises:
        SettingError: When nothing says how much stays, or two settings do.

    Examples:
        >>> Target(rate=50).overall, Target(density=0.1, heads={"depth": 0.2}).density_of("head depth")
        (0.02, 0.2)
    """

    density: Density | None = None
    rate: float | None = Field(None, ge=1)
    trunk: Density | None = None
    heads: Density | dict[str, Density] | None = None
    allocation: Annotated[Allocation, *family(allocations)] = Uniform()
    keep_first: bool = True
    keep_predictions: bool = True
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if self.density is not None and self.rate is not None:
            raise ValueError("density and rate say the same; give one of them")
        own = self.trunk is not None and isinstance(self.heads, float)
        if self.overall is None and not own:
            raise ValueError(
                "a sparse network needs a target: density=0.1 keeps a tenth of the weights, rate=60 one in 60, and "
                "trunk= with heads= a share of each"
            )
        return self

    @property
    def overall(self) -> float | None:
        """The density of what has none of its own."""
        return 1 / self.rate if self.rate is not None else self.density

    def density_of(self, part: str) -> float:
        """Return the density asked for in a part: ``trunk``, ``branch a+b`` or ``head a``."""
        own = self._own(part)
        found = self.overall if own is None else own
        assert found is not None
        return found

    def counts(self, layers: Sequence[Layer], scores: Mapping[str, Tensor]) -> dict[str, int]:
        """Return how many weights each layer keeps.

        Layers that share a density are allocated together; the sum of each such group is the density times its size,
        rounded.

        Args:
            layers: The weights that can be sparse.
            scores: Layer to the scores of its weights, which the allocations `Global` and `LAMP` go by.

        Returns:
            Layer to count, in the order given.

        Raises:
            BudgetError: When fewer weights would stay than there are layers.
        """
        groups: dict[str, list[Layer]] = {}
        for each in layers:
            groups.setdefault("" if self._own(each.part) is None else _side(each), []).append(each)
        found: dict[str, int] = {}
        for members in groups.values():
            found |= self._shared(members, scores)
        return {each.name: found[each.name] for each in layers}

    def _shared(self, members: list[Layer], scores: Mapping[str, Tensor]) -> dict[str, int]:
        size = sum(each.size for each in members)
        density = self.density_of(members[0].part)
        total = round(density * size)
        if total < len(members):
            raise BudgetError(
                f"a density of {density:g} leaves {total} of {size} weights to {len(members)} layers; each keeps at "
                f"least one: ask for {len(members) / size:.2g} or more"
            )
        return self.allocation.counts(members, total, scores)

    def _own(self, part: str) -> float | None:
        """Return the density that was asked for a part alone, or None."""
        if not part.startswith("head "):
            return self.trunk
        if isinstance(self.heads, dict):
            return self.heads.get(part.removeprefix("head "))
        return self.heads


def _side(layer: Layer) -> str:
    return layer.part if layer.in_head else "trunk"
