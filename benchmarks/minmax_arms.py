"""What `minmax.py` trains: data sets with a network each, ways to weigh tasks, and ways to a sparse network.

Every network is trained from random weights, for as many optimizer steps as the dense one and in the same order of
samples. Where there is a GPU, networks have their full width and the paper's optimizers; on a CPU they are narrow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

import niwaki as nw
from harness import find_data
from niwaki.balance import Balancer, make_balancer
from niwaki.data import DataSettings, Splits, datasets
from niwaki.methods import Method, methods
from niwaki.models import DeepLab, ModelSettings, RoutedVGG, SegNetMTAN
from niwaki.tasks import Task, build_tasks
from niwaki.train import Fitted

__all__ = ["CONTROL", "ENGINES", "PROBLEMS", "SCALE", "WEIGHTINGS", "Problem", "opened", "train", "weighing"]

SCALE = "full" if torch.cuda.is_available() else "small"
CONTROL = "equal, normalised"
"""What MinMax is compared with: equal weights on the very losses that it sees."""

WEIGHTINGS: dict[str, dict[str, Any]] = {
    "equal": {"kind": "EW"},
    CONTROL: {"kind": "EW", "normalise": "initial"},
    "UW": {"kind": "UW"},
    "DWA": {"kind": "DWA"},
    "MinMax": {"kind": "MinMax"},
    "relative change": {"kind": "AdapMTL"},
}
"""How tasks are weighed. The last are the weights that belong to the method AdapMTL."""

ENGINES: dict[str, dict[str, Any]] = {
    "dst": {"kind": "dynamic_sparse"},
    "reweighted l1": {"kind": "reweighted_l1"},
    "RigL": {"kind": "dynamic_sparse", "preset": "rigl"},
    "SET": {"kind": "dynamic_sparse", "preset": "set"},
    "DiSparse": {"kind": "disparse"},
    "AdapMTL": {"kind": "adapmtl"},
    "SNIP": {"kind": "snip"},
    "magnitude": {"kind": "magnitude_pruning"},
}
"""How a network becomes sparse, every one with its own defaults."""


@dataclass(frozen=True)
class Problem:
    """A data set and the network that learns it.

    Attributes:
        data: Makes the data's settings; raises FileNotFoundError where the data is not there.
        model: The dense network.
        training: What the training is told beside its seed.
        gamma: MinMax's pull towards equal weights: a first guess, which the part `gammas` has still to judge.
        full: What differs at full scale.
    """

    data: Callable[[], DataSettings]
    model: ModelSettings
    training: dict[str, Any]
    gamma: float
    full: dict[str, Any]

    def at(self, scale: str) -> "Problem":
        """Return the problem at a scale: ``"small"`` or ``"full"``."""
        return replace(self, **self.full) if scale == "full" else self


def train(problem: str, scale: str, sparsity: float, engine: str, balance: Balancer, seed: int) -> Fitted:
    """Train one network.

    Args:
        problem: Name of the problem.
        scale: ``"small"`` or ``"full"``.
        sparsity: Share of the weights that go; 0 trains the dense network.
        engine: How it becomes sparse.
        balance: How tasks are weighed.
        seed: Seed of weights, samples and masks.
    """
    chosen = PROBLEMS[problem].at(scale)
    splits, tasks, outputs = opened(problem)
    training = nw.Training(seed=seed, **chosen.training)
    model = chosen.model.build(outputs, seed=seed)
    return nw.fit(
        model, tasks, splits.train, training=training, method=_method(engine, sparsity, seed), balance=balance
    )


def weighing(name: str, problem: str, scale: str, gamma: float | None = None) -> Balancer:
    """Return a new balancer; MinMax with the problem's gamma or another, AdapMTL's at its shares of the steps."""
    options = dict(WEIGHTINGS[name])
    if name == "MinMax":
        options["gamma"] = PROBLEMS[problem].at(scale).gamma if gamma is None else gamma
        options["beta"] = max(50.0, options["gamma"])  # monotone ascent
    if name == "relative change":
        steps = PROBLEMS[problem].at(scale).training["steps"]
        options |= {"window": steps // 40, "begin": steps // 4}  # the paper's 500 and 5000 in 20 000 steps
    return make_balancer(options)


@cache
def opened(problem: str) -> tuple[Splits[Any], tuple[Task, ...], dict[str, int]]:
    """Return a problem's data, its tasks, and what each head answers with."""
    splits = PROBLEMS[problem].at(SCALE).data().open()
    tasks = build_tasks(splits.tasks)
    widths = {"depth": 1, "normals": 3}
    told = zip(tasks, splits.tasks, strict=True)
    return splits, tasks, {task.name: each.get("classes") or widths[each["kind"]] for task, each in told}


