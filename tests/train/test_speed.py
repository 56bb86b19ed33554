"""What only changes the speed is at work where it was asked for, and changes nothing that is learned."""

import functools
import os
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from niwaki.methods import StructuredPruning
from niwaki.methods.base import Run
from niwaki.settings import Budget
from niwaki.tasks import Task
from niwaki.train import Training
from niwaki.train.engine import Engine
from niwaki.train.loader import DatasetBatches, open_batches
from niwaki.train.trainee import Trainee

TASKS = [f"task{index}" for index in range(10)]


class Routed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(4, 4)
        self.heads = nn.ModuleDict({task: nn.Linear(4, 2) for task in TASKS})

    def forward(self, x: Tensor, task: str) -> dict[str, Tensor]:
        return {task: self.heads[task](self.trunk(x))}


def test_a_routed_model_of_many_tasks_is_compiled_once_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    counter, original = CompileCounter(), torch.compile

    def counted(model: nn.Module, **_: Any) -> Any:
        return original(model, backend=counter)

    monkeypatch.setattr(torch, "compile", functools.wraps(original)(counted))
    model = Routed()
    forward = Engine("cpu", "32-true", compiles=True).wrap(model, compiled=True)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        for task in TASKS:
            assert torch.equal(forward(x, task=task)[task], model(x, task)[task])
    assert counter.frame_count == len(TASKS)


def test_channels_last_holds_for_weights_moments_and_average_also_after_a_cut(
    net: nn.Module, tasks: list[Task], squares: Any
) -> None:
    training = Training(epochs=1, channels_last=True, ema=0.9, precision="32-true", device="cpu")
    engine = Engine.of(training)
    method = StructuredPruning(budget=Budget(channels=0.5), round_to=1, begin=0.5)
    model, run = method.start(net, squares[0][0][None], tasks, steps=2)
    trainee = Trainee(model, run, engine, training)
    for _ in range(2):
        x = torch.stack([squares[index][0] for index in range(4)]).to(memory_format=torch.channels_last)
        sum(each.mean() for each in trainee.forward(x).values()).backward()
        trainee.optimizer.step()
        trainee.adopt(trainee.run.after_step(trainee.model, trainee.optimizer))
    assert trainee.model is not model
    assert trainee.average is not None
    weight = trainee.model.get_parameter("trunk.3.weight")
    states = trainee.optimizer.state[weight]
    assert weight.shape[:2] == (4, 4)
    for each in (weight, trainee.average.model.get_parameter("trunk.3.weight"), states["exp_avg"]):
        assert each.is_contiguous(memory_format=torch.channels_last)
    answer = trainee.forward(x)["depth"]
    plain = type(net)(4)
    plain.load_state_dict(trainee.model.state_dict())
    torch.testing.assert_close(plain.eval()(x.contiguous())["depth"], trainee.model.eval()(x)["depth"])
    assert answer.shape == (4, 1, 8, 8)


class Workers:
    """Samples that say which process loaded them."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.tensor([float(os.getpid())]), {"depth": torch.tensor([float(index)])}


def test_workers_stay_for_all_epochs() -> None:
    batches = open_batches(Workers(), Training(epochs=3, batch_size=2, num_workers=2), shuffle=True)
    assert isinstance(batches, DatasetBatches)
    seen = [{int(each) for x, _ in batches.iterate(epoch) for each in x} for epoch in range(3)]
    assert len(seen[0]) == 2
    assert seen[0] == seen[1] == seen[2]
    assert os.getpid() not in seen[0]


def test_a_model_without_a_method_is_left_in_its_layout(net: nn.Module) -> None:
    trainee = Trainee(net, Run(), Engine("cpu", "32-true"), Training(epochs=1))
    assert trainee.model.get_parameter("trunk.3.weight").is_contiguous()
