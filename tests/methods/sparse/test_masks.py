"""Masks hold: on weights, gradients and state, under every optimizer, precision and way to train."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import ContractError
from niwaki.methods.sparse import DynamicSparse, Masks
from niwaki.methods.sparse.masks import keeps_zeros

MOVING = DynamicSparse(density=0.2, every=2, allocation="erk")
POSITIVE_ZERO = 0


def bits(values: Tensor) -> Tensor:
    """The bits of floats: +0.0 is the only zero here."""
    return values.float().view(torch.int32)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    "options", [{}, {"precision": torch.bfloat16}, {"accumulate": 3}], ids=["float32", "bf16", "accumulated"]
)
def test_masked_weights_and_moments_are_plus_zero_after_each_step(
    optimizer: str, options: dict[str, Any], trainer: Callable[..., Any]
) -> None:
    job = trainer(MOVING, optimizer=optimizer, steps=12, **options)
    for _ in range(12):
        job.step()
        assert all((bits(each) == POSITIVE_ZERO).all() for each in job.held())
        assert job.run.masks.kept == job.run.counts
    finished = job.run.finish(job.model)
    assert sum(int(finished.get_parameter(name).count_nonzero()) for name in job.run.masks) == sum(
        job.run.counts.values()
    )


def test_compiled_models_are_held_too(trainer: Callable[..., Any]) -> None:
    plain, compiled = trainer(MOVING, steps=6), trainer(MOVING, steps=6)
    compiled.model = torch.compile(compiled.model, backend="eager")
    for _ in range(6):
        plain.step()
        compiled.step()
    for name, mask in plain.run.masks.items():
        assert torch.equal(mask, compiled.run.masks[name])
    finished = compiled.run.finish(compiled.model)
    assert type(finished) is type(plain.model)


def net_and_masks() -> tuple[nn.Linear, Masks]:
    net = nn.Linear(3, 2)
    return net, Masks({"weight": torch.tensor([[True, False, True], [False, True, True]])})


def test_state_that_was_carried_over_is_cleared_once() -> None:
    net, masks = net_and_masks()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    grown = torch.zeros(2, 3, dtype=torch.bool)
    grown[0, 0] = True
    masks.clear_state(net, optimizer, {"weight": grown})
    state = optimizer.state[net.weight]
    expected = torch.tensor([[False, False, True], [False, True, True]])
    assert torch.equal(state["exp_avg"] != 0, expected)
    assert torch.equal(state["exp_avg_sq"] != 0, expected)
    assert state["step"] == 1
    assert (optimizer.state[net.bias]["exp_avg"] != 0).all()


def test_negative_zeros_are_no_zeros_to_keep() -> None:
    net, masks = net_and_masks()
    masks.put_on_weights(net)
    assert masks.hold(net)
    with torch.no_grad():
        net.weight[0, 1] = -0.0
    assert not masks.hold(net)
    masks.put_on_weights(net)
    assert (bits(net.weight.detach())[~masks["weight"]] == POSITIVE_ZERO).all()


def test_masks_follow_a_model_to_another_device() -> None:
    net, masks = net_and_masks()
    away = deepcopy(net).to("meta")
    masks.put_on_weights(away)
    assert masks["weight"].device.type == "meta"


def test_saved_masks_come_back_and_others_are_refused() -> None:
    _, masks = net_and_masks()
    again = Masks({"weight": torch.ones(2, 3, dtype=torch.bool)})
    again.load_state_dict(masks.state_dict())
    assert again.kept == {"weight": 4}
    with pytest.raises(ContractError, match="'weight' has shape \\[2, 3\\] here and \\[3, 3\\] in the state"):
        again.load_state_dict({"weight": torch.ones(3, 3, dtype=torch.bool)})


def test_finish_leaves_the_runs_model_as_it_was_where_weights_have_still_to_go(trainer: Callable[..., Any]) -> None:
    job = trainer(MOVING, steps=4)
    job.step()
    with torch.no_grad():
        for name in job.run.masks:
            job.model.get_parameter(name).fill_(1.0)  # such as an epoch's weights from before the last update
    finished = job.run.finish(job.model)
    assert finished is not job.model
    for name, mask in job.run.masks.items():
        assert torch.equal(finished.get_parameter(name) != 0, mask)
        assert (job.model.get_parameter(name) == 1).all()
    assert job.run.finish(finished) is finished


def test_another_model_is_refused(trainer: Callable[..., Any]) -> None:
    job = trainer(MOVING, steps=4)
    with pytest.raises(ContractError, match=r"masks 'block.0.weight'.*use `model = run.after_step"):
        job.run.finish(nn.Linear(2, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_whatever_was_there_is_plus_zero_and_what_stays_is_untouched(dtype: torch.dtype) -> None:
    net = nn.Conv2d(2, 2, 3, dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    mask = torch.arange(36).reshape(2, 2, 3, 3) % 3 == 0
    masks = Masks({"weight": mask})
    before = net.weight.detach().clone()
    net.weight.grad = torch.full((2, 2, 3, 3), float("nan"), dtype=dtype)  # another layout than the weight's
    masks.put_on_weights(net)
    masks.put_on_gradients(net)
    masks.put_on_weights(net)
    assert torch.equal(net.weight.detach()[mask], before[mask])
    assert net.weight.grad[mask].isnan().all()
    for values in (net.weight.detach(), net.weight.grad):
        assert (values[~mask] == 0).all()
        assert not values[~mask].signbit().any()


class Drifting(torch.optim.SGD):
    """An optimizer that moves weights whose gradient is zero."""

    def step(self, closure: Any = None) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                for each in group["params"]:
                    each.add_(0.1)
        return super().step(closure)


def test_weights_are_masked_after_each_step_of_an_optimizer_that_is_not_known(trainer: Callable[..., Any]) -> None:
    job = trainer(MOVING, steps=6)
    job.state = Drifting(job.run.parameter_groups(job.model, lr=0.01), lr=0.1)
    for _ in range(5):
        job.step()
        for name, mask in job.run.masks.items():
            assert not job.model.get_parameter(name)[~mask].count_nonzero()


def test_an_optimizer_that_mixes_weights_is_not_trusted_with_zeros() -> None:
    """Muon makes the whole update orthogonal, so that a zero gradient moves its weight all the same."""
    weight = nn.Parameter(torch.ones(3, 3))
    assert keeps_zeros(torch.optim.AdamW([weight]))
    assert not keeps_zeros(torch.optim.Muon([weight]))
