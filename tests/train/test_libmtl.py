"""A model, tasks and loaders in LibMTL's form go through the whole work: one input for all tasks, or one for each."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

import niwaki as nw

KINDS = {"colour": 4, "shape": 6}
X = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(9))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer.mean((2, 3))


class HardSharing(nn.Module):
    """What LibMTL's trainer builds of an encoder class and decoders: attributes, and the arguments of the forward."""

    def __init__(self, task_name: list[str], encoder_class: type[nn.Module], decoders: nn.ModuleDict) -> None:
        super().__init__()
        self.task_name = task_name
        self.encoder = encoder_class()
        self.decoders = decoders

    def forward(self, inputs: Tensor, task_name: str | None = None) -> dict[str, Tensor]:
        features = self.encoder(inputs)
        return {task: self.decoders[task](features) for task in self.task_name if task_name in (None, task)}


class CrossEntropy:
    def compute_loss(self, pred: Tensor, gt: Tensor) -> Tensor:
        return F.cross_entropy(pred, gt)


class Accuracy:
    def __init__(self) -> None:
        self.reinit()

    def reinit(self) -> None:
        self.record: list[int] = []
        self.bs: list[int] = []

    def update_fun(self, pred: Tensor, gt: Tensor) -> None:
        self.record.append(int((pred.argmax(-1) == gt).sum()))
        self.bs.append(len(gt))

    def score_fun(self) -> list[float]:
        return [sum(self.record) / sum(self.bs)]


def build() -> HardSharing:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        decoders = nn.ModuleDict({task: nn.Linear(16, classes) for task, classes in KINDS.items()})
        return HardSharing(list(KINDS), Encoder, decoders)


def tasks() -> tuple[nw.Task, ...]:
    entry = {"metrics": ["Acc"], "weight": [1]}
    return nw.tasks_from_libmtl(
        {task: {**entry, "metrics_fn": Accuracy(), "loss_fn": CrossEntropy()} for task in KINDS}
    )


def pictures(task: str) -> DataLoader[Any]:
    """LibMTL's loaders of several inputs: the label is a tensor, not a dict."""
    draw = torch.Generator().manual_seed(KINDS[task])
    samples = [(torch.randn(3, 12, 12, generator=draw), index % KINDS[task]) for index in range(12)]
    return DataLoader(samples, batch_size=4)  # type: ignore[arg-type]  # a list is a data set


def together() -> list[Any]:
    draw = torch.Generator().manual_seed(1)
    labels = {task: torch.arange(4) % classes for task, classes in KINDS.items()}
    return [(torch.randn(4, 3, 12, 12, generator=draw), labels) for _ in range(3)]


@pytest.mark.parametrize("multi_input", [False, True])
def test_the_whole_work(multi_input: bool, tmp_path: Path) -> None:
    data = {task: pictures(task) for task in KINDS} if multi_input else together()
    result = nw.compress(
        build(),
        tasks(),
        data,
        data,
        method=nw.StructuredPruning(budget=nw.Budget(channels=0.5)),
        training=nw.Training(epochs=1, precision="32-true"),
    )
    assert set(result.record.quality["small"]) == set(KINDS)
    assert result.record.directions["colour"] == {"Acc": "higher"}
    small = result.model.eval()
    assert small.get_parameter("encoder.layers.0.weight").shape[0] == 8
    nw.save(small, tmp_path / "small.safetensors")
    again = nw.load(build(), tmp_path / "small.safetensors").eval()
    for task in KINDS:
        assert torch.equal(again(X, task_name=task)[task], small(X)[task])


def test_every_input_goes_to_its_own_decoder() -> None:
    model = build().eval()
    quality = nw.evaluate(model, tasks(), {task: pictures(task) for task in KINDS})
    for task in KINDS:
        with torch.no_grad():
            right = sum(int((model(x, task)[task].argmax(-1) == y).sum()) for x, y in pictures(task))
        assert quality[task]["Acc"] == pytest.approx(right / 12)
