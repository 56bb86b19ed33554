"""One update of a dynamic sparse layer: drop what is worth least, grow as many elsewhere. Pure functions on tensors."""

from collections.abc import Callable
from math import cos, pi
from typing import Literal

from torch import Tensor

from niwaki.methods.sparse.choosing import top_k

__all__ = ["Decay", "decayed", "drop_scores", "rewire", "turnover"]

Decay = Literal["constant", "cosine", "step"]


def drop_scores(weight: Tensor, gradient: Tensor | None, gradient_weight: float) -> Tensor:
    """Return what each weight is worth: ``|W| + lambda |g|``; the lowest are dropped.

    With ``lambda = 0`` it is the rule of SET, RigL and the min-max paper; with more, that of MEST (arXiv 2110.14032,
    section 3.2).

    Args:
        weight: Any shape.
        gradient: Its gradient; may be None where ``gradient_weight`` is 0.
        gradient_weight: lambda, at least 0.

    Returns:
        The same shape.
    """
    worth = weight.detach().abs()
    return worth if gradient is None or not gradient_weight else worth + gradient_weight * gradient.abs()


def rewire(mask: Tensor, worth: Tensor, promise: Callable[[], Tensor], kept: int, after: int) -> Tensor:
    """Drop the weights that are worth least, then grow those that promise most among all that are then off.

    A weight that was dropped and is grown again in the same update stays as it was, as in RigL (arXiv 1911.11134,
    algorithm 1).

    Args:
        mask: The mask so far, any shape.
        worth: What each weight is worth.
        promise: Gives what each weight promises, where some are to grow.
        kept: How many stay after dropping; all of the mask where it has fewer.
        after: How many there are after growing, at least ``kept``.

    Returns:
        The new mask, with exactly ``after`` weights (or all that are kept, where these are more).

    Examples:
        >>> import torch
        >>> mask = torch.tensor([True, True, False, False])
        >>> rewire(mask, torch.tensor([2.0, 1.0, 0.0, 0.0]), lambda: torch.tensor([0.0, 1.0, 3.0, 2.0]), 1, 2).tolist()
        [True, False, True, False]
    """
    staying = top_k(worth, min(kept, int(mask.count_nonzero())), mask)
    missing = after - int(staying.count_nonzero())
    return staying | top_k(promise(), missing, ~staying) if missing > 0 else staying


def turnover(count: int, size: int, fraction: float, overshoot: float) -> tuple[int, int]:
    """Return how many weights of a layer stay after dropping, and how many there are after growing.

    With ``overshoot = 0`` the layer drops ``fraction`` of its target and grows as many. With an overshoot it grows that
    much past its target, so that with ``overshoot = fraction`` it drops to the target and grows beyond.

    Args:
        count: The target: weights that the layer keeps in the end.
        size: Weights that it has.
        fraction: Share of the target that turns over, in [0, 1].
        overshoot: Share of the target that is grown past it, in [0, 1].

    Returns:
        The two numbers.

    Examples:
        >>> turnover(10, 100, 0.3, 0.0), turnover(10, 100, 0.3, 0.3), turnover(10, 11, 0.3, 0.3)
        ((7, 10), (10, 13), (8, 11))
    """
    after = min(size, count + _share(overshoot, count))
    return max(0, after - _share(fraction, count)), after


def decayed(decay: Decay, moment: float, end: float, milestones: tuple[float, ...]) -> float:
    """Return what is left of the fraction at a moment.

    Args:
        decay: ``"constant"`` stays 1; ``"cosine"`` is ``(1 + cos(pi t / T)) / 2``, as in RigL; ``"step"`` falls by
            equal amounts at each milestone, to 0 at the last, as in MEST.
        moment: t, as a fraction of the steps.
        end: T, the moment of the last update.
        milestones: Moments at which ``"step"`` falls.

    Returns:
        A factor in [0, 1].

    Examples:
        >>> decayed("cosine", 0.375, 0.75, ()), decayed("step", 0.6, 0.75, (0.5, 0.75))
        (0.5, 0.5)
    """
    if decay == "cosine":
        return round((1 + cos(pi * min(moment / end, 1.0))) / 2, 12)
    if decay == "step":
        return 1 - sum(moment >= each for each in milestones) / len(milestones)
    return 1.0


def _share(fraction: float, count: int) -> int:
    return int(fraction * count + 1e-9)
