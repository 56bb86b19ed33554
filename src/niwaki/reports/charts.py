"""The charts of a report: curves of training and widths of layers, drawn by plotly."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from niwaki.records import Plan

__all__ = ["curve_chart", "validation_chart", "width_chart"]

_COLOURS = ("#2f6f4f", "#b5651d", "#3b6ea5", "#8e4585", "#7a7a2a", "#a23b3b")
_POINTS = 400
_LAYOUT = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#777"},
    "margin": {"l": 50, "r": 20, "t": 50, "b": 40},
    "legend": {"orientation": "h", "y": -0.18},
}


def curve_chart(stages: dict[str, list[dict[str, Any]]]) -> Any | None:
    """Draw each task's training loss against optimizer steps, one panel a task, one line a stage.

    Args:
        stages: Stage to rows of `metrics.jsonl`; rows with ``loss`` are drawn.

    Returns:
        A plotly figure, or None when no losses were written.
    """
    tasks = _keys(stages, "loss")
    if not tasks:
        return None
    figure = _panels([f"{task}: training loss" for task in tasks])
    for colour, (stage, rows) in zip(_cycle(len(stages)), stages.items(), strict=True):
        for column, task in enumerate(tasks, 1):
            points = [(row["step"], row["loss"][task]) for row in rows if task in row.get("loss", {})]
            _line(figure, _thin(points), name=stage, colour=colour, column=column, smooth=True)
    figure.update_xaxes(title_text="optimizer step of the stage")
    return figure


def validation_chart(stages: dict[str, list[dict[str, Any]]], primary: dict[str, str]) -> Any | None:
    """Draw each task's primary metric on the validation split against epochs.

    Args:
        stages: Stage to rows of `metrics.jsonl`; rows with ``quality`` are drawn.
        primary: Task to its primary metric.

    Returns:
        A plotly figure, or None when nothing was validated.
    """
    if not _keys(stages, "quality"):
        return None
    figure = _panels([f"{task}: {metric}" for task, metric in primary.items()])
    for colour, (stage, rows) in zip(_cycle(len(stages)), stages.items(), strict=True):
        for column, (task, metric) in enumerate(primary.items(), 1):
            points = [
                (row["epoch"], row["quality"][task][metric])
                for row in rows
                if metric in row.get("quality", {}).get(task, {})
            ]
            _line(figure, points, name=stage, colour=colour, column=column, smooth=False)
    figure.update_xaxes(title_text="epoch of the stage")
    return figure


def width_chart(plan: Plan) -> Any | None:
    """Draw the channels of every group before and after the cut.

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
    figure.add_bar(x=names, y=[len(group.kept) for group in plan.groups], name="small", marker_color=_COLOURS[0])
    above = {"orientation": "h", "y": 1.12, "x": 1, "xanchor": "right"}
    title = "channels of each group, before and after"
    figure.update_layout(**(_LAYOUT | {"legend": above}), barmode="overlay", height=380, title=title)
    figure.update_xaxes(tickangle=-60, automargin=True)
    return figure


def _keys(stages: dict[str, list[dict[str, Any]]], field: str) -> list[str]:
    return list(dict.fromkeys(key for rows in stages.values() for row in rows for key in row.get(field) or {}))


def _panels(titles: Sequence[str]) -> Any:
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles)
    figure.update_layout(**_LAYOUT, height=360)
    return figure


def _line(figure: Any, points: list[tuple[float, float]], *, name: str, colour: str, column: int, smooth: bool) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    figure.add_scatter(
        x=xs,
        y=_smoothed(ys) if smooth else ys,
        name=name,
        legendgroup=name,
        showlegend=column == 1,
        mode="lines" if smooth else "lines+markers",
        line={"color": colour, "width": 2},
        row=1,
        col=column,
    )


def _smoothed(values: list[float], decay: float = 0.9) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else decay * smooth[-1] + (1 - decay) * value)
    return smooth


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return points[:: max(1, len(points) // _POINTS)]


def _cycle(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]
