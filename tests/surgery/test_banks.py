"""Layers that draw from banks: the same answers as plain convolutions, gradients, bits, files, cuts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki import load, measure, save
from niwaki.errors import FileError, SurgeryError
from niwaki.graph import find_channels, planned_size, trace
from niwaki.models import TaskNets
from niwaki.records.banks import Bank, Banks, BankUser
from niwaki.surgery import (
    BankConv,
    Plan,
    banks_of,
    cut,
    follow,
    install_banks,
    materialise,
    permute_channels,
    plans_of,
    recall,
    replay,
)
from niwaki.surgery.packing import bits_for, pack, unpack

SHAPES: dict[str, Any] = {
    "plain": nn.Conv2d(4, 6, 3, padding=1),
    "strided": nn.Conv2d(4, 6, (3, 5), stride=2, dilation=(1, 2), bias=False),
    "reflected": nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="reflect"),
    "same": nn.Conv2d(4, 6, 4, padding="same", padding_mode="circular"),
    "valid": nn.Conv2d(4, 6, 3, padding="valid", padding_mode="replicate"),
    "line": nn.Conv1d(4, 6, 3, padding=1),
    "volume": nn.Conv3d(4, 6, 2),
}


def drawn(conv: Any, index: list[int], inputs: list[int] | None, columns: int, *, scaled: bool = True) -> BankConv:
    generator = torch.Generator().manual_seed(0)
    bank = nn.Parameter(torch.randn(max(index) + 1, columns, *conv.kernel_size, generator=generator))
    scale = nn.Parameter(torch.rand(len(index), generator=generator) + 0.5) if scaled else None
    return BankConv(conv, bank, index, inputs, scale)


def by_hand(layer: BankConv, index: list[int], inputs: list[int]) -> Tensor:
    """Filters, one number at a time."""
    weight = torch.zeros(len(index), len(inputs), *layer.bank.shape[2:])
    for channel, row in enumerate(index):
        for place, column in enumerate(inputs):
            factor = 1.0 if layer.scale is None else float(layer.scale.detach()[channel])
            weight[channel, place] = factor * layer.bank.detach()[row, column]
    return weight


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("index", [[0, 1, 2, 3, 4, 5], [5, 0, 4, 1, 3, 2], [2, 0, 2, 1, 0, 2]])
@pytest.mark.parametrize("scaled", [True, False])
def test_materialised_is_indexed(name: str, index: list[int], scaled: bool) -> None:
    conv = SHAPES[name]
    layer = drawn(conv, index, [0, 2, 3, 5], 6, scaled=scaled)
    torch.testing.assert_close(layer.weight, by_hand(layer, index, [0, 2, 3, 5]))
    x = torch.randn(2, 4, *[9] * (layer.bank.ndim - 2), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer.plain()(x), layer(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer(x[0]), layer(x)[0], rtol=1e-4, atol=1e-5)
    assert layer.plain().extra_repr() == conv.extra_repr()
    assert (layer.in_channels, layer.out_channels, layer.index.tolist()) == (4, 6, index)


def test_inner_sharing_computes_each_filter_once() -> None:
    net = nn.Sequential(drawn(nn.Conv2d(4, 6, 3), [0, 1, 1, 0, 2, 1], None, 4), nn.Flatten())
    assert measure(net, torch.zeros(1, 4, 8, 8)).whole.macs == 3 * 4 * 9 * 36  # three filters, not six


def test_the_gradient_of_a_row_is_the_sum_over_its_users() -> None:
    layer = drawn(nn.Conv2d(4, 6, 3), [2, 0, 2, 1, 0, 2], None, 4)
    plain = layer.plain()
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    layer(x).square().sum().backward()
    plain(x).square().sum().backward()
    wanted = torch.zeros_like(layer.bank)
    for channel, row in enumerate([2, 0, 2, 1, 0, 2]):
        assert layer.scale is not None
        assert plain.weight.grad is not None
        wanted[row] += layer.scale.detach()[channel] * plain.weight.grad[channel]
    torch.testing.assert_close(layer.bank.grad, wanted, rtol=1e-4, atol=1e-4)


@given(numbers=st.lists(st.integers(0, 10_000), max_size=40), spare=st.integers(0, 3))
def test_packed_numbers_come_back_and_take_their_bits(numbers: list[int], spare: int) -> None:
    bits = bits_for(max(numbers, default=0) + 1) + spare
    packed = pack(numbers, bits)
    assert unpack(packed, bits, len(numbers)) == numbers
    assert packed.numel() == -(-len(numbers) * bits // 8)


def test_an_index_takes_the_bits_of_its_bank_and_a_mask_of_live_inputs() -> None:
    whole = drawn(nn.Conv2d(4, 6, 3), [0, 1, 4, 3, 2, 4], None, 4)
    part = drawn(nn.Conv2d(4, 6, 3), [0, 1, 4, 3, 2, 4], [0, 1, 5, 9], 10)
    assert (whole.index_bits, whole.packed.numel()) == (6 * 3, 3)
    assert (part.index_bits, part.packed.numel()) == (6 * 3 + 10, 3 + 2)
    assert drawn(nn.Conv2d(4, 6, 3), [0] * 6, None, 4).packed.numel() == 0


def test_an_index_is_read_from_a_state_dict() -> None:
    old = drawn(nn.Conv2d(4, 6, 3), [0, 1, 2, 0, 1, 2], [0, 1, 2, 4], 5)
    new = drawn(nn.Conv2d(4, 6, 3), [2, 2, 1, 1, 0, 0], [1, 2, 3, 4], 5)
    new.load_state_dict(old.state_dict())
    x = torch.randn(1, 4, 8, 8)
    assert torch.equal(new(x), old(x))
    assert sorted(old.state_dict()) == ["bank", "bias", "packed", "scale"]


def network(outputs: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, outputs, 1),
        )  # fmt: skip
        for norm in net:
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 2)
                nn.init.normal_(norm.bias)
        return net.eval()


def dense() -> TaskNets:
    return TaskNets({"left": network(2, 0), "right": network(3, 1)}).eval()


BANKS = Banks(
    banks=(
        Bank(
            filters=9,
            width=3,
            users=(
                BankUser(module="nets.left.0", rows=(0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2)),
                BankUser(module="nets.right.0", rows=(3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6)),
            ),
        ),
        Bank(
            filters=20,
            width=12,
            scaled=False,
            users=(
                BankUser(module="nets.left.3", rows=tuple(range(16))),
                BankUser(module="nets.right.3", rows=tuple(range(4, 20))),
            ),
        ),
    )
)


def shared() -> TaskNets:
    nets, generator = dense(), torch.Generator().manual_seed(2)
    filters = {0: torch.randn(9, 3, 3, 3, generator=generator), 1: torch.randn(20, 12, 3, 3, generator=generator)}
    scales = {name: torch.rand(12, generator=generator) + 0.5 for name in ("nets.left.0", "nets.right.0")}
    install_banks(nets, BANKS, filters, scales)
    return nets


X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(first, second) for first, second in zip(one(X).values(), other(X).values(), strict=True))


def test_banks_are_one_parameter_each_and_count_once() -> None:
    nets = shared()
    assert [list(bank.users) for bank in banks_of(nets)] == [
        ["nets.left.0", "nets.right.0"],
        ["nets.left.3", "nets.right.3"],
    ]
    assert banks_of(nets)[1].counts().tolist() == [1] * 4 + [2] * 12 + [1] * 4
    cost = measure(nets, X[:1])
    assert cost.whole.params == sum(parameter.numel() for parameter in nets.parameters())
    assert cost.trunk.params == 9 * 27 + 20 * 108
    indices = (2 * 12 * 4 + 2 * 16 * 5) // 8
    norms = sum(buffer.numel() * buffer.element_size() for name, buffer in nets.named_buffers() if "running" in name)
    assert cost.whole.bytes == 4 * cost.whole.params + indices + norms + 4 * 8  # four counters of batches


def test_a_shared_model_is_saved_with_banks_or_without(tmp_path: Path) -> None:
    for model in (shared(), materialise(shared())):
        save(model, tmp_path / "m.safetensors")
        again = load(dense(), tmp_path / "m.safetensors").eval()
        assert recall(again) == recall(model)
        assert same(again, model)


def test_a_file_with_banks_refuses_another_model(tmp_path: Path) -> None:
    save(shared(), tmp_path / "m.safetensors")
    narrow = TaskNets({"left": network(2, 0), "right": nn.Sequential(nn.Conv2d(3, 8, 3))})
    with pytest.raises(FileError, match=r"'nets.right.0', a convolution of 3 inputs and 12 outputs; .* \(8, 3, 3, 3\)"):
        load(narrow, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("nets", "reason"),
    [
        (TaskNets({"left": network(2, 0)}), "'nets.right.0', which the model does not have"),
        (TaskNets({"left": network(2, 0), "right": nn.Sequential(nn.ReLU())}), "in the model given it is a ReLU"),
    ],
)
def test_banks_that_do_not_fit_change_nothing(nets: nn.Module, reason: str) -> None:
    names = [name for name, _ in nets.named_parameters()]
    with pytest.raises(SurgeryError, match=reason):
        install_banks(nets, BANKS, {}, {})
    assert [name for name, _ in nets.named_parameters()] == names


def test_steps_that_are_not_known_or_do_not_fit_are_refused() -> None:
    with pytest.raises(SurgeryError, match="does not know the step 'folded twice': upgrade niwaki"):
        replay(dense(), '{"step": "folded twice"}')
    with pytest.raises(SurgeryError, match="no banks to make plain convolutions of"):
        replay(dense(), '{"step":"materialised"}')


def pruned(model: nn.Module) -> tuple[nn.Module, Plan, tuple[int, int]]:
    """Cut the first third of every group; return what was planned too."""
    channels = find_channels(trace(model, X[:1]))
    groups = [
        {"name": group.name, "size": group.size, "kept": range(group.size // 3, group.size), "slices": group.slices}
        for group in channels.groups
    ]
    keep = torch.ones(channels.count, dtype=torch.bool).numpy()
    for group in channels.groups:
        keep[group.classes[: group.size // 3]] = False
    small = cut(model, Plan.model_validate({"groups": groups}), channels=channels, form="module")
    return small, plans_of(small)[-1], planned_size(channels, keep)


def test_a_cut_after_sharing_frees_what_no_network_draws(tmp_path: Path) -> None:
    nets = shared()
    small, _, planned = pruned(nets)
    first, second = (list(bank.filters.shape) for bank in banks_of(small))
    assert first == [8, 3, 3, 3]  # left draws 4..8 and 0..2, right 4..6: row 3 is free
    assert second[:2] == [15, 8]
    cost = measure(small, X[:1]).whole
    assert planned == (cost.params, cost.macs)
    oracle, _, _ = pruned(materialise(nets))
    for task, answer in oracle(X).items():
        torch.testing.assert_close(small(X)[task], answer, rtol=1e-4, atol=1e-4)
    save(small, tmp_path / "m.safetensors")
    assert same(load(dense(), tmp_path / "m.safetensors").eval(), small)
    save(materialise(small), tmp_path / "m.safetensors")
    assert same(load(dense(), tmp_path / "m.safetensors").eval(), materialise(small))


def test_an_optimizer_follows_a_bank_through_a_cut() -> None:
    nets = shared().train()
    optimizer = torch.optim.SGD(nets.parameters(), lr=0.1, momentum=0.9)
    sum(answer.square().mean() for answer in nets(X).values()).backward()
    optimizer.step()
    before = {id(bank.filters): optimizer.state[bank.filters]["momentum_buffer"].clone() for bank in banks_of(nets)}
    small, plan, _ = pruned(nets)
    follow(optimizer, nets, small, plan)
    for old, new in zip(banks_of(nets), banks_of(small), strict=True):
        state = optimizer.state[new.filters]["momentum_buffer"]
        assert state.shape == new.filters.shape
        rows = {tuple(row.tolist()) for row in new.filters[:, -1].flatten(1)}
        kept = [number for number, row in enumerate(old.filters[:, -1].flatten(1)) if tuple(row.tolist()) in rows]
        assert torch.equal(state[:, -1], before[id(old.filters)][kept][:, -1])


def test_a_model_without_banks_is_plain_already() -> None:
    nets = dense()
    assert materialise(nets) is nets
    assert banks_of(nets) == ()


def test_permuted_channels_keep_the_answers() -> None:
    net = network(2, 0)
    before = net(X)
    for group in find_channels(trace(net, X[:1])).groups:
        if group.reason is None:
            order = torch.randperm(group.size, generator=torch.Generator().manual_seed(4)).tolist()
            permute_channels(net, group.slices, order)
    torch.testing.assert_close(net(X), before)
    assert not torch.equal(net.get_parameter("0.weight"), network(2, 0).get_parameter("0.weight"))
