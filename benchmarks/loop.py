"""What the loop costs against bare PyTorch, and what precision, layout, workers, compilation and memory give.

python benchmarks/loop.py --quick
"""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

import niwaki as nw
from harness import Benchmark, Cell
from niwaki.data import datasets
from niwaki.models import models
from niwaki.tasks import build_tasks
from niwaki.train import Silent, keep_freed_memory
from niwaki.train.engine import computes_bfloat16

OUTPUTS = {"segmentation": 13, "depth": 1, "normals": 3}
TASKS = build_tasks(({"kind": "segmentation", "classes": 13}, {"kind": "depth"}, {"kind": "normals"}))
SIZE = (96, 128)
WARM = 3
"""Steps at the beginning of each run that don't count."""


@dataclass
class Clock(Silent):
    """Takes the time after every step: processor seconds of this process, and of the wall."""

    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def advance(self, count: int = 1, **values: float) -> None:  # noqa: ARG002 - the protocol's
        """Note the end of a step."""
        self.processor.append(time.process_time())
        self.wall.append(time.perf_counter())

    def begin(self, what: str, total: int | None, done: int = 0) -> None:  # noqa: ARG002 - the protocol's
        """Note the beginning."""
        self.advance()

    def steps(self, *, wall: bool = False) -> list[float]:
        """Return the milliseconds of each step that counts."""
        marks = self.wall if wall else self.processor
        return [1e3 * (after - before) for before, after in zip(marks[WARM:], marks[WARM + 1 :], strict=False)]


Variant = Callable[[Clock], None]


def interleaved(variants: dict[str, Variant], rounds: int, *, wall: bool = False) -> dict[str, list[float]]:
    """Run every variant once a round, and return the median step of each round in milliseconds."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            clock = Clock()
            run(clock)
            found[name].append(statistics.median(clock.steps(wall=wall)))
    return found


def ratio(found: dict[str, list[float]], over: str, under: str) -> tuple[float, list[float]]:
    """Return the median ratio of two variants over the rounds, and its smallest and largest."""
    pairs = [a / b for a, b in zip(found[over], found[under], strict=True)]
    return statistics.median(pairs), [min(pairs), max(pairs)]


def rooms(count: int, *, augment: bool = False) -> Any:
    """Open drawn rooms."""
    return datasets.get("rooms")(size=SIZE, train=count, val=1, test=0, augment={} if augment else None).open()


def stream(batch: int, steps: int) -> list[Any]:
    """Return batches that lie in memory."""
    data = rooms(batch * 4).train
    samples = [data[index] for index in range(len(data))]
    batches = [torch.utils.data.default_collate(samples[i : i + batch]) for i in range(0, len(samples), batch)]
    return [batches[step % len(batches)] for step in range(steps)]


def network(seed: int) -> torch.nn.Module:
    """Build the demo's network."""
    return models.get("resnet_unet")().build(OUTPUTS, seed=seed).train()


def bare(batches: Sequence[Any], seed: int, *, bfloat16: bool = False, channels_last: bool = False) -> Variant:
    """A loop as anybody would write it."""
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def run(clock: Clock) -> None:
        model = network(seed).to(memory_format=layout)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
        clock.advance()
        for x, targets in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                outputs = model(x.to(memory_format=layout))
            losses = nw.task_losses(TASKS, outputs, targets)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            clock.advance()

    return run


def fit(data: Any, seed: int, *, bfloat16: bool = False, **settings: Any) -> Variant:
    """The same steps in `niwaki.fit`."""
    precision = "bf16-mixed" if bfloat16 else "32-true"
    training = nw.Training(precision=precision, scheduler="constant", device="cpu", seed=seed, **settings)

    def run(clock: Clock) -> None:
        nw.fit(network(seed), TASKS, data, training=training, progress=clock)

    return run


def precision(batch: int, steps: int, rounds: int, seed: int) -> dict[str, Any]:
    """The loop against a bare one, in float32 and bfloat16, rows first and channels last."""
    torch.set_num_threads(1)
    batches = stream(batch, steps)
    variants: dict[str, Variant] = {}
    for half in (False, True) if computes_bfloat16("cpu") else (False,):
        for last in (False, True):
            name = f"{'bf16' if half else 'float32'}{' channels_last' if last else ''}"
            variants[f"bare {name}"] = bare(batches, seed, bfloat16=half, channels_last=last)
            variants[f"fit {name}"] = fit(batches, seed, steps=steps, bfloat16=half, channels_last=last)
    found = interleaved(variants, rounds)
    kinds = [name.removeprefix("bare ") for name in variants if name.startswith("bare")]
    ratios = [ratio(found, f"fit {kind}", f"bare {kind}") for kind in kinds]
    return {
        "kinds": ", ".join(kinds),
        "bare ms": [statistics.median(found[f"bare {kind}"]) for kind in kinds],
        "fit/bare": [median for median, _ in ratios],
        "lowest": [low for _, (low, _) in ratios],
        "highest": [high for _, (_, high) in ratios],
    }


