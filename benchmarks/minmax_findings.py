"""What the cells of `minmax.py` say: paired differences with intervals, means over seeds, overheads against targets."""

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

import numpy as np
from scipy import stats

from harness import Cell
from minmax_arms import CONTROL
from minmax_overhead import OVER_CONTROL

__all__ = ["findings"]

Scores = dict[str, float]

_TARGETS = {"DST": 1.03, "MinMax": 1.01, "reweighted l1": 1.05}
"""What a step may take over a dense one under equal weights."""


def findings(cells: Sequence[Cell]) -> dict[str, str]:
    """Return a title and a sentence for everything that can be concluded from the cells that are there."""
    found: dict[str, str] = {}
    for problem in dict.fromkeys(cell.settings.get("problem", "") for cell in cells):
        mine = [cell for cell in cells if cell.settings.get("problem") == problem and cell.figures()]
        reference, picked_by = _reference(mine, "test"), _reference(mine, "validation")
        if reference:
            judged = [cell for cell in mine if cell.settings.get("sparsity") and cell.part != "gammas"]
            found |= _headlines(problem, judged, reference)
            found |= _gammas(problem, [cell for cell in mine if cell.part == "gammas"], picked_by)
            found |= _means(problem, judged, reference)
    return found | _overheads(cells)


def score(cell: Cell, reference: Scores, split: str = "test") -> Scores:
    """Return the change of the primary metrics against the dense network, percent, plus is better.

    Args:
        cell: A cell that was measured.
        reference: Task to the dense network's metric, mean over its seeds.
        split: ``"test"`` or ``"validation"``.

    Returns:
        ``mean`` over tasks, and of the ``worst`` task.
    """
    figures = cell.figures() or {}
    changes = [
        100 * figures["signs"][task] * (value - reference[task]) / abs(reference[task])
        for task, value in figures[split].items()
    ]
    return {"mean": mean(changes), "worst": min(changes)}


def paired(differences: Sequence[float]) -> str:
    """Say what pairs of runs with one seed each differ by.

    Args:
        differences: One for each seed.

    Returns:
        Mean, 95 % interval over the seeds (Student's t), and p of the paired t-test and of Wilcoxon's.

    Examples:
        >>> paired([1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0])
        '+2.00 (+1.37 to +2.63), 8 seeds, p = 0.00014 (t), 0.0078 (Wilcoxon)'
    """
    test = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    ranks = stats.wilcoxon(differences).pvalue if any(differences) else 1.0
    values = f"{mean(differences):+.2f} ({low:+.2f} to {high:+.2f})"
    return f"{values}, {len(differences)} seeds, p = {test.pvalue:.2g} (t), {ranks:.2g} (Wilcoxon)"


def _reference(cells: Iterable[Cell], split: str) -> Scores:
    """Return the dense network's metrics, trained with the control's weights."""
    dense = [
        figures[split]
        for cell in cells
        if cell.settings.get("sparsity") == 0 and cell.settings["weighting"] == CONTROL and (figures := cell.figures())
    ]
    return {task: mean(each[task] for each in dense) for task in dense[0]} if dense else {}


def _gammas(problem: str, cells: Sequence[Cell], reference: Scores) -> dict[str, str]:
    """Say how MinMax does on validation data with each gamma."""
    rows: dict[float, list[Scores]] = {}
    for cell in cells:
        rows.setdefault(cell.settings["gamma"], []).append(score(cell, reference, "validation"))
    told = [
        f"gamma {gamma:g}: mean task {_spread([each['mean'] for each in scores])}, worst "
        f"{_spread([each['worst'] for each in scores])}"
        for gamma, scores in rows.items()
    ]
    return {f"{problem}, gamma on validation data": "; ".join(told)} if told else {}


def _headlines(problem: str, cells: Sequence[Cell], reference: Scores) -> dict[str, str]:
    """Compare MinMax with its control, seed by seed."""
    found = {}
    scores = {_key(cell): score(cell, reference) for cell in cells if cell.settings.get("engine") == "dst"}
    for sparsity in dict.fromkeys(key[0] for key in scores):
        seeds = sorted(seed for s, weighting, seed in scores if s == sparsity and weighting == "MinMax")
        seeds = [seed for seed in seeds if (sparsity, CONTROL, seed) in scores]
        if len(seeds) < 2:
            continue
        for which in ("mean", "worst"):
            differences = [
                scores[sparsity, "MinMax", seed][which] - scores[sparsity, CONTROL, seed][which] for seed in seeds
            ]
            low, high = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
            verdict = "undecided" if low <= 0 <= high else "MinMax is better" if low > 0 else "MinMax is worse"
            title = f"{problem}, {sparsity:.1%} sparse, MinMax against its control, {_WHICH[which]}, percent of dense"
            found[title] = f"{paired(differences)}: {verdict}"
    return found


_WHICH = {"mean": "mean task", "worst": "worst task"}


def _key(cell: Cell) -> tuple[float, str, int]:
    return cell.settings["sparsity"], cell.settings["weighting"], cell.settings["seed"]


def _means(problem: str, cells: Sequence[Cell], reference: Scores) -> dict[str, str]:
    """Give mean and spread over the seeds of every way to every sparsity."""
    rows: dict[tuple[float, str, str], list[Scores]] = {}
    for cell in cells:
        told = cell.settings
        rows.setdefault((told["sparsity"], told["engine"], told["weighting"]), []).append(score(cell, reference))
    return {
        f"{problem}, {sparsity:.1%} sparse, {engine}, {weighting}": "mean task {}, worst {}, {} seeds".format(
            *(_spread([each[which] for each in scores]) for which in ("mean", "worst")), len(scores)
        )
        for (sparsity, engine, weighting), scores in sorted(rows.items())
    }


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):+.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.1f} %"


def _overheads(cells: Sequence[Cell]) -> dict[str, str]:
    found = {}
    for cell in cells:
        figures: dict[str, Any] = (cell.part == "overhead" and cell.figures()) or {}
        title = f"{cell.settings.get('problem')}, {{}} step over dense under {{}}, processor time"
        for name, target in _TARGETS.items() if figures else ():
            low, high = figures[f"{name} interval"]
            verdict = "missed" if low > target else "met" if high <= target else "not decided"
            found[title.format(name, "equal weights")] = (
                f"{_ratio(figures, name)}; target {target}: {verdict}; at most {figures[f'{name} memory']:.1%} more "
                "memory than weights, gradients and optimizer state"
            )
        if figures:
            found[title.format("MinMax", "equal weights of its normalised losses")] = _ratio(figures, OVER_CONTROL)
    return found


def _ratio(figures: dict[str, Any], name: str) -> str:
    low, high = figures[f"{name} interval"]
    return f"{figures[name]:.3f} ({low:.3f} to {high:.3f})"
