"""Networks that share filters: ways to choose them, against pruning apart and one network with several heads.

Only the search chooses how many filters stay; where it does, the other ways keep as many of each layer, or take as many
bytes. Also how good the search is, and what it takes for three VGG-16. python benchmarks/sharing.py --quick --jobs 2
"""

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import torch

from harness import Benchmark, Cell, paired
from niwaki.contract import Example
from niwaki.methods.share import FilterSharing
from niwaki.methods.share.search import ManyObjective, rankings
from niwaki.methods.share.search.archive import not_dominated
from niwaki.methods.share.search.asking import layers_of
from niwaki.methods.share.search.effort import Effort
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.problem import GIVEN, Problem, default_objectives
from niwaki.methods.share.search.searching import random_search, search
from niwaki.methods.share.selecting import Found, Question, Selection, Selector
from niwaki.models import NetsByTask, RoutedVGG
from sharing_arms import Prepared, measure_arm
from sharing_problems import SCALE

SELECTORS = ("many_objective", "importance", "fpgm", "random", "kmeans", "kmedoids")
RATES = (0.7, 0.5, 0.3, 0.2)
SEEDS = (0, 1, 2)
FULL_PARTS = {"cifar4": ("vgg", "resnet"), "cifar20": ("vgg", "resnet"), "rooms": ("resnet", "vgg")}


class Listening(Selector):
    """Remembers what it is asked, and keeps every filter."""

    kind: str = "listening"
    heard: ClassVar[list[Question]] = []

    def select(self, question: Question) -> Found:
        """Remember the question."""
        self.heard.append(question)
        return Found(Selection(tuple(tuple(range(stack.size)) for stack in question.stacks)))


def asked(model: torch.nn.Module, example: Any, rate: float | str) -> Question:
    """Return what filter sharing asks of a selector."""
    FilterSharing(rate=rate, selector=Listening(), common_start=-1).start(model, example, steps=0)
    return Listening.heard.pop()


def quality_of_search(rate: float | str, scale: str, seed: int) -> dict[str, Any]:
    """Hypervolume over candidates on trained networks: with seeds, without, and at random."""
    torch.set_num_threads(1)
    ready = Prepared.of("digits", "vgg", scale, seed)
    parent = ready.parent()
    layers = layers_of(asked(parent, ready.example(parent), rate))
    problem = Problem(layers, default_objectives(layers))
    effort = Effort(generations=60, rankings=rankings.names(), seed=seed)
    blind = Effort(generations=60, seed=seed)
    found = {
        "seeded": search(problem, effort),
        "unseeded": search(problem, blind),
        "random": random_search(problem, blind),
    }
    figures: dict[str, Any] = {name: each.curve[-1][1] for name, each in found.items()}
    figures["seeds alone"] = found["seeded"].curve[0][1]
    figures["curves"] = {name: list(map(list, each.curve[::10])) for name, each in found.items()}
    return figures


def against_enumeration(filters: int, keep: int, seed: int) -> dict[str, Any]:
    """Share of the true front that a search finds on a layer that is small enough to try all."""
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(filters, 9)) * chance.lognormal(size=(filters, 1))
    owners = np.arange(filters) * 2 // filters
    problem = Problem((SearchLayer("a", rows.astype(np.float32), owners, keep, keep),), GIVEN)
    every = np.array([np.isin(np.arange(filters), each) for each in combinations(range(filters), keep)])
    values = problem.judge(every)
    true = {tuple(each) for each in values[not_dominated(values)].round(6)}
    found = search(problem, Effort(generations=40, rankings=rankings.names(), seed=seed))
    mine = {tuple(each) for each in found.values.round(6)}
    return {"candidates": len(every), "front": len(true), "found": len(true & mine) / len(true), "judged": found.judged}


