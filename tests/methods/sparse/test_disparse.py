"""DiSparse: exact densities for any number of tasks, each task's own view, and its dynamic form by a slow reference."""

from math import cos, pi
from typing import Any

import pytest
import torch
from tests.methods.sparse.networks import (
    EXAMPLE,
    ManyTasks,
    batches_of,
    density,
    network,
    sparse_names,
    started,
    step,
    tasks_of,
)
from torch import Tensor

from niwaki.errors import ContractError, SettingError
from niwaki.methods.sparse import ERK, Global, Uniform
from niwaki.methods.sparse.disparse import DiSparse, task_scores
from niwaki.methods.sparse.disparse_dynamic import growth_ranks
from niwaki.tasks import task_losses


def uses(model: ManyTasks, name: str) -> list[str]:
    """The tasks that use a parameter, by its name."""
    if name.startswith("heads."):
        return [name.split(".")[1]]
    return model.names[:2] if name.startswith("branch") else model.names


def own_gradients(model: ManyTasks, names: tuple[str, ...], count: int) -> dict[str, dict[str, Tensor]]:
    """The sum over batches of the sizes of each task's gradients, one task after the other."""
    model = model.train()
    model.trunk[-1].eval()
    found: dict[str, dict[str, Tensor]] = {name: {} for name in model.names}
    for x, targets in batches_of(model)[:count]:
        for task in model.names:
            loss = task_losses(tasks_of(model), model(x), targets)[task]
            mine = [name for name in names if task in uses(model, name)]
            gradients = torch.autograd.grad(loss, [model.get_parameter(name) for name in mine])
            for name, each in zip(mine, gradients, strict=True):
                found[task][name] = found[task].get(name, torch.zeros_like(each)) + each.abs()
    return found


def slow_ranks(scores: dict[str, dict[str, Tensor]]) -> dict[tuple[str, int], float]:
    best: dict[tuple[str, int], float] = {}
    for own in scores.values():
        values = {
            (name, place): value for name, each in own.items() for place, value in enumerate(each.flatten().tolist())
        }
        for rank, weight in enumerate(sorted(values, key=lambda weight: -values[weight]), start=1):
            best[weight] = min(best.get(weight, 2.0), rank / len(values))
    return best


@pytest.mark.parametrize("score", ["saliency", "taylor", "magnitude"])
def test_the_best_ranks_stay(score: Any) -> None:
    """By a loop over tasks and weights: trunk, a branch of two of three tasks, heads."""
    model = network(3, branch=True)
    _, run, _, _ = started(DiSparse(density=0.15, score=score, batches=2), model, steps=4)
    names = sparse_names(run)
    assert any(each.part == "branch t0+t1" for each in run.subject.layers)
    sizes = own_gradients(network(3, branch=True), names, 2)
    scores = {
        task: {name: task_scores(model.get_parameter(name), each, score) for name, each in own.items()}
        for task, own in sizes.items()
    }
    ranks = slow_ranks(scores)
    kept = {(name, place) for name in names for place in run.masks[name].flatten().nonzero().flatten().tolist()}
    assert len(kept) == round(0.15 * run.subject.size)
    gone = ranks.keys() - kept
    assert max(ranks[weight] for weight in kept) <= min(ranks[weight] for weight in gone)


@pytest.mark.parametrize("mode", ["static", "pretrained", "dynamic"])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_the_density_is_the_one_asked_for(mode: Any, tasks: int) -> None:
    method = DiSparse(density=0.1, mode=mode, **({"every": 1} if mode == "dynamic" else {}))
    copy, run, chosen, data = started(method, network(tasks), steps=6)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.1), momentum=0.9)
    wanted = round(0.1 * run.subject.size)
    assert sum(run.masks.kept.values()) == wanted
    for number in range(6):
        copy = step(copy, run, optimizer, data[number % 3], chosen)
        assert sum(run.masks.kept.values()) == wanted
    finished = run.finish(copy)
    found = density(finished, sparse_names(run))[0]
    assert found <= wanted if mode == "dynamic" else found == wanted  # a weight that has just grown is still zero
    assert sum(each.kept for each in run.findings()["sparsity"].layers) == wanted


def test_a_weight_stays_if_one_task_needs_it() -> None:
    """Two tasks that lean on different halves of the trunk both keep their half's best."""
    model = network(2)
    _, run, _, _ = started(DiSparse(density=0.1, batches=1), model, steps=1)
    sizes = own_gradients(network(2), sparse_names(run), 1)
    for task in model.names:
        scores = {name: model.get_parameter(name).abs() * each for name, each in sizes[task].items()}
        name = max(scores, key=lambda name: scores[name].max().item())
        assert run.masks[name].flatten()[scores[name].argmax()], "each task's best weight of all"


