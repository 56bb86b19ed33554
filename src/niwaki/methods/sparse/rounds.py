"""Targets on the way to the target: what has to stay after each of several rounds."""

from collections.abc import Callable
from math import ceil
from typing import Literal

from niwaki.errors import ContractError
from niwaki.methods.sparse.target import Target

__all__ = ["Curve", "density_after", "even_rounds", "target_after"]

Curve = Literal["cubic", "geometric", "linear"]


def density_after(progress: float, density: float, curve: Curve) -> float:
    """Return how much has to stay after a part of the way.

    Cubic takes most in the beginning, when there is most to spare: sparsity `s_f (1 - (1 - p)^3)` (Zhu, Gupta, arXiv
    1710.01878, equation 1). Geometric takes the same share of what is left in each round.

    Args:
        progress: `p`, in [0, 1].
        density: What stays in the end, in (0, 1].
        curve: The way there.

    Returns:
        In [density, 1].

    Examples:
        >>> [round(density_after(p, 0.1, "cubic"), 4) for p in (0.0, 0.5, 1.0)]
        [1.0, 0.2125, 0.1]
        >>> density_after(0.5, 0.04, "geometric"), density_after(0.5, 0.5, "linear")
        (0.2, 0.75)
    """
    if progress >= 1:
        return density
    if curve == "geometric":
        return float(density**progress)
    gone = progress if curve == "linear" else 1 - (1 - progress) ** 3
    return 1 - (1 - density) * gone


def target_after(target: Target, change: Callable[[float], float]) -> Target:
    """Return a target whose densities are changed, each by itself.

    Args:
        target: The target in the end.
        change: Density in the end to density now.

    Returns:
        Another target; what is never sparse and the allocation stay.

    Examples:
        >>> target_after(Target(rate=10, heads={"depth": 0.2}), lambda density: 2 * density).heads
        {'depth': 0.4}
    """
    heads = target.heads
    if isinstance(heads, dict):
        heads = {task: change(each) for task, each in heads.items()}
    elif heads is not None:
        heads = change(heads)
    return Target(
        density=None if target.overall is None else change(target.overall),
        trunk=None if target.trunk is None else change(target.trunk),
        heads=heads,
        allocation=target.allocation,
        keep_first=target.keep_first,
        keep_predictions=target.keep_predictions,
        keep=target.keep,
    )


def even_rounds(count: int, begin: float, until: float, steps: int) -> list[int]:
    """Return after how many steps each of some rounds falls due, evenly spread; a single one at the beginning.

    Args:
        count: Rounds, at least 1.
        begin: Moment they are counted from, as a fraction of the steps.
        until: Moment of the last one.
        steps: Optimizer steps in all.

    Returns:
        One number for each round, increasing.

    Raises:
        ContractError: When rounds would fall together.

    Examples:
        >>> even_rounds(4, 0.0, 0.5, 80), even_rounds(1, 0.25, 0.5, 80)
        ([10, 20, 30, 40], [20])
    """
    if count == 1:
        return [ceil(begin * steps)]
    found = [ceil(steps * (begin + (until - begin) * (index + 1) / count) - 1e-9) for index in range(count)]
    if len({0, *found}) <= count:
        raise ContractError(
            f"{count} rounds between {begin:g} and {until:g} of {steps} steps would fall together; train for more "
            "steps or ask for fewer rounds"
        )
    return found