def speed(rate: float | str, workers: int) -> dict[str, Any]:
    """Seconds and memory of the whole search for three VGG-16 networks, all layers."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_speed, rate, workers).result()


def _speed(rate: float | str, workers: int) -> dict[str, Any]:
    torch.set_num_threads(2)
    nets = NetsByTask(net=RoutedVGG(norm="shared")).build({"a": 10, "b": 10, "c": 10})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in nets.parameters():
            if parameter.ndim == 4:  # as if each had been trained for its own task
                parameter.add_(0.5 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    question = asked(nets, [Example(torch.zeros(1, 3, 32, 32), task=task) for task in "abc"], rate)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = ManyObjective(choice="knee", workers=workers).select(question)
    seconds = time.perf_counter() - began
    assert found.front is not None
    return {
        "seconds": seconds,
        "judged": found.front.judged,
        "found": found.front.found,
        "hypervolume": found.front.curve[-1][1],
        "MiB more": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "MiB of filters": sum(stack.filters.numel() for stack in question.stacks) * 4 / 2**20,
    }


def arm_cells(part: str, problem: str, nets: tuple[str, ...], rates: tuple[float | str, ...]) -> list[Cell]:
    """Return the cells of one problem: those that are compared lie next to each other.

    The dense ones come first, so that every seed's networks are trained when the others begin with them.
    """
    cells = []
    for net in nets:
        cells += [Cell(part, _settings(problem, net, "dense", 1.0, seed), measure_arm) for seed in SEEDS]
        for seed in SEEDS:
            ways = [(rate, arm) for rate in rates for arm in (*SELECTORS, "separate", "hard")]
            cells += [Cell(part, _settings(problem, net, arm, rate, seed), measure_arm) for rate, arm in ways]
    return cells


def _settings(problem: str, net: str, arm: str, rate: float | str, seed: int) -> dict[str, Any]:
    return {"problem": problem, "net": net, "arm": arm, "rate": rate, "scale": SCALE, "seed": seed}


def _search_cells(rate: float | str) -> list[Cell]:
    return [Cell("search", {"rate": rate, "scale": SCALE, "seed": seed}, quality_of_search) for seed in SEEDS]


CELLS = [
    *(Cell("speed", {"rate": rate, "workers": 0}, speed, alone=True) for rate in (0.5, "adaptive", 0.2)),
    *arm_cells("headline", "digits", ("vgg",), (0.5,)),
    *_search_cells(0.5),
    *_search_cells("adaptive"),
    *(
        Cell("enumeration", {"filters": filters, "keep": keep, "seed": seed}, against_enumeration)
        for filters, keep in ((10, 4), (12, 6), (14, 7))
        for seed in SEEDS
    ),
    *arm_cells("rates", "digits", ("vgg",), (0.7, 0.3, 0.2, "adaptive")),
    *arm_cells("digits", "digits", ("resnet",), (*RATES, "adaptive")),
    *(cell for part, nets in FULL_PARTS.items() for cell in arm_cells(part, part, nets, (*RATES, "adaptive"))),
]


def changes(cells: list[Cell]) -> dict[tuple[str, ...], dict[int, dict[str, float]]]:
    """Return each arm's change against the dense networks of the same seed, by seed and task; plus is better."""
    dense: dict[tuple[Any, ...], dict[str, float]] = {}
    found: dict[tuple[str, ...], dict[int, dict[str, float]]] = {}
    for cell in cells:
        figures, told = cell.figures(), cell.settings
        if figures is None or "arm" not in told:
            continue
        key = (told["problem"], told["net"], told["seed"])
        if told["arm"] == "dense":
            dense[key] = figures["quality"]
        elif key in dense:
            change = {
                task: (1 if figures["higher"][task] else -1) * (value - dense[key][task]) / abs(dense[key][task])
                for task, value in figures["quality"].items()
            }
            name = (told["problem"], told["net"], str(told["rate"]), told["arm"])
            found.setdefault(name, {})[told["seed"]] = change
    return found


def summary() -> dict[str, str]:
    """Say what each way loses, over seeds, and what the search gains over each other way, seed by seed."""
    lines: dict[str, str] = {}
    every = changes(CELLS)
    for (problem, net, rate, arm), runs in every.items():
        means = [mean(run.values()) for run in runs.values()]
        worst = [min(run.values()) for run in runs.values()]
        text = f"{arm}: mean {mean(means):+.1%}, worst task {mean(worst):+.1%} ({len(runs)} seeds)"
        title = f"{problem} {net}, {rate} of the filters"
        lines[title] = f"{lines[title]}; {text}" if title in lines else text
        searched = every.get((problem, net, rate, "many_objective"), {})
        seeds = sorted(searched.keys() & runs.keys())
        if arm != "many_objective" and len(seeds) > 1:
            gains = [100 * (mean(searched[seed].values()) - mean(runs[seed].values())) for seed in seeds]
            lines[f"{title}, the search against {arm}, mean task, percent"] = paired(gains)
    return lines


if __name__ == "__main__":
    arms = ("bytes", "quality", "mean", "worst", "lost at first", "picked by")
    Benchmark(
        "sharing",
        CELLS,
        quick=("speed", "headline", "search", "enumeration"),
        columns={
            "speed": ("seconds", "judged", "found", "hypervolume", "MiB more", "MiB of filters"),
            "search": ("seeds alone", "seeded", "unseeded", "random"),
            "enumeration": ("candidates", "front", "found", "judged"),
            **dict.fromkeys(("headline", "rates", "digits", *FULL_PARTS), arms),
        },
        summary=summary,
    ).main()
