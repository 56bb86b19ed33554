"""Filter sharing as a method: what becomes of each filter, training between, batch norms, resuming, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki import (
    Budget,
    Chain,
    Classification,
    FilterSharing,
    StructuredPruning,
    compress,
    export,
    load,
    materialise,
    measure,
    save,
)
from niwaki.errors import ContractError, DataError, SettingError
from niwaki.methods.share.selecting import Fixed, Important, Question
from niwaki.models import TaskNets
from niwaki.records import Record
from niwaki.records.sharing import Sharing
from niwaki.surgery import BankConv, recall
from niwaki.train import Training

MakeNets = Callable[..., TaskNets]
TASKS = [Classification(4, name="left"), Classification(3, name="right")]
SHARED = ["stem", "block.first", "block.second", "down"]


def batches(x: Tensor, count: int = 3) -> list[tuple[Tensor, dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(9)
    return [
        (
            torch.randn(x.shape, generator=generator) + 0.5,
            {task.name: torch.randint(0, 3, (len(x),), generator=generator) for task in TASKS},
        )
        for _ in range(count)
    ]


def share(nets: nn.Module, x: Tensor, data: Any = None, **settings: Any) -> tuple[nn.Module, Sharing]:
    method = FilterSharing(**{"selector": "farthest", **settings})
    model, run = method.start(nets, x[:1], TASKS, steps=0, data=data)
    model = run.finish(model)
    found = run.findings()["sharing"]
    assert isinstance(found, Sharing)
    return model, found


def test_all_filters_kept_are_the_networks_bit_for_bit(make_nets: MakeNets, x: Tensor) -> None:
    nets = make_nets().eval()
    shared, found = share(nets, x, rate=1.0, data=batches(x))
    assert all(torch.equal(shared(x)[task], answer) for task, answer in nets(x).items())
    plain = materialise(shared)
    assert list(plain.state_dict()) == list(nets.state_dict())
    assert all(torch.equal(plain.state_dict()[name], tensor) for name, tensor in nets.state_dict().items())
    assert [layer.distance for layer in found.layers] == [0.0] * 4


@pytest.mark.parametrize("scale", [True, False])
def test_every_filter_is_the_nearest_kept_one_at_its_scale(make_nets: MakeNets, x: Tensor, scale: bool) -> None:
    nets = make_nets(0.3)
    kept = [[0, 3, 9, 14, 20], [1, 2, 13, 23], [4, 12], [0, 7, 16, 21, 31]]
    shared, found = share(nets, x, scale=scale, selector={"kind": "fixed", "kept": kept})
    plain = materialise(shared)
    for layer, name, rows in zip(found.layers, SHARED, kept, strict=True):
        weights = [nets.get_parameter(f"nets.{task}.{name}.weight").detach() for task in ("left", "right")]
        filters = torch.cat(weights).flatten(1)
        made = torch.cat([plain.get_parameter(f"nets.{task}.{name}.weight") for task in ("left", "right")]).flatten(1)
        for number, (one, found_one) in enumerate(zip(filters, made, strict=True)):
            choices = []
            for row in [number] if number in rows else rows:
                other = filters[row]
                factor = max(0.0, float(one @ other)) / float(other @ other) if scale and row != number else 1.0
                choices.append(factor * other)
            best = min(choices, key=lambda choice: float((choice - one).square().sum()))
            torch.testing.assert_close(found_one, best)
        halves = [sum(row < len(weights[0]) for row in rows), sum(row >= len(weights[0]) for row in rows)]
        assert [(each.kept, each.merged, each.pruned) for each in layer.members] == [
            (count, len(weights[0]) - count, 0) for count in halves
        ]
        assert layer.bank[0] == len(rows)
    assert (sum(layer.scale_bytes for layer in found.layers) > 0) == scale


def test_rates_are_given_for_all_layers_or_for_some(make_nets: MakeNets, x: Tensor) -> None:
    _, found = share(make_nets(), x, rate=0.5, rates={"*.block": 0.25, "*.first": 1.0, "nets.right.down": 0.1})
    assert [layer.bank[0] for layer in found.layers] == [12, 6, 6, 4]


def test_adaptive_rates_are_the_selectors(make_nets: MakeNets, x: Tensor) -> None:
    searching = {"kind": "many_objective", "generations": 2, "choice": "knee"}
    _, found = share(make_nets(0.3), x, rate="adaptive", selector=searching)
    assert len(found.fronts) == 1
    counts = [layer.bank[0] for layer in found.layers]
    assert all(1 <= count <= layer.filters for count, layer in zip(counts, found.layers, strict=True))
    with pytest.raises(ContractError, match="importance does not choose how many filters stay: give a rate, or take"):
        share(make_nets(), x, rate="adaptive", selector="importance")
    with pytest.raises(SettingError, match="adaptive rates choose all of them"):
        FilterSharing(rate="adaptive", rates={"*": 0.5})


@pytest.mark.parametrize(
    ("settings", "searched"),
    [
        ({}, False),
        ({"limit": 0.5}, True),
        ({"rate": "adaptive"}, True),
        ({"rate": "adaptive", "selector": Fixed(kept=[[0]])}, False),
        ({"limit": 0.5, "selector": "farthest"}, False),
    ],
)
def test_a_search_decides_the_size_where_rates_or_a_limit_leave_it_to_it(
    settings: dict[str, Any], *, searched: bool
) -> None:
    method = FilterSharing(**settings)
    assert method.searches_size is searched
    assert Chain([method, StructuredPruning(budget=Budget(macs=0.5))]).searches_size is searched
    assert not StructuredPruning(budget=Budget(macs=0.5)).searches_size


def test_filters_that_none_stands_for_leave_through_their_channels(
    make_nets: MakeNets, x: Tensor, tmp_path: Path
) -> None:
    nets = make_nets(0.3).eval()
    shared, found = share(nets, x, rate=0.2, limit=0.3, below=0.6)
    first, down = found.layers[1], found.layers[3]
    for layer in found.layers:
        for member in layer.members:
            assert member.kept + member.merged + member.pruned == member.filters
            conv = shared.get_submodule(member.module)
            assert isinstance(conv, BankConv)
            assert conv.out_channels == member.filters - member.pruned
    assert sum(member.pruned for member in first.members) > 0
    assert sum(member.pruned for member in down.members) > 0
    stem, second = found.layers[0], found.layers[2]  # they meet in a sum: both agree, or the channel stays
    assert [each.pruned for each in stem.members] == [each.pruned for each in second.members]
    for task in ("left", "right"):  # W_t = B[I_t][:, J_t]
        after = shared.get_submodule(f"nets.{task}.block.second")
        assert isinstance(after, BankConv)
        assert after.in_channels == first.members[("left", "right").index(task)].filters - next(
            each.pruned for each in first.members if each.network == task
        )
        assert torch.equal(after.weight, after.plain().weight)
    assert {name: answer.shape for name, answer in shared(x).items()} == {"left": (4, 4), "right": (4, 3)}
    dense, small = measure(nets, x[:1]).whole, measure(shared, x[:1]).whole
    assert small.macs < dense.macs
    save(shared, tmp_path / "m.safetensors")
    again = load(make_nets(), tmp_path / "m.safetensors").eval()
    assert all(torch.equal(again(x)[task], answer) for task, answer in shared.eval()(x).items())
    assert len(recall(again)) == 2  # the cut, then the banks


def test_a_channel_that_two_layers_make_stays_unless_both_agree(make_nets: MakeNets, x: Tensor) -> None:
    nets = make_nets(0.3)
    keeping = {"kind": "fixed", "kept": [[0], list(range(24)), list(range(24)), [0]]}
    _, found = share(nets, x, selector=keeping, limit=0.1, below=0.9)
    assert [each.pruned for each in found.layers[0].members] == [0, 0]  # the block's last keeps all it has
    assert all(each.pruned > 0 for each in found.layers[3].members)


def test_batch_norms_are_estimated_anew_on_the_batches(make_nets: MakeNets, x: Tensor) -> None:
    data = batches(x)
    shared, _ = share(make_nets(), x, rate=0.3, data=data)
    for task in ("left", "right"):
        stem, norm = (shared.get_submodule(f"nets.{task}.{name}") for name in ("stem", "norm"))
        means = [stem(inputs).mean((0, 2, 3)) for inputs, _ in data]
        torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0), rtol=1e-3, atol=1e-4)
    untouched, _ = share(make_nets(), x, rate=0.3)
    before = make_nets().get_buffer("nets.left.norm.running_mean")
    assert torch.equal(untouched.get_buffer("nets.left.norm.running_mean"), before)


def test_a_resumed_run_searches_nothing_again(make_nets: MakeNets, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    method = FilterSharing(rate=0.4, selector="importance", limit=0.5)
    model, run = method.start(make_nets(0.3), x[:1], TASKS, steps=4)
    state, weights = run.state_dict(), model.state_dict()

    def never(self: Important, question: Question) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(Important, "select", never)
    again, resumed = method.resume(make_nets(0.3), x[:1], TASKS, steps=4, state=state)
    again.load_state_dict(weights)
    assert all(torch.equal(again(x)[task], answer) for task, answer in model(x).items())
    assert resumed.findings() == run.findings()
    assert resumed.state_dict() == state


@pytest.mark.parametrize("importance", ["l2", "taylor", "bn_scale"])
def test_filters_are_worth_what_was_asked(make_nets: MakeNets, x: Tensor, importance: str) -> None:
    nets, data = make_nets(0.3), batches(x, 2)
    scope = {"*.second": "none", "*.down": "none"}
    _, found = share(nets, x, rate=0.25, selector="importance", importance=importance, scope=scope, data=data)
    weight = nets.get_parameter("nets.left.stem.weight")
    if importance == "bn_scale":
        worth = torch.cat([nets.get_parameter(f"nets.{task}.norm.weight").abs() for task in ("left", "right")])
    elif importance == "l2":
        worth = torch.cat(
            [nets.get_parameter(f"nets.{t}.stem.weight").flatten(1).norm(dim=1) for t in ("left", "right")]
        )
    else:
        scores = {task: torch.zeros(12) for task in ("left", "right")}
        for inputs, targets in data:
            for task in TASKS:
                weight = nets.get_parameter(f"nets.{task.name}.stem.weight")
                (slope,) = torch.autograd.grad(
                    nn.functional.cross_entropy(nets(inputs)[task.name], targets[task.name]), [weight]
                )
                scores[task.name] += (slope * weight.detach()).flatten(1).sum(1).square()
        worth = torch.cat(list(scores.values()))
    best = worth.detach().topk(6).indices
    assert [each.kept for each in found.layers[0].members] == [int((best < 12).sum()), int((best >= 12).sum())]
    assert weight.grad is None


@pytest.mark.parametrize(
    ("settings", "data", "error", "reason"),
    [
        ({"rates": {"typo*": 1.0}}, None, ContractError, r"rates: 'typo\*' fits no module of the model"),
        ({"scope": {"*": "none"}}, None, ContractError, "no convolution of this model can share filters"),
        ({"importance": "taylor"}, None, ContractError, "batches are needed"),
        (
            {"importance": "bn_scale"},
            None,
            ContractError,
            r"follows nets\.left\.block\.second, .*can't judge",
        ),
        ({}, [], DataError, "holds no batch"),
        (
            {"selector": {"kind": "fixed", "kept": [[0]]}},
            None,
            ContractError,
            "is for 1 layers, the networks have 4",
        ),
        (
            {"selector": {"kind": "fixed", "kept": [[0], [0], [99], [0]]}},
            None,
            ContractError,
            "each needs row numbers below its filters",
        ),
    ],
)
def test_what_can_not_be_done_is_refused(
    make_nets: MakeNets, x: Tensor, settings: dict[str, Any], data: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        share(make_nets(), x, data=data, **settings)


@pytest.mark.slow
def test_a_shared_model_exports_with_its_banks_and_without(make_nets: MakeNets, x: Tensor, tmp_path: Path) -> None:
    shared, _ = share(make_nets(), x, rate=0.4)
    for model in (shared.eval(), materialise(shared.eval())):
        exported = export(model, x[:1], tmp_path / "model.onnx")
        assert exported.max_difference < 1e-3


def test_doubles_are_shared_as_doubles(make_nets: MakeNets, x: Tensor) -> None:
    nets = make_nets().double()
    shared, _ = share(nets, x.double(), rate=1.0)
    assert all(torch.equal(shared(x.double())[task], answer) for task, answer in nets(x.double()).items())


def test_a_record_tells_what_became_of_the_filters(make_nets: MakeNets, x: Tensor, tmp_path: Path) -> None:
    images, generator = torch.randn(24, 3, 10, 10), torch.Generator().manual_seed(3)
    data = {
        task.name: torch.utils.data.TensorDataset(images, torch.randint(0, 3, (24,), generator=generator))
        for task in TASKS
    }
    method = FilterSharing(rate=0.5, selector="farthest")
    training = Training(epochs=1, batch_size=8, num_workers=0)
    result = compress(make_nets(), TASKS, data, data, method=method, training=training, out=tmp_path)
    record = result.record
    assert Record.from_json(record.to_json()) == record
    assert record.sharing is not None
    assert [layer.bank[0] for layer in record.sharing.layers] == [12, 12, 12, 16]
    assert record.sharing.index_bits == sum(layer.index_bits for layer in record.sharing.layers)
    assert record.cost["small"].whole.bytes < 0.6 * record.cost["dense"].whole.bytes
    assert str(record.sharing).splitlines()[1].split()[:3] == ["nets.left.stem", "24", "12"]
