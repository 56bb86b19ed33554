"""Which weights can be sparse, in plain, shared, functional, factored and recurrent layers."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from niwaki.errors import ContractError
from niwaki.graph import trace
from niwaki.methods.sparse import DynamicSparse
from niwaki.methods.sparse.layers import Layer, find_layers
from niwaki.methods.sparse.subject import Subject, read_subject
from niwaki.methods.sparse.target import Target
from niwaki.models import TaskNets, models
from niwaki.records import Sparsity

IMAGE = torch.zeros(1, 3, 8, 8)
ALL = {"keep_first": False, "keep_predictions": False}


def layers_of(model: nn.Module, example: object = IMAGE) -> dict[str, Layer]:
    return find_layers(trace(model, example))


def read(model: nn.Module, example: object = IMAGE, **target: object) -> Subject:
    return read_subject(model, example, Target(**{"density": 0.5, **target}))


class Odd(nn.Module):
    """Weights that are used in every way but by a module of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.bank = nn.Parameter(torch.randn(6, 4, 3, 3))
        self.index: Tensor
        self.register_buffer("index", torch.tensor([0, 2, 2, 5]))
        self.scale = nn.Parameter(torch.ones(4, 1, 1, 1))
        self.left, self.right = nn.Parameter(torch.randn(4, 2)), nn.Parameter(torch.randn(2, 4))
        self.raw = nn.Parameter(torch.randn(4, 4, 1, 1))
        self.shift = nn.Parameter(torch.randn(1, 4, 8, 8))
        self.twice = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 2)
        self.spare = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.shift
        x = F.conv2d(x, self.bank[self.index] * self.scale, padding=1)
        x = F.conv2d(x, (self.raw - self.raw.mean((1, 2, 3), keepdim=True)))
        x = torch.einsum("nchw,co->nhwo", x, self.left @ self.right)
        x = self.twice(F.relu(self.twice(x))) @ self.twice.weight.T
        return cast("Tensor", self.head(x.mean((1, 2))))


def test_products_are_found_however_they_are_called() -> None:
    found = layers_of(Odd())
    assert {name: each.place for name, each in found.items()} == {
        "stem.weight": "first",
        "bank": "inner",
        "left": "inner",
        "right": "inner",
        "twice.weight": "inner",
        "head.weight": "prediction",
    }


def test_what_is_never_sparse_is_named_with_its_reason() -> None:
    subject = read(Odd())
    reasons = {each.name: why for each, why in subject.dense.items()}
    assert reasons == {
        "stem.weight": "reads the model's input",
        "stem.bias": "norm or bias",
        "raw": "no convolution or matrix product reads it as it is",
        "scale": "no convolution or matrix product reads it as it is",
        "shift": "no convolution or matrix product reads it as it is",
        "head.weight": "makes an output",
        "head.bias": "norm or bias",
        "spare.weight": "no output is computed from it",
        "spare.bias": "no output is computed from it",
    }
    assert subject.size + sum(each.size for each in subject.dense) == sum(p.numel() for p in Odd().parameters())


def test_parts_come_from_the_program_and_work_adds_up() -> None:
    net = TaskNets({"near": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1)), "far": Odd()})
    subject = read(net, keep_first=False, keep_predictions=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(IMAGE)
    assert subject.macs == counter.get_total_flops() // 2
    assert {each.part for each in subject.layers} == {"head near", "head far"}
    assert {each.tasks for each in subject.layers} == {frozenset({"near"}), frozenset({"far"})}
    by_name = {each.name: each for each in subject.layers}
    assert by_name["nets.near.1.weight"].macs == 4 * 4 * 36


def test_attention_and_recurrence_have_weights_too() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(9, 8)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
            self.norm = nn.LayerNorm(8)
            self.memory = nn.GRU(8, 8, batch_first=True)
            self.out = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.words(x)
            x = self.norm(x + self.attend(x, x, x, need_weights=False)[0])
            return cast("Tensor", self.out(self.memory(x)[0][:, -1]))

    found = layers_of(Sequence(), torch.zeros(2, 5, dtype=torch.long))
    assert set(found) == {
        "attend.in_proj_weight",
        "attend.out_proj.weight",
        "memory.weight_ih_l0",
        "memory.weight_hh_l0",
        "out.weight",
    }
    assert found["attend.in_proj_weight"].place == "first"


def test_tied_weights_are_one_layer() -> None:
    inner = nn.Conv2d(4, 4, 1)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), inner, nn.ReLU(), inner, nn.Conv2d(4, 1, 1))
    assert [each.name for each in read(net).layers] == ["1.weight"]
    assert layers_of(net)["1.weight"].macs == 2 * 16 * 64


