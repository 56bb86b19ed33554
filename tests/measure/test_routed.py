"""Models that run one task per call cost what the same layers cost in one that answers all at once."""

import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.measure import measure_latency
from niwaki.modules import unwrap

TASKS = ("near", "far", "edges")


class Shared(nn.Module):
    """A trunk, a branch that near and far use, a norm of its own for each task, and heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.branch = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norms = nn.ModuleDict({task: nn.BatchNorm2d(16) for task in TASKS})
        self.heads = nn.ModuleDict({task: nn.Conv2d(16, 2, 1) for task in TASKS})

    def answer(self, x: Tensor, task: str) -> Tensor:
        features = torch.relu(self.trunk(x))
        features = features if task == "edges" else torch.relu(self.branch(features))
        found: Tensor = self.heads[task](self.norms[task](features))
        return found


class Routed(Shared):
    def forward(self, x: Tensor, task: str) -> dict[str, Tensor]:
        return {task: self.answer(x, task)}


class AtOnce(Shared):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = torch.relu(self.trunk(x))
        branch = torch.relu(self.branch(features))
        parts = {"near": branch, "far": branch, "edges": features}
        return {task: self.heads[task](self.norms[task](each)) for task, each in parts.items()}


@pytest.fixture
def pair() -> tuple[Routed, AtOnce]:
    torch.manual_seed(0)
    routed, at_once = Routed(), AtOnce()
    at_once.load_state_dict(routed.state_dict())
    return routed, at_once


def paths(size: int = 8) -> list[nw.Example]:
    return [nw.Example(torch.rand(1, 3, size, size), task=task) for task in TASKS]


def test_parts_hold_the_same_weights_and_each_call_its_work(pair: tuple[Routed, AtOnce]) -> None:
    calls, once = (
        nw.measure(model, example) for model, example in zip(pair, (paths(), paths()[0].args[0]), strict=True)
    )
    pixels, trunk, branch, head = 64, 3 * 16 * 9, 16 * 16 * 9, 16 * 2
    for cost in (calls, once):
        assert (cost.whole.params, cost.trunk.params) == (sum(each.numel() for each in pair[0].parameters()), trunk)
        assert {name: each.params for name, each in cost.branches.items()} == {"near+far": branch}
        assert {name: each.params for name, each in cost.heads.items()} == dict.fromkeys(TASKS, 2 * 16 + head + 2)
        alone = {"near": trunk + branch + head, "far": trunk + branch + head, "edges": trunk + head}
        assert {name: each.macs for name, each in cost.per_task.items()} == {t: n * pixels for t, n in alone.items()}
    assert once.whole.macs == (trunk + branch + 3 * head) * pixels
    assert calls.whole.macs == sum(each.macs for each in calls.per_task.values())
    assert (calls.trunk.macs, calls.branches["near+far"].macs) == (3 * trunk * pixels, 2 * branch * pixels)


def test_calls_of_other_sizes_are_counted_at_their_own(pair: tuple[Routed, AtOnce]) -> None:
    small, large = paths(8), paths(16)
    mixed = nw.measure(pair[0], [small[0], large[1], small[2]])
    assert mixed.per_task["far"].macs == 4 * mixed.per_task["near"].macs


def test_the_same_channels_go_however_it_is_called(pair: tuple[Routed, AtOnce]) -> None:
    x = torch.rand(2, 3, 8, 8)
    routed = nw.prune(pair[0], paths(), tasks=TASKS, channels=0.5)
    at_once = nw.prune(pair[1], x, tasks=TASKS, channels=0.5)
    assert unwrap(routed).state_dict().keys() == at_once.state_dict().keys()
    for name, tensor in at_once.state_dict().items():
        assert torch.equal(routed.state_dict()[name], tensor), name
    assert at_once.get_parameter("trunk.weight").shape[0] == 8
    whole = at_once.eval()(x)
    for task in TASKS:
        torch.testing.assert_close(routed.eval()(x, task=task)[task], whole[task])


def test_routed_models_are_timed_in_every_runtime(pair: tuple[Routed, AtOnce]) -> None:
    latency = measure_latency({"dense": pair[0]}, paths(), rounds=2, warmup=1, tasks=TASKS)
    assert [each.runtime.split()[0] for each in latency.timings] == ["eager", "onnxruntime"]
    assert all(each.median_ms > 0 for each in latency.timings)
