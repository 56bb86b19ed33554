"""The chart of what a balancer did: how much each task counted in the course of training."""

from collections.abc import Mapping, Sequence
from typing import Any

from plotly.subplots import make_subplots

from niwaki.reports.charts import LAYOUT, Stages, cycle, thin

__all__ = ["emphasis_chart"]

_MOST_IN_LEGEND = 12


def emphasis_chart(stages: Stages, order: Sequence[str] = ()) -> Any | None:
    """Draw how much each task counted against optimizer steps: one panel a stage, one line a task.

    The factor of a task's loss over its scale is drawn: 1 is an equal share, where the balancer has scales.

    Args:
        stages: Stage to rows of `metrics.jsonl`; rows with ``weight``, and ``emphasis`` where it differs, are drawn.
        order: Tasks, in the order of their lines.

    Returns:
        A plotly figure, or None when no task's weight ever moved.
    """
    moving = {stage: lines for stage, rows in stages.items() if _moves(lines := _lines(rows))}
    if not moving:
        return None
    tasks = sorted(
        dict.fromkeys(task for lines in moving.values() for task in lines),
        key=lambda task: order.index(task) if task in order else len(order),
    )
    colours = dict(zip(tasks, cycle(len(tasks)), strict=True))
    figure = make_subplots(rows=1, cols=len(moving), subplot_titles=list(moving))
    shown: set[str] = set()
    for column, lines in enumerate(moving.values(), start=1):
        for task in (task for task in tasks if task in lines):
            points = thin(lines[task])
            figure.add_scatter(
                x=[x for x, _ in points],
                y=[y for _, y in points],
                name=task,
                legendgroup=task,
                showlegend=task not in shown and len(tasks) <= _MOST_IN_LEGEND,
                mode="lines",
                line={"color": colours[task], "width": 2},
                row=1,
                col=column,
            )
            shown.add(task)
    figure.update_layout(**LAYOUT, height=380, title="how much each task counts (1 is an equal share)")
    figure.update_xaxes(title_text="optimizer step of the stage")
    return figure


def _lines(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return each task's points: a task that a batch had no labels for has none there."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for task, value in (row.get("emphasis") or row.get("weight") or {}).items():
            if value is not None:
                found.setdefault(task, []).append((row["step"], value))
    return found


def _moves(lines: Mapping[str, Sequence[tuple[float, float]]]) -> bool:
    return any(abs(value - points[0][1]) > 1e-9 for points in lines.values() for _, value in points)
