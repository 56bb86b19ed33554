"""The foundation's figures: how fast a large network is cut, trained, fed and run.

python benchmarks/foundation.py --quick
"""

import gc
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import niwaki as nw
from harness import Benchmark, Cell
from niwaki.data import datasets
from niwaki.graph import find_channels, trace
from niwaki.measure import measure_latency, time_models
from niwaki.models import models
from niwaki.surgery import cut
from niwaki.tasks import build_tasks
from niwaki.train.engine import computes_bfloat16

OUTPUTS = {"segmentation": 13, "depth": 1, "normals": 3}
TASKS = ({"kind": "segmentation", "classes": 13}, {"kind": "depth"}, {"kind": "normals"})
LARGE = (288, 384)


def build(network: str) -> torch.nn.Module:
    """Build ``deeplab-50`` or another network by name, with three heads."""
    kind, _, variant = network.partition("-")
    settings = {"resnet": int(variant)} if kind == "deeplab" else {}
    return models.get(kind)(**settings).build(OUTPUTS)


def surgery(network: str) -> dict[str, Any]:
    """Seconds of each step from a model to a smaller one, and memory above that of the model itself."""
    model, example = build(network), torch.randn(1, 3, *LARGE)
    with torch.no_grad():
        model.eval()(example)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    marks = [time.perf_counter()]
    traced = trace(model, example)
    marks.append(time.perf_counter())
    channels = find_channels(traced)
    marks.append(time.perf_counter())
    plan = nw.plan(model, example, macs=0.5)
    marks.append(time.perf_counter())
    small = cut(model, plan, channels=channels)
    marks.append(time.perf_counter())
    began = time.perf_counter()
    nw.prune(model, example, macs=0.5)
    whole = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps = [after - first for first, after in pairwise(marks)]
    return {
        **dict(zip(("export s", "groups s", "plan s", "cut + proof s"), steps, strict=True)),
        "prune, all told s": whole,
        "memory GiB": (peak - before) / 2**20,
        "MACs that stay": plan.reached["macs"],
        "params": sum(each.numel() for each in small.parameters()),
    }


def throughput(batch: int, steps: int, seed: int) -> dict[str, Any]:
    """Samples per second of the loop and of a bare PyTorch loop, interleaved; the same model, data and order."""
    data = datasets.get("rooms")(train=batch * 8, val=1, test=0).open()
    tasks = build_tasks(TASKS)
    samples = [data.train[index] for index in range(batch * 8)]
    batches = [torch.utils.data.default_collate(samples[i : i + batch]) for i in range(0, len(samples), batch)]
    stream = [batches[step % len(batches)] for step in range(steps)]
    loops: dict[str, Callable[[], float]] = {
        "bare": lambda: bare_loop(stream, tasks, seed),
        "fit": lambda: fit_loop(stream, tasks, seed),
    }
    rates: dict[str, list[float]] = {"bare": [], "fit": []}
    for _ in range(4):
        for name, loop in loops.items():
            rates[name].append(batch * steps / loop())
    pairs = [fit / bare for fit, bare in zip(rates["fit"][1:], rates["bare"][1:], strict=True)]
    return {
        "bare samples/s": statistics.median(rates["bare"][1:]),
        "fit samples/s": statistics.median(rates["fit"][1:]),
        "ratio": statistics.median(pairs),
        "ratios": pairs,
    }