def _method(engine: str, sparsity: float, seed: int) -> Method | None:
    if not sparsity:
        return None
    settings = {**ENGINES[engine], "density": 1 - sparsity, "seed": seed}
    return methods.get(settings["kind"])(**settings)


def _rooms(size: tuple[int, int]) -> Callable[[], DataSettings]:
    return lambda: datasets.get("rooms")(size=size, train=600, val=100, test=200)


def _nyuv2(size: tuple[int, int] | None) -> Callable[[], DataSettings]:
    return lambda: datasets.get("nyuv2")(root=find_data("nyuv2_replica"), size=size, val=0.15)


def _cifar() -> DataSettings:
    return datasets.get("cifar100")(root=find_data("cifar100_tiny"))


def _training(steps: int, batch: int, lr: float, **more: Any) -> dict[str, Any]:
    return {"steps": steps, "batch_size": batch, "lr": lr, "warmup": 0.05, "precision": "32-true", **more}


_NARROW = _training(1200, 16, 3e-3, channels_last=True, device="cpu")
_DEEPLAB = DeepLab(resnet=18, width=0.25, output_stride=8)
_MTAN = SegNetMTAN(width=0.125)
_WIDE = {"precision": "auto", "channels_last": True, "num_workers": 8}
_PAPER = {
    "deeplab": (DeepLab(resnet=50, output_stride=8), _training(20_000, 8, 0.1, optimizer="sgd", **_WIDE)),
    "segnet_mtan": (SegNetMTAN(), _training(40_000, 2, 1e-4, optimizer="adam", scheduler="constant", **_WIDE)),
    "cifar20": (RoutedVGG(), _training(14_000, 32, 0.1, optimizer="sgd", weight_decay=5e-4, **_WIDE)),
}


def _full(name: str, data: Callable[[], DataSettings] = _cifar) -> dict[str, Any]:
    model, training = _PAPER[name]
    return {"data": data, "model": model, "training": training}


PROBLEMS = {
    "rooms, deeplab": Problem(_rooms((48, 64)), _DEEPLAB, _NARROW, 1.0, _full("deeplab", _rooms((288, 384)))),
    "rooms, segnet_mtan": Problem(_rooms((48, 64)), _MTAN, _NARROW, 1.0, _full("segnet_mtan", _rooms((288, 384)))),
    "nyuv2_replica, deeplab": Problem(_nyuv2((48, 64)), _DEEPLAB, _NARROW, 1.0, _full("deeplab", _nyuv2(None))),
    "nyuv2_replica, segnet_mtan": Problem(_nyuv2((48, 64)), _MTAN, _NARROW, 1.0, _full("segnet_mtan", _nyuv2(None))),
    "cifar100_tiny, 20 tasks": Problem(
        _cifar,
        RoutedVGG(width=0.25),
        _training(500, 8, 3e-3, channels_last=True, device="cpu"),
        20.0,
        _full("cifar20"),
    ),
}
"""Stand-ins for the paper's data: drawn rooms and frames of a replica in NYUv2's form, pictures of Tiny ImageNet in
CIFAR-100's."""
