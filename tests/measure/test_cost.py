"""Costs against closed forms, torch's counter on the eager model, and the models of single tasks."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from niwaki.contract import Example
from niwaki.errors import ContractError
from niwaki.measure import measure, measure_latency
from niwaki.models import DeepLab, ModelSettings, ResNetUNet, SegNet
from niwaki.records import Cost, PartCost
from niwaki.tasks import Depth


class Branched(nn.Module):
    """A trunk for three tasks, a branch for two of them, and heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.shared = nn.Conv2d(8, 6, 1)
        self.a, self.b, self.c = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 3, 1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        two = self.shared(features)
        return {"a": self.a(two), "b": self.b(two), "c": self.c(features)}


class OneOf(nn.Module):
    """The same network for one task alone."""

    def __init__(self, whole: Branched, task: str) -> None:
        super().__init__()
        self.trunk, self.head = whole.trunk, whole.get_submodule(task)
        self.shared = whole.shared if task in "ab" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.shared(self.trunk(x)))
        return answer


class Routed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(4, 8)
        self.heads = nn.ModuleList([nn.Linear(8, 2), nn.Linear(8, 3)])

    def forward(self, x: Tensor, task: int) -> Tensor:
        answer: Tensor = self.heads[task](self.trunk(x))
        return answer


