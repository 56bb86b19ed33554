"""The charts of a report: curves of training and widths of layers, drawn by plotly."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from niwaki.records import Plan, Sensitivity

__all__ = [
    "COLOURS",
    "LAYOUT",
    "Stages",
    "curve_chart",
    "cycle",
    "sensitivity_chart",
    "thin",
    "validation_chart",
    "width_chart",
]

COLOURS = ("#2f6f4f", "#b5651d", "#3b6ea5", "#8e4585", "#7a7a2a", "#a23b3b")
_POINTS = 400
_MOST_PANELS = 6
_COLUMNS = 3
_AXES = {"step": "optimizer step of the stage", "epoch": "epoch of the stage"}
LAYOUT = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#777"},
    "margin": {"l": 50, "r": 20, "t": 50, "b": 40},
    "legend": {"orientation": "h", "y": -0.18},
}

Stages = dict[str, list[dict[str, Any]]]
Reader = Callable[[dict[str, Any]], float | None]


def curve_chart(stages: Stages, order: Sequence[str] = ()) -> Any | None:
    """Draw each task's training loss against optimizer steps, one panel a task, one line a stage.

    Args:
        stages: Stage to rows of `metrics.jsonl`; rows with ``loss`` are drawn.
        order: Tasks, in the order of their panels. Of many tasks only the first are drawn, and the mean of all.

    Returns:
        A plotly figure, or None when no losses were written.
    """
    there = dict.fromkeys(key for rows in stages.values() for row in rows for key in row.get("loss") or {})
    tasks = sorted(there, key=lambda task: order.index(task) if task in order else len(order))
    if not tasks:
        return None
    panels = {f"{task}: training loss": _reader("loss", [(task,)]) for task in _few(tasks)}
    if len(tasks) > _MOST_PANELS:
        panels[f"mean of {len(tasks)} tasks: training loss"] = _reader("loss", [(task,) for task in tasks])
    return _draw(stages, panels, x="step", smooth=True)


def validation_chart(stages: Stages, primary: Mapping[str, str], order: Sequence[str] = ()) -> Any | None:
    """Draw each task's primary metric on the validation split against epochs.

    Args:
        stages: Stage to rows of `metrics.jsonl`; rows with ``quality`` are drawn.
        primary: Task to its primary metric.
        order: As for `curve_chart`; the mean is drawn where all tasks have the same metric.

    Returns:
        A plotly figure, or None when nothing was validated.
    """
    if not any(row.get("quality") for rows in stages.values() for row in rows):
        return None
    tasks = sorted(primary, key=lambda task: order.index(task) if task in order else len(order))
    panels = {f"{task}: {primary[task]}": _reader("quality", [(task, primary[task])]) for task in _few(tasks)}
    metrics = set(primary.values())
    if len(tasks) > _MOST_PANELS and len(metrics) == 1:
        every = _reader("quality", [(task, primary[task]) for task in tasks])
        panels[f"mean of {len(tasks)} tasks: {metrics.pop()}"] = every
    return _draw(stages, panels, x="epoch", smooth=False)


def width_chart(plan: Plan) -> Any | None:
    """Draw the size of every group before and after the cut.

    Args:
        plan: The plan that was applied.

    Returns:
        A plotly figure, or None for a plan without groups.
    """
    if not plan.groups:
        return None
    names = [group.name for group in plan.groups]
    figure = go.Figure()
    figure.add_bar(x=names, y=[group.size for group in plan.groups], name="dense", marker_color="#c9c2b5")
    figure.add_bar(x=names, y=[len(group.kept) for group in plan.groups], name="small", marker_color=COLOURS[0])
    above = {"orientation": "h", "y": 1.12, "x": 1, "xanchor": "right"}
    title = "size of each group, before and after"
    figure.update_layout(**(LAYOUT | {"legend": above}), barmode="overlay", height=380, title=title)
    figure.update_xaxes(tickangle=-60, automargin=True)
    return figure


def sensitivity_chart(sensitivity: Sensitivity | None) -> Any | None:
    """Draw how much each task's loss rose when one group alone was thinned out: a row a group, a column a task.

    Args:
        sensitivity: The table, or None.

    Returns:
        A plotly figure, or None when nothing was measured.
    """
    if sensitivity is None or not sensitivity.groups:
        return None
    tasks, groups = list(sensitivity.losses), sensitivity.groups[::-1]
    rises = [[100 * row.rise[task] for task in tasks] for row in groups]
    most = max([1.0, *(abs(value) for row in rises for value in row if abs(value) < float("inf"))])
    cells = go.Heatmap(
        z=rises,
        x=tasks,
        y=[row.group for row in groups],
        zmin=-most,
        zmax=most,
        colorscale=[[0, COLOURS[2]], [0.5, "#f4f4f0"], [1, COLOURS[5]]],
        text=[[f"{value:+.1f} %" for value in row] for row in rises],
        texttemplate="%{text}",
        textfont={"color": "#333"},
        showscale=False,
        hovertemplate="%{y}<br>%{x}: %{text}<extra></extra>",
    )
    title = f"Rise of each task's loss without {sensitivity.share:.0%} of one group's channels, no training"
    figure = go.Figure(cells)
    figure.update_layout(**LAYOUT, title=title, height=120 + 24 * len(groups))
    figure.update_yaxes(automargin=True)
    return figure


def _few(tasks: Sequence[str]) -> Sequence[str]:
    return tasks if len(tasks) <= _MOST_PANELS else tasks[: _MOST_PANELS - 1]


def _reader(field: str, places: Sequence[tuple[str, ...]]) -> Reader:
    """Return what reads the mean of the values at some places of a row; None where one is missing."""

    def read(row: dict[str, Any]) -> float | None:
        values = []
        for place in places:
            value: Any = row.get(field)
            for key in place:
                value = (value or {}).get(key)
            values.append(value)
        return None if None in values else sum(values) / len(values)

    return read


def _draw(stages: Stages, panels: Mapping[str, Reader], *, x: str, smooth: bool) -> Any:
    columns = min(len(panels), _COLUMNS)
    rows = ceil(len(panels) / columns)
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=list(panels))
    figure.update_layout(**LAYOUT, height=60 + 300 * rows)
    for colour, (stage, lines) in zip(cycle(len(stages)), stages.items(), strict=True):
        for place, read in enumerate(panels.values()):
            points = [(line[x], value) for line in lines if (value := read(line)) is not None]
            where = {"row": place // columns + 1, "col": place % columns + 1}
            figure.add_trace(_line(points, stage, colour, smooth=smooth, first=place == 0), **where)
    figure.update_xaxes(title_text=_AXES[x], row=rows)
    return figure


def _line(points: list[tuple[float, float]], name: str, colour: str, *, smooth: bool, first: bool) -> Any:
    shown = thin(points) if smooth else points
    xs, ys = [x for x, _ in shown], [y for _, y in shown]
    return go.Scatter(
        x=xs,
        y=_smoothed(ys) if smooth else ys,
        name=name,
        legendgroup=name,
        showlegend=first,
        mode="lines" if smooth else "lines+markers",
        line={"color": colour, "width": 2},
    )


def _smoothed(values: list[float], decay: float = 0.9) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else decay * smooth[-1] + (1 - decay) * value)
    return smooth


def thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return as many of the points of a long line as can be told apart."""
    return points[:: max(1, len(points) // _POINTS)]


def cycle(count: int) -> list[str]:
    """Return a colour for each of some lines."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
