from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from niwaki.errors import ContractError
from niwaki.modules import device_of, evaluating, require_module, unwrap


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


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ContractError, match=r"got the class: give Linear\(...\)"):
        require_module(nn.Linear)
    with pytest.raises(ContractError, match="got dict: give the module whose forward"):
        unwrap({"weight": 1})  # type: ignore[arg-type]  # the mistake under test
