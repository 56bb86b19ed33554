"""The record of a run: what was asked, what it cost, what came out. `record.json` is this, written down."""

from math import isnan
from typing import Any

from niwaki.records.base import RecordBase
from niwaki.records.cost import Cost
from niwaki.records.cut import CutRecord
from niwaki.records.delta import DeltaRecord
from niwaki.records.environment import Environment
from niwaki.records.folding import Folding
from niwaki.records.latency import Latency
from niwaki.records.plan import Plan
from niwaki.records.sensitivity import Sensitivity
from niwaki.records.sharing import Sharing
from niwaki.records.sparsity import Sparsity

__all__ = ["Compression", "Quality", "Record", "told_change"]

Quality = dict[str, dict[str, float]]
"""Task to metric to value."""


def told_change(change: float) -> str:
    """Return a relative change as text.

    Args:
        change: A fraction of the baseline, as of `Record.change`; NaN where there is none.

    Returns:
        Percent with a sign.

    Examples:
        >>> told_change(-0.0312), told_change(float("nan"))
        ('-3.1%', 'unknown')
    """
    return "unknown" if isnan(change) else f"{change:+.1%}"


class Compression(RecordBase):
    """What it took to make the small model.

    Attributes:
        seconds: Wall time by stage, seconds.
        steps: Optimizer steps by stage.
        notes: Remarks, such as optimizer state that started afresh.
    """

    seconds: dict[str, float] = {}
    steps: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Record(RecordBase):
    """Everything measured about one compressed model.

    Attributes:
        cost: ``dense`` and ``small``, each whole and by part.
        quality: ``dense`` (the baseline) and ``small``, and ``parent`` where the model before compression was measured
            too: task to metric to value.
        delta: Convention to the change against the baseline.
        primary: Task to its primary metric.
        directions: Task to metric to ``"higher"`` or ``"lower"``, whichever is better.
        protocol: ``"pixel"`` or ``"mtan"``: how metrics were averaged.
        split: Which split the quality was measured on.
        picked_by: The rule that picked the epoch.
        latency: Times of both models, where they were taken.
        plans: The plans that were applied, in order.
        sensitivity: What each task lost when one group of the dense model alone was thinned out, where it was measured.
        cuts: The cuts in the course of the training, each with the model it left.
        sharing: What became of the filters of several networks, where they draw from banks.
        sparsity: Which single weights stay, and where, where a sparse method was at work.
        folding: What was expanded while it trained, and how exactly it was folded back, where that was done.
        file_bytes: Size on disk of ``dense`` and ``small``, where they were saved; zeros take hardly any.
        compression: What it took.
        environment: Machine and versions.
        recipe: The resolved recipe, or the settings of the call.
        seed: The seed of the run.
        exported: What the export reported, where one was made.
        version: Version of this form.
    """

    cost: dict[str, Cost]
    quality: dict[str, Quality]
    delta: dict[str, DeltaRecord] = {}
    primary: dict[str, str]
    directions: dict[str, dict[str, str]]
    protocol: str = "pixel"
    split: str = "validation"
    picked_by: str = ""
    latency: Latency | None = None
    plans: tuple[Plan, ...] = ()
    sensitivity: Sensitivity | None = None
    cuts: tuple[CutRecord, ...] = ()
    sharing: Sharing | None = None
    sparsity: Sparsity | None = None
    folding: Folding | None = None
    file_bytes: dict[str, int] = {}
    compression: Compression = Compression()
    environment: Environment
    recipe: dict[str, Any] = {}
    seed: int = 0
    exported: dict[str, Any] | None = None
    version: int = 1

    def change(self, task: str) -> float:
        """Return the relative change of a task's primary metric against the baseline; positive is better.

        Args:
            task: Name of the task.

        Returns:
            The signed change, as a fraction of the baseline; NaN when either was not measured.
        """
        metric = self.primary[task]
        dense, small = (self.quality.get(name, {}).get(task, {}).get(metric) for name in ("dense", "small"))
        if dense is None or small is None or dense == 0:
            return float("nan")
        sign = 1 if self.directions[task][metric] == "higher" else -1
        return sign * (small - dense) / abs(dense)

    def mean_change(self) -> float:
        """Return the mean of `change` over the tasks that have one; NaN without any."""
        known = [change for task in self.primary if (change := self.change(task)) == change]
        return sum(known) / len(known) if known else float("nan")

    def worst_first(self) -> list[str]:
        """Return the tasks, the one that lost most first."""
        return sorted(self.primary, key=lambda task: (self.change(task) == self.change(task), self.change(task)))

    def totals(self) -> dict[str, tuple[int, int]]:
        """Return what the two models come to as a whole: quantity to dense and small.

        Returns:
            ``params``, ``macs`` and ``bytes``; ``nonzeros`` where a sparse method was at work, and ``file bytes`` where
            both were saved.
        """
        costs = [self.cost[name].whole for name in _PAIR]
        units = ("params", *(("nonzeros",) if self.sparsity is not None else ()), "macs", "bytes")
        found = {unit: (getattr(costs[0], unit), getattr(costs[1], unit)) for unit in units}
        if all(name in self.file_bytes for name in _PAIR):
            found["file bytes"] = (self.file_bytes["dense"], self.file_bytes["small"])
        return found

    def __str__(self) -> str:
        wide = max(16, *(len(task) + 2 for task in self.primary)) if self.primary else 16
        lines = [f"{'task':<{wide}}{'metric':<16}{'dense':>12}{'small':>12}{'change':>10}"]
        for task in self.worst_first():
            metric = self.primary[task]
            dense, small = (self.quality.get(name, {}).get(task, {}).get(metric, float("nan")) for name in _PAIR)
            lines.append(f"{task:<{wide}}{metric:<16}{dense:>12.4f}{small:>12.4f}{self.change(task):>+10.1%}")
        for unit, (before, after) in self.totals().items():
            lines.append(f"{unit:<{wide + 16}}{before:>12,}{after:>12,}{(after - before) / before:>+10.1%}")
        lines += [str(self.sparsity)] if self.sparsity is not None else []
        return "\n".join(lines)


_PAIR = ("dense", "small")