class Tied(nn.Module):
    """Two heads with one weight and a bias each, and a parameter nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(4, 5)
        self.b.weight = self.a.weight
        self.spare = nn.Parameter(torch.ones(7))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.a(x), self.b(x)


class Attends(nn.Module):
    """Products of two activations: multiply-accumulates without a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(4, 6, bias=False), nn.Linear(4, 6, bias=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores = self.q(x) @ self.k(x).transpose(1, 2)
        return {"a": scores.softmax(-1), "b": self.q(x) @ x.new_ones(6, 2)}


def _counted(model: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(model).eval()(x)
    return int(counter.get_total_flops()) // 2


def _rows(cost: Cost) -> list[PartCost]:
    return [cost.trunk, *cost.branches.values(), *cost.heads.values()]


def test_every_part_is_its_closed_form() -> None:
    cost = measure(Branched(), torch.zeros(2, 3, 5, 4))
    pixels = 2 * 5 * 4
    norm = 4 * 8 * 4 + 8  # scale, shift, mean, variance; and the count of batches
    trunk = 3 * 8 * 9
    assert cost.trunk == PartCost(params=trunk + 16, nonzeros=trunk + 8, macs=trunk * pixels, bytes=trunk * 4 + norm)
    assert list(cost.branches) == ["a+b"]
    assert (cost.branches["a+b"].params, cost.branches["a+b"].macs) == (8 * 6 + 6, 8 * 6 * pixels)
    assert {task: (part.params, part.macs) for task, part in cost.heads.items()} == {
        "a": (6 * 2 + 2, 6 * 2 * pixels),
        "b": (6 * 3 + 3, 6 * 3 * pixels),
        "c": (8 * 4 * 9 + 4, 8 * 4 * 9 * pixels),
    }
    assert cost.norms == PartCost(params=16, nonzeros=8, macs=0, bytes=norm)
    assert cost.uncounted == ("batch_norm",)


def test_whole_is_torchs_own_count_and_the_sum_of_the_parts() -> None:
    model, x = Branched(), torch.zeros(2, 3, 5, 4)
    cost = measure(model, x)
    assert cost.whole.macs == _counted(model, x)
    assert cost.whole.params == sum(p.numel() for p in model.parameters())
    assert cost.whole.bytes == sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert cost.whole == sum(_rows(cost)[1:], start=cost.trunk)


@pytest.mark.parametrize("task", ["a", "b", "c"])
def test_what_a_task_alone_would_need_is_the_cost_of_its_own_network(task: str) -> None:
    model, x = Branched(), torch.zeros(2, 3, 5, 4)
    assert measure(model, x).per_task[task] == measure(OneOf(model, task), x).whole


def test_zeros_are_seen_and_frozen_parameters_count() -> None:
    model = Branched().requires_grad_(requires_grad=False)
    before = measure(model, torch.zeros(1, 3, 4, 4))
    model.c.weight[:, ::2] = 0
    after = measure(model, torch.zeros(1, 3, 4, 4))
    assert after.heads["c"].nonzeros == before.heads["c"].nonzeros - 4 * 4 * 9
    assert after.whole.params == before.whole.params
    assert after.trunk == before.trunk


def test_paths_add_up_and_share_their_trunk() -> None:
    x = torch.zeros(3, 4)
    cost = measure(Routed(), [Example(x, task=0), Example(x, task=1)], tasks=["first", "second"])
    assert cost.whole.macs == 3 * (4 * 8 + 8 * 2 + 4 * 8 + 8 * 3)
    assert (cost.trunk.params, cost.trunk.macs) == (4 * 8 + 8, 3 * 2 * 4 * 8)
    assert {task: part.macs for task, part in cost.heads.items()} == {"first": 3 * 8 * 2, "second": 3 * 8 * 3}
    assert cost.per_task["first"].macs == 3 * (4 * 8 + 8 * 2)


def test_a_tied_weight_counts_once_and_what_nothing_reads_is_in_the_whole_alone() -> None:
    cost = measure(Tied(), torch.zeros(1, 4), tasks=["a", "b"])
    assert cost.whole.params == 4 * 5 + 5 + 5 + 7
    assert cost.whole.macs == 2 * 4 * 5
    assert (cost.trunk.params, cost.trunk.macs) == (4 * 5, 2 * 4 * 5)
    assert {task: part.params for task, part in cost.heads.items()} == {"a": 5, "b": 5}


def test_products_of_activations_belong_to_the_tasks_they_serve() -> None:
    cost = measure(Attends(), torch.zeros(1, 7, 4))
    assert cost.heads["a"].macs == 7 * 7 * 6 + 7 * 4 * 6  # the scores, and the keys
    assert cost.heads["b"].macs == 7 * 6 * 2
    assert cost.heads["b"].params == 0
    assert cost.whole.macs == _counted(Attends(), torch.zeros(1, 7, 4))


def test_one_task_is_one_part() -> None:
    cost = measure(nn.Linear(3, 2), torch.zeros(5, 3), tasks=["depth"])
    assert sum(row.params for row in _rows(cost)) == cost.whole.params == 8
    assert sum(row.macs for row in _rows(cost)) == cost.whole.macs == 5 * 6
    assert cost.per_task["depth"] == cost.whole


def test_dtypes_count_with_their_width_and_unsaved_buffers_not_at_all() -> None:
    model = nn.Linear(4, 4, bias=False).double()
    model.register_buffer("scratch", torch.zeros(100), persistent=False)
    assert measure(model, torch.zeros(1, 4, dtype=torch.float64)).whole.bytes == 16 * 8


def test_the_model_is_left_as_it_was() -> None:
    model = Branched()
    model.trunk.eval()
    modes, random = [module.training for module in model.modules()], torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model, torch.ones(2, 3, 4, 4))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "settings",
    [ResNetUNet(width=0.25), SegNet(width=0.125), SegNet(width=0.125, decoder="shared"), DeepLab(width=0.125)],
    ids=["resnet_unet", "segnet", "segnet_shared", "deeplab"],
)
def test_ready_networks_cost_what_torch_counts(settings: ModelSettings) -> None:
    tasks = {"segmentation": 13, "depth": 1, "normals": 3}
    model, x = settings.build(tasks), torch.rand(2, 3, 64, 64)
    cost = measure(model, x)
    assert cost.whole.macs == _counted(model, x)
    assert cost.whole == sum(_rows(cost)[1:], start=cost.trunk)
    assert set(cost.heads) == set(tasks)
    heads = {task: sum(p.numel() for p in model.get_submodule(f"heads.{task}").parameters()) for task in tasks}
    assert {task: part.params for task, part in cost.heads.items()} == heads


def test_tasks_stand_for_their_names() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1))

    x = torch.zeros(1, 3, 4, 4)
    assert measure(net(), x, tasks=[Depth()]) == measure(net(), x, tasks=["depth"])
    latency = measure_latency({"net": net()}, x, rounds=1, warmup=1, tasks=[Depth()])
    assert {each.model for each in latency.timings} == {"net"}


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ContractError, match="got function"):
        measure(lambda x: x, torch.zeros(1))  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ContractError, match=r"write tasks=\['depth'\]"):
        measure(nn.Linear(1, 1), torch.zeros(1), tasks="depth")
