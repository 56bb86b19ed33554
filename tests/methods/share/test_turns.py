"""Filter sharing while training goes on: turns, optimizers, gradients."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from niwaki import Classification, FilterSharing
from niwaki.methods import Run
from niwaki.models import TaskNets
from niwaki.surgery import banks_of

MakeNets = Callable[..., TaskNets]
TASKS = [Classification(4, name="left"), Classification(3, name="right")]


def train(model: nn.Module, run: Run, optimizer: torch.optim.Optimizer, x: Tensor, steps: int) -> nn.Module:
    for _ in range(steps):
        loss = torch.stack([answer.square().mean() for answer in model(x).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        run.after_backward(model)
        optimizer.step()
        model = run.after_step(model, optimizer)
    return model


def test_layer_by_layer_the_networks_train_between(make_nets: MakeNets, x: Tensor) -> None:
    method = FilterSharing(rate=0.4, schedule="by_layer", until=0.5, limit=0.5, selector="farthest")
    model, run = method.start(make_nets(0.3).train(), x[:1], TASKS, steps=12)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=1e-2), lr=1e-2, momentum=0.9)
    counts = []
    for _ in range(12):
        model = train(model, run, optimizer, x, 1)
        counts.append(len(banks_of(model)))
        held = {id(each) for group in optimizer.param_groups for each in group["params"]}
        assert held == {id(each) for each in model.parameters()}
        assert set(map(id, optimizer.state)) <= held
    assert counts == [1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4]
    assert run.settled
    assert method.moments(12) == [0, 6]


def test_turns_that_training_ended_too_early_for_are_made_up(make_nets: MakeNets, x: Tensor) -> None:
    method = FilterSharing(rate=0.4, schedule="by_layer", selector="farthest")
    model, run = method.start(make_nets(), x[:1], TASKS, steps=100)
    assert not run.settled
    assert len(banks_of(run.finish(model))) == 4


def test_the_mean_gradient_is_the_sum_over_the_number_of_users(make_nets: MakeNets, x: Tensor) -> None:
    found: dict[str, list[Tensor]] = {}
    for gradient in ("sum", "mean"):
        method = FilterSharing(rate=0.3, gradient=gradient, selector="farthest")
        model, run = method.start(make_nets(), x[:1], TASKS, steps=1)
        torch.stack([answer.square().mean() for answer in model(x).values()]).sum().backward()
        run.after_backward(model)
        found[gradient] = [bank.filters.grad for bank in banks_of(model) if bank.filters.grad is not None]
    for summed, mean, bank in zip(found["sum"], found["mean"], banks_of(model), strict=True):
        for row, users in enumerate(bank.counts().tolist()):
            torch.testing.assert_close(mean[row] * users, summed[row])


def test_a_filter_that_was_kept_before_keeps_its_channel_in_a_sum(make_nets: MakeNets, x: Tensor) -> None:
    method = FilterSharing(
        rate=0.2, rates={"*.stem": 0.5}, limit=0.1, below=0.9, schedule="by_layer", selector="importance"
    )
    model, run = method.start(make_nets(0.3), x[:1], TASKS, steps=100)
    widths = [conv.out_channels for bank in banks_of(model)[:1] for conv in bank.users.values()]
    shared = run.finish(model)
    again = [conv.out_channels for bank in banks_of(shared)[:1] for conv in bank.users.values()]
    assert again == widths  # the block's last convolution meets the stem in a sum, and had little worth keeping
    assert all(conv.out_channels < 12 for conv in banks_of(shared)[1].users.values())
