"""Plans as JSON: they stay with a model, and cut another checkpoint of it without its channels at hand."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import NETS, Concat, SqueezeExcite, compiled, image
from torch import nn
from torch.optim.swa_utils import AveragedModel

from niwaki.errors import SurgeryError
from niwaki.surgery import Plan, cut, follow_ema, plans_of, unwrap


def pruned(model: nn.Module) -> nn.Module:
    channels = find(model, image())
    return cut(model, plan_of(channels, choose(channels), image()), channels=channels)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_a_plan_from_json_cuts_another_checkpoint(name: str, verify: bool) -> None:
    make, example = NETS[name]
    model = make().eval()
    channels = find(model, example)
    small = cut(model, plan_of(channels, choose(channels), example), channels=channels)
    plan = Plan.from_json(plans_of(small)[0].to_json())
    assert same_weights(plan.apply(model, verify=verify), small)
    other = plan.apply(make().eval(), verify=verify)
    assert str(other) == str(small)
    assert plans_of(other)[0].model_copy(update={"notes": ()}) == plan.model_copy(update={"notes": ()})
    other.load_state_dict(small.state_dict())
    assert same_weights(other, small)


def test_plans_survive_deepcopy_and_stay_out_of_the_state() -> None:
    small = pruned(Concat().eval())
    assert plans_of(copy.deepcopy(small)) == plans_of(small)
    assert not any("plan" in name for name in small.state_dict())


def test_a_saved_state_needs_no_pickled_classes(tmp_path: Path) -> None:
    small = pruned(Concat().eval())
    torch.save(small.state_dict(), tmp_path / "state.pt")
    again = plans_of(small)[0].apply(Concat().eval(), verify=False)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again(image())["depth"], small(image())["depth"])


def test_a_model_of_another_width_is_refused_with_the_first_tensor_that_differs() -> None:
    plan = plans_of(pruned(Concat().eval()))[0]
    wide = Concat().eval()
    wide.left[0] = nn.Conv2d(3, 7, 3, padding=1, bias=False)
    with pytest.raises(SurgeryError, match=r"tensor 'left.0.weight' is of shape \(7, 3, 3, 3\), .* made for \(6, 3, 3"):
        plan.apply(wide)
    with pytest.raises(SurgeryError, match=r"tensor 'left.0.weight' is missing"):
        plan.apply(nn.Linear(3, 3))


def test_a_compiled_model_comes_back_compiled() -> None:
    model = compiled(Concat().eval())
    small = pruned(unwrap(model))
    again = plans_of(small)[0].apply(model)
    assert type(again) is type(model)
    assert plans_of(again) == plans_of(small)
    assert torch.equal(again(image())["depth"], small(image())["depth"])


def test_a_part_that_is_compiled_alone_is_refused() -> None:
    model: Any = Concat().eval()
    plan = plans_of(pruned(Concat().eval()))[0]
    model.left = torch.compile(model.left, backend="eager")
    with pytest.raises(
        SurgeryError, match="the module 'left' is compiled or wrapped inside the model.*; compile the whole"
    ):
        plan.apply(model)


def test_a_distributed_wrapper_is_taken_off() -> None:
    small = pruned(Concat().eval())
    again = plans_of(small)[0].apply(nn.DataParallel(Concat().eval()), verify=False)
    assert isinstance(again, Concat)


def test_channels_last_is_kept() -> None:
    model = Concat().eval()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
    small = pruned(model)
    for before, after in zip(model.parameters(), small.parameters(), strict=True):
        if before.ndim == 4:
            assert after.is_contiguous(memory_format=torch.channels_last)
            assert after.stride(1) == before.stride(1)


@pytest.mark.parametrize("wrap", [compiled, lambda model: model])
def test_an_averaged_copy_is_cut_alike(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model: nn.Module = SqueezeExcite().eval()
    wrapped = wrap(model)
    averaged = AveragedModel(wrapped, use_buffers=True)
    averaged.update_parameters(wrapped)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    averaged.update_parameters(wrapped)
    small = pruned(model)
    averaged.module = follow_ema(averaged.module, small)
    assert int(averaged.n_averaged) == 2
    inner = unwrap(averaged.module)
    for (name, mean), now in zip(inner.named_parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(mean, now - 0.5, msg=name)
    averaged.update_parameters(small)
    assert int(averaged.n_averaged) == 3


def test_an_averaged_copy_catches_up_with_several_cuts() -> None:
    model = Concat().eval()
    small = pruned(pruned(model))
    assert len(plans_of(small)) == 2
    assert same_weights(follow_ema(model, small), small)
    assert same_weights(follow_ema(small, small), small)


def test_an_averaged_copy_of_another_shape_is_refused() -> None:
    with pytest.raises(SurgeryError, match=r"leaves 'weight' with shape \(2, 2\), in the model it is \(3, 2\)"):
        follow_ema(nn.Linear(2, 2), nn.Linear(2, 3))
    with pytest.raises(SurgeryError, match=r"'bias' with shape \(2,\), in the model it is None; begin a new average"):
        follow_ema(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))


def test_modules_compiled_in_place_come_back_compiled() -> None:
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    model = Concat().eval()
    model.compile(backend=backend, dynamic=False)
    model.left.compile(backend="eager")
    small = pruned(model)
    assert graphs == [], "planning and cutting compile nothing"
    small(image())
    assert graphs, "the small model is not compiled with the dense one's backend"
    inner = small.get_submodule("left")._compiled_call_impl
    assert inner is not None
    assert inner is not model.left._compiled_call_impl


def test_a_module_compiled_in_an_unknown_way_is_told() -> None:
    model = Concat().eval()
    model._compiled_call_impl = functools.partial(model._call_impl)
    with pytest.warns(UserWarning, match=r"Concat was compiled in place.*call compile\(\) on it again"):
        small = pruned(model)
    assert small._compiled_call_impl is None