def test_each_mode_begins_as_its_paper_says() -> None:
    assert DiSparse(density=0.1).allocation == Global()
    assert DiSparse(density=0.1).scored_by == "saliency"
    assert DiSparse(density=0.1, mode="pretrained").scored_by == "magnitude"
    assert DiSparse(density=0.1, mode="pretrained", score="taylor").looks_at_data
    dynamic = DiSparse(density=0.1, mode="dynamic")
    assert dynamic.allocation == ERK(power=0.9)
    assert DiSparse(density=0.1, mode="dynamic", allocation=Uniform()).allocation == Uniform()
    assert DiSparse(**dynamic.model_dump(mode="json")) == dynamic
    assert DiSparse(**DiSparse(density=0.1).model_dump(mode="json")) == DiSparse(density=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "dynamic", "score": "taylor"}, 'score belongs to the mode "static" and "pretrained"'),
        ({"mode": "dynamic", "at": 0.5}, "at belongs to the mode"),
        ({"every": 10}, 'every belongs to the mode "dynamic"; the mode here is "static"'),
        ({"mode": "pretrained", "drop": 0.1}, 'drop belongs to the mode "dynamic"; the mode here is "pretrained"'),
    ],
)
def test_settings_of_another_mode_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        DiSparse(density=0.1, **options)


def test_magnitude_needs_no_data_but_gradients_do() -> None:
    model, method = network(2), DiSparse(density=0.1, mode="pretrained")
    method.start(model, EXAMPLE, steps=1)
    with pytest.raises(ContractError, match="give `data`"):
        method.model_copy(update={"score": "taylor"}).start(model, EXAMPLE, tasks_of(model), steps=1)


def test_growth_is_the_union_of_the_tasks_cut_off_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = {task: torch.rand(40, generator=generator) for task in "abc"}
    free = torch.rand(40, generator=generator) > 0.3
    ranks = growth_ranks(sizes, free)
    count = int(free.sum())
    assert (ranks[~free] == 1).all()
    for grown in range(1, count + 1):
        union = torch.zeros(40, dtype=torch.bool)
        for each in sizes.values():
            union[torch.where(free, each, -1.0).topk(grown).indices] = True
        assert torch.equal((ranks <= grown / count + 1e-12) & free, union)


def slow_update(before: Tensor, weight: Tensor, sizes: dict[str, Tensor], drop: int) -> set[int]:
    on = [place for place in range(before.numel()) if before.flatten()[place]]
    sizes_of = weight.flatten().abs().tolist()
    staying = set(sorted(on, key=lambda place: (-sizes_of[place], place))[: len(on) - drop])
    free = [place for place in range(before.numel()) if place not in staying]
    best = dict.fromkeys(free, 2.0)
    for own in sizes.values():
        values = own.flatten().tolist()
        for rank, place in enumerate(sorted(free, key=lambda place: (-values[place], place)), start=1):
            best[place] = min(best[place], rank / len(free))
    return staying | set(sorted(free, key=lambda place: (best[place], place))[:drop])


def test_dynamic_drops_by_magnitude_and_grows_by_each_tasks_gradient() -> None:
    method = DiSparse(density=0.3, mode="dynamic", every=3, until=0.75)
    copy, run, tasks, data = started(method, network(3), steps=16)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.2, weight_decay=1e-2), momentum=0.9)
    names, updates = sparse_names(run), 0
    assert list(run.updates) == [3, 6, 9, 12]
    for number in range(16):
        assert run.settled == (number >= 12)
        batch = data[number % 3]
        before = {name: run.masks[name].clone() for name in names}
        losses = task_losses(tasks, copy(batch[0]), batch[1])
        sizes: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        for task, loss in losses.items():
            mine = [name for name in names if task in uses(network(3), name)]
            found = torch.autograd.grad(loss, [copy.get_parameter(name) for name in mine], retain_graph=True)
            for name, each in zip(mine, found, strict=True):
                sizes[name][task] = each.abs()
        run.before_backward(copy, losses)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        run.after_backward(copy)
        optimizer.step()
        weights = {name: copy.get_parameter(name).detach().clone() for name in names}
        copy = run.after_step(copy, optimizer)
        for name in names:
            if number + 1 not in run.updates:
                assert torch.equal(run.masks[name], before[name])
                continue
            fraction = 0.5 * (1 + cos(pi * (number + 1) / 16 / 0.75)) / 2
            drop = int(fraction * run.counts[name] + 1e-9)
            expected = slow_update(before[name], weights[name], sizes[name], drop)
            assert set(run.masks[name].flatten().nonzero().flatten().tolist()) == expected
            updates += int(not torch.equal(run.masks[name], before[name]))
    assert updates > 5


def test_dynamic_goes_on_where_a_task_has_no_label() -> None:
    """The others grow what they want; without any label nothing moves."""
    method = DiSparse(density=0.3, mode="dynamic", every=1)
    copy, run, tasks, data = started(method, network(2), steps=6)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.2), momentum=0.9)
    before = {name: mask.clone() for name, mask in run.masks.items()}
    copy = step(copy, run, optimizer, (data[0][0], {"t0": data[0][1]["t0"]}), tasks)
    moved = {name for name in before if not torch.equal(before[name], run.masks[name])}
    assert moved
    assert not any(name.startswith("heads.t1") for name in moved)
    before = {name: mask.clone() for name, mask in run.masks.items()}
    run.before_backward(copy, {})
    copy = run.after_step(copy, optimizer)
    assert all(torch.equal(before[name], run.masks[name]) for name in before)
