"""Two processes that train together go on with the same masks."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from niwaki.methods.sparse import DynamicSparse, SparseRun

STEPS = 6


class Net(nn.Module):
    """Three layers, of which the middle one can be sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


def work(rank: int, folder: str, preset: Any) -> None:
    """Train on this rank's own half of the batches; processes differ in what they hold by chance."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
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
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["rigl", "set"])
def test_masks_are_decided_once_and_hold_everywhere(tmp_path: Path, preset: str) -> None:
    ranks = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path), preset]) for rank in (0, 1)]
    assert [each.wait(timeout=300) for each in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first["masks"], second["masks"], strict=True))
    assert not torch.equal(first["masks"][0], first["masks"][-1])
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert int(first["model"]["layers.2.weight"].count_nonzero()) <= 64


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2], sys.argv[3])
