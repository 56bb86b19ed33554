"""A sparse method in the loop: its masks reach the averaged copy, the balancer, the checkpoint and the record."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from niwaki.balance.gradient import DirectionBalancer
from niwaki.methods import Chain, DynamicSparse, StructuredPruning
from niwaki.records import Sparsity
from niwaki.settings import Budget
from niwaki.tasks import Task
from niwaki.train import Training, compress, fit
from niwaki.train.averaging import Average

SPARSE = DynamicSparse(density=0.25, every=2)


class Watching(DirectionBalancer):
    """Sums the tasks' gradients, and remembers what it was shown."""

    kind = "watching"

    def __init__(self) -> None:
        super().__init__()
        self.zeros: list[float] = []

    def _aggregate(self, matrix: Tensor, losses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        self.zeros.append(float((matrix == 0).all(0).float().mean()))
        return matrix.sum(0), torch.ones(len(losses))

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def reset(self) -> None:
        """Nothing is learned."""

    def _state(self) -> dict[str, Any]:
        return {}

    def _load(self, state: Any) -> None:
        """Nothing was saved."""


def test_the_averaged_copy_is_zero_where_the_model_is() -> None:
    net = nn.Linear(2, 2)
    average = Average(net, decay=0.9)
    mask = torch.tensor([[True, False], [True, True]])
    with torch.no_grad():
        net.weight.masked_fill_(~mask, 0.0)
    average.update(net, {"weight": mask})
    assert torch.equal(average.model.get_parameter("weight") != 0, mask)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_what_is_validated_and_kept_is_sparse(
    ema: float | None, make_squares: Any, net: nn.Module, tasks: list[Task]
) -> None:
    training = Training(epochs=4, batch_size=3, lr=1e-2, ema=ema, weight_decay=1e-2)
    fitted = fit(net, tasks, make_squares(), make_squares(seed=1), training=training, method=SPARSE)
    record = fitted.findings["sparsity"]
    assert isinstance(record, Sparsity)
    weight = fitted.model.get_parameter("trunk.3.weight")
    assert record.layers[0].name == "trunk.3.weight"
    assert (record.kept, weight.numel()) == (144, 576)
    assert record.layers[0].nonzeros == int(weight.count_nonzero()) <= 144
    epoch = fitted.epoch
    assert epoch is not None
    assert epoch >= 2  # masks move until three quarters of the steps


def test_masked_weights_take_no_part_in_inner_products(make_squares: Any, net: nn.Module, tasks: list[Task]) -> None:
    balance = Watching()
    training = Training(steps=6, batch_size=3)
    fit(net, tasks, make_squares(), training=training, method=SPARSE, balance=balance)
    shared = sum(each.numel() for name, each in net.named_parameters() if name.startswith("trunk"))
    assert all(each >= 432 / shared for each in balance.zeros)
    fit(net, tasks, make_squares(), training=training, balance=(dense := Watching()))
    assert all(each < 0.1 for each in dense.zeros)


def test_a_killed_job_ends_with_the_same_bits_and_the_same_record(
    tmp_path: Path, make_squares: Any, net: nn.Module, tasks: list[Task], make_flaky: Any
) -> None:
    training = Training(epochs=4, lr=1e-2, ema=0.9, checkpoint_every=1)
    method = Chain([StructuredPruning(budget=Budget(channels=0.75), round_to=2), SPARSE])
    data = [next(iter(DataLoader(make_squares(seed=each), batch_size=4))) for each in range(4)]
    val = data[:1]

    def job(data: Any, out: Path | None, *, resume: bool = False) -> Any:
        return compress(net, tasks, data, val, method=method, training=training, out=out, resume=resume)

    whole = job(data, None)
    with pytest.raises(InterruptedError):
        job(make_flaky(data, 11), tmp_path)
    again = job(data, tmp_path, resume=True)
    assert again.record.sparsity == whole.record.sparsity
    assert again.record.sparsity is not None
    assert str(again.record).splitlines()[-1] == str(again.record.sparsity)
    assert "nonzeros" in str(again.record)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
