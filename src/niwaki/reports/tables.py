"""The tables of a report: records in, rows of text out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import isnan
from operator import add

from niwaki.records import Cost, CutRecord, PartCost, Plan, Record, told_change, told_gain

__all__ = ["Table", "cost_table", "cut_table", "delta_table", "latency_table", "plan_table", "quality_table", "verdict"]

_TOLERANCE = 0.05
_MOST_PARTS = 6


@dataclass(frozen=True)
class Table:
    """A table ready to be drawn.

    Attributes:
        title: Its heading.
        columns: Names of the columns.
        rows: Cells as text.
        note: What a reader must know to read it.
        marks: Row and column of a cell to ``"good"`` or ``"bad"``.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    marks: dict[tuple[int, int], str] | None = None

    def mark(self, row: int, column: int) -> str:
        """Return the mark of a cell, or nothing."""
        return (self.marks or {}).get((row, column), "")


def verdict(record: Record) -> str:
    """Say in one sentence what the run reached.

    Args:
        record: The run's record.

    Returns:
        The reduction in MACs and parameters, or in weights that are not zero, the measured speed, the task that lost
        most, and the mean of all.
    """
    dense, small = record.cost["dense"].whole, record.cost["small"].whole
    parts = []
    if record.sparsity is not None:
        parts.append(f"{record.sparsity.density:.2%} of {record.sparsity.size:,} weights that can be sparse stay")
    if record.sparsity is None or small.params < dense.params:
        fewer = (_times(dense.macs, small.macs), _times(dense.params, small.params))
        parts.append(f"{fewer[0]} fewer MACs, {fewer[1]} fewer parameters")
    gain = record.latency.gain("dense", "small", "onnxruntime") if record.latency else float("nan")
    if not isnan(gain):
        parts.append(f"{told_gain(gain)} in ONNX Runtime (measured)")
    worst = record.worst_first()[0] if record.primary else None
    if worst is not None:
        parts.append(f"task that lost most: {worst} {told_change(record.change(worst))} {record.primary[worst]}")
    if len(record.primary) > 1:
        parts.append(f"mean of {len(record.primary)} tasks: {told_change(record.mean_change())}")
    return "; ".join(parts)


def quality_table(record: Record) -> Table:
    """Tabulate every metric of every task, worst task first.

    Args:
        record: The run's record.

    Returns:
        One row a metric; the primary metric leads its task.
    """
    rows: list[tuple[str, ...]] = []
    marks: dict[tuple[int, int], str] = {}
    for task in record.worst_first():
        primary = record.primary[task]
        metrics = record.quality["dense"].get(task, {})
        for metric in sorted(metrics, key=lambda each: each != primary):
            direction = record.directions[task].get(metric)
            values = [record.quality.get(name, {}).get(task, {}).get(metric) for name in ("parent", "dense", "small")]
            change = _change(values[1], values[2], direction)
            if metric == primary and not isnan(change):
                marks[len(rows), 5] = "good" if change >= 0 else "bad" if change < -_TOLERANCE else ""
            name = f"{metric} {_arrow(direction)}" + (" (primary)" if metric == primary else "")
            rows.append((task, name, *map(_number, values), "" if isnan(change) else f"{change:+.1%}"))
    note = (
        f"Measured on the {record.split} split, protocol {record.protocol}. `parent` is the model before compression; "
        "`dense` is the same network trained on for as many steps as `small`, the fair baseline. "
        f"Change is signed so that plus is better. Epoch picked by: {record.picked_by or 'not stated'}."
    )
    return Table("Quality", ("task", "metric", "parent", "dense", "small", "change"), tuple(rows), note, marks)


def delta_table(record: Record) -> Table:
    """Tabulate the change over all tasks, one row a convention.

    Args:
        record: The run's record.

    Returns:
        The table; every number says its convention, its sign and its baseline.
    """
    rows = tuple(
        (name, f"{each.value:+.2f}", each.better, each.baseline_kind) for name, each in sorted(record.delta.items())
    )
    return Table("Change over all tasks, percent", ("convention", "value", "better", "baseline"), rows)


def cut_table(record: Record) -> Table:
    """Tabulate the cuts in the course of the training.

    Args:
        record: The run's record.

    Returns:
        One row a cut.
    """
    note = "The model that each cut left is kept; `niwaki pick RUN --step CUT` takes it."
    return Table("Cuts", CutRecord.columns, tuple(cut.row for cut in record.cuts), note)


