"""What `overparam.py` trains: compact networks on several data sets, plainly and in every expanded form.

Every network begins with the same random weights for one seed, and sees the samples in the same order. Where there is a
GPU the pictures are larger and the trainings longer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import torch
from torch import nn

import niwaki as nw
from harness import find_data
from niwaki.data import DataSettings, Splits, datasets
from niwaki.methods import DOConv, ExpandNet, Method, Overparam, RepVGG
from niwaki.models import ModelSettings, ResNetUNet, SegNet
from niwaki.tasks import Task, build_tasks

__all__ = ["ARMS", "DATA", "FASTER", "NETWORKS", "SCALE", "STEPS", "build", "opened", "steps_in_the_time_of", "train"]

SCALE = "full" if torch.cuda.is_available() else "small"

ARMS: dict[str, Method | None] = {
    "plain": None,
    "Overparam": Overparam(),
    "one scale": Overparam(scales="shared"),
    "one scale, gradients of equal length": Overparam(scales="normalised"),
    "Overparam, joint": Overparam(alternate="joint"),
    "one scale, joint": Overparam(scales="shared", alternate="joint"),
    "mean": Overparam(combine="mean"),
    "anneal": Overparam(combine="anneal"),
    "per task": Overparam(combine="per_task"),
    "RepVGG": RepVGG(),
    "DO-Conv": DOConv(),
    "ExpandNet": ExpandNet(),
}
"""How a network trains. With ``one scale`` in place of one for each task, or with gradients of equal length, Adam alone
and normalisation alone can be told from what the tasks' own scales do. ``per task`` is T networks in the end."""

FASTER = {
    f"{arm}, {times} the learning rate": (arm, factor)
    for arm in ("plain", "Overparam, joint", "ExpandNet")
    for times, factor in (("twice", 2.0), ("four times", 4.0), ("eight times", 8.0))
}
"""Trainings that tell whether an expanded network merely learns as a plain one does at a larger learning rate."""

NETWORKS: dict[str, Callable[..., ModelSettings]] = {
    "resnet, 1 block": lambda **more: ResNetUNet(width=0.25, depth=1, **more),
    "resnet, 2 blocks": lambda **more: ResNetUNet(width=0.25, depth=2, **more),
    "segnet, narrow": lambda **more: SegNet(width=0.0625, decoder="shared", **more),
    "segnet, wide": lambda **more: SegNet(width=0.125, decoder="shared", **more),
}

STEPS = {"small": 1000, "full": 6000}


@dataclass(frozen=True)
class Source:
    """A data set, and what a network needs to know of it.

    Attributes:
        data: Makes the data's settings; raises FileNotFoundError where the data is not there.
        batch: Samples in a batch.
        network: Settings that every network is given for it.
    """

    data: Callable[[], DataSettings]
    batch: int
    network: dict[str, Any]


_SIZE = (48, 64) if SCALE == "small" else (96, 128)
_PAIRS = 6400 if SCALE == "small" else 50_000


def _digits() -> DataSettings:
    root = find_data("mnist").parent
    return datasets.get("two_digits")(root=root, left="mnist", right="fashion_mnist", train=_PAIRS, val=500, test=2000)


DATA = {
    "rooms": Source(lambda: datasets.get("rooms")(size=_SIZE, train=600, val=100, test=200), 16, {}),
    "nyuv2_replica": Source(
        lambda: datasets.get("nyuv2")(root=find_data("nyuv2_replica"), size=_SIZE, val=0.15), 16, {}
    ),
    "two digits": Source(_digits, 32, {"in_channels": 1, "pooled": ("left", "right")}),
}
"""Stand-ins for the paper's data: drawn rooms, frames of a replica in NYUv2's form, and a digit beside a garment."""


@cache
def opened(data: str) -> tuple[Splits[Any], tuple[Task, ...], dict[str, int]]:
    """Return a data set, its tasks, and what each head answers with."""
    splits = DATA[data].data().open()
    tasks = build_tasks(splits.tasks)
    widths = {"depth": 1, "normals": 3}
    told = zip(tasks, splits.tasks, strict=True)
    return splits, tasks, {task.name: each.get("classes") or widths[each["kind"]] for task, each in told}


def build(data: str, network: str, seed: int, tasks: tuple[str, ...] | None = None) -> nn.Module:
    """Build a network with random weights, for all tasks or for some."""
    _, every, outputs = opened(data)
    names = tasks or tuple(task.name for task in every)
    more = dict(DATA[data].network)
    if "pooled" in more:
        more["pooled"] = tuple(name for name in more["pooled"] if name in names)
    return NETWORKS[network](**more).build({name: outputs[name] for name in names}, seed=seed)


def train(data: str, network: str, arm: str, seed: int, *, steps: int, task: str | None = None) -> Any:
    """Train one network for all tasks, or for one alone.

    Args:
        data: Name of the data set.
        network: Name of the network.
        arm: How it trains.
        seed: Seed of weights and samples.
        steps: Optimizer steps.
        task: The only task, or None for all.

    Returns:
        What `niwaki.fit` returns.
    """
    splits, tasks, _ = opened(data)
    form, factor = FASTER.get(arm, (arm, 1.0))
    chosen = tuple(each for each in tasks if task in {None, each.name})
    training = nw.Training(
        steps=steps,
        batch_size=DATA[data].batch,
        lr=3e-3 * factor,
        warmup=0.05,
        seed=seed,
        channels_last=True,
        precision="32-true" if SCALE == "small" else "auto",
        device="cpu" if SCALE == "small" else "cuda",
        num_workers=0 if SCALE == "small" else 8,
    )
    model = build(data, network, seed, None if task is None else (task,))
    return nw.fit(model, chosen, splits.train, training=training, method=ARMS.get(form))


def steps_in_the_time_of(data: str, network: str, arm: str, steps: int, seed: int) -> int:
    """Return how many plain steps take as long as some steps of an arm, from turns of both that are timed in turn."""
    spent: dict[str, list[float]] = {"plain": [], arm: []}
    for _ in range(5):
        for each, found in spent.items():
            began = time.process_time()
            train(data, network, each, seed, steps=2)
            short = time.process_time() - began
            began = time.process_time()
            train(data, network, each, seed, steps=42)
            found.append(time.process_time() - began - short)
    return round(steps * median(spent[arm]) / median(spent["plain"]))
