import copy
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from niwaki.contract import Example, describe_example
from niwaki.errors import ContractError, GraphError
from niwaki.graph import example_from_spec, find_channels, trace

X = torch.zeros(1, 3)


class Noisy(nn.Module):
    """Draws numbers, counts its calls and keeps statistics: everything a trace could leave behind."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.register_buffer("calls", torch.zeros(1))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        self.calls = self.calls + 1
        return self.head(self.body(x) + random.random() + float(np.random.rand()) + torch.rand(4))  # noqa: NPY002


def test_the_model_and_the_random_state_are_left_as_found() -> None:
    model = Noisy()
    model.body[1].eval()
    first = next(model.body.parameters()).requires_grad_(False)
    model.head.weight.grad = torch.ones(2, 4)
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    objects = [id(tensor) for tensor in [*model.parameters(), *model.buffers()]]
    states = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    traced = trace(model, X)
    assert len(traced.programs) == 1
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert repr(np.random.get_state()) == states[2]  # noqa: NPY002
    assert [module.training for module in model.modules()] == modes
    assert [id(tensor) for tensor in [*model.parameters(), *model.buffers()]] == objects
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not first.requires_grad
    assert torch.equal(model.head.weight.grad, torch.ones(2, 4))


class Answers(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.first, self.second = nn.Linear(3, 2), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Any:
        near, far = self.first(x), self.second(x)
        return {
            "dict": {"near": near, "far": far, "size": 3},
            "tuple": (near, far),
            "list": [near, {"inner": far, "more": x}],
            "one": near + far,
        }[self.form]


@pytest.mark.parametrize(
    ("form", "tasks", "expected"),
    [
        ("dict", None, {"near": ["linear"], "far": ["linear_1"]}),
        ("tuple", None, {"output0": ["linear"], "output1": ["linear_1"]}),
        ("tuple", ["a", "b"], {"a": ["linear"], "b": ["linear_1"]}),
        ("list", ["a", "b"], {"a": ["linear"], "b": ["linear_1", "x"]}),
        ("one", ["a"], {"a": ["add"]}),
        ("one", None, {"output": ["add"]}),
    ],
)
def test_outputs_are_named(form: str, tasks: list[str] | None, expected: dict[str, list[str]]) -> None:
    traced = trace(Answers(form), X, tasks=tasks)
    assert all(program.outputs == expected for program in traced.programs)
    assert traced.tasks == tuple(expected)


def test_a_wrong_number_of_tasks_is_refused() -> None:
    with pytest.raises(ContractError, match="2 outputs for 3 tasks"):
        trace(Answers("tuple"), X, tasks=["a", "b", "c"])


class Asking(nn.Sequential):
    """Code that asks for its mode."""

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return [y, y] if self.training else [y]


def test_train_mode_runs_with_twice_the_batch() -> None:
    model = Asking(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    traced = trace(model, torch.zeros(1, 3, 4, 4))
    assert [program.training for program in traced.programs] == [False, True]
    assert [program.example.args[0].shape[0] for program in traced.programs] == [1, 2]
    assert traced.notes == ()
    assert traced.eval_programs == traced.programs[:1]


def test_train_mode_is_read_only_where_code_asks_for_it() -> None:
    layers = (nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    assert [program.training for program in trace(nn.Sequential(*layers), X).programs] == [False]
    assert [program.training for program in trace(Asking(*layers), X).programs] == [False, True]
    assert "training" not in vars(nn.Module)


class Strict(nn.Module):
    """Code that insists on plain integers."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.head = 4, nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Any:
        if type(self.width) is not int:
            raise TypeError("no integer")
        return self.head(x).view(-1, self.width)


class Attending(nn.Module):
    """Attention whose weights are dropped out."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.attend(x, x, x, need_weights=False)[0]
        return answer


class Remembering(nn.Module):
    """A recurrent layer with dropout between its two layers."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.remember = nn.LSTM(8, 4, num_layers=2, dropout=dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.remember(x)[0]
        return answer


@pytest.mark.parametrize(
    ("layer", "modes"),
    [
        (nn.BatchNorm2d(4), [False]),
        (nn.InstanceNorm2d(4), [False]),
        (nn.InstanceNorm2d(4, track_running_stats=True), [False, True]),
        (nn.RReLU(), [False, True]),
    ],
)
def test_layers_that_train_in_their_own_way_are_read_in_both_modes(layer: nn.Module, modes: list[bool]) -> None:
    programs = trace(nn.Sequential(nn.Conv2d(3, 4, 1), layer), torch.rand(2, 3, 4, 4)).programs
    assert [each.training for each in programs] == modes


@pytest.mark.parametrize(("dropout", "modes"), [(0.0, [False]), (0.1, [False, True])])
@pytest.mark.parametrize("make", [Attending, Remembering])
def test_dropout_inside_a_layer_of_torch_is_read_in_both_modes(
    make: Callable[[float], nn.Module], dropout: float, modes: list[bool]
) -> None:
    programs = trace(make(dropout), torch.rand(2, 5, 8)).programs
    assert [each.training for each in programs] == modes


def test_calls_are_watched_where_the_code_lets_them() -> None:
    class Loose(Strict):
        def forward(self, x: Tensor) -> Any:
            return self.head(x).view(-1, self.width)

    (seen,) = trace(Loose(), X).programs
    assert [call.function for call in seen.calls.calls] == ["linear", "view"]
    assert seen.calls.made_by == {"linear": 0, "view": 1}
    assert [type(size) for size in pytree.tree_leaves(seen.node("view").args[1])] == [int, int]
    (unseen,) = trace(Strict(), X).programs
    assert unseen.calls.calls == []


