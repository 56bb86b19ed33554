"""Allocation: how many weights each layer keeps of a number that all may keep together."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from math import prod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from niwaki.methods.sparse.choosing import capped_shares, global_counts, largest_remainder
from niwaki.methods.sparse.layers import Layer
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["ERK", "LAMP", "Allocation", "Global", "Uniform", "UniformPlus", "allocations", "erk_ratio", "lamp_scores"]


class Allocation(Settings):
    """How many weights each layer keeps. The sum is always exact, and a layer keeps at least one weight.

    Attributes:
        kind: The allocation's name in the registry `allocations`.
    """

    kind: str

    @abstractmethod
    def counts(self, layers: Sequence[Layer], total: int, scores: Mapping[str, Tensor]) -> dict[str, int]:
        """Share weights out.

        Args:
            layers: Those that share.
            total: Weights in all, from one a layer to all.
            scores: Layer to the scores of its weights, none negative; such as their magnitudes.

        Returns:
            Layer to the weights it keeps.
        """


allocations: Registry[type[Allocation]] = Registry("allocation")


@allocations.register("uniform")
class Uniform(Allocation):
    """Every layer keeps the same share.

    Examples:
        >>> Uniform().counts([Layer("a", (10, 3), "trunk"), Layer("b", (5, 2), "trunk")], 8, {})
        {'a': 6, 'b': 2}
    """

    kind: Literal["uniform"] = "uniform"

    def counts(self, layers: Sequence[Layer], total: int, scores: Mapping[str, Tensor]) -> dict[str, int]:  # noqa: ARG002 - sizes say enough
        """Share weights out in proportion to sizes; see `Allocation.counts`."""
        return _in_proportion(layers, [1.0] * len(layers), total)


@allocations.register("uniform+")
class UniformPlus(Allocation):
    """The same share for every layer, but the first stays dense and predictions keep at least a share of their own.

    Gale et al., *The State of Sparsity in Deep Neural Networks* (2019). Where first layers and predictions are never
    sparse anyway, it is uniform.

    Attributes:
        least: Share that a prediction layer keeps at least, in [0, 1].

    Examples:
        >>> layers = [Layer("a", (4, 1), "trunk", "first"), Layer("b", (20, 4), "trunk")]
        >>> UniformPlus().counts([*layers, Layer("c", (5, 4), "head t", "prediction")], 16, {})
        {'a': 4, 'b': 8, 'c': 4}
    """

    kind: Literal["uniform+"] = "uniform+"
    least: float = Field(0.2, ge=0, le=1)

    def counts(self, layers: Sequence[Layer], total: int, scores: Mapping[str, Tensor]) -> dict[str, int]:  # noqa: ARG002 - sizes say enough
        """Share weights out; the exceptions give way where the total is too small for them."""
        share = total / sum(each.size for each in layers)
        fixed = {each.name: self._floor(each) * each.size for each in layers if self._floor(each) > share}
        rest = sum(each.size for each in layers if each.name not in fixed)
        left = total - sum(fixed.values())
        if left < len(layers):
            return _in_proportion(layers, [1.0] * len(layers), total)
        return _rounded(layers, [fixed.get(each.name, each.size * left / max(rest, 1)) for each in layers], total)

    def _floor(self, layer: Layer) -> float:
        return {"first": 1.0, "prediction": self.least}.get(layer.place, 0.0)


def erk_ratio(shape: Sequence[int]) -> float:
    """Return the sum of a weight's sizes over their product: ``(ci + co + kh + kw) / (ci co kh kw)``.

    Args:
        shape: ``[out, in, *kernel]``.

    Returns:
        The ratio; what is wide and deep gets a small one.

    Examples:
        >>> erk_ratio((2, 3, 1, 1)), erk_ratio((10, 10))
        (1.1666666666666667, 0.2)
    """
    return sum(shape) / prod(shape)


@allocations.register("erk")
class ERK(Allocation):
    """Erdos-Renyi-Kernel: a layer's density is in proportion to `erk_ratio`; those that would pass 1 stay dense.

    Evci et al., *Rigging the Lottery* (arXiv 1911.11134), section 3.

    Attributes:
        power: Exponent of the ratio, at least 0; 0 is uniform, DiSparse takes 0.9.

    Examples:
        >>> ERK().counts([Layer("a", (10, 10), "trunk"), Layer("b", (20, 20), "trunk")], 60, {})
        {'a': 20, 'b': 40}
    """

    kind: Literal["erk"] = "erk"
    power: float = Field(1.0, ge=0)

    def counts(self, layers: Sequence[Layer], total: int, scores: Mapping[str, Tensor]) -> dict[str, int]:  # noqa: ARG002 - shapes say enough
        """Share weights out in proportion to ratio times size; see `Allocation.counts`."""
        return _in_proportion(layers, [erk_ratio(each.shape) ** self.power for each in layers], total)


@allocations.register("global")
class Global(Allocation):
    """The highest scores of all layers together stay, wherever they lie.

    Examples:
        >>> import torch
        >>> scores = {"a": torch.tensor([[5.0, 4.0]]), "b": torch.tensor([[1.0, 3.0]])}
        >>> Global().counts([Layer("a", (1, 2), "trunk"), Layer("b", (1, 2), "trunk")], 3, scores)
        {'a': 2, 'b': 1}
    """

    kind: Literal["global"] = "global"

    def counts(self, layers: Sequence[Layer], total: int, scores: Mapping[str, Tensor]) -> dict[str, int]:
        """Count the highest scores; see `Allocation.counts`."""
        return global_counts({each.name: scores[each.name] for each in layers}, total)


def lamp_scores(scores: Tensor) -> Tensor:
    """Divide each squared score by the sum of the squares that are not smaller.

    Lee et al., *Layer-adaptive Sparsity for the Magnitude-based Pruning* (arXiv 2010.07611), equation 2; of equal
    scores the later one counts as the smaller.

    Args:
        scores: Magnitudes of one layer, any shape.

    Returns:
        The same shape; the largest entry of every layer gets 1.

    Examples:
        >>> lamp_scores(torch.tensor([1.0, 2.0, 2.0])).tolist()
        [0.1111111119389534, 1.0, 0.5]
    """
    squares = scores.detach().reshape(-1).double().square()
    order = squares.argsort(descending=True, stable=True)
    sums = squares[order].cumsum(0)
    found = torch.empty_like(squares)
    found[order] = squares[order] / sums.clamp(min=torch.finfo(sums.dtype).tiny)
    return found.reshape(scores.shape).to(scores.dtype)


@allocations.register("lamp")
class LAMP(Allocation):
    """The highest `lamp_scores` of all layers together stay.

    Examples:
        >>> scores = {"a": torch.tensor([[5.0, 4.0]]), "b": torch.tensor([[1.0, 3.0]])}
        >>> LAMP().counts([Layer("a", (1, 2), "trunk"), Layer("b", (1, 2), "trunk")], 3, scores)
        {'a': 2, 'b': 1}
    """

    kind: Literal["lamp"] = "lamp"

    def counts(self, layers: Sequence[Layer], total: int, scores: Mapping[str, Tensor]) -> dict[str, int]:
        """Count the highest scores; see `Allocation.counts`."""
        return global_counts({each.name: lamp_scores(scores[each.name]) for each in layers}, total)


def _in_proportion(layers: Sequence[Layer], densities: Sequence[float], total: int) -> dict[str, int]:
    sizes = [float(each.size) for each in layers]
    weights = [density * size for density, size in zip(densities, sizes, strict=True)]
    return _rounded(layers, capped_shares(weights, total, sizes), total)


def _rounded(layers: Sequence[Layer], shares: Sequence[float], total: int) -> dict[str, int]:
    counts = largest_remainder(shares, total, [each.size for each in layers])
    return dict(zip((each.name for each in layers), counts, strict=True))