def cost_table(record: Record) -> Table:
    """Tabulate what both models cost, whole and by part.

    Args:
        record: The run's record.

    Returns:
        One row a part.
    """
    dense, small = record.cost["dense"], record.cost["small"]
    after = dict(_parts(small))
    rows = []
    for name, part in _parts(dense):
        other = after.get(name)
        for unit in ("params", *(("nonzeros",) if record.sparsity is not None else ()), "macs", "bytes"):
            before, now = getattr(part, unit), getattr(other, unit) if other else 0
            share = f"{now / before:.1%}" if before else ""
            rows.append((name if unit == "params" else "", _UNITS[unit], f"{before:,}", f"{now:,}", share))
    if "file bytes" in record.totals():
        before, now = record.totals()["file bytes"]
        rows.append(("files", "bytes", f"{before:,}", f"{now:,}", f"{now / before:.1%}"))
    peaks = (dense.peak_activation_bytes, small.peak_activation_bytes)
    rows.append(("peak activations", "bytes", f"{peaks[0]:,}", f"{peaks[1]:,}", f"{peaks[1] / max(peaks[0], 1):.1%}"))
    uncounted = f" Operators not counted: {', '.join(dense.uncounted)}." if dense.uncounted else ""
    note = f"MACs are multiply-accumulates of one forward pass (one MAC is two FLOPs).{uncounted}"
    return Table("Cost", ("part", "unit", "dense", "small", "stays"), tuple(rows), note)


def latency_table(record: Record) -> Table | None:
    """Tabulate measured times, or return None where none were taken.

    Args:
        record: The run's record.

    Returns:
        One row a model and runtime.
    """
    latency = record.latency
    if latency is None:
        return None
    rows = tuple(
        (each.runtime, each.model, *(f"{v:.2f}" for v in (each.median_ms, each.min_ms, each.spread_ms, each.cpu_ms)))
        for each in sorted(latency.timings, key=lambda each: (each.runtime, each.model))
    )
    note = f"{latency.device}, {latency.threads} thread(s), batch {latency.batch}, interleaved rounds. "
    note += " ".join(f"Warning: {each}." for each in latency.warnings)
    return Table("Latency, milliseconds", ("runtime", "model", "median", "min", "spread (IQR)", "CPU"), rows, note)


def plan_table(plan: Plan) -> Table:
    """Tabulate a plan group by group.

    Args:
        plan: A plan that was applied.

    Returns:
        One row a group, with the reason where it stayed whole.
    """
    rows = tuple(
        (each.name, each.told_size, str(len(each.kept)), f"{len(each.kept) / each.size:.0%}", each.reason or "")
        for each in plan.groups
    )
    rows += tuple((name, "", "", "", reason) for name, reason in plan.frozen.items())
    reached = ", ".join(f"{name} {share:.1%}" for name, share in plan.reached.items())
    return Table(
        "Channel groups", ("group", "size", "kept", "stays", "why whole"), rows, f"Asked: {plan.asked}. {reached}"
    )


_UNITS = {"params": "parameters", "nonzeros": "not zero", "macs": "MACs", "bytes": "bytes"}


def _parts(cost: Cost) -> list[tuple[str, PartCost]]:
    branches, heads = _each("branch", "branches", cost.branches), _each("head", "heads", cost.heads)
    return [("whole", cost.whole), ("trunk", cost.trunk), *branches, *heads]


def _each(one: str, many: str, parts: Mapping[str, PartCost]) -> list[tuple[str, PartCost]]:
    """Return parts by name; of many parts their sum."""
    if len(parts) <= _MOST_PARTS:
        return [(f"{one} {name}", part) for name, part in parts.items()]
    return [(f"{len(parts)} {many} together", reduce(add, parts.values()))]


def _change(dense: float | None, small: float | None, direction: str | None) -> float:
    if dense is None or small is None or direction is None or dense == 0:
        return float("nan")
    return (1 if direction == "higher" else -1) * (small - dense) / abs(dense)


def _arrow(direction: str | None) -> str:
    return {"higher": "↑", "lower": "↓"}.get(direction or "", "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _times(before: int, after: int) -> str:
    return f"{before / after:.2f}x" if after else "infinitely"
