"""CosPrune against slow loops over whole channel groups, and its laws."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.errors import BudgetError, ContractError
from niwaki.graph import Channels, find_channels, trace
from niwaki.methods import Blend, CosPrune, Taylor
from niwaki.methods.calibration import Calibration
from niwaki.methods.prune import plan
from niwaki.methods.prune.criteria import Scores, mean_pairwise_cosine, slice_products
from niwaki.methods.prune.criteria.cos_prune import CosEvidence
from niwaki.tasks import Regression, Task, task_losses

Make = Callable[[], nn.Module]


def scored(net: nn.Module, channels: Channels, calibration: Calibration, criterion: Any = None) -> Scores:
    chosen = criterion or CosPrune()
    evidence = chosen.gather(channels)
    calibration.show(net, evidence)
    found: Scores = chosen.score(net, channels, evidence)
    return found


def slow_scores(net: nn.Module, channels: Channels, calibration: Calibration) -> dict[int, float]:
    """Each class's mean cosine, from whole backward passes and slices taken one by one."""
    rows = ("stem.0.weight", "block.0.weight", "deep.0.weight")
    twin = deepcopy(net).eval()
    found: dict[int, list[float]] = {}
    for x, targets in calibration.batches:
        gradients = []
        for task in calibration.tasks:
            twin.zero_grad()
            task.loss(twin(x)[task.name], targets[task.name]).backward()
            gradients.append({name: twin.get_parameter(name).grad.clone() for name in rows})  # type: ignore[union-attr]
        for label in np.flatnonzero(channels.removable):
            vectors = [_concatenated(own, channels, int(label)) for own in gradients]
            found.setdefault(int(label), []).append(float(F.cosine_similarity(vectors[0], vectors[1], dim=0)))
    return {label: sum(values) / len(values) for label, values in found.items()}


def _concatenated(own: dict[str, Tensor], channels: Channels, label: int) -> Tensor:
    parts = []
    for name, gradient in own.items():
        labels = channels.tensors[name][0]
        parts += [gradient[row].flatten() for row, each in enumerate([] if labels is None else labels) if each == label]
    return torch.cat(parts)


def test_whole_groups_by_a_slow_loop(net: nn.Module, channels: Channels, calibration: Calibration) -> None:
    found = scored(net, channels, calibration)
    expected = slow_scores(net, channels, calibration)
    assert len(expected) == 40
    for label, value in expected.items():
        assert found[label] == pytest.approx(value, abs=1e-5)


@given(tasks=st.integers(2, 5), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_cosines_lie_between_their_bounds(tasks: int, shape: list[int], seed: int) -> None:
    gradients = torch.randn(tasks, *shape, generator=torch.Generator().manual_seed(seed))
    for dim, size in enumerate(shape):
        products = slice_products(gradients, dim)
        mean, paired = mean_pairwise_cosine(products, torch.ones(tasks, size) > 0)
        assert paired.all()
        assert (mean >= -1 / (tasks - 1) - 1e-5).all()
        assert (mean <= 1 + 1e-6).all()
        for position in range(size):
            rows = gradients.select(dim + 1, position).reshape(tasks, -1)
            pairs = [float(F.cosine_similarity(rows[i], rows[j], dim=0)) for i in range(tasks) for j in range(i)]
            assert float(mean[position]) == pytest.approx(sum(pairs) / len(pairs), abs=1e-4)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 1.0), (-1.0, -1.0)])
def test_equal_losses_agree_and_opposite_ones_conflict(
    net: nn.Module, channels: Channels, batches: list[Any], sign: float, expected: float
) -> None:
    """Two tasks that look at the same output, with the same loss or its negative."""
    evidence = CosEvidence(channels)
    parameters = {name: net.get_parameter(name) for name in evidence.parameters}
    for x, targets in batches[:2]:
        loss = F.cross_entropy(net(x)["classes"], targets["classes"])
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        other = {name: sign * each for name, each in gradients.items()}
        evidence.see(parameters, {"one": gradients, "other": other})
    found = CosPrune().score(net, channels, evidence)
    np.testing.assert_allclose(found[channels.removable], expected, atol=1e-6)


def test_the_order_of_the_tasks_changes_no_bit(net: nn.Module, channels: Channels, calibration: Calibration) -> None:
    backwards = Calibration(calibration.tasks[::-1], calibration.batches)
    for criterion in (CosPrune(), Taylor(), Taylor(tasks="vote"), Taylor(tasks="mean")):
        first, second = (scored(net, channels, each, criterion) for each in (calibration, backwards))
        assert (first == second).all()


def test_scoring_twice_gives_the_same_and_leaves_everything(
    net: nn.Module, channels: Channels, calibration: Calibration
) -> None:
    net.get_submodule("stem").requires_grad_(requires_grad=False)
    x, targets = calibration.batches[0]
    sum(task_losses(calibration.tasks, net(x), targets).values()).backward()  # type: ignore[union-attr]  # a tensor
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    grads = {name: None if each.grad is None else each.grad.clone() for name, each in net.named_parameters()}
    frozen = [each.requires_grad for each in net.parameters()]
    state = torch.get_rng_state()
    first, second = (scored(net, channels, calibration) for _ in range(2))
    assert (first == second).all()
    assert torch.equal(state, torch.get_rng_state())
    assert net.training
    assert frozen == [each.requires_grad for each in net.parameters()]
    assert not frozen[0]
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
    for name, each in net.named_parameters():
        old = grads[name]
        assert (each.grad is None and old is None) or torch.equal(each.grad, old)  # type: ignore[arg-type]  # not None


