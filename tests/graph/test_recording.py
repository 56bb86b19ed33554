"""What is written down while a forward runs is what ``torch.export`` reads of it."""

import operator
from typing import Any

import pytest
import torch
from tests.surgery import multitask, nets
from torch import Tensor, fx, nn
from torch.nn.modules import module as torch_module

from niwaki.contract import Example, as_examples
from niwaki.errors import ContractError, GraphError
from niwaki.graph import arguments_of, find_channels, trace
from niwaki.graph.code import Code
from niwaki.graph.exporting import Exported, Exporter
from niwaki.graph.paths import doubled
from niwaki.graph.recording import Weightless, record
from niwaki.methods.prune import prune
from niwaki.surgery.silence import values_of

CUDNN = ("cudnn_enabled", "cudnn_enable")
"""Arguments that torch.export switches off while it reads."""


class Everything(nn.Module):
    """Tensors from nothing, constants, writes in place and through views, several results, chance."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 4)
        self.register_buffer("table", torch.arange(8.0))
        self.plain = torch.ones(8)

    def forward(self, x: Tensor, *, scale: float = 2.0) -> dict[str, Any]:
        y = self.first(x)
        mask = torch.zeros(y.shape[1])
        mask[:4] = 1
        y = y * mask.view(1, -1, 1, 1).unsqueeze_(0).squeeze_(0) + torch.tensor(scale)
        left, right = y.chunk(2, 1)
        y = torch.cat([right, left], 1).relu_().mean((2, 3))
        top, places = y.max(1)
        if self.training:
            y = y * torch.empty(y.shape[0], 1).bernoulli_(0.5).div_(0.5)
        y.add_(self.table).mul_(self.plain)
        return {"main": self.last(y), "top": [top, places], "bias": self.last.bias, "size": 3}


def operators(code: Code) -> list[Any]:
    """List operators with their arguments, where their tensors come from, and the module they belong to."""
    places: dict[fx.Node, Any] = {}
    found: list[Any] = []
    for node in code.graph.nodes:
        if node.op == "placeholder":
            places[node] = code.targets.get(node.name, "constant" if node.name in code.held else "input")
        elif node.op == "call_function" and "_assert_tensor_metadata" not in str(node.target):
            places[node] = len(found)
            found.append((str(node.target), told(node, places), owner(node)))
    return [*found, fx.node.map_aggregate(code.returned, lambda each: places.get(each, each))]  # type: ignore[arg-type]


def told(node: fx.Node, places: dict[fx.Node, Any]) -> str:
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: f"<{places[each]}>")
    if node.target is operator.getitem:
        return str(args)
    return str({key: each for key, each in arguments_of(node, args, kwargs).items() if key not in CUDNN})


def owner(node: fx.Node) -> str:
    return str((list((node.meta.get("nn_module_stack") or {"": [""]}).values()) or [[""]])[-1][0])


def both_ways(model: nn.Module, example: Example, *, training: bool) -> tuple[Exported, Exported]:
    exporter = Exporter(model, any_batch=False)
    inputs = doubled(example) if training else example
    return exporter._recorded(inputs, training=training), exporter._exported(inputs, training=training)


def recorded(model: nn.Module, example: Example) -> Code:
    return record(model, Weightless(model), example)


NETWORKS: dict[str, tuple[nn.Module, Any]] = {
    "everything": (Everything(), nets.image()),
    "residual": (nets.Residual(), nets.image()),
    "depthwise": (nets.Depthwise(), nets.image()),
    "unpool": (nets.Unpool(), nets.image()),
    "transposed": (nets.Transposed(), nets.image()),
    "flattened": (nets.Flattened(), nets.image()),
    "excited": (nets.SqueezeExcite(), nets.image()),
    "gated": (multitask.Gated(), multitask.image()),
    "einsum": (multitask.EinsumAttention(), multitask.image()),
    "detached": (multitask.Detached(), multitask.image()),
    "shuffled": (multitask.Shuffled(), multitask.image()),
    "cross-stitch": (multitask.CrossStitch(), multitask.image()),
    "standardised": (multitask.Standardised(), multitask.image()),
    "parametrised": (multitask.Parametrised(), multitask.image()),
    "fused": (multitask.Fused(), multitask.image()),
    "windows": (multitask.Windows(), multitask.image()),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_down_is_what_torch_exports(name: str, training: bool) -> None:
    model, example = NETWORKS[name]
    recorded, exported = both_ways(model, as_examples(example)[0], training=training)
    assert operators(recorded.code) == operators(exported.code)
    assert recorded.code.structure == exported.code.structure
    assert recorded.calls.calls == exported.calls.calls
    shapes = [node.meta["val"].shape for node in recorded.code.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert shapes
    assert all(type(size) is int for shape in shapes for size in shape)


def test_the_channels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, example = NETWORKS["everything"]
    mine = find_channels(trace(model, example))
    monkeypatch.setattr("niwaki.graph.exporting.record", lambda *_: 1 / 0)
    theirs = find_channels(trace(model, example))
    assert [(group.name, group.size, group.reason) for group in mine.groups] == [
        (group.name, group.size, group.reason) for group in theirs.groups
    ]
    assert mine.frozen == theirs.frozen


def test_the_code_can_be_run_and_computes_what_the_model_does() -> None:
    model, example = Everything().eval(), nets.image()
    (program, *_) = trace(model, example).programs
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):  # the second run would see what the first wrote into a constant
        leaves = [each for each in program.code.returned if isinstance(each, fx.Node)]
        values = values_of(program, leaves)
        expected = model(example)
        answers = [values[each] for each in leaves]
        for answer, wanted in zip(answers, [expected["main"], *expected["top"], expected["bias"]], strict=True):
            torch.testing.assert_close(answer, wanted.detach())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.plain, torch.ones(8))


def test_a_shape_that_changes_in_place_is_kept_from_before() -> None:
    code = recorded(Everything(), Example(nets.image()))
    shapes = {node.name: tuple(node.meta["val"].shape) for node in code.graph.nodes if "view" in node.name}
    assert shapes == {"view": (1, 8, 1, 1)}


def test_inputs_bear_the_names_of_their_arguments() -> None:
    class Inputs(nn.Module):
        def forward(self, x: Tensor, *more: Tensor, side: dict[str, Tensor]) -> Tensor:
            return x + more[0] + more[1] + side["a"]

    x = torch.zeros(1)
    code = recorded(Inputs(), Example(x, x, x, side={"a": x}))
    assert code.inputs == ("x", "more", "more_1", "side")


def test_nothing_is_left_behind() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("not today")

    for model, error in ((Everything(), None), (Failing(), ValueError)):
        if error is None:
            recorded(model, Example(nets.image()))
        else:
            with pytest.raises(error, match="not today"):
                recorded(model, Example(nets.image()))
        assert not torch_module._global_forward_hooks
        assert not torch_module._global_forward_pre_hooks
        assert (torch.ones(2) + 1).tolist() == [2, 2]


def test_a_parameter_is_known_however_code_holds_it() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 8, bias=False), nn.Linear(8, 2)
            self.shift = nn.Parameter(torch.rand(8))
            self.held = [self.shift]

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.last(self.first(x) + self.held[0])
            return answer

    small = prune(Listed(), torch.rand(2, 3), channels=0.5, round_to=1)
    held: Any = small.held
    assert held[0] is small.shift
    assert held[0].shape == (4,)


def test_a_tensor_made_past_the_operators_is_refused() -> None:
    class Past(nn.Module):
        def forward(self, x: Any) -> Tensor:
            made: Tensor = x + x.fake_mode.from_tensor(torch.ones(3))
            return made

    with pytest.raises(GraphError, match="made past torch's operators"):
        recorded(Past(), Example(torch.zeros(3)))


def test_a_model_that_does_not_fit_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch.export, "export", lambda *args, **_: asked.append(args))
    exporter = Exporter(nn.Linear(3, 2), any_batch=False)
    found, failures = exporter.both_modes(Example(torch.zeros(1, 5)))
    assert (found, asked) == ([], [])
    assert [each.partition(" ")[0] for each in failures] == ["eval", "train"]


@pytest.mark.parametrize(
    ("example", "fits"),
    [
        (Example(torch.zeros(1, 3)), True),
        (Example(torch.zeros(1, 3, dtype=torch.float64)), False),
        (Example(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)), False),
        (Example(torch.zeros(1, 3), mode="plain"), True),
    ],
)
def test_only_numbers_of_the_parameters_type_fit_by_type(example: Example, fits: bool) -> None:
    assert Exporter(nn.Linear(3, 2), any_batch=False).fits_by_type(example) is fits


class Caching(nn.Module):
    """Keeps a table in an attribute, as long as the longest input so far; asks for its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Any = None
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None or len(self.table) < x.shape[1]:
            self.table = torch.arange(float(x.shape[1]))[:, None]
        y = self.first(x) + self.table[: x.shape[1]]
        answer: Tensor = self.last(y * 2 if self.training else y)
        return answer


