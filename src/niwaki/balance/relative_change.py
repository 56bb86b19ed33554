"""AdapMTL's task weights: the tasks whose losses move most count most."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, balancers, stacked
from niwaki.balance.options import not_allowed
from niwaki.balance.roster import Roster

__all__ = ["RelativeChange"]


@balancers.register("relative_change")
@balancers.register("AdapMTL")
class RelativeChange(Balancer):
    """Weights in proportion to the mean relative change `|L_before - L| / L` of each loss (AdapMTL, arXiv 2408.03913).

    The mean runs over the last changes of the task. Until they begin, and for a task without a change, all is equal;
    the weights of all tasks seen sum to their number.

    Args:
        window: Changes the mean runs over, at least 1.
        begin: First calls, in which the weights stay equal, at least 0.

    Raises:
        SettingError: When an option is outside.

    Examples:
        >>> balance = RelativeChange(begin=1)
        >>> for depth, normals in ((4.0, 3.0), (2.0, 2.0), (2.0, 2.0)):
        ...     _ = balance({"depth": torch.tensor(depth), "normals": torch.tensor(normals)})
        >>> {task: round(weight, 4) for task, weight in balance.weights.items()}
        {'depth': 1.3333, 'normals': 0.6667}
    """

    kind: ClassVar[str] = "AdapMTL"

    def __init__(self, *, window: int = 500, begin: int = 5000) -> None:
        super().__init__()
        if window < 1:
            raise not_allowed(self.kind, "window", window, "at least 1")
        if begin < 0:
            raise not_allowed(self.kind, "begin", begin, "at least 0")
        self.window, self.begin = window, begin
        self.reset()

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {"kind": self.kind, "window": self.window, "begin": self.begin}

    def reset(self) -> None:
        """Forget all losses."""
        self._roster = Roster()
        self._calls = 0
        self._last = torch.zeros(0)
        self._counts = torch.zeros(0, dtype=torch.long)
        self._changes = torch.zeros(0, self.window)

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        self._last = self._roster.grown(self._last.to(values.device), torch.nan)
        self._counts = self._roster.grown(self._counts.to(values.device), 0)
        self._changes = self._roster.grown(self._changes.to(values.device), 0.0)
        weights = self._weights()[rows]
        self._watch(rows, values)
        return self._sloped(losses, weights)

    def _weights(self) -> Tensor:
        """Return every task's weight, `[K]`, from the changes so far."""
        counts = self._counts.clamp(max=self.window)
        sums = self._changes.sum(1)
        known = (counts > 0) & (sums > 0)
        means = sums / counts.clamp(min=1)
        middle = (means * known).sum() / known.sum().clamp(min=1)
        means = torch.where(known, means, torch.where(middle > 0, middle, 1.0))
        equal = torch.ones_like(means)
        return equal if self._calls < self.begin else len(means) * means / means.sum()

    def _watch(self, rows: Tensor, values: Tensor) -> None:
        """Write each task's change into its ring; a task's first loss has none."""
        last, counts = self._last[rows], self._counts[rows]
        changes = ((last - values) / values).abs()
        there = changes.isfinite()
        place = counts % self.window
        kept = self._changes[rows, place]
        self._changes = self._changes.index_put((rows, place), torch.where(there, changes, kept))
        self._counts = self._counts.index_copy(0, rows, counts + there)
        self._last = self._last.index_copy(0, rows, values)
        self._calls += 1

    def _state(self) -> dict[str, Any]:
        rings = {"last": self._last.clone(), "counts": self._counts.clone(), "changes": self._changes.clone()}
        return {"tasks": list(self._roster.tasks), "calls": self._calls, **rings}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._roster, self._calls = Roster(state["tasks"]), int(state["calls"])
        self._last, self._counts = state["last"].clone(), state["counts"].clone()
        self._changes = state["changes"].clone()
