"""The routed VGG: which parts a task runs, what it shares, and its size."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import niwaki as nw
from niwaki.errors import ContractError
from niwaki.models import RoutedVGG

FIVE = {f"coarse{i}": 5 for i in range(20)}
WEIGHTS = 14_710_464  # of VGG-16's thirteen convolutions, without their biases


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _build(**settings: object) -> nn.Module:
    defaults = {"channels": (8, 16), "depths": (1, 2)}
    return RoutedVGG(**(defaults | settings)).build({"a": 3, "b": 2}, seed=1)


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("per_task", WEIGHTS + 20 * 2 * 4224),
        ("shared", WEIGHTS + 2 * 4224),
        ("none", WEIGHTS + 4224),
    ],
)
def test_full_size_with_20_tasks(norm: str, expected: int) -> None:
    with torch.device("meta"):
        net = RoutedVGG.model_validate({"norm": norm})._assemble(FIVE)
    assert _params(net) == expected + 20 * (512 + 1) * 5


def test_one_task_is_vgg_with_its_own_norms() -> None:
    net = _build().train()
    x = torch.randn(4, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    found = copy.deepcopy(net)(x, task="b")
    weights = dict(net.named_parameters())
    y = x
    for stage, depth in enumerate((1, 2)):
        for i in range(depth):
            y = F.conv2d(y, weights[f"trunk.stages.{stage}.{i}.weight"], padding=1)
            y = (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
            y = y.clamp(min=0)
        height, width = y.shape[2] // 2, y.shape[3] // 2
        y = torch.stack([y[..., i : 2 * height : 2, j : 2 * width : 2] for i in (0, 1) for j in (0, 1)]).amax(0)
    expected = y.mean((2, 3)) @ weights["heads.b.answer.weight"].T + weights["heads.b.answer.bias"]
    assert list(found) == ["b"]
    torch.testing.assert_close(found["b"], expected, rtol=1e-4, atol=1e-5)


def test_a_task_touches_only_what_is_its_own_or_shared() -> None:
    net = _build().train()
    before = copy.deepcopy(net.state_dict())
    net(torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)), task="a")["a"].sum().backward()
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if ".norms.a." in f".{name}" and name.endswith(("mean", "var", "tracked"))}
    reached = {name for name, p in net.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in net.named_parameters() if "norms.b" not in name and "heads.b" not in name}


@pytest.mark.parametrize("norm", ["per_task", "shared", "none"])
def test_without_a_task_all_are_answered_about_the_same_pictures(norm: str) -> None:
    net = _build(norm=norm).eval()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    answers = net(x)
    assert list(answers) == ["a", "b"]
    assert all(torch.equal(answers[task], net(x, task=task)[task]) for task in answers)


def test_an_unknown_task_is_named_with_the_known_ones() -> None:
    with pytest.raises(ContractError, match=r"no task 'A'; did you mean 'a'\? \(it has: a, b\)|no task 'A' \(it has"):
        _build()(torch.zeros(1, 3, 16, 16), task="A")


def test_pruning_by_route_keeps_each_tasks_answers_and_norms_apart() -> None:
    net = _build().eval()
    examples = [nw.Example(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), task=t) for t in "ab"]
    small = nw.prune(net, examples, channels=0.5)
    assert _params(small) < 0.6 * _params(net)
    assert [tuple(example.call(small)[task].shape) for example, task in zip(examples, "ab", strict=True)] == [
        (2, 3),
        (2, 2),
    ]
    widths = [module.num_features for module in small.modules() if isinstance(module, nn.BatchNorm2d)]
    assert widths[:3] == widths[3:]
