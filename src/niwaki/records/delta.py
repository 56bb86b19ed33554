"""Delta: one number for the change of several tasks, in the four conventions of the literature."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from niwaki.errors import MeasureError
from niwaki.records.base import RecordBase

__all__ = ["CONVENTIONS", "Convention", "DeltaRecord", "delta"]

Convention = Literal["m", "p", "mtl", "T_sum", "T"]
Gains = dict[str, dict[str, float]]
"""Task to metric to relative gain: positive is better, 1 is a gain of the whole baseline."""


class DeltaRecord(RecordBase):
    """A delta, and everything needed to read it.

    Attributes:
        value: The delta, percent.
        convention: ``m``, ``p``, ``mtl``, ``T_sum`` or ``T``.
        better: Whether a ``"higher"`` or a ``"lower"`` value is better.
        averaging: How metrics and tasks were averaged, in words.
        baseline_kind: ``single_task``, ``dense_multi_task`` or ``published:<id>``.
        per_task: Each task's own value, percent, in the convention's sign, the worst task first.
        metrics: The metrics that were counted, by task.
    """

    value: float
    convention: Convention
    better: Literal["higher", "lower"]
    averaging: str
    baseline_kind: str
    per_task: dict[str, float]
    metrics: dict[str, tuple[str, ...]]

    @property
    def worst(self) -> str:
        """The task that fared worst."""
        return next(iter(self.per_task))

    def __str__(self) -> str:
        tasks = ", ".join(f"{task} {value:+.2f}" for task, value in self.per_task.items())
        return (
            f"delta {self.convention} {self.value:+.2f} % ({self.better} is better; {self.averaging}; "
            f"against {self.baseline_kind}); worst first: {tasks}"
        )


@dataclass(frozen=True)
class _Rule:
    """One convention: a task's value from its metrics' gains, the weight of a task, the sign."""

    better: Literal["higher", "lower"]
    averaging: str
    of_task: Callable[[list[float]], float]
    flat: bool = False
    primary_only: bool = False


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


CONVENTIONS: dict[Convention, _Rule] = {
    "m": _Rule("lower", "flat over metrics", _mean, flat=True),
    "p": _Rule("higher", "over a task's metrics, then over tasks", _mean),
    "mtl": _Rule("higher", "primary metrics only", _mean, primary_only=True),
    "T_sum": _Rule("higher", "a task's metrics summed, then over tasks", math.fsum),
    "T": _Rule("higher", "over a task's metrics, then over tasks", _mean),
}
"""The conventions by name; ``T`` (AdaShare's) is another name of ``p`` (LibMTL's)."""


def delta(
    measured: Mapping[str, Mapping[str, float]],
    baseline: Mapping[str, Mapping[str, float]],
    tasks: Iterable[Any] | None = None,
    *,
    convention: Convention,
    baseline_kind: str,
    directions: Mapping[str, Mapping[str, str]] | None = None,
    primaries: Mapping[str, str] | None = None,
) -> DeltaRecord:
    r"""Return the change of several tasks against a baseline as one number.

    With the relative gain :math:`g = \pm (M - B) / |B|`, positive where ``measured`` is better:
    ``m`` is :math:`-100/K \sum_k g_k` over all K metrics (CAGrad, Nash-MTL, FAMO; lower is better); ``p``, also called
    ``T``, averages a task's metrics, then the tasks (LibMTL, AdaShare); ``mtl`` averages the primary metrics
    (Vandenhende, Auto-Lambda); ``T_sum`` sums a task's metrics, then averages the tasks (AdapMTL).

    The metrics that count are those with a direction that the baseline holds: a published baseline with fewer metrics
    is compared on these, and the record names them.

    Args:
        measured: Task to metric to value.
        baseline: The same of the baseline.
        tasks: Tasks with ``name``, ``directions`` and ``primary``; instead of ``directions`` and ``primaries``.
        convention: ``m``, ``p``, ``mtl``, ``T_sum`` or ``T``.
        baseline_kind: ``single_task``, ``dense_multi_task`` or ``published:<id>``.
        directions: Task to metric to ``"higher"`` or ``"lower"``, whichever is better.
        primaries: Task to its primary metric; only ``mtl`` asks for it.

    Returns:
        The record: value, convention, sign, baseline kind, each task's value with the worst first.

    Raises:
        MeasureError: When a convention or baseline kind is unknown, a task or metric is missing, a baseline metric is
            zero, or any value is NaN or infinite; the message names it.

    Examples:
        >>> up = {"seg": {"miou": "higher"}, "depth": {"abs": "lower"}}
        >>> before = {"seg": {"miou": 40.0}, "depth": {"abs": 0.5}}
        >>> after = {"seg": {"miou": 42.0}, "depth": {"abs": 0.6}}
        >>> print(delta(after, before, directions=up, convention="p", baseline_kind="single_task"))
        delta p -7.50 % (higher is better; over a task's metrics, then over tasks; against single_task); worst first:
        depth -20.00, seg +5.00
    """
    rule = _rule(convention)
    _check_kind(baseline_kind)
    ways, firsts = _read_tasks(tasks, directions, primaries)
    if rule.primary_only:
        ways = {task: _only_primary(task, ways[task], firsts) for task in ways}
    gains = {task: _gains_of(task, ways[task], measured, baseline) for task in ways}
    sign = -100.0 if rule.better == "lower" else 100.0
    own = {task: sign * rule.of_task(list(found.values())) for task, found in gains.items()}
    every = [sign * gain for found in gains.values() for gain in found.values()]
    return DeltaRecord(
        value=_mean(every if rule.flat else list(own.values())),
        convention=convention,
        better=rule.better,
        averaging=rule.averaging,
        baseline_kind=baseline_kind,
        per_task=dict(sorted(own.items(), key=lambda item: item[1], reverse=rule.better == "lower")),
        metrics={task: tuple(found) for task, found in gains.items()},
    )


def _rule(convention: str) -> _Rule:
    for name, rule in CONVENTIONS.items():
        if name == convention:
            return rule
    raise MeasureError(f"unknown delta convention {convention!r}; choose one of {', '.join(CONVENTIONS)}")


def _check_kind(kind: str) -> None:
    published = kind.startswith("published:") and len(kind) > len("published:")
    if kind not in ("single_task", "dense_multi_task") and not published:
        raise MeasureError(
            f"unknown baseline kind {kind!r}; it is single_task, dense_multi_task or published:<id of the publication>"
        )


def _read_tasks(
    tasks: Iterable[Any] | None,
    directions: Mapping[str, Mapping[str, str]] | None,
    primaries: Mapping[str, str] | None,
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    if (tasks is None) == (directions is None):
        raise MeasureError("delta needs the tasks, or else their `directions` (and `primaries`); give one of the two")
    if tasks is not None:
        known = list(tasks)
        ways = {task.name: dict(task.directions) for task in known}
        firsts = {task.name: task.primary for task in known}
    else:
        ways = {task: dict(found) for task, found in (directions or {}).items()}
        firsts = dict(primaries or {})
    if not ways:
        raise MeasureError("delta needs at least one task; got none")
    return ways, firsts


def _gains_of(
    task: str,
    ways: Mapping[str, str],
    measured: Mapping[str, Mapping[str, float]],
    baseline: Mapping[str, Mapping[str, float]],
) -> dict[str, float]:
    for name, side in (("measured", measured), ("baseline", baseline)):
        if task not in side:
            raise MeasureError(f"the {name} values have no task {task!r}; they have: {', '.join(side) or 'none'}")
    counted = [metric for metric in ways if metric in baseline[task]]
    if not counted:
        raise MeasureError(f"the baseline of task {task!r} has none of its metrics ({', '.join(ways)})")
    missing = next((metric for metric in counted if metric not in measured[task]), None)
    if missing is not None:
        raise MeasureError(f"the baseline has {task}.{missing}, but it was not measured; measure it or leave it out")
    return {
        metric: _gain(f"{task}.{metric}", ways[metric], measured[task][metric], baseline[task][metric])
        for metric in counted
    }


def _gain(place: str, way: str, value: float, base: float) -> float:
    if way not in ("higher", "lower"):
        raise MeasureError(f"the direction of {place} is 'higher' or 'lower'; got {way!r}")
    if base == 0 or not math.isfinite(base):
        raise MeasureError(f"the baseline value of {place} is {base}; a relative change needs a finite, non-zero one")
    if not math.isfinite(value):
        raise MeasureError(f"the measured value of {place} is {value}; a change needs a finite one")
    change = (value - base) / abs(base)
    return change if way == "higher" else -change


def _only_primary(task: str, ways: Mapping[str, str], primaries: Mapping[str, str]) -> dict[str, str]:
    if task not in primaries:
        raise MeasureError(f"convention mtl compares primary metrics, and task {task!r} has none; give `primaries`")
    first = primaries[task]
    if first not in ways:
        raise MeasureError(f"the primary metric {first!r} of task {task!r} has no direction; give one in `directions`")
    return {first: ways[first]}
