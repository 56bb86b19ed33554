"""What a report says of networks that share filters: what became of them, and what else could have been chosen."""

from typing import Any

import plotly.graph_objects as go

from niwaki.records.front import Front
from niwaki.records.sharing import Sharing
from niwaki.reports.charts import COLOURS, LAYOUT
from niwaki.reports.tables import Table

__all__ = ["front_chart", "sharing_table", "volume_chart"]

_MARKS = {"size": 4, "opacity": 0.7}


def sharing_table(sharing: Sharing | None) -> Table | None:
    """Tabulate what became of the filters of each layer.

    Args:
        sharing: What the method reached, or None.

    Returns:
        One row a layer, and the whole; None where no filters are shared.
    """
    if sharing is None or not sharing.layers:
        return None
    rows, total = [], [0] * 6
    for layer in sharing.layers:
        kinds = [sum(getattr(each, kind) for each in layer.members) for kind in ("kept", "merged", "pruned")]
        numbers = [layer.filters, *kinds, layer.bank_bytes, (layer.index_bits + 7) // 8 + layer.scale_bytes]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        rows.append((layer.name, *(f"{each:,}" for each in numbers), f"{layer.distance:.1%}"))
    rows.append(("all layers", *(f"{each:,}" for each in total), ""))
    columns = (
        "layer",
        "filters",
        "kept",
        "merged",
        "pruned",
        "bytes of the bank",
        "of index and scales",
        "lost at first",
    )
    note = (
        "Kept filters make the bank; merged ones are drawn from it by index, at a scale of their own; pruned ones left "
        "with their channels. What was lost at first is what remained of the filters' energy when they were merged, "
        "before the networks trained together."
    )
    return Table("Shared filters", columns, tuple(rows), note)


def front_chart(sharing: Sharing | None) -> Any | None:
    """Draw the choices that nothing beats, and the one that was taken: in space where there are three objectives.

    Args:
        sharing: What the method reached, or None.

    Returns:
        A plotly figure, or None where nothing was searched. Of a search layer by layer it is the last layer's.
    """
    front = _last(sharing)
    if front is None or len(front.objectives) < 2:
        return None
    figure = _in_space(front) if len(front.objectives) == 3 else _in_parallel(front)
    shown = "" if len(front.values) >= front.found else f", {len(front.values)} of {front.found:,} shown"
    title = f"What the search found and nothing beats{shown}; taken: point {front.chosen} ({front.picked_by})"
    figure.update_layout(**(LAYOUT | {"margin": {"l": 60, "r": 40, "t": 60, "b": 30}}), height=520, title=title)
    return figure


def volume_chart(sharing: Sharing | None) -> Any | None:
    """Draw how the hypervolume grew while a search went on.

    Args:
        sharing: What the method reached, or None.

    Returns:
        A plotly figure, or None where nothing was searched.
    """
    front = _last(sharing)
    if front is None or len(front.curve) < 2:
        return None
    seen, volumes = zip(*front.curve, strict=True)
    figure = go.Figure()
    figure.add_scatter(x=seen, y=volumes, mode="lines", line={"color": COLOURS[0], "width": 2}, name=front.algorithm)
    figure.update_layout(
        **LAYOUT, height=300, title=f"Hypervolume of what {front.algorithm} had found; larger is better"
    )
    figure.update_xaxes(title_text="candidates looked at")
    return figure


def _last(sharing: Sharing | None) -> Front | None:
    return None if sharing is None or not sharing.fronts else sharing.fronts[-1]


def _in_space(front: Front) -> Any:
    figure = go.Figure()
    points = range(len(front.values))
    for chosen, name, colour in ((False, "not beaten", COLOURS[2]), (True, "taken", COLOURS[1])):
        some = [point for point in points if (point == front.chosen) == chosen]
        x, y, z = ([front.values[point][axis] for point in some] for axis in range(3))
        figure.add_scatter3d(
            x=x,
            y=y,
            z=z,
            mode="markers",
            name=name,
            marker=_MARKS | {"color": colour} | ({"size": 9, "opacity": 1} if chosen else {}),
            text=[f"point {point}" for point in some],
            hovertemplate="%{text}<br>%{x:.3f}, %{y:.3f}, %{z:.3f}<extra></extra>",
        )
    axes = zip(("xaxis", "yaxis", "zaxis"), front.objectives, strict=True)
    figure.update_layout(scene={axis: {"title": {"text": name}} for axis, name in axes})
    return figure


def _in_parallel(front: Front) -> Any:
    """Draw a line a point over one axis an objective; the taken one last, and darkest."""
    order = [point for point in range(len(front.values)) if point != front.chosen] + [front.chosen]
    taken = [point == front.chosen for point in order]
    dimensions = [
        {"label": name, "values": [front.values[point][axis] for point in order]}
        for axis, name in enumerate(front.objectives)
    ]
    dimensions.append({"label": "point", "values": order})
    scale = [[0, "rgba(59,110,165,0.25)"], [1, COLOURS[1]]]
    return go.Figure(
        go.Parcoords(dimensions=dimensions, line={"color": [float(each) for each in taken], "colorscale": scale})
    )
