"""Plan and prune: the functions for anyone's code."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Unpack

from torch import nn

from niwaki.contract import Named, task_names
from niwaki.errors import SettingError, did_you_mean
from niwaki.methods.calibration import open_calibration
from niwaki.methods.prune.keeping import names_of
from niwaki.methods.prune.reaching import plan_goal
from niwaki.methods.prune.selecting import Planned
from niwaki.methods.prune.settings import PlanOptions, Selection
from niwaki.methods.prune.subject import read_subject
from niwaki.settings import Budget
from niwaki.surgery import Plan, unwrap

__all__ = ["plan", "prune"]

_Known = tuple[Sequence[str | Named] | None, Iterable[Any] | None]
_UNITS = ("channels", "params", "macs", "bytes", "latency_ms")


def plan(
    model: nn.Module,
    example: Any,
    *,
    tasks: Sequence[str | Named] | None = None,
    data: Iterable[Any] | None = None,
    **options: Unpack[PlanOptions],
) -> Plan:
    """Choose the channels that stay, and change nothing.

    Every output of every example keeps its shape. By default all groups keep the same share of their channels, rounded
    to multiples; the share is the largest that meets the budget. `print(plan)` shows every group and every layer that
    was left whole, with the reason; `plan.veto` and `plan.with_kept` change it, `plan.apply(model)` cuts.

    Args:
        model: Any module. It is left as it is.
        example: A tensor, a tuple of positional inputs, a `niwaki.Example`, or a list of these: one for each path.
        tasks: Tasks or their names, in the order of a tuple of outputs; None takes the outputs' own names.
        data: Batches ``(x, {task: target})`` or ``{task: (x, target)}``, for a criterion that judges by the tasks'
            gradients; such a criterion needs the tasks with their losses. The model runs on them in evaluation mode.
        **options: The goal: what may **stay**, as ``channels`` (a fraction), ``params``, ``macs`` or ``bytes`` (a
            fraction or a count), ``latency_ms`` (measured) or ``budget``; or ``limits``, what each task's loss may rise
            by on ``data``. And the options of `PlanOptions`: ``criterion``, ``allocation``, ``scope``, ``round_to``,
            ``floor``, ``widths``, ``keep``, ``attention``, ``form``.

    Returns:
        The plan, with what was asked and what is reached.

    Raises:
        SettingError: When an option is unknown or not allowed, or there is no goal.
        BudgetError: When the budget is out of reach, and the message names the smallest reachable or says why no group
            of channels can shrink; or when the limits allow nothing.
        ContractError: When the model is no module, the example does not fit it, ``keep`` or ``widths`` names what it
            does not have, or the criterion needs batches or losses that were not given.

    Examples:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 5, 3))
        >>> half = plan(net, torch.zeros(1, 3, 8, 8), channels=0.5)
        >>> [(group.name, group.size, len(group.kept)) for group in half.groups], half.reached["channels"]
        ([('0', 32, 16)], 0.5)
    """
    return _planned(model, example, (tasks, data), options).plan


def prune(
    model: nn.Module,
    example: Any,
    *,
    tasks: Sequence[str | Named] | None = None,
    data: Iterable[Any] | None = None,
    **options: Unpack[PlanOptions],
) -> nn.Module:
    """Make a smaller model: `plan`, then the cut, which proves itself.

    Args:
        model: Any module. It is left as it is.
        example: As for `plan`.
        tasks: As for `plan`.
        data: As for `plan`.
        **options: As for `plan`.

    Returns:
        A plain module of the same classes with fewer channels, which remembers its plan; where its Python code can't
        follow, its graph (``form``), and the plan says why. A `UserWarning` names the modules that no example reaches:
        what feeds them may have shrunk.

    Raises:
        SettingError: When an option is unknown or not allowed, or there is no goal.
        BudgetError: When the budget is out of reach, and the message names the smallest reachable or says why no group
            of channels can shrink; or when the limits allow nothing.
        ContractError: When the model is no module, the example does not fit it, ``keep`` or ``widths`` names what it
            does not have, or the criterion needs batches or losses that were not given.
        SurgeryError: When the cut model does not give the answers of the dense one with those channels silenced.

    Examples:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 5, 3))
        >>> prune(net, torch.zeros(1, 3, 8, 8), channels=0.5)
        Sequential(
          (0): Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1))
          (1): ReLU()
          (2): Conv2d(16, 5, kernel_size=(3, 3), stride=(1, 1))
        )
    """
    planned = _planned(model, example, (tasks, data), options)
    if unreached := planned.channels.traced.unreached:
        warnings.warn(unreached, UserWarning, stacklevel=2)
    return planned.cut(model)


def _planned(model: nn.Module, example: Any, known: _Known, options: PlanOptions) -> Planned:
    inner, (tasks, data) = unwrap(model), known
    selection = _selection(inner, options)
    subject = read_subject(inner, example, selection, task_names(tasks))
    if subject.evidence is not None or selection.limits:
        subject = subject.looked_at(open_calibration(tasks, data, selection.calibration_batches))
    return plan_goal(subject, selection)


def _selection(model: nn.Module, options: PlanOptions) -> Selection:
    values: dict[str, Any] = dict(options)
    known = list(PlanOptions.__annotations__)
    for name in values:
        if name not in known:
            raise SettingError(
                f"pruning has no option {name!r}; its options are {', '.join(known)}{did_you_mean(name, known)}"
            )
    units = {unit: values.pop(unit) for unit in _UNITS if unit in values}
    goals = len(units) + ("budget" in values) + ("limits" in values)
    if goals != 1:
        raise SettingError(
            "pruning needs exactly one goal: what may stay (channels=0.5, params=2_000_000, macs=0.5, "
            f"bytes=0.5 or budget=nw.Budget(...)) or what each task may lose (limits={{'depth': 0.02, '*': 0.05}}); "
            f"got {goals}"
        )
    if units:
        values["budget"] = Budget(**units)
    values["keep"] = names_of(model, values.get("keep", ()))
    return Selection(**values)