def beside(batch: int, steps: int, rounds: int, seed: int) -> dict[str, Any]:
    """What the loop's own extras add to a step: an averaged copy, clipping, a balancer that learns."""
    torch.set_num_threads(1)
    batches, half = stream(batch, steps), computes_bfloat16("cpu")
    common = {"steps": steps, "bfloat16": half, "channels_last": True}
    variants = {
        "plain": fit(batches, seed, **common),
        "averaged copy": fit(batches, seed, ema=0.98, **common),
        "clipping": fit(batches, seed, clip_norm=1.0, **common),
    }
    found = interleaved(variants, rounds)
    figures: dict[str, Any] = {"plain ms": statistics.median(found["plain"])}
    for name in ("averaged copy", "clipping"):
        figures[name], figures[f"{name} spread"] = ratio(found, name, "plain")
    return figures


def workers(batch: int, steps: int, rounds: int, seed: int) -> dict[str, Any]:
    """Wall time of a step on augmented samples that are loaded in the loop, or by workers that stay."""
    torch.set_num_threads(1)
    data, half = rooms(batch * 8, augment=True).train, computes_bfloat16("cpu")
    common = {"steps": steps, "batch_size": batch, "bfloat16": half, "channels_last": True}
    variants = {f"{count} workers": fit(data, seed, num_workers=count, **common) for count in (0, 1, 2)}
    found = interleaved(variants, rounds, wall=True)
    figures: dict[str, Any] = {"in the loop ms": statistics.median(found["0 workers"])}
    for name in ("1 workers", "2 workers"):
        figures[name], figures[f"{name} spread"] = ratio(found, name, "0 workers")
    return figures


def compilation(batch: int, steps: int, seed: int) -> dict[str, Any]:
    """Seconds of the first compiled step, and a later step against an uncompiled one."""
    torch.set_num_threads(1)
    batches, half = stream(batch, steps), computes_bfloat16("cpu")
    clocks = {"eager": Clock(), "compiled": Clock()}
    for name, clock in clocks.items():
        common = {"steps": steps, "bfloat16": half, "channels_last": True}
        fit(batches, seed, compile=name == "compiled", **common)(clock)
    eager, compiled = (statistics.median(clock.steps()) for clock in clocks.values())
    wall = clocks["compiled"].wall
    return {"first step s": wall[1] - wall[0], "eager ms": eager, "compiled ms": compiled, "ratio": compiled / eager}


def memory(batch: int, steps: int, rounds: int, seed: int) -> dict[str, Any]:
    """A step in a process that gives freed memory back, and in one that keeps it."""
    context = multiprocessing.get_context("spawn")
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for _ in range(rounds):
        for keep, results in found.items():
            with ProcessPoolExecutor(1, context) as pool:
                results.append(pool.submit(_kept, batch, steps, seed, keep=keep).result())
    given, kept = ([ms for ms, _ in found[keep]] for keep in (False, True))
    pairs = [a / b for a, b in zip(kept, given, strict=True)]
    return {
        "given back ms": statistics.median(given),
        "kept ms": statistics.median(kept),
        "ratio": statistics.median(pairs),
        "spread": [min(pairs), max(pairs)],
        "faults given back": statistics.median(faults for _, faults in found[False]),
        "faults kept": statistics.median(faults for _, faults in found[True]),
    }


def _kept(batch: int, steps: int, seed: int, *, keep: bool) -> tuple[float, float]:
    """Return the milliseconds and page faults of a step, in a process of its own."""
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    batches = stream(batch, steps)
    clock = Clock()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    fit(batches, seed, steps=steps, bfloat16=computes_bfloat16("cpu"), channels_last=True)(clock)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return statistics.median(clock.steps()), faults / steps


CELLS = [
    cell
    for seed in range(3)
    for cell in (
        Cell("precision", {"batch": 16, "steps": 7, "rounds": 3, "seed": seed}, precision),
        Cell("beside", {"batch": 16, "steps": 7, "rounds": 3, "seed": seed}, beside),
        Cell("workers", {"batch": 16, "steps": 16, "rounds": 2, "seed": seed}, workers),
        Cell("memory", {"batch": 16, "steps": 7, "rounds": 2, "seed": seed}, memory),
        Cell("compilation", {"batch": 16, "steps": 12, "seed": seed}, compilation),
    )
]

COLUMNS = {
    "precision": ("kinds", "bare ms", "fit/bare", "lowest", "highest"),
    "beside": ("plain ms", "averaged copy", "averaged copy spread", "clipping", "clipping spread"),
    "workers": ("in the loop ms", "1 workers", "1 workers spread", "2 workers", "2 workers spread"),
    "memory": ("given back ms", "kept ms", "ratio", "spread", "faults given back", "faults kept"),
    "compilation": ("first step s", "eager ms", "compiled ms", "ratio"),
}

if __name__ == "__main__":
    Benchmark("loop", CELLS, quick=tuple(COLUMNS), columns=COLUMNS).main()