def bare_loop(stream: list[Any], tasks: Any, seed: int) -> float:
    """Return the seconds of a loop as anybody would write it."""
    model = models.get("resnet_unet")().build(OUTPUTS, seed=seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    began = time.perf_counter()
    for x, targets in stream:
        losses = nw.task_losses(tasks, model(x), targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return time.perf_counter() - began


def fit_loop(stream: list[Any], tasks: Any, seed: int) -> float:
    """Return the seconds of the same steps in `niwaki.fit`."""
    model = models.get("resnet_unet")().build(OUTPUTS, seed=seed)
    training = nw.Training(steps=len(stream), precision="32-true", scheduler="constant", seed=seed)
    began = time.perf_counter()
    nw.fit(model, tasks, stream, training=training)
    return time.perf_counter() - began


def rooms(size: tuple[int, int], count: int) -> dict[str, Any]:
    """Samples per second drawn in one process and read from the cache, and those the demo's training takes."""
    drawn, cached = [], []
    for seed in range(3):
        settings = {"size": size, "train": count, "val": 1, "test": 0, "seed": seed}
        drawn.append(_samples_per_second(datasets.get("rooms")(**settings, cache=False).open().train))
        cached.append(_samples_per_second(datasets.get("rooms")(**settings).open().train))
    model = models.get("resnet_unet")().build(OUTPUTS).train()
    x = torch.randn(16, 3, *size)
    times = []
    for _ in range(6):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_bfloat16("cpu")):
            loss = sum(each.mean() for each in model(x).values())
        loss.backward()
        times.append(time.perf_counter() - began)
    taken = 16 / statistics.median(times[2:])
    return {
        "drawn/s": statistics.median(drawn),
        "drawn/s by seed": drawn,
        "cached/s": statistics.median(cached),
        "taken/s": taken,
        "drawn over taken": statistics.median(drawn) / taken,
        "cached over taken": statistics.median(cached) / taken,
    }


def _samples_per_second(split: Any) -> float:
    began = time.perf_counter()
    for index in range(len(split)):
        split[index]
    return len(split) / (time.perf_counter() - began)


def networks(network: str, macs: float, rounds: int) -> dict[str, Any]:
    """The whole way of a network at full width: cut with its proof, export compared with the model, both timed."""
    model, example = build(network).eval(), torch.randn(1, 3, *LARGE)
    began = time.perf_counter()
    small = nw.prune(model, example, macs=macs)
    cut_s = time.perf_counter() - began
    before, after = (nw.measure(each, example).whole.macs for each in (model, small))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = nw.export(small, example, Path(folder) / "small.onnx")
        export_s = time.perf_counter() - began
        nw.export(model, example, Path(folder) / "dense.onnx", check=False)
        files = {name: Path(folder) / f"{name}.onnx" for name in ("dense", "small")}
        found = measure_latency(files, example, runtimes=("onnxruntime",), threads=1, rounds=rounds)
    dense_ms, small_ms = (found.of(name, "onnxruntime") for name in files)
    assert dense_ms is not None
    assert small_ms is not None
    return {
        "MACs that stay": after / before,
        "prune s": cut_s,
        "export s": export_s,
        "inputs that count": f"{result.counted} of {result.tried}",
        "largest difference": result.max_difference,
        "dense ms": dense_ms.median_ms,
        "small ms": small_ms.median_ms,
        "gain": found.gain("dense", "small", "onnxruntime"),
        "warnings": "; ".join(found.warnings),
    }


def latency(network: str, size: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Gain in ONNX Runtime over the gain in MACs, at half the channels of every layer, rounded to multiples of 8."""
    model, example = build(network).eval(), torch.randn(1, 3, *size)
    small = nw.prune(model, example, channels=0.5)
    before, after = (nw.measure(each, example).whole.macs for each in (model, small))
    found = time_models(
        {"dense": model, "small": small}, example, runtimes=("onnxruntime",), threads=1, rounds=rounds, warmup=3
    )
    gains = found.gains("dense", "small", "onnxruntime")
    gain = statistics.median(gains)
    quartiles = statistics.quantiles(gains, n=4)
    return {
        "MAC gain": before / after,
        "latency gain": gain,
        "quartiles": [quartiles[0], quartiles[2]],
        "latency over MACs": gain / (before / after),
    }


CELLS = [
    *(Cell("surgery", {"network": network}, surgery) for network in ("deeplab-50", "segnet")),
    *(Cell("throughput", {"batch": 16, "steps": 16, "seed": seed}, throughput) for seed in range(3)),
    Cell("rooms", {"size": [96, 128], "count": 200}, rooms),
    *(
        Cell("networks", {"network": network, "macs": 0.5, "rounds": 10}, networks)
        for network in ("deeplab-50", "segnet")
    ),
    Cell("latency", {"network": "deeplab-50", "size": list(LARGE), "rounds": 20}, latency),
    Cell("latency", {"network": "deeplab-34", "size": list(LARGE), "rounds": 20}, latency),
    Cell("latency", {"network": "resnet_unet", "size": [96, 128], "rounds": 60}, latency),
    Cell("latency", {"network": "segnet", "size": list(LARGE), "rounds": 8}, latency),
]

COLUMNS = {
    "surgery": ("export s", "groups s", "plan s", "cut + proof s", "prune, all told s", "memory GiB", "MACs that stay"),
    "throughput": ("bare samples/s", "fit samples/s", "ratio", "ratios"),
    "rooms": ("drawn/s", "drawn/s by seed", "cached/s", "taken/s", "drawn over taken", "cached over taken"),
    "networks": (
        "MACs that stay",
        "prune s",
        "export s",
        "inputs that count",
        "largest difference",
        "dense ms",
        "small ms",
        "gain",
    ),
    "latency": ("MAC gain", "latency gain", "quartiles", "latency over MACs"),
}

if __name__ == "__main__":
    Benchmark("foundation", CELLS, quick=tuple(COLUMNS), columns=COLUMNS).main()
