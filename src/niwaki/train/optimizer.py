"""Optimizers, made from the parameter groups a method asked for."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer

from niwaki.errors import TrainingError
from niwaki.train.schedule import remember_peaks
from niwaki.train.settings import Training

__all__ = ["make_optimizer"]


def make_optimizer(groups: Iterable[dict[str, Any]], training: Training) -> Optimizer:
    """Make the optimizer of a training.

    Args:
        groups: Parameter groups; a group's own ``lr`` and ``weight_decay`` stand.
        training: Holds the optimizer's name, ``lr``, ``weight_decay`` and ``momentum``.

    Returns:
        The optimizer, with each group's peak rate noted in it.

    Raises:
        TrainingError: When no group holds a parameter.
    """
    chosen = list(groups)
    if not any(group["params"] for group in chosen):
        raise TrainingError("the model has no parameter that requires a gradient; unfreeze what should be trained")
    options: dict[str, Any] = {"lr": training.lr, "weight_decay": training.weight_decay}
    if training.optimizer == "sgd":
        optimizer: Optimizer = torch.optim.SGD(chosen, momentum=training.momentum, **options)
    else:
        optimizer = (torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam)(chosen, **options)
    remember_peaks(optimizer)
    return optimizer
