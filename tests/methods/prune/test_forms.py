"""The form of a cut: the user's classes, the graph, and the graph only where the classes can't reach the goal."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import niwaki as nw
from niwaki.errors import BudgetError
from niwaki.methods.prune import latency
from niwaki.surgery import GraphModel, plans_of


class Written(nn.Module):
    """Most of its weights lie between layers whose forward says a number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 64, 1), nn.Conv2d(32, 64, 3, padding=1)
        self.c, self.d = nn.Conv2d(64, 16, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        y = y[:, :32] * y[:, 32:]
        y = self.b(F.relu(y)).reshape(x.shape[0], 64, -1).reshape(x.shape[0], 64, *x.shape[2:])
        answer: Tensor = self.d(F.relu(self.c(y)))
        return answer


def model() -> nn.Module:
    """Build it with the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Written().eval()


def test_numbers_in_code_that_leave_the_budget_in_reach_keep_the_classes(example: Tensor) -> None:
    small = nw.prune(model(), example, macs=0.99)
    (plan,) = plans_of(small)
    assert isinstance(small, Written)
    assert plan.form == "module"
    assert all("written in its code (" in plan.why(name) for name in ("a", "b") if "whole" in plan.why(name))


def test_a_budget_out_of_their_reach_is_met_by_the_graph_and_the_plan_says_so(example: Tensor) -> None:
    dense = model()
    plan = nw.plan(dense, example, macs=0.5)
    assert (plan.form, plan.reached["macs"] <= 0.5) == ("graph", True)
    assert "planned as a graph, since as modules" in plan.notes[-1]
    assert "written in its code (" in plan.notes[-1]
    small = nw.prune(dense, example, macs=0.5)
    assert isinstance(small, GraphModel)
    assert nw.measure(small, example).whole.macs <= 0.5 * nw.measure(dense, example).whole.macs


def test_the_graph_gives_the_answers_of_the_dense_model_silenced(example: Tensor) -> None:
    dense = model()
    small = nw.prune(dense, example, macs=0.5)
    (plan,) = plans_of(small)
    silent = model()
    for (name, dim), gone in plan.removed_positions().items():
        with torch.no_grad():
            silent.get_parameter(name).index_fill_(dim, torch.tensor(gone), 0)
    assert torch.allclose(small(example), silent(example), atol=1e-5)


def test_classes_asked_for_are_an_error_that_names_place_and_way_out(example: Tensor) -> None:
    told = (
        r"out of reach: the smallest reachable is macs=0.\d+.*the model's own forward has the size \d+ written in its"
    )
    with pytest.raises(BudgetError, match=told + r".*form='graph' frees them"):
        nw.plan(model(), example, macs=0.3, form="module")


def test_a_graph_asked_for_frees_what_is_written_in_code(example: Tensor) -> None:
    plan = nw.plan(model(), example, channels=0.5, form="graph")
    assert plan.form == "graph"
    assert {group.name: len(group.kept) / group.size for group in plan.groups} == {"a": 0.5, "b": 0.5, "c": 0.5}
    assert isinstance(plan.apply(model()), GraphModel)


def test_a_graph_asked_for_takes_shuffled_channels_one_by_one(example: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ChannelShuffle(2), nn.Conv2d(16, 2, 1)).eval()
    as_module = nw.plan(net, example, channels=0.5, form="module", round_to=1)
    as_graph = nw.plan(net, example, channels=0.5, form="graph", round_to=1)
    assert (as_module.groups[0].size, as_graph.groups[0].size) == (8, 16)


def test_rounds_go_on_when_one_of_them_comes_back_as_a_graph(example: Tensor) -> None:
    method = nw.StructuredPruning(budget={"macs": 0.3}, rounds=3, until=1.0, round_to=4)
    net, run = method.start(model(), example, steps=3)
    optimizer = torch.optim.SGD(run.parameter_groups(net, lr=0.1), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        net(example).square().mean().backward()
        optimizer.step()
        before = {name: optimizer.state[each]["momentum_buffer"].clone() for name, each in net.named_parameters()}
        cuts = len(plans_of(net))
        net = run.after_step(net, optimizer)
        removed = plans_of(net)[cuts].removed_positions()
        for name, each in net.named_parameters():
            expected = before[name]
            for dim, size in enumerate(expected.shape):
                gone = set(removed.get((name, dim), []))
                expected = expected.index_select(dim, torch.tensor([i for i in range(size) if i not in gone]))
            assert torch.equal(optimizer.state[each]["momentum_buffer"], expected), "exactly what was kept"
    small = run.finish(net)
    assert isinstance(small, GraphModel)
    assert nw.measure(small, example).whole.macs <= 0.3 * nw.measure(model(), example).whole.macs
    assert len(plans_of(small)) == 3
    assert plans_of(small)[-1].form == "graph"
    assert "of Written," in str(small)


def test_a_latency_out_of_their_reach_is_met_by_the_graph(example: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick(model: nn.Module, *_: object) -> float:
        return 1 + sum(each.numel() for each in model.parameters()) / 1000

    monkeypatch.setattr(latency, "_milliseconds", tick)
    plan = nw.plan(model(), example, latency_ms=5.0, round_to=1)
    assert plan.form == "graph"
    with pytest.raises(BudgetError, match=r"the smallest network takes .* ms .*written in its code"):
        nw.plan(model(), example, latency_ms=5.0, round_to=1, form="module")
