"""Which convolutions may share: matched by their programs, whatever they are called."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from niwaki import Example
from niwaki.errors import ContractError
from niwaki.graph import trace
from niwaki.methods.share.layers import Reach, find_layers
from niwaki.methods.share.stacking import matched_cosine, stack_layer
from niwaki.models import TaskNets


def names(model: nn.Module, scope: dict[str, Reach] | None = None) -> list[list[str]]:
    traced = trace(model, torch.zeros(1, 3, 12, 12))
    return [[each.module for each in layer.members] for layer in find_layers(model, traced, scope)]


class Named(nn.Module):
    """The convolutions of another network in other attributes, one of them more."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(8, 2)
        self.late = nn.ModuleList([nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)])
        self.early = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.early(x))
        for conv in self.late:
            x = torch.relu(conv(x))
        answer: Tensor = self.out(x.mean((2, 3)))
        return answer


def chain() -> nn.Sequential:
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), *pooled)


def test_layers_meet_in_the_order_of_the_programs_and_not_by_name() -> None:
    nets = TaskNets({"a": chain(), "b": Named(), "c": chain()})
    assert names(nets) == [
        ["nets.a.0", "nets.b.early", "nets.c.0"],
        ["nets.a.2", "nets.b.late.0", "nets.c.2"],
        ["nets.b.late.1"],
    ]


def test_routed_examples_are_the_same() -> None:
    from niwaki import Example

    nets, x = TaskNets({"a": chain(), "b": Named()}), torch.zeros(1, 3, 12, 12)
    traced = trace(nets, [Example(x, task="a"), Example(x, task="b")])
    assert [each.tasks for each in find_layers(nets, traced)[0].members] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        ({"nets.b": "none"}, [["nets.a.0"], ["nets.a.2"]]),
        ({"*.0": "inner"}, [["nets.a.0"], ["nets.a.2", "nets.b.2"], ["nets.b.0"]]),
        ({"nets.a.0": "all", "*.0": "none"}, [["nets.a.0"], ["nets.a.2", "nets.b.2"]]),
    ],
)
def test_a_scope_says_how_far_filters_are_shared(scope: dict[str, Reach], wanted: list[list[str]]) -> None:
    assert names(TaskNets({"a": chain(), "b": chain()}), scope) == wanted


def test_a_scope_for_nothing_is_refused() -> None:
    with pytest.raises(ContractError, match="scope: 'nets.a.1x' fits no module of the model; did you mean"):
        names(TaskNets({"a": chain()}), {"nets.a.1x": "none"})


class Standard(nn.Conv2d):
    """A class of its own, which may compute its weight."""


def tied() -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1))
    net[2].weight = net[1].weight
    return net


ODD: dict[str, tuple[Callable[[], nn.Module], list[list[str]]]] = {
    "last": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1), nn.Upsample(scale_factor=2)), [["0"]]),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1)), [["0"]]),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 2, 1)), [["0"]]),
    "transposed": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 8, 3), nn.Conv2d(8, 2, 1)), [["0"]]),
    "other class": (lambda: nn.Sequential(Standard(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1)), [["1"]]),
    "computed": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1)),
        [["1"]],
    ),
    "tied": (tied, [["0"]]),
    "only linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, 8), nn.Linear(8, 2)), []),
}


@pytest.mark.parametrize("name", ODD)
def test_layers_that_are_left_alone(name: str) -> None:
    build, wanted = ODD[name]
    assert names(build()) == wanted


def test_a_trunk_that_networks_hold_together_is_one_member() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    nets = TaskNets({task: nn.Sequential(trunk, nn.ReLU(), nn.Conv2d(8, 2, 1)) for task in "ab"})
    layers = find_layers(nets, trace(nets, torch.zeros(1, 3, 12, 12)))
    assert [[(each.module, each.tasks) for each in layer.members] for layer in layers] == [
        [("nets.a.0.0", ("a", "b"))],
        [("nets.a.0.2", ("a", "b"))],
    ]


def test_lost_inputs_are_zeros_in_a_stack() -> None:
    nets = TaskNets({"a": chain(), "b": chain()})
    layer = find_layers(nets, trace(nets, torch.zeros(1, 3, 12, 12)))[1]
    narrow: Any = nets.nets["b"]
    whole = stack_layer(nets, layer, {})
    narrow[2] = nn.Conv2d(3, 8, 3)
    stack = stack_layer(nets, layer, {"nets.b.2": (0, 4, 7)}, "l2")
    second = stack.filters[8:].reshape(8, 8, 3, 3)
    assert torch.equal(stack.filters[:8], whole.filters[:8])
    assert torch.equal(second[:, [0, 4, 7]], narrow[2].weight)
    assert not second[:, [1, 2, 3, 5, 6]].any()
    torch.testing.assert_close(stack.importance[8:], narrow[2].weight.detach().flatten(1).norm(dim=1))


def test_doubles_stay_doubles() -> None:
    net = chain().double()
    layer = find_layers(net, trace(net, torch.zeros(1, 3, 12, 12, dtype=torch.float64)))[0]
    assert stack_layer(net, layer, {}).filters.dtype == torch.float64


def test_one_network_has_no_common_start_to_measure() -> None:
    net = chain()
    layers = find_layers(net, trace(net, torch.zeros(1, 3, 12, 12)))
    assert matched_cosine([stack_layer(net, layer, {}) for layer in layers]) is None


def test_a_layer_that_answers_one_task_is_no_other_tasks_to_share() -> None:
    class Tapped(nn.Module):
        """The second task's answer is made from the first's."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.near, self.far = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor, task: str) -> Tensor:
            near: Tensor = self.near(self.stem(x))
            far: Tensor = self.far(near)
            return near if task == "near" else far

    net, x = Tapped(), torch.zeros(1, 3, 12, 12)
    traced = trace(net, [Example(x, task="near"), Example(x, task="far")], tasks=["near", "far"])
    assert [[each.module for each in layer.members] for layer in find_layers(net, traced)] == [["stem"]]