def test_frozen_parameters_are_scored_like_others(
    make_net: Make, channels: Channels, net: nn.Module, calibration: Calibration, example: Tensor
) -> None:
    frozen = make_net().requires_grad_(False)
    again = find_channels(trace(frozen, example))
    assert (scored(frozen, again, calibration) == scored(net, channels, calibration)).all()


def test_a_dead_filter_goes_first(net: nn.Module, channels: Channels, calibration: Calibration) -> None:
    label = int(channels.tensors["stem.0.weight"][0][5])  # type: ignore[index]  # the dimension bears channels
    with torch.no_grad():
        for name in ("stem.1", "block.1"):
            net.get_parameter(f"{name}.weight")[5] = 0
            net.get_parameter(f"{name}.bias")[5] = 0
    found = scored(net, channels, calibration)
    assert found[label] == found[channels.removable].min() < -1
    assert (found[channels.removable] < -1).sum() == 1


def test_one_task_is_ranked_by_taylor_and_the_plan_says_so(
    net: nn.Module, channels: Channels, calibration: Calibration
) -> None:
    single = Calibration(calibration.tasks[:1], calibration.batches)
    found, taylor = (scored(net, channels, single, each)[channels.removable] for each in (CosPrune(), Taylor()))
    assert (np.argsort(found, kind="stable") == np.argsort(taylor, kind="stable")).all()
    assert found.max() == 1
    evidence = CosPrune().gather(channels)
    single.show(net, evidence)
    assert CosPrune().notes(channels, evidence) == (
        "40 channels that no two tasks share were ranked by Taylor, each part of the network by itself",
    )


class Heads(nn.Module):
    """A trunk, and heads with a hidden layer each."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 16, 3, padding=1)
        self.classes = nn.Sequential(nn.Conv2d(16, 12, 1), nn.ReLU(), nn.Conv2d(12, 5, 1))
        self.depth = nn.Sequential(nn.Conv2d(16, 10, 1), nn.ReLU(), nn.Conv2d(10, 1, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = F.relu(self.trunk(x))
        return {"classes": self.classes(features), "depth": self.depth(features)}


def test_each_part_is_ranked_by_itself(example: Tensor, calibration: Calibration) -> None:
    torch.manual_seed(0)
    net = Heads()
    channels = find_channels(trace(net, example))
    found = scored(net, channels, calibration)
    evidence = CosPrune().gather(channels)
    calibration.show(net, evidence)
    assert isinstance(evidence, CosEvidence)
    means = (evidence.total / evidence.counted.clamp(min=1)).numpy()
    for name, scores in [("trunk", means), ("classes.0", evidence.taylor.summed())]:
        labels = channels.tensors[f"{name}.weight"][0]
        assert labels is not None
        alive = evidence.alive.numpy()[labels]
        order = np.argsort(scores[labels][alive])
        assert (np.diff(found[labels][alive][order]) > 0).all()
        assert found[labels].max() == 1


def test_a_batch_without_one_task_counts_for_the_other_alone(
    net: nn.Module, channels: Channels, tasks: list[Task], batches: list[Any]
) -> None:
    x, targets = batches[1]
    poor = (x, {"depth": targets["depth"]})
    both = Calibration(tuple(tasks), (batches[0],))
    found = scored(net, channels, Calibration(tuple(tasks), (batches[0], poor)))
    assert (found == scored(net, channels, both)).all()


def test_inputs_of_their_own_give_the_same_as_one_input(
    net: nn.Module, channels: Channels, tasks: list[Task], batches: list[Any]
) -> None:
    x, targets = batches[0]
    apart = {task.name: (x, targets[task.name]) for task in tasks}
    first, second = (scored(net, channels, Calibration(tuple(tasks), (each,))) for each in ((x, targets), apart))
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("criterion", [CosPrune(), Taylor(), Blend()])
def test_batches_without_labels_are_no_batches(net: nn.Module, channels: Channels, criterion: Any) -> None:
    evidence = criterion.gather(channels)
    evidence.see({}, {})
    with pytest.raises(ContractError, match="there were none: give"):
        criterion.score(net, channels, evidence)


def test_a_model_with_nothing_to_prune_says_so() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 1, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"a": self.a(x), "b": self.b(x)}

    x = torch.rand(2, 3, 4, 4)
    tasks = [Regression(name=name) for name in ("a", "b")]
    data = [(x, {"a": torch.rand(2, 2, 4, 4), "b": torch.rand(2, 1, 4, 4)})]
    with pytest.raises(BudgetError, match="no group of channels can shrink"):
        plan(Heads(), x, tasks=tasks, data=data, criterion=CosPrune(), channels=0.5)


def test_without_batches_it_is_refused(net: nn.Module, channels: Channels) -> None:
    with pytest.raises(ContractError, match="judges channels by the tasks' gradients, and there were none: give"):
        CosPrune().score(net, channels, CosPrune().gather(channels))
    with pytest.raises(ContractError, match="'taylor'"):
        Taylor().score(net, channels)
