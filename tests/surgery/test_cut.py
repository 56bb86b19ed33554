"""A cut gives the answers of the dense model silenced, and keeps everything else."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import NETS, Concat, Residual, Routed, Shared, image
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from niwaki.contract import as_examples
from niwaki.errors import SurgeryError
from niwaki.graph import Channels
from niwaki.graph.rules.table import RULES
from niwaki.records import GroupPlan, Slice
from niwaki.surgery import Plan, cut, plans_of
from niwaki.surgery.kept import positions_of


def dense_and_small(name: str, *, share: float = 0.5, seed: int = 0) -> tuple[nn.Module, nn.Module, Any, Channels]:
    make, example = NETS[name]
    torch.manual_seed(seed)
    model = make().eval()
    channels = find(model, example)
    removed = choose(channels, share=share, seed=seed)
    assert removed.any()
    return model, cut(model, plan_of(channels, removed, example), channels=channels), example, channels


def silenced_by_hand(model: nn.Module, plan: Plan) -> nn.Module:
    """Zero the removed slices in the dense model: an oracle for models that neither norm nor add up over channels."""
    silent = copy.deepcopy(model)
    tensors = dict(silent.named_parameters()) | dict(silent.named_buffers())
    with torch.no_grad():
        for (name, dim), gone in plan.removed_positions().items():
            tensors[name].index_fill_(dim, torch.tensor(gone), 0)
    return silent


def leaves(output: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("name", NETS)
def test_every_net_is_cut_and_proves_itself(name: str, share: float) -> None:
    model, small, example, _ = dense_and_small(name, share=share, seed=3)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert list(small.state_dict()) == list(model.state_dict())
    for each in as_examples(example):
        dense, cut_answers = leaves(each.call(model)), leaves(each.call(small))
        assert [value.shape for value in cut_answers] == [value.shape for value in dense]


@pytest.mark.parametrize("name", ["residual", "concat", "depthwise", "unpool", "shared", "raw", "flattened", "routed"])
def test_the_cut_answers_as_the_dense_model_with_zeros_written_by_hand(name: str) -> None:
    model, small, example, _ = dense_and_small(name)
    silent = silenced_by_hand(model, plans_of(small)[0])
    for each in as_examples(example):
        for expected, given in zip(leaves(each.call(silent)), leaves(each.call(small)), strict=True):
            torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)


def test_a_hand_thinned_network_is_the_same() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    channels = find(model, image())
    group = channels.groups[0]
    plan = Plan(groups=(GroupPlan(name="0", size=4, kept=(0, 3), slices=group.slices),))
    small = cut(model, plan, channels=channels)
    thin = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 1)).eval()
    with torch.no_grad():
        for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
            thin.state_dict()[name].copy_(model.state_dict()[name][[0, 3]])
        thin.state_dict()["3.weight"].copy_(model.state_dict()["3.weight"][:, [0, 3]])
        thin.state_dict()["3.bias"].copy_(model.state_dict()["3.bias"])
    assert str(thin) == str(small)
    assert torch.equal(thin(image()), small(image()))


@pytest.mark.parametrize("name", NETS)
def test_kept_weights_are_the_dense_ones_bit_for_bit(name: str) -> None:
    make, example = NETS[name]
    model = make().eval()
    channels = find(model, example)
    removed = choose(channels)
    small = cut(model, plan_of(channels, removed, example), channels=channels)
    gone = positions_of(channels, removed)
    before, after = dict(model.state_dict()), dict(small.state_dict())
    for name_, canonical in channels.traced.names.items():
        expected = before[name_]
        for dim, positions in gone.get(canonical, {}).items():
            stays = [i for i in range(expected.shape[dim]) if i not in positions]
            expected = expected.index_select(dim, torch.tensor(stays))
        assert torch.equal(after[name_], expected)
        assert after[name_].dtype == expected.dtype


@pytest.mark.parametrize("training", [True, False])
def test_the_input_model_is_left_as_it_was(training: bool) -> None:
    model = Residual().train(training)
    model.stem[0].weight.requires_grad_(False)
    before, identities = copy.deepcopy(model.state_dict()), [id(p) for p in model.parameters()]
    channels = find(model, image())
    small = cut(model, plan_of(channels, choose(channels), image()), channels=channels)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [id(p) for p in model.parameters()] == identities
    assert model.training is training
    assert small.training is training
    assert [p.requires_grad for p in small.parameters()] == [p.requires_grad for p in model.parameters()]
    assert str(model) == str(Residual())
    assert plans_of(model) == []


def test_what_was_tied_stays_tied_also_outside_the_registry() -> None:
    model = Shared()
    example = torch.randn(4, 5)
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert isinstance(small, Shared)
    assert small.again.weight is small.first.weight
    assert small.kept_by_hand is small.last.weight
    assert small.twice.in_features == small.first.out_features < 8


def test_the_cut_model_is_trained_like_any_other() -> None:
    _, small, example, _ = dense_and_small("residual")
    small.train()
    loss = small(example).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floating_types_are_cut_and_proved(dtype: torch.dtype) -> None:
    model = Concat().to(dtype).eval()
    example = image().to(dtype)
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    assert {p.dtype for p in small.parameters()} == {dtype}
    assert plans_of(small)[0].notes == ()


def test_two_cuts_add_up() -> None:
    model, once, example, _ = dense_and_small("residual", share=0.3)
    channels = find(once, example)
    twice = cut(once, plan_of(channels, choose(channels, share=0.3), example), channels=channels)
    assert len(plans_of(twice)) == 2
    again = model
    for plan in plans_of(twice):
        again = plan.apply(again)
    assert all(torch.equal(value, twice.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_head_that_only_training_has_is_cut_along() -> None:
    _, small, _, _ = dense_and_small("routed")
    assert isinstance(small, Routed)
    assert small.helper.in_channels == small.stem.out_channels == 4
    small.train()
    assert small(image(), 0)["helper"].shape == (2, 2, 6, 6)


def test_wrong_routing_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES["cat"]

    def rolled(call: Any) -> Any:
        dims: Any = right(call)
        dims[1] = np.roll(dims[1], 1)
        return dims

    monkeypatch.setitem(RULES, "cat", rolled)
    model = Concat().eval()
    channels = find(model, image())
    plan = plan_of(channels, choose(channels), image())
    with pytest.raises(SurgeryError, match=r"the cut did not prove itself: in eval mode .* output '(depth|normals)'"):
        cut(model, plan, channels=channels)


def edited(plan: Plan, **changes: Any) -> Plan:
    first = plan.groups[0]
    return plan.model_copy(update={"groups": (first.model_copy(update=changes), *plan.groups[1:])})


def test_a_plan_that_does_not_fit_is_refused() -> None:
    model = Residual().eval()
    channels = find(model, image())
    plan = plan_of(channels, choose(channels), image())
    slices = plan.groups[0].slices
    with pytest.raises(SurgeryError, match="tears a channel apart: position 0 along dimension 0 of"):
        cut(model, edited(plan, slices=slices[1:], kept=tuple(range(1, plan.groups[0].size))), channels=channels)
    frozen = Slice(tensor="head.weight", dim=0, positions=((0,), (1,)))
    with pytest.raises(SurgeryError, match="dimension 0 of 'head.weight' can't lose those positions: .*output"):
        cut(model, Plan(groups=(GroupPlan(name="x", size=2, kept=(0,), slices=(frozen,)),)), channels=channels)
    other = Slice(tensor="nowhere.weight", dim=0, positions=((0,), (1,)))
    stranger = Plan(groups=(GroupPlan(name="x", size=2, kept=(0,), slices=(other,)),))
    with pytest.raises(SurgeryError, match=r"'nowhere.weight', which the model's graph does not have"):
        cut(model, stranger, channels=channels)
    with pytest.raises(SurgeryError, match="'nowhere.weight', a tensor the model does not have"):
        cut(model, stranger, verify=False)
    with pytest.raises(SurgeryError, match="tells no example inputs"):
        cut(model, plan.model_copy(update={"examples": ()}))
    far = Slice(tensor="head.weight", dim=0, positions=((0,), (7,)))
    with pytest.raises(SurgeryError, match="removes position 7 along dimension 0 of 'head.weight'.* a wider model"):
        cut(model, Plan(groups=(GroupPlan(name="x", size=2, kept=(0,), slices=(far,)),)), verify=False)
    whole = Plan(groups=(GroupPlan(name="x", size=2, kept=(), slices=(frozen,)),))
    with pytest.raises(SurgeryError, match="leaves nothing of dimension 0 of 'head.weight'"):
        cut(model, whole, verify=False)


def test_a_model_that_can_not_be_copied_is_refused() -> None:
    model = Residual()
    vars(model)["lines"] = (line for line in ["a generator can't be copied"])
    with pytest.raises(SurgeryError, match="can't be copied"):
        cut(model, Plan(groups=()), verify=False)
