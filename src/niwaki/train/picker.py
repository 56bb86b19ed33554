"""Which epoch is kept: a rule on the validation split, recorded beside the result."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from niwaki.errors import SettingError
from niwaki.records import Quality

__all__ = ["EpochPicker", "Judged"]


class Judged(Protocol):
    """What a rule needs to know of a task."""

    @property
    def name(self) -> str:
        """The task's name."""

    @property
    def primary(self) -> str:
        """Its first metric."""

    @property
    def directions(self) -> Mapping[str, Any]:
        """Metric to ``"higher"`` or ``"lower"``."""


class EpochPicker:
    """Picks the best epoch by ``"mean"``, ``"worst"``, ``"last"`` or ``"TASK.METRIC"``.

    ``"mean"`` and ``"worst"`` compare relative gains ``s (M - R) / |R|`` of the primary metrics, where R is the
    reference (the first validation, unless one is given) and s the sign that makes better positive; the mean over
    tasks, or the gain of the task that gained least.

    Args:
        rule: The rule.
        tasks: The tasks.
        reference: Quality that gains are relative to, or None for the first one offered.

    Raises:
        SettingError: When the rule names no task or metric there is.

    Examples:
        >>> from types import SimpleNamespace
        >>> depth = SimpleNamespace(name="depth", primary="abs", directions={"abs": "lower"})
        >>> best = EpochPicker("mean", [depth])
        >>> best.offer(0, {"depth": {"abs": 2.0}}), best.offer(1, {"depth": {"abs": 1.5}}), best.value
        (True, True, 0.25)
    """

    def __init__(self, rule: str, tasks: Sequence[Judged], reference: Quality | None = None) -> None:
        self.rule = rule
        self.reference = reference
        self.epoch: int | None = None
        self.value = -math.inf
        self.quality: Quality = {}
        self._tasks = {task.name: task for task in tasks}
        if rule not in {"mean", "worst", "last"}:
            self._named()

    def offer(self, epoch: int, quality: Quality, *, eligible: bool = True) -> bool:
        """Judge an epoch.

        Args:
            epoch: Its number.
            quality: Its validation.
            eligible: Whether it may be picked; where not, it can still be what gains are relative to.

        Returns:
            Whether it is the best so far; of equals the first stays, except under ``"last"``.
        """
        if self.reference is None:
            self.reference = quality
        if not eligible:
            return False
        value = self._judge(quality)
        if self.epoch is not None and not value > self.value and self.rule != "last":
            return False
        self.epoch, self.value, self.quality = epoch, value, quality
        return True

    def forget(self) -> None:
        """Forget the best epoch: the model has changed its shape since."""
        self.epoch, self.value, self.quality = None, -math.inf, {}

    def describe(self) -> str:
        """Return the rule in words, for the record."""
        if self.rule == "mean":
            return "largest mean over tasks of the relative gain of the primary metric, on the validation split"
        if self.rule == "worst":
            return "largest relative gain of the primary metric of the task that gained least, on the validation split"
        return "last epoch" if self.rule == "last" else f"best {self.rule} on the validation split"

    def state(self) -> dict[str, Any]:
        """Return the best so far as plain data."""
        return {
            "epoch": self.epoch,
            "value": _finite(self.value),
            "quality": _plain(self.quality),
            "reference": _plain(self.reference) if self.reference is not None else None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.epoch = state["epoch"]
        self.value = -math.inf if state["value"] is None else state["value"]
        self.quality = _numbers(state["quality"])
        self.reference = _numbers(state["reference"]) if state["reference"] is not None else None

    def _judge(self, quality: Quality) -> float:
        if self.rule == "last":
            return 0.0
        if self.rule in {"mean", "worst"}:
            gains = [self._gain(name, quality) for name in self._tasks]
            value = sum(gains) / len(gains) if self.rule == "mean" else min(gains)
        else:
            task, metric = self._named()
            value = self._sign(task, metric) * quality.get(task, {}).get(metric, math.nan)
        return -math.inf if math.isnan(value) else value

    def _gain(self, task: str, quality: Quality) -> float:
        assert self.reference is not None
        metric = self._tasks[task].primary
        now = quality.get(task, {}).get(metric, math.nan)
        before = self.reference.get(task, {}).get(metric, math.nan)
        if math.isnan(before):
            return 0.0  # a task that could not be measured at first can't steer the choice
        if math.isnan(now):
            return -math.inf
        return self._sign(task, metric) * (now - before) / (abs(before) or 1.0)

    def _sign(self, task: str, metric: str) -> float:
        return 1.0 if self._tasks[task].directions[metric] == "higher" else -1.0

    def _named(self) -> tuple[str, str]:
        task, _, metric = self.rule.rpartition(".")
        if task in self._tasks and metric in self._tasks[task].directions:
            return task, metric
        known = [f"{name}.{metric}" for name, each in self._tasks.items() for metric in each.directions]
        raise SettingError(f"select={self.rule!r} is no rule; allowed: mean, worst, last, {', '.join(known)}")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(quality: Quality) -> dict[str, dict[str, float | None]]:
    return {task: {metric: _finite(value) for metric, value in each.items()} for task, each in quality.items()}


def _numbers(quality: dict[str, dict[str, float | None]]) -> Quality:
    return {t: {m: math.nan if v is None else v for m, v in each.items()} for t, each in quality.items()}
