"""The chart of how much each task counts."""

from typing import Any

from niwaki.reports.emphasis import emphasis_chart


def rows(*weights: dict[str, float], field: str = "weight") -> list[dict[str, Any]]:
    return [{"step": step, "weight": each, field: each} for step, each in enumerate(weights)]


def test_nothing_is_drawn_where_nothing_moves() -> None:
    still = rows({"seg": 1.0, "depth": 1.0}, {"seg": 1.0, "depth": 1.0})
    assert emphasis_chart({"training": still}) is None
    assert emphasis_chart({"training": [{"step": 0, "loss": {}}]}) is None


def test_each_task_is_a_line_in_the_stages_where_weights_move() -> None:
    moving = rows({"seg": 1.0, "depth": 1.0}, {"seg": 1.5}, {"seg": 1.2, "depth": 0.8})
    figure = emphasis_chart({"dense": rows({"seg": 1.0}), "small": moving, "last": moving}, ["depth", "seg"])
    assert figure is not None
    assert [(line.name, line.x, line.y, line.showlegend) for line in figure.data] == [
        ("depth", (0, 2), (1.0, 0.8), True),
        ("seg", (0, 1, 2), (1.0, 1.5, 1.2), True),
        ("depth", (0, 2), (1.0, 0.8), False),
        ("seg", (0, 1, 2), (1.0, 1.5, 1.2), False),
    ]
    assert [note.text for note in figure.layout.annotations] == ["small", "last"]


def test_losses_over_their_scales_are_drawn_where_there_are_any() -> None:
    lines = rows({"seg": 1.0, "depth": 1.0}, {"seg": 1.5, "depth": 0.5}, field="emphasis")
    for row, scale in zip(lines, (10.0, 12.0), strict=True):
        row["weight"] = {"seg": scale, "depth": None}
    figure = emphasis_chart({"training": lines})
    assert figure is not None
    assert [line.y for line in figure.data] == [(1.0, 1.5), (1.0, 0.5)]


def test_of_twenty_tasks_every_line_is_drawn_without_a_legend() -> None:
    names = [f"task {number}" for number in range(20)]
    figure = emphasis_chart({"training": rows(dict.fromkeys(names, 1.0), dict.fromkeys(names, 1.1))})
    assert figure is not None
    assert len(figure.data) == 20
    assert not any(line.showlegend for line in figure.data)