def test_what_a_forward_keeps_is_not_there_for_the_next_reading() -> None:
    model = Caching()
    traced = trace(model, [torch.rand(2, 5, 3), torch.rand(2, 3, 3)], tasks=["long", "short"])
    assert [program.training for program in traced.programs] == [False, True, False, True]
    assert all("arange" in {node.name for node in program} for program in traced.programs)
    assert model.table is None


@pytest.mark.parametrize("operator", [torch.relu, nn.BatchNorm1d(8), nn.functional.gelu])
def test_gradients_are_asked_for_as_in_the_model_itself(operator: Any) -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(3, 8), operator if isinstance(operator, nn.Module) else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(operator(self.first(x)))
            return y if y.requires_grad else y * 2

    names = [node.name for node in recorded(Asking(), Example(torch.rand(4, 3))).graph.nodes]
    assert "mul" not in names
    frozen = Asking().requires_grad_(requires_grad=False)
    assert "mul" in [node.name for node in recorded(frozen, Example(torch.rand(4, 3))).graph.nodes]
    frozen.norm.requires_grad_()
    trains = any(True for _ in frozen.norm.parameters())
    assert ("mul" in [each.name for each in recorded(frozen, Example(torch.rand(4, 3))).graph.nodes]) is not trains


def test_a_norm_of_another_width_does_not_fit() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(ContractError, match="does not fit the model.*running_mean should contain 8 elements not 5"):
        trace(model, torch.rand(2, 4))


def test_a_model_in_parallel_is_read_through_its_wrapper() -> None:
    traced = trace(nn.DataParallel(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))), torch.rand(2, 3))
    assert "module.0.weight" in traced.parameters


def test_torchscript_is_refused() -> None:
    with pytest.warns(DeprecationWarning, match="deprecated"):
        scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    model = nn.Sequential(nn.Linear(3, 3), scripted)
    with pytest.raises(GraphError, match="TorchScript has no code"):
        recorded(model, Example(torch.rand(2, 3)))
    with pytest.raises(GraphError, match="can't read the model"):
        trace(model, torch.rand(2, 3))
