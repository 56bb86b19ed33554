"""The paper's comparison (arXiv 2304.06840) on data at hand: who judges, how the small network is trained, how small.

python benchmarks/structured.py --quick --jobs 2
python benchmarks/structured.py --part rooms --part nyuv2 --jobs 2

One data set takes the whole comparison, the others its default. Stand-ins for the paper's NYUv2: drawn rooms, pairs of
a digit and a garment, and frames of a replica in NYUv2's form. Network, budgets, floors and steps are the same for
every criterion, and so is the learning rate; the part `tuned` gives every arm of every criterion its own best of one
small grid, picked on validation data, at the extreme budgets. The peer needs pip install 'niwaki[compare]' and is left
out, with a note, where that is missing.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch

import niwaki as nw
from harness import Benchmark, Cell
from niwaki.models import VGG
from niwaki.surgery import plans_of
from niwaki.tasks import build_tasks
from structured_arms import ARMS, PROBLEMS, Job, Prepared
from structured_findings import EXTREME, findings
from structured_peer import group_norm

BUDGETS = (0.5, 0.25, 0.1, 0.04)
SEEDS = (0, 1, 2)
CRITERIA = ("cos", "taylor", "magnitude", "random")
RATE = 4e-3
"""The learning rate of all networks but those of `tuned`."""
OTHER_RATES = (2e-3, 8e-3, 1.6e-2, 3.2e-2)
"""What `tuned` tries beside it."""

FACTORS: dict[str, dict[str, Any]] = {
    "allocation: uniform": {"allocation": "uniform"},
    "scored on 8 batches": {"scored_on": "calibration"},
    "one round": {"rounds": 1, "begin": 0.35},
    "scope: all": {"scope": "all"},
    "cos and taylor": {"criterion": {"kind": "blend", "of": [{"kind": "cos"}, {"kind": "taylor"}]}},
    "taylor, max over tasks": {"criterion": {"kind": "taylor", "tasks": "max"}},
}
"""What is varied of the default, one at a time."""


def trained(
    problem: str, arm: str, criterion: str, macs: float, lr: float, seed: int, factor: str = ""
) -> dict[str, Any]:
    """Make one network and measure it."""
    torch.set_num_threads(1)
    changes = dict(FACTORS.get(factor, {}))
    ready = Prepared.of(PROBLEMS[problem])
    job = Job(changes.pop("criterion", criterion), macs, lr, seed, changes)
    began = time.perf_counter()
    model = group_norm(ready, job) if arm == "group_norm" else ARMS[arm](ready, job)
    seconds = time.perf_counter() - began
    left, whole = (nw.measure(each, ready.example).whole for each in (model, ready.build(seed)))
    return {
        "tasks": {task.name: f"{task.primary}, {task.directions[task.primary]} is better" for task in ready.tasks},
        "test": ready.quality(model, "test"),
        "validation": ready.quality(model, "val"),
        "MACs that stay": left.macs / whole.macs,
        "params that stay": left.params / whole.params,
        "channels": [plan.reached["channels"] for plan in plans_of(model)],
        "s": seconds,
    }


def vgg(width: float, side: int, macs: float, seed: int) -> dict[str, Any]:
    """The paper's network: its counts, a training step that CosPrune looks at, one cut with its proof, a last step."""
    tasks = build_tasks(({"kind": "segmentation", "classes": 40}, {"kind": "depth"}, {"kind": "normals"}))
    net = VGG(width=width).build({"segmentation": 40, "depth": 1, "normals": 3}, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, side, side, generator=generator)
    targets = {
        "segmentation": torch.randint(0, 40, (2, side, side), generator=generator),
        "depth": torch.rand(2, 1, side, side, generator=generator) + 0.5,
        "normals": torch.nn.functional.normalize(torch.randn(2, 3, side, side, generator=generator), dim=1),
    }
    dense = nw.measure(net, x[:1])
    method = nw.StructuredPruning(
        criterion=nw.CosPrune(), budget=nw.Budget(macs=macs), begin=0.5, allocation="global", floor=5, round_to=1
    )
    began = time.perf_counter()
    small = nw.fit(
        net, tasks, [(x, targets)], training=nw.Training(steps=2, lr=5e-5, device="cpu"), method=method
    ).model
    seconds = time.perf_counter() - began
    left, (plan,) = nw.measure(small, x[:1]).whole, plans_of(small)
    return {
        "params M": dense.whole.params / 1e6,
        "heads M": sum(part.params for part in dense.heads.values()) / 1e6,
        "GMACs": dense.whole.macs / 1e9,
        "MACs that stay": left.macs / dense.whole.macs,
        "params that stay": left.params / dense.whole.params,
        "form": plan.form,
        "self-check": "in part"
        if any("not proved" in note for note in plan.notes)
        else "passed",  # a failed one raises
        "notes": list(plan.notes),
        "s": seconds,
    }


def _cells(part: str, problem: str, arm: str, criterion: str, budgets: Sequence[float], lr: float = RATE) -> list[Cell]:
    return [
        Cell(
            part,
            {"problem": problem, "arm": arm, "criterion": criterion, "macs": macs, "lr": lr, "seed": seed},
            trained,
        )
        for macs in budgets
        for seed in SEEDS
    ]


def _comparison(part: str, problem: str, budgets: Sequence[float] = BUDGETS, lr: float = RATE) -> list[Cell]:
    arms = [(arm, criterion) for arm in ("iterative", "retrain") for criterion in CRITERIA]
    cells = _cells(part, problem, "dense", "", (1.0,), lr)
    for arm, criterion in (*arms, ("anew", "cos"), ("group_norm", "")):
        cells += _cells(part, problem, arm, criterion, budgets, lr)
    return cells


def _defaults(part: str, problem: str) -> list[Cell]:
    cells = _cells(part, problem, "dense", "", (1.0,))
    for arm, criterion in (("iterative", "cos"), ("retrain", "cos"), ("iterative", "magnitude")):
        cells += _cells(part, problem, arm, criterion, (0.1,))
    return cells


def _tuned() -> list[Cell]:
    budgets = [macs for macs in BUDGETS if macs <= EXTREME]
    return [cell for lr in OTHER_RATES for cell in _comparison("tuned", "digits", budgets, lr)]


def _factors() -> list[Cell]:
    default = {"problem": "digits", "arm": "iterative", "criterion": "cos", "macs": 0.1, "lr": RATE}
    return [
        Cell("factors", {**default, "seed": seed, "factor": factor}, trained) for factor in FACTORS for seed in SEEDS
    ]


CELLS = [
    Cell("vgg", {"width": 1.0, "side": 96, "macs": 0.5, "seed": 0}, vgg),
    *_comparison("digits", "digits"),
    *_defaults("elsewhere", "rooms"),
    *_defaults("elsewhere", "nyuv2"),
    *_factors(),
    *_tuned(),
    *_comparison("rooms", "rooms"),
    *_comparison("nyuv2", "nyuv2"),
    *_comparison("vgg trained", "vgg"),
]
FIGURES = ("test", "validation", "MACs that stay", "params that stay", "s")
COLUMNS = {
    **dict.fromkeys(dict.fromkeys(cell.part for cell in CELLS), FIGURES),
    "vgg": ("params M", "heads M", "GMACs", "MACs that stay", "params that stay", "form", "self-check", "s"),
}

if __name__ == "__main__":
    quick = ("vgg", "digits", "elsewhere", "factors")
    Benchmark("structured", CELLS, quick, COLUMNS, lambda: findings(CELLS)).main()
