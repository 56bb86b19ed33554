"""Min-max weighting in sparse training, and what it is judged by.

python benchmarks/minmax.py --quick --jobs 2
python benchmarks/minmax.py --part headline20 --part "cifar100_tiny, 20 tasks" --jobs 2

The headline: dynamic sparse training under MinMax against equal weights on the same normalised losses, seed by seed.
The other parts put every weighting beside two engines, and the baselines beside those. On a CPU networks are narrow;
where there is a GPU they have their full width. Data: drawn rooms, frames of a replica in NYUv2's form, Tiny ImageNet
in CIFAR-100's; none is the paper's.
"""

import time
from typing import Any

import torch

import niwaki as nw
from harness import Benchmark, Cell
from minmax_arms import CONTROL, ENGINES, PROBLEMS, SCALE, WEIGHTINGS, opened, train, weighing
from minmax_findings import findings
from minmax_overhead import PAIRS, overhead

SPARSITIES = (0.9, 0.95, 0.975, 0.983, 0.99)
SEEDS = tuple(range(8))
PICKING_SEEDS = (100, 101)
"""The part `gammas` takes other seeds than gamma is judged by, and looks at validation data alone."""
GAMMAS = (0.3, 1.0, 5.0, 20.0)
OWN = {"AdapMTL": "relative change"}
"""The weighting that a baseline brings with it; the others are trained under equal weights."""


def trained(
    problem: str, scale: str, sparsity: float, engine: str, weighting: str, seed: int, gamma: float | None = None
) -> dict[str, Any]:
    """Train one network and measure it."""
    torch.set_num_threads(1)
    splits, tasks, _ = opened(problem)
    began = time.perf_counter()
    fitted = train(problem, scale, sparsity, engine, weighing(weighting, problem, scale, gamma), seed)
    seconds = time.perf_counter() - began
    qualities = {
        name: {task.name: measured[task.name][task.primary] for task in tasks}
        for name, split in (("test", splits.test), ("validation", splits.val))
        if (measured := nw.evaluate(fitted.model, tasks, split, batch_size=64))
    }
    values = list(qualities["test"].values())
    reached = fitted.findings.get("sparsity")
    return {
        **qualities,
        "primary": {task.name: task.primary for task in tasks},
        "signs": {task.name: 1 if task.directions[task.primary] == "higher" else -1 for task in tasks},
        "metrics": values if len(values) < 4 else [min(values), sum(values) / len(values)],
        "density": getattr(reached, "density", 1.0),
        "of all": getattr(reached, "overall", 1.0),
        "s": seconds,
    }


def _cell(part: str, problem: str, sparsity: float, engine: str, weighting: str, seed: int, **more: Any) -> Cell:
    told = {"problem": problem, "scale": SCALE, "sparsity": sparsity, "engine": engine, "weighting": weighting}
    if weighting == "MinMax":
        more = {"gamma": PROBLEMS[problem].at(SCALE).gamma, **more}
    return Cell(part, {**told, "seed": seed, **more}, trained)


def _headline(part: str, problem: str) -> list[Cell]:
    """Both arms of a pair one after the other, seed by seed: what is there at any moment can be compared."""
    dense = [_cell(part, problem, 0, "", CONTROL, seed) for seed in SEEDS[:2]]
    pairs = [
        _cell(part, problem, sparsity, "dst", weighting, seed)
        for seed in SEEDS
        for sparsity in (0.9, 0.975)
        for weighting in ("MinMax", CONTROL)
    ]
    return dense + pairs


def _comparison(problem: str) -> list[Cell]:
    compared = [weighting for weighting in WEIGHTINGS if weighting not in OWN.values()]
    dense = [_cell(problem, problem, 0, "", weighting, seed) for weighting in compared for seed in SEEDS[:3]]
    arms = [(engine, weighting) for engine in ("dst", "reweighted l1") for weighting in compared]
    arms += [(engine, OWN.get(engine, "equal")) for engine in ENGINES if engine not in {"dst", "reweighted l1"}]
    sparse = [
        _cell(problem, problem, sparsity, engine, weighting, seed)
        for sparsity in SPARSITIES
        for engine, weighting in arms
        for seed in SEEDS[:3]
    ]
    done = [cell.settings for cell in HEADLINES]
    return [cell for cell in dense + sparse if cell.settings not in done]


ROOMS, TWENTY = "rooms, deeplab", "cifar100_tiny, 20 tasks"
HEADLINES = [*_headline("headline", ROOMS), *_headline("headline20", TWENTY)]
CELLS = [
    *HEADLINES,
    *(
        Cell("overhead", {"problem": problem, "period": period, "rounds": 9, "seed": 0}, overhead, alone=True)
        for problem, period in ((ROOMS, 60), ("rooms, segnet_mtan", 20))
    ),
    *(
        _cell("gammas", problem, 0.975, "dst", "MinMax", seed, gamma=gamma)
        for problem in (ROOMS, TWENTY)
        for gamma in GAMMAS
        for seed in PICKING_SEEDS
    ),
    *(cell for problem in PROBLEMS for cell in _comparison(problem)),
]

_TRAINED = ("metrics", "density", "of all", "s")
COLUMNS = {
    "headline": _TRAINED,
    "overhead": (
        "dense ms",
        *(f"{pair}{end}" for pair in PAIRS for end in ("", " interval")),
    ),
    "headline20": _TRAINED,
    "gammas": _TRAINED,
    **dict.fromkeys(PROBLEMS, _TRAINED),
}

if __name__ == "__main__":
    Benchmark("minmax", CELLS, ("headline", "overhead"), COLUMNS, summary=lambda: findings(CELLS)).main()
