"""Overparameterised training of compact networks, and what it is judged by.

python benchmarks/overparam.py --quick --jobs 2
python benchmarks/overparam.py --part "nyuv2_replica" --part "two digits" --jobs 2

The headline: every form of training beside the plain one, from the same weights, for as many steps and for as much
processor time, seed by seed. The controls tell Adam and normalisation from the tasks' own scales. Data: drawn rooms,
frames of a replica in NYUv2's form, a digit beside a garment; none is the paper's.
"""

import time
from typing import Any

import torch

import niwaki as nw
from harness import Benchmark, Cell
from niwaki.records import Folding
from overparam_arms import ARMS, DATA, FASTER, NETWORKS, SCALE, STEPS, opened, steps_in_the_time_of, train
from overparam_findings import findings
from overparam_overhead import overhead

SEEDS = (0, 1, 2)
FIRST = "resnet, 1 block"
SINGLE = "single task"
LONGER = {f"plain, as long as {arm}": arm for arm in ("Overparam", "Overparam, joint")}


def trained(data: str, network: str, scale: str, arm: str, steps: int, seed: int) -> dict[str, Any]:
    """Train one network, or one for each task, and measure it on the test split."""
    del scale  # it stands in the cell's key
    torch.set_num_threads(1)
    splits, tasks, _ = opened(data)
    if arm in LONGER:
        steps = steps_in_the_time_of(data, network, LONGER[arm], steps, seed)
    began = time.process_time()
    each = [task.name for task in tasks] if arm == SINGLE else [None]
    fitted = {task: train(data, network, arm, seed, steps=steps, task=task) for task in each}
    seconds = time.process_time() - began
    values: dict[str, float] = {}
    for only, found in fitted.items():
        mine = tuple(task for task in tasks if only in {None, task.name})
        measured = nw.evaluate(found.model, mine, splits.test, batch_size=64)
        values |= {task.name: measured[task.name][task.primary] for task in mine}
    params = sum(parameter.numel() for found in fitted.values() for parameter in found.model.parameters())
    folding = next(iter(fitted.values())).findings.get("folding")
    return {
        "test": values,
        "signs": {task.name: 1 if task.directions[task.primary] == "higher" else -1 for task in tasks},
        "metrics": [values[task.name] for task in tasks],
        "steps taken": steps,
        "params": params,
        "fold": folding.largest_difference if isinstance(folding, Folding) else None,
        "s": seconds,
    }


def _cell(part: str, data: str, network: str, arm: str, seed: int) -> Cell:
    told = {"data": data, "network": network, "scale": SCALE, "arm": arm, "steps": STEPS[SCALE], "seed": seed}
    return Cell(part, told, trained)


def _rows(part: str, data: str, network: str, arms: tuple[str, ...]) -> list[Cell]:
    """All arms of a seed, then the next seed: what is there at any moment can be compared."""
    return [_cell(part, data, network, arm, seed) for seed in SEEDS for arm in arms]


CONTROLS = (
    *("plain", "Overparam", "one scale", "one scale, gradients of equal length", *LONGER),
    *("plain, twice the learning rate", "plain, four times the learning rate"),
)
REST = (SINGLE, *(arm for arm in ARMS if arm not in CONTROLS))
TUNED = tuple(arm for arm in FASTER if arm not in CONTROLS)

CELLS = [
    *_rows("headline", "rooms", FIRST, CONTROLS),
    Cell("overhead", {"data": "rooms", "network": FIRST, "steps": 10, "rounds": 9, "seed": 0}, overhead, alone=True),
    *_rows("headline", "rooms", FIRST, REST),
    *_rows("learning rates", "rooms", FIRST, TUNED),
    *(
        cell
        for data in DATA
        for network in NETWORKS
        if (data, network) != ("rooms", FIRST)
        for cell in _rows(data, data, network, (*CONTROLS, *REST))
    ),
    Cell(
        "overhead",
        {"data": "rooms", "network": "segnet, wide", "steps": 5, "rounds": 9, "seed": 0},
        overhead,
        alone=True,
    ),
]

_TRAINED = ("metrics", "steps taken", "params", "fold", "s")
COLUMNS = {
    **dict.fromkeys(("headline", "learning rates"), _TRAINED),
    "overhead": ("plain ms", "with task gradients", "over that", "interval", "over plain", "memory"),
    **dict.fromkeys(DATA, _TRAINED),
}

if __name__ == "__main__":
    Benchmark("overparam", CELLS, ("headline", "overhead"), COLUMNS, summary=lambda: findings(CELLS)).main()
