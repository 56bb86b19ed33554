"""Two processes that train together keep the same scales, also where one of them saw no label of a task."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from niwaki.methods import Overparam

STEPS = 4


class Net(nn.Module):
    """A trunk and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(4, 6)
        self.near = nn.Linear(6, 2)
        self.far = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.trunk(x).tanh()
        return {"near": self.near(features), "far": self.far(features)}


def work(rank: int, folder: str) -> None:
    """Train on this rank's own batches; rank 1 has no label of one task in the second step."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    model, run = Overparam().start(Net(), torch.zeros(1, 4), steps=STEPS)
    wrapped: nn.Module = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = torch.optim.AdamW(run.parameter_groups(wrapped, lr=1e-2, weight_decay=1e-2))
    generator = torch.Generator().manual_seed(rank)
    for step in range(STEPS):
        x = torch.randn(8, 4, generator=generator)
        losses = {task: F.mse_loss(answer, x[:, :1].expand_as(answer)) for task, answer in wrapped(x).items()}
        if rank == 1 and step == 1:
            del losses["far"]
        run.before_backward(wrapped, losses)
        optimizer.zero_grad()
        (torch.stack(list(losses.values())).sum() + run.penalty(wrapped)).backward()
        run.after_backward(wrapped)
        optimizer.step()
        wrapped = run.after_step(wrapped, optimizer)
    torch.save({"expanded": model.state_dict(), "model": run.finish(wrapped).state_dict()}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_agree(tmp_path: Path) -> None:
    ranks = [subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [each.wait(timeout=300) for each in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for part in ("expanded", "model"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    assert first["expanded"]["trunk.parametrizations.weight.0.scales.1"].abs().sum() > 0


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
