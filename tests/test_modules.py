from collections import OrderedDict
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from niwaki.errors import ContractError
from niwaki.modules import copied, device_of, evaluating, require_module, unwrap


def test_every_module_is_back_in_its_mode_also_after_a_failure() -> None:
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2).eval(), nn.Dropout()))
    modes = [module.training for module in net.modules()]
    with pytest.raises(KeyError), evaluating(net):  # noqa: PT012 - both lines are the point
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert [module.training for module in net.modules()] == modes == [True, True, True, False, True]


def test_a_model_lies_where_its_first_tensor_does() -> None:
    assert device_of(nn.Linear(2, 2, device="meta")).type == "meta"
    buffers = nn.Module()
    buffers.register_buffer("grid", torch.zeros(1, device="meta"), persistent=False)
    assert device_of(buffers).type == "meta"
    assert device_of(nn.ReLU()).type == "cpu"


def test_what_is_wrapped_is_found_through_every_wrapper() -> None:
    plain = nn.Linear(2, 2)
    assert unwrap(plain) is plain
    wrapped: list[Any] = [
        torch.compile(plain, backend="eager"),
        torch.compile(nn.DataParallel(plain), backend="eager"),
        Fabric(accelerator="cpu", devices=1).setup_module(plain),
    ]
    assert all(unwrap(each) is plain for each in wrapped)


def test_a_copy_shares_nothing_with_the_original_but_what_is_given_instead() -> None:
    net: Any = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    net.seen = net[1].seen = set()
    net.notes = OrderedDict()
    net.notes.kept = [1]
    net[0].register_forward_hook(lambda *_: None)
    twin: Any = copied(net, {id(net[0].bias): net[0].bias})
    assert twin[0].bias is net[0].bias
    assert twin[0].weight is not net[0].weight
    assert torch.equal(twin[0].weight, net[0].weight)
    assert twin.seen is twin[1].seen is not net.seen, "what two modules share they share in the copy"
    assert twin.notes.kept == [1]
    assert twin.notes.kept is not net.notes.kept
    assert len(twin[0]._forward_hooks) == 1
    mine, theirs = net[1]._forward_hooks, twin[1]._forward_hooks
    assert mine == theirs
    assert mine is not theirs
    assert type(mine) is type(theirs)
    twin[1].register_forward_hook(lambda *_: None)
    assert not net[1]._forward_hooks


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ContractError, match=r"got the class: give Linear\(...\)"):
        require_module(nn.Linear)
    with pytest.raises(ContractError, match="got dict: give the module whose forward"):
        unwrap({"weight": 1})  # type: ignore[arg-type]  # the mistake under test
