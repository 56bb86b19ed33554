"""Models whose answers say nothing about routing are cut all the same, and proved on random weights."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import Concat, Residual, image, tensor
from torch import Tensor, nn

from niwaki.errors import SurgeryError
from niwaki.graph.rules.table import RULES
from niwaki.surgery import cut, plans_of


def pruned(model: nn.Module, example: Any) -> nn.Module:
    channels = find(model, example)
    return cut(model, plan_of(channels, choose(channels), example), channels=channels)


def dead() -> Concat:
    model = Concat().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


def test_a_dead_model_is_cut() -> None:
    model = dead()
    small = pruned(model, image())
    assert plans_of(small)[0].notes == ()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())


def test_wrong_routing_shows_in_a_dead_model(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES["cat"]

    def rolled(call: Any) -> Any:
        dims: Any = right(call)
        dims[1] = np.roll(dims[1], 1)
        return dims

    monkeypatch.setitem(RULES, "cat", rolled)
    with pytest.raises(SurgeryError, match="did not prove itself"):
        pruned(dead(), image())


def test_a_residual_branch_that_starts_at_zero_is_proved() -> None:
    model = Residual().eval()
    nn.init.zeros_(tensor(model, "two.1.weight"))
    small = pruned(model, image())
    assert plans_of(small)[0].notes == ()


def test_a_deep_network_is_proved_with_the_signal_of_the_channels_that_stay() -> None:
    """With statistics of all its channels each norm would shrink what half of them say, down to nothing."""
    blocks = [
        layer
        for _ in range(40)
        for layer in (nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
    ]
    model = nn.Sequential(nn.Conv2d(3, 16, 1), *blocks, nn.Conv2d(16, 2, 1)).eval()
    small = pruned(model, image())
    assert plans_of(small)[0].notes == ()


def test_a_deep_network_without_norms_is_proved_with_weights_as_large_as_its_channels_need() -> None:
    """Drawn for all their inputs, weights would let the signal of half of them fade, down to the biases."""
    blocks = [layer for _ in range(40) for layer in (nn.Conv2d(16, 16, 1), nn.ReLU())]
    model = nn.Sequential(nn.Conv2d(3, 16, 1), *blocks, nn.Conv2d(16, 2, 1)).eval()
    small = pruned(model, image())
    assert plans_of(small)[0].notes == ()


def test_an_output_that_never_depends_on_the_input_is_told() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"main": self.last(self.first(x)), "bias": self.last.bias}

    small = pruned(Constant(), torch.randn(4, 3))
    assert any("output 'bias' in eval mode" in note for note in plans_of(small)[0].notes)


def test_random_forwards_are_told() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            answer: Tensor = self.last(y + torch.randn_like(y)) if self.training else self.last(y)
            return answer

    small = pruned(Noisy(), torch.randn(4, 3))
    assert any("train mode of" in note and "draws random numbers" in note for note in plans_of(small)[0].notes)


def test_the_proof_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    model, example = Concat().eval(), image()
    before = copy.deepcopy(torch.get_rng_state())
    pruned(model, example)
    assert torch.equal(torch.get_rng_state(), before)