def test_layers_that_are_kept_by_name_stay_dense() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1))
    subject = read(net, keep=("1",), keep_first=False)
    assert subject.names == ("0.weight", "2.weight")
    assert {each.name: why for each, why in subject.dense.items()}["1.weight"] == "kept by name"


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 1, 1)), {}, "no weight of the model can be sparse.*keep_first=False"),
        (nn.Sequential(nn.ReLU()), {}, "it has no parameters"),
        (nn.Sequential(nn.Conv2d(3, 1, 1)), {"keep": ("2",)}, "keep: '2' fits no module"),
        (nn.Sequential(nn.Conv2d(3, 1, 1)), {"heads": {"deep": 0.1}, **ALL}, "'deep' is no task"),
    ],
)
def test_what_can_not_be_read_as_asked_is_refused(model: nn.Module, target: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        read(model, **target)


def test_a_part_without_a_density_is_refused() -> None:
    net = TaskNets({"near": nn.Conv2d(3, 1, 1), "far": nn.Conv2d(3, 1, 1)})
    target = Target(density=0.1, keep_first=False, keep_predictions=False).model_copy(
        update={"density": None, "trunk": 0.1}
    )
    with pytest.raises(ContractError, match="nothing says how dense head near is to be"):
        read_subject(net, IMAGE, target)


class Asking(nn.Module):
    """A model whose way depends on its data: no program can say what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x if float(x.sum()) > 0 else -x)
        return found


def test_a_model_that_can_not_be_exported_is_read_by_its_modules() -> None:
    subject = read(Asking())
    assert subject.names == ("layers.2.weight",)
    assert {each.name: why for each, why in subject.dense.items()} == {
        "layers.0.weight": "reads the model's input",
        "layers.0.bias": "norm or bias",
        "layers.1.weight": "norm or bias",
        "layers.1.bias": "norm or bias",
        "layers.2.bias": "norm or bias",
        "layers.3.weight": "makes an output",
        "layers.3.bias": "norm or bias",
    }
    assert subject.macs == 0
    assert "found by the types of its modules" in subject.notes[0]
    with pytest.raises(ContractError, match="trunk and heads can't be told apart"):
        read(Asking(), heads=0.1)


def test_a_record_says_that_the_model_was_read_by_its_modules() -> None:
    method = DynamicSparse(density=0.5, every=1)
    model, run = method.start(Asking(), IMAGE, steps=2)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=0.1))
    model(IMAGE + 1).sum().backward()
    run.after_backward(model)
    optimizer.step()
    finished = run.finish(run.after_step(model, optimizer))
    record = run.findings()["sparsity"]
    assert isinstance(record, Sparsity)
    assert record.theoretical is None
    assert "by the types of its modules" in record.notes[0]
    assert int(finished.get_parameter("layers.2.weight").count_nonzero()) <= record.kept == 8


@pytest.mark.parametrize("name", ["resnet_unet", "mobilenet_v2", "segnet_mtan"])
def test_ready_networks_keep_their_stem_and_their_answers(name: str) -> None:
    net = models.get(name)().build({"near": 4, "far": 1})
    subject = read(net, torch.zeros(1, 3, 32, 32))
    first = [each.name for each, why in subject.dense.items() if why == "reads the model's input"]
    answers = {each.name for each, why in subject.dense.items() if why == "makes an output"}
    assert len(first) == 1
    assert len(answers) == 2
    assert not {why for why in subject.dense.values() if "product" in why or "computed" in why}
    assert all(net.get_parameter(each).shape[0] in {4, 1} for each in answers)
