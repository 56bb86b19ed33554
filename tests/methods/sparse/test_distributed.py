"""Two processes that train together go on with the same masks, also where each sees other tasks' labels."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.sparse.networks import EXAMPLE, Batch, batches_of, network, tasks_of
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from niwaki.errors import DataError
from niwaki.methods import Method
from niwaki.methods.sparse import SNIP, DiSparse, DynamicSparse, GraSP, SparseRun
from niwaki.tasks import task_losses

ROOT = Path(__file__).parents[3]
STEPS = 6


class Net(nn.Module):
    """Three layers, of which the middle one can be sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


def train_with(preset: Any) -> Callable[[int, str], None]:
    return lambda rank, folder: work(rank, folder, preset)


def work(rank: int, folder: str, preset: Any) -> None:
    """Train on this rank's own half of the batches; processes differ in what they hold by chance."""
    torch.manual_seed(0)
    method = DynamicSparse(density=0.25, preset=preset, every=2, seed=rank)  # other seeds: rank 0 decides
    model, run = method.start(Net(), torch.zeros(1, 4), steps=STEPS)
    assert isinstance(run, SparseRun)
    wrapped: nn.Module = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(run.parameter_groups(wrapped, lr=1e-2, weight_decay=1e-2))
    generator = torch.Generator().manual_seed(rank)
    masks = []
    for _ in range(STEPS):
        x = torch.randn(8, 4, generator=generator)
        optimizer.zero_grad()
        (wrapped(x) - x.sum(1, keepdim=True)).square().mean().backward()
        run.after_backward(wrapped)
        optimizer.step()
        wrapped = run.after_step(wrapped, optimizer)
        mask = run.masks["layers.2.weight"]
        weight = model.get_parameter("layers.2.weight")
        held = [weight.detach(), *(each for each in optimizer.state[weight].values() if each.shape == weight.shape)]
        assert not any(each[~mask].count_nonzero() for each in held)
        masks.append(mask.clone())
    torch.save({"masks": masks, "model": run.finish(wrapped).state_dict()}, f"{folder}/{rank}.pt")


def half_labelled() -> list[Batch]:
    """A batch with labels for the first of two tasks, and one with labels for the second."""
    (x, targets), (other, others), _ = batches_of(network(2))
    return [(x, {"t0": targets["t0"]}), (other, {"t1": others["t1"]})]


ONE_SHOT: dict[str, Method] = {
    "snip": SNIP(density=0.2, batches=2),
    "grasp": GraSP(density=0.2, batches=2),
    "disparse": DiSparse(density=0.2, batches=2),
}


def judge(rank: int, folder: str) -> None:
    """Begin with the batch of this rank alone; then with batches that have no label for the second task."""
    model, data, masks = network(2), half_labelled(), {}
    for name, method in ONE_SHOT.items():
        _, run = method.start(model, EXAMPLE, tasks_of(model), steps=2, data=[data[rank]])
        assert isinstance(run, SparseRun)
        masks[name] = dict(run.masks)
        with pytest.raises(DataError, match="has a label for 't1'"):  # on both: one alone would leave the other waiting
            method.start(model, EXAMPLE, tasks_of(model), steps=2, data=[data[0]])
    torch.save(masks, f"{folder}/{rank}.pt")


GROWING = DiSparse(density=0.3, mode="dynamic", every=1, seed=0)


def look(run: Any, model: nn.Module, batch: Batch, tasks: Any) -> Tensor:
    """The loss of one batch, after the run has looked at its tasks."""
    losses = task_losses(tasks, model(batch[0]), batch[1])
    run.before_backward(model, losses)
    return torch.stack(list(losses.values())).sum()


def grow(rank: int, folder: str) -> None:
    """Let each rank see the labels of its own task alone."""
    net, data = network(2), half_labelled()
    tasks = tasks_of(net)
    model, run = GROWING.start(net, EXAMPLE, tasks, steps=6)
    assert isinstance(run, SparseRun)
    model.trunk[-1].p = 0.0  # type: ignore[union-attr,index]  # torch's stubs don't know the modules' classes
    wrapped: nn.Module = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.SGD(run.parameter_groups(wrapped, lr=0.2))
    masks = []
    for _ in range(4):
        optimizer.zero_grad()
        look(run, wrapped, data[rank], tasks).backward()
        run.after_backward(wrapped)
        optimizer.step()
        wrapped = run.after_step(wrapped, optimizer)
        masks.append({name: mask.clone() for name, mask in run.masks.items()})
    torch.save(masks, f"{folder}/{rank}.pt")


JOBS: dict[str, Callable[[int, str], None]] = {
    **{preset: train_with(preset) for preset in ("rigl", "set")},
    "judge": judge,
    "grow": grow,
}


def both(folder: Path, job: str) -> tuple[Any, Any]:
    """Run a job in two processes, and return what they saved."""
    module = [sys.executable, "-m", "tests.methods.sparse.test_distributed"]
    ranks = [subprocess.Popen([*module, str(rank), str(folder), job], cwd=ROOT) for rank in (0, 1)]
    try:
        assert [each.wait(timeout=300) for each in ranks] == [0, 0]
    finally:
        for each in ranks:
            each.kill()
    first, second = (torch.load(folder / f"{rank}.pt") for rank in (0, 1))
    return first, second


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["rigl", "set"])
def test_masks_are_decided_once_and_hold_everywhere(tmp_path: Path, preset: str) -> None:
    first, second = both(tmp_path, preset)
    assert all(torch.equal(a, b) for a, b in zip(first["masks"], second["masks"], strict=True))
    assert not torch.equal(first["masks"][0], first["masks"][-1])
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert int(first["model"]["layers.2.weight"].count_nonzero()) <= 64


@pytest.mark.slow
def test_batches_count_alike_whoever_holds_them(tmp_path: Path) -> None:
    """Two processes with a batch each choose as one with both, though neither has labels for every task."""
    first, second = both(tmp_path, "judge")
    model = network(2)
    for name, method in ONE_SHOT.items():
        _, run = method.start(model, EXAMPLE, tasks_of(model), steps=2, data=half_labelled())
        assert isinstance(run, SparseRun)
        assert run.masks.keys() == first[name].keys() == second[name].keys()
        for layer, mask in run.masks.items():
            assert torch.equal(first[name][layer], mask)
            assert torch.equal(second[name][layer], mask)


@pytest.mark.slow
def test_weights_grow_for_a_task_that_one_process_never_sees(tmp_path: Path) -> None:
    """The first update is that of one process that accumulates both batches."""
    first, second = both(tmp_path, "grow")
    assert all(torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)
    net = network(2)
    tasks = tasks_of(net)
    model, run = GROWING.start(net, EXAMPLE, tasks, steps=6)
    assert isinstance(run, SparseRun)
    model.trunk[-1].p = 0.0  # type: ignore[union-attr,index]  # as above
    before = {name: mask.clone() for name, mask in run.masks.items()}
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=0.2))
    for batch in half_labelled():
        (look(run, model, batch, tasks) / 2).backward()
    run.after_backward(model)
    optimizer.step()
    run.after_step(model, optimizer)
    assert all(torch.equal(first[0][name], mask) for name, mask in run.masks.items())
    heads = [name for name in before if name.startswith("heads.")]
    assert all(not torch.equal(before[name], first[0][name]) for name in heads), "both tasks' heads have moved"


if __name__ == "__main__":
    place, where = int(sys.argv[1]), sys.argv[2]
    distributed.init_process_group("gloo", init_method=f"file://{where}/meet", rank=place, world_size=2)
    JOBS[sys.argv[3]](place, where)
    distributed.destroy_process_group()
