"""From a score for each task to one: where pruning a multi-task network differs from pruning any other."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from niwaki.methods.prune.ranks import normalised_ranks

__all__ = ["Reduction", "reduce_tasks"]

Reduction = Literal["mean", "max", "min", "vote"]


def reduce_tasks(scores: NDArray[np.float64], how: Reduction) -> NDArray[np.float64]:
    """Return what channels are worth to all tasks together.

    Each task's scores are divided by their mean first (``"vote"`` takes their ranks), so that no task counts more for
    the units of its loss. A task that does not use a channel has no say in it.

    * ``"mean"``: what it is worth on average.
    * ``"max"``: what it is worth to the task that needs it most: a channel stays as long as one task needs it.
    * ``"min"``: what it is worth to the task that needs it least: it stays only if all that use it need it.
    * ``"vote"``: its mean rank (Borda count): how often it is preferred, not by how much.

    Args:
        scores: ``[tasks, channels]``, at least 0; NaN where a task does not use a channel.
        how: One of the above.

    Returns:
        ``[channels]``, at least 0; 0 where no task uses the channel.

    Examples:
        >>> scores = np.array([[1.0, 2.0, 3.0], [30.0, 20.0, 10.0]])
        >>> reduce_tasks(scores, "mean").tolist(), reduce_tasks(scores, "max").tolist()
        ([1.0, 1.0, 1.0], [1.5, 1.0, 1.5])
        >>> reduce_tasks(scores, "min").tolist(), reduce_tasks(scores[:1], "vote").round(2).tolist()
        ([0.5, 1.0, 0.5], [0.33, 0.67, 1.0])
    """
    used = ~np.isnan(scores)
    rows = [
        _votes(row, uses) if how == "vote" else _units_off(row, uses) for row, uses in zip(scores, used, strict=True)
    ]
    table, users = np.stack(rows), np.maximum(used.sum(axis=0), 1)
    best, worst = np.where(used, table, 0.0).max(axis=0), np.where(used, table, np.inf).min(axis=0)
    mean: NDArray[np.float64] = np.where(used, table, 0.0).sum(axis=0) / users
    choices: dict[str, NDArray[np.float64]] = {"max": best, "min": np.where(used.any(axis=0), worst, 0.0)}
    return choices.get(how, mean)


def _units_off(row: NDArray[np.float64], uses: NDArray[np.bool_]) -> NDArray[np.float64]:
    mean = row[uses].mean() if uses.any() else 0.0
    return row / mean if mean > 0 else np.where(uses, 0.0, np.nan)


def _votes(row: NDArray[np.float64], uses: NDArray[np.bool_]) -> NDArray[np.float64]:
    votes = np.full(len(row), np.nan)
    votes[uses] = normalised_ranks(row[uses])
    return votes
