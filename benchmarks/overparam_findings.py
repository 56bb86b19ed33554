"""What the cells of `overparam.py` say: each way to train against the plain one and against its control, in pairs."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from harness import Cell, paired

__all__ = ["findings"]

_TARGET = 1.3
"""What a step of Overparam may take over a plain one that takes each task's gradient too."""

_PAIRS = (
    ("Overparam", "one scale"),
    ("Overparam", "one scale, gradients of equal length"),
    ("Overparam, joint", "one scale, joint"),
    ("Overparam", "plain, as long as Overparam"),
    ("Overparam, joint", "plain, as long as Overparam, joint"),
    *(
        (f"{arm}, {times} the learning rate", f"plain, {times} the learning rate")
        for arm in ("Overparam, joint", "ExpandNet")
        for times in ("twice", "four times", "eight times")
    ),
    ("Overparam", "RepVGG"),
)

Scores = dict[str, dict[int, dict[str, float]]]
"""Arm to seed to task to the primary metric, with a sign so that more is better."""


def findings(cells: Sequence[Cell]) -> dict[str, str]:
    """Return a title and a sentence for everything that can be concluded from the cells that are there."""
    found: dict[str, str] = {}
    problems = dict.fromkeys(
        (cell.settings["data"], cell.settings["network"]) for cell in cells if "arm" in cell.settings
    )
    for data, network in problems:
        scores = _scores(
            [cell for cell in cells if (cell.settings["data"], cell.settings["network"]) == (data, network)]
        )
        pairs = [(arm, "plain") for arm in scores if arm != "plain"]
        for arm, control in [*pairs, *_PAIRS]:
            told = _compared(scores, arm, control)
            if told is not None:
                found[f"{data}, {network}: {arm} against {control}, mean task, percent"] = told
    return found | _overheads(cells)


def _scores(cells: Sequence[Cell]) -> Scores:
    found: Scores = {}
    for cell in cells:
        figures = ("arm" in cell.settings and cell.figures()) or None
        if figures:
            signed = {task: figures["signs"][task] * value for task, value in figures["test"].items()}
            found.setdefault(cell.settings["arm"], {})[cell.settings["seed"]] = signed
    return found


def _compared(scores: Scores, arm: str, control: str) -> str | None:
    """Compare two arms over the seeds that both have, in percent of the control's metric of that seed."""
    mine, other = scores.get(arm, {}), scores.get(control, {})
    seeds = sorted(set(mine) & set(other))
    if len(seeds) < 2:
        return None
    differences = [
        mean(100 * (mine[seed][task] - value) / abs(value) for task, value in other[seed].items()) for seed in seeds
    ]
    return paired(differences)


def _overheads(cells: Sequence[Cell]) -> dict[str, str]:
    found = {}
    for cell in cells:
        figures: dict[str, Any] = (cell.part == "overhead" and cell.figures()) or {}
        rows = zip(
            *(figures.get(name, []) for name in ("arms", "over that", "interval", "over plain", "memory")), strict=True
        )
        for arm, ratio, (low, high), plain, memory in rows:
            verdict = "missed" if low > _TARGET else "met" if high <= _TARGET else "not decided"
            told = f"; target {_TARGET}: {verdict}" if arm.startswith("Overparam") else ""
            found[f"{cell.settings['data']}, {cell.settings['network']}: a step of {arm}, processor time"] = (
                f"{ratio:.2f} ({low:.2f} to {high:.2f}) of a plain step with task gradients{told}; {plain:.2f} of a "
                f"plain step; {memory:.2f} times weights, gradients and optimizer state"
            )
    return found
