"""Lottery tickets: how many rounds, what is wound back to, and what the optimizer forgets."""

from typing import Any

import pytest
import torch
from tests.methods.sparse.networks import density, network, sparse_names, started, step

from niwaki.errors import ContractError
from niwaki.methods.sparse.lottery import LotteryTicket
from niwaki.tasks import task_losses


def test_a_fifth_goes_in_each_round_until_the_target() -> None:
    assert LotteryTicket(density=0.8).rounds == 1
    assert LotteryTicket(density=0.64).rounds == 2
    assert LotteryTicket(density=0.6).rounds == 3
    assert LotteryTicket(density=0.1).rounds == 11
    assert LotteryTicket(density=0.5, heads={"depth": 0.1}).rounds == 11
    assert LotteryTicket(density=1.0).rounds == 1
    assert LotteryTicket(density=0.25, share=0.5).updates(30) == [10, 20]
    assert LotteryTicket(density=0.25, share=0.5).updates(0) == []
    with pytest.raises(ContractError, match="2 rounds and the last training need 3 steps or more; got 2"):
        LotteryTicket(density=0.25, share=0.5).updates(2)


@pytest.mark.parametrize("rewind", [0.0, 0.4])
def test_what_stays_is_wound_back(rewind: float) -> None:
    """Twice: to the start, or to the middle of the first training; statistics too, and no momentum is left."""
    method = LotteryTicket(density=0.3, share=0.4, rewind=rewind)
    assert method.updates(12) == [3, 6, 9]
    copy, run, tasks, data = started(method, network(2), steps=12)
    optimizer = torch.optim.Adam(run.parameter_groups(copy, lr=0.05))
    early: dict[str, Any] = {}
    size = run.subject.size
    for number in range(12):
        if number == round(rewind * 3):
            early = {name: tensor.clone() for name, tensor in copy.state_dict().items()}
        trained = {name: copy.get_parameter(name).detach().clone() for name in sparse_names(run)}
        copy = step(copy, run, optimizer, data[number % 3], tasks)
        if number + 1 not in (3, 6, 9):
            assert len(optimizer.state) > 0
            continue
        least = {3: 0.6, 6: 0.36, 9: 0.3}[number + 1]
        assert sum(run.masks.kept.values()) == round(least * size)
        assert len(optimizer.state) == 0
        for name, tensor in copy.state_dict().items():
            mask = run.masks.get(name)
            assert torch.equal(tensor, early[name] if mask is None else early[name] * mask), name
        assert any(not torch.equal(trained[name] * run.masks[name], early[name] * run.masks[name]) for name in trained)
    assert run.settled
    assert "early" in run.state_dict()
    assert run.state_dict()["early"] == {}, "nothing is wound back to any more"
    assert density(run.finish(copy), sparse_names(run)) == (round(0.3 * size), size)


def test_the_smallest_of_the_trained_weights_go() -> None:
    copy, run, tasks, data = started(LotteryTicket(density=0.5, share=0.5), network(2), steps=4)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.5))
    other: Any = network(2)  # the same training without a method
    other.trunk[-1].p = 0.0
    names = sparse_names(run)
    plain = torch.optim.SGD(other.parameters(), lr=0.5)
    for batch in data[:2]:
        copy = step(copy, run, optimizer, batch, tasks)
        plain.zero_grad()
        losses = task_losses(tasks, other(batch[0]), batch[1])
        torch.stack(list(losses.values())).sum().backward()
        plain.step()
    for name in names:
        sizes = other.get_parameter(name).detach().abs()
        assert sizes[run.masks[name]].min() >= sizes[~run.masks[name]].max()


def test_without_steps_all_goes_at_the_end() -> None:
    copy, run, _, _ = started(LotteryTicket(density=0.2), network(2), steps=0)
    assert not run.settled
    found, size = density(run.finish(copy), sparse_names(run))
    assert found == round(0.2 * size)
