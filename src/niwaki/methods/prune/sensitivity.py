"""Sensitivity: what each task loses when one group of channels alone is thinned out."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from niwaki.contract import task_names
from niwaki.errors import DataError, SettingError
from niwaki.graph import ChannelGroup, Channels, planned_size
from niwaki.methods.calibration import open_calibration
from niwaki.methods.prune.criteria import Criterion, Scores
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.subject import read_subject
from niwaki.methods.prune.thinning import Thinning
from niwaki.records import GroupSensitivity, Sensitivity
from niwaki.settings import Budget
from niwaki.surgery import unwrap
from niwaki.tasks import Task

__all__ = ["sensitivity"]


def sensitivity(
    model: nn.Module,
    example: Any,
    tasks: Sequence[Task],
    batches: Iterable[Any],
    *,
    share: float = 0.5,
    criterion: Criterion | dict[str, Any] | str | None = None,
) -> Sensitivity:
    """Measure how much each task's loss rises when one group alone loses a share of its channels.

    The channels with the lowest scores are left out of a copy, and the losses are taken in evaluation mode without any
    training: the table says which groups which task leans on, and so which limits are tight.

    Args:
        model: Any module; it is left as it is.
        example: As for `niwaki.plan`.
        tasks: The tasks, with their losses.
        batches: ``(x, {task: target})`` or ``{task: (x, target)}``; all of them are used, for each group.
        share: Share of a group's channels that goes, in (0, 1]; at least one goes and one stays.
        criterion: What a channel is worth: a criterion, its settings or its kind; its magnitude by default.

    Returns:
        One row for each group that can give channels; it prints as a table.

    Raises:
        SettingError: When the share is not in (0, 1], or no criterion has that kind.
        ContractError: When tasks have no losses, or the example does not fit the model.
        DataError: When there is no batch, or a task has no label in any.

    Examples:
        >>> import torch
        >>> from niwaki.tasks import Regression
        >>> net = nn.Sequential(nn.Linear(2, 4, bias=False), nn.Linear(4, 1, bias=False))
        >>> with torch.no_grad():
        ...     _ = [each.fill_(1.0) for each in net.parameters()]
        >>> batch = (torch.ones(3, 2), {"age": torch.full((3, 1), 10.0)})
        >>> table = sensitivity(net, torch.ones(1, 2), [Regression(name="age")], [batch])
        >>> [(row.group, row.removed, row.rise) for row in table.groups]
        [('0', 2, {'age': 8.0})]
    """
    if not 0 < share <= 1:
        raise SettingError(f"share lies in (0, 1]; got {share!r}")
    selection = Selection(budget=Budget(channels=1.0), **({} if criterion is None else {"criterion": criterion}))
    inner, calibration = unwrap(model), open_calibration(tasks, batches, None)
    subject = read_subject(inner, example, selection, task_names(tasks)).looked_at(calibration)
    dense = calibration.mean_losses(inner)
    blank = [task.name for task in tasks if task.name not in dense]
    if blank:
        raise DataError(f"the batches hold no label of {', '.join(blank)}; give batches in which every task has some")
    scores, thinning = subject.scores(selection.criterion), Thinning(inner, subject.channels, calibration)
    return Sensitivity(
        losses=dense,
        share=share,
        criterion=selection.criterion.kind,
        groups=tuple(
            _row(group, _lowest(group, subject.channels, scores, share), thinning, dense)
            for group in subject.channels.groups
            if group.reason is None
        ),
    )


def _row(group: ChannelGroup, gone: NDArray[np.bool_], thinning: Thinning, dense: dict[str, float]) -> GroupSensitivity:
    losses = thinning.losses(gone)
    whole, rest = (planned_size(thinning.channels, keep)[1] for keep in (np.ones_like(gone), ~gone))
    return GroupSensitivity(
        group=group.name,
        channels=group.size,
        removed=int(gone.sum()),
        macs=1 - rest / whole if whole else 0.0,
        rise={task: _rise(before, losses[task]) for task, before in dense.items()},
    )


def _lowest(group: ChannelGroup, channels: Channels, scores: Scores, share: float) -> NDArray[np.bool_]:
    """Mark the channels of a group with the lowest scores, at least one and not all."""
    able = group.classes[channels.removable[group.classes]]
    number = min(max(round(share * len(able)), 1), max(group.size - 1, 1))
    gone = np.zeros(channels.count, dtype=np.bool_)
    gone[able[np.argsort(scores[able], kind="stable")[:number]]] = True
    return gone


def _rise(before: float, after: float) -> float:
    if before == 0:
        return 0.0 if after == 0 else float("inf")
    return (after - before) / abs(before)
