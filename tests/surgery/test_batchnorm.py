"""Batch norms estimated anew: the plain average over batches, and nothing else changed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.surgery.nets import Routed, image
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.errors import ContractError
from niwaki.surgery import reestimate_batchnorm


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 5, 5, generator=generator) * (i + 1) + i for i in range(count)]


def test_the_average_is_over_the_first_batches_only() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.3).eval()
    norm.running_mean = torch.full((3,), 9.0)
    given = batches(5)
    assert reestimate_batchnorm(norm, [(x, {"task": 0}) for x in given], num_batches=3) is norm
    means = torch.stack([x.mean((0, 2, 3)) for x in given[:3]]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in given[:3]]).mean(0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(norm.running_var, variances)
    assert norm.momentum == 0.3
    assert not norm.training


class Both(nn.Module):
    """Two inputs, one norm; or one input, as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor, y: Tensor | None = None, *, task: int = 0) -> Tensor:
        found: Tensor = self.norm(x + (task if y is None else y))
        return found


@pytest.mark.parametrize("pair", [tuple, list])
def test_the_inputs_of_a_pair_may_be_all_that_an_example_may_be(pair: Callable[[Any], Any]) -> None:
    x, y = batches(2)
    targets = {"depth": torch.zeros(1)}
    given = {
        "tensor": (x, x.mean((0, 2, 3))),
        "inputs": ((x, y), (x + y).mean((0, 2, 3))),
        "example": (Example(x, y=y), (x + y).mean((0, 2, 3))),
        "paths": ([x, Example(y, task=3)], (x.mean((0, 2, 3)) + y.mean((0, 2, 3)) + 3) / 2),
    }
    for name, (inputs, mean) in given.items():
        model = Both()
        reestimate_batchnorm(model, [pair([inputs, targets])])
        torch.testing.assert_close(model.norm.running_mean, mean, msg=name)
    model = Both()
    reestimate_batchnorm(model, [[Example(x), Example(y)]])
    torch.testing.assert_close(model.norm.running_mean, (x + y).mean((0, 2, 3)) / 2)


@pytest.mark.parametrize("batch", [("x", {}), [], {"x": 1}])
def test_a_batch_without_inputs_is_refused(batch: Any) -> None:
    with pytest.raises(ContractError, match="example"):
        reestimate_batchnorm(nn.BatchNorm2d(3), [batch])


def test_modes_dropout_and_gradients_are_left_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.BatchNorm2d(4, affine=False))
    model.train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    seen: list[Tensor] = []
    model[2].register_forward_hook(lambda *call: seen.append(call[2] - call[1][0]))
    reestimate_batchnorm(model, batches(2))
    assert [module.training for module in model.modules()] == modes
    assert all(not difference.any() for difference in seen)
    assert all(p.grad is None for p in model.parameters())


def test_norms_that_no_batch_reaches_keep_what_they_had() -> None:
    model = Routed()
    other = model.norms[1]
    assert isinstance(other, nn.BatchNorm2d)
    other.running_mean = torch.arange(8.0)
    reestimate_batchnorm(model, [Example(image(), task=0), Example(image(), task=0)])
    assert torch.equal(other.running_mean, torch.arange(8.0))
    assert int(other.num_batches_tracked or 0) == 0
    first = model.norms[0]
    assert isinstance(first, nn.BatchNorm2d)
    assert int(first.num_batches_tracked or 0) == 2


def test_a_failing_batch_leaves_the_modes_as_they_were() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1)).train()
    with pytest.raises(ValueError, match="expected 4D input"):
        reestimate_batchnorm(model, [torch.randn(2, 3, 5, 5, 5, 5)])
    assert all(module.training for module in model.modules())
    assert model[0].momentum == 0.1


def test_no_batch_is_refused() -> None:
    norm = nn.BatchNorm2d(3)
    with pytest.raises(ContractError, match="there was no batch"):
        reestimate_batchnorm(norm, [])
    with pytest.raises(ContractError, match="num_batches=0: batch norms need at least 1"):
        reestimate_batchnorm(norm, batches(1), num_batches=0)
