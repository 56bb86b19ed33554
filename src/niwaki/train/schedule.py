"""Learning rate by step: a pure function, so that nothing of it has to be saved and no cut can break it."""

import math

from torch.optim import Optimizer

from niwaki.train.settings import Training

__all__ = ["lr_factor", "remember_peaks", "set_lr"]


def lr_factor(step: int, total: int, training: Training) -> float:
    """Return the learning rate of a step as a fraction of its peak.

    Linear warm-up over the first ``w`` steps, then constant or
    ``final + (1 - final) * (1 + cos(pi * (step - w) / (total - w))) / 2``.

    Args:
        step: Step from 0.
        total: Steps of the whole training.
        training: Holds ``scheduler``, ``warmup`` and ``final_lr``.

    Returns:
        A factor in [0, 1].

    Examples:
        >>> cosine = Training(steps=10, warmup=2)
        >>> [round(lr_factor(step, 10, cosine), 3) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    warmup = training.warmup if isinstance(training.warmup, int) else round(training.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if training.scheduler == "constant":
        return 1.0
    share = (step - warmup) / max(1, total - warmup)
    return training.final_lr + (1 - training.final_lr) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def remember_peaks(optimizer: Optimizer) -> None:
    """Write each group's peak rate beside its rate, where it stays with the group through a cut.

    Args:
        optimizer: Its groups get ``initial_lr``, as torch's own schedulers do.
    """
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to a fraction of its own peak.

    Args:
        optimizer: An optimizer that `remember_peaks` has seen.
        factor: What `lr_factor` returned.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