class OneMode(nn.Module):
    """Can be exported in one mode only; the other is data-dependent Python."""

    def __init__(self, *, refuses: bool) -> None:
        super().__init__()
        self.refuses = refuses
        self.body, self.aside, self.head = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        y = self.body(x)
        if self.training is self.refuses:
            y = y + self.aside(x) * (2 if y.sum() > 0 else 1)
        return self.head(y)


@pytest.mark.parametrize("refuses", [True, False])
def test_a_mode_that_cannot_be_exported_is_noted_and_its_tensors_stay(refuses: bool) -> None:
    traced = trace(OneMode(refuses=refuses), X)
    mode = "train" if refuses else "eval"
    assert [program.training for program in traced.programs] == [not refuses]
    assert traced.eval_programs == traced.programs
    assert traced.notes[0].startswith(f"{mode} mode of Example(float32[1, 3]) can't be exported")
    channels = find_channels(traced)
    assert [group.name for group in channels.groups] == ["body"]
    assert all(piece.tensor != "aside.weight" for piece in channels.groups[0].slices)


class Refusing(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x * 2 if x.sum() > 0 else x


def test_a_model_that_cannot_be_exported_is_refused_with_the_reason() -> None:
    with pytest.raises(GraphError, match="eval mode .* can't be exported.* data-dependent"):
        trace(Refusing(), X)


def test_what_torch_says_of_a_model_it_cannot_export_stays_inside(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GraphError):
        trace(Refusing(), X)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("example", "told"),
    [
        (torch.zeros(1, 5), r"float32\[1, 5\]\) it raises RuntimeError: mat1 and mat2 shapes"),
        (torch.zeros(1, 3, dtype=torch.int64), r"int64\[1, 3\]\) it raises RuntimeError: .* same dtype"),
        (np.zeros((1, 3), dtype=np.float32), r"float32\[1, 3\]\) it raises TypeError: linear\(\)"),
        (Example(X, task=1), r"task=1\) it raises TypeError: .*unexpected keyword"),
    ],
)
def test_an_example_that_does_not_fit_is_told_by_the_models_own_error(example: Any, told: str) -> None:
    model = nn.Sequential(Noisy())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ContractError, match=f"the example does not fit the model: called with Example.*{told}"):
        trace(nn.Linear(3, 2), example)
    with pytest.raises(ContractError, match="does not fit"):
        trace(model, torch.zeros(1, 5))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    model = nn.Linear(3, 2)
    model.lock = threading.Lock()  # type: ignore[assignment]  # no tensor on purpose
    with pytest.raises(GraphError, match="can't be copied .*lock"):
        trace(model, X)


class Regions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            y = self.trunk(x).relu()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = y * 2
        return self.head(y.detach())


def test_regions_without_gradient_are_read_like_the_rest() -> None:
    traced = trace(Regions(), X)
    targets = [str(node.target) for node in traced.programs[0] if node.op == "call_function"]
    assert targets == ["aten.linear.default", "aten.relu.default", "aten.mul.Tensor", "aten.detach.default",
                       "aten.linear.default"]  # fmt: skip
    assert [(group.name, group.size) for group in find_channels(traced).groups] == [("trunk", 4)]


def test_routes_with_one_tensor_each_answer_the_tasks_in_order() -> None:
    class Route(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList(nn.Linear(3, 2) for _ in range(2))

        def forward(self, x: Tensor, task: int) -> Any:
            return self.heads[task](x)

    traced = trace(Route(), [Example(X, task=0), Example(X, task=1)], tasks=["near", "far"])
    assert [(program.index, *program.outputs) for program in traced.eval_programs] == [(0, "near"), (1, "far")]


def test_an_example_is_drawn_from_its_description() -> None:
    example = Example(torch.zeros(2, 3), [torch.zeros(4, dtype=torch.int64), None], flag=True, pair=(1, {"a": 2.0}))
    state = torch.get_rng_state()
    drawn = example_from_spec(describe_example(example), seed=3)
    again = example_from_spec(describe_example(example), seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert describe_example(drawn) == describe_example(example)
    assert torch.equal(drawn.args[0], again.args[0])
    assert drawn.args[0].std() > 0
    assert drawn.kwargs == {"flag": True, "pair": (1, {"a": 2.0})}


def test_a_description_that_is_none_is_refused() -> None:
    with pytest.raises(GraphError, match="this describes no example"):
        example_from_spec({"args": [7], "kwargs": {}}, seed=0)


def code_of(module: str, text: str) -> type[nn.Module]:
    """Define a layer as if it stood in a module of that name."""
    names: dict[str, Any] = {"__name__": module, "nn": nn, "torch": torch}
    exec(text, names)
    made: type[nn.Module] = names["Layer"]
    return made


DROPS = """
class Layer(nn.Module):
    def forward(self, x):
        return x * torch.empty(x.shape[0], 1).bernoulli_(0.5) if self.training else x
"""


@pytest.mark.parametrize(("module", "modes"), [("timm.layers.drop", [False]), ("mine.drop", [False, True])])
def test_layers_known_to_drop_paths_need_no_train_mode(module: str, modes: list[bool]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), code_of(module, DROPS)(), nn.Linear(4, 2))
    assert [each.training for each in trace(model, X).programs] == modes
    assert [each.training for each in trace(model, X, any_batch=True).programs] == [False, True]
