"""Peak activation memory against closed forms."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki.graph import trace
from niwaki.measure import peak_activation_bytes


class Computes(nn.Module):
    def __init__(self, rule: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, x: Tensor) -> Any:
        return self.rule(x)


class Skips(nn.Module):
    """The first value waits for the last."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 64), nn.Linear(64, 8)

    def forward(self, x: Tensor) -> Tensor:
        first = self.a(x)
        last: Tensor = self.c(self.b(first)) + first
        return last


def _peak(model: nn.Module, x: Tensor) -> int:
    return peak_activation_bytes(trace(model, x).eval_programs[0])


@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(2, 5))
def test_a_chain_peaks_at_its_largest_pair_of_neighbours(widths: list[int], batch: int) -> None:
    chain = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
    expected = max(a + b for a, b in pairwise(widths)) * batch * 4
    assert _peak(chain, torch.zeros(batch, widths[0])) == expected


def test_a_skip_waits() -> None:
    assert _peak(Skips(), torch.zeros(2, 4)) == (8 + 64 + 8) * 2 * 4  # the skip, and both sides of the last layer


def test_outputs_live_to_the_end() -> None:
    model = Computes(lambda x: (x + 1, (x * 2).sum(), x.amax()))
    assert _peak(model, torch.zeros(10)) == (10 + 10 + 10 + 1) * 4  # x, its successor, the double and its sum


@pytest.mark.parametrize(
    "rule",
    [
        lambda x: x.reshape(-1).relu_().view(4, 5),
        lambda x: x.transpose(0, 1).flatten(0, 0),
        lambda x: x.expand(3, 4, 5)[0],
        lambda x: nn.functional.dropout(x, 0.5, training=False),
        lambda x: x.split(2)[0],
    ],
)
def test_views_and_in_place_results_share_memory(rule: Callable[[Tensor], Tensor]) -> None:
    assert _peak(Computes(rule), torch.zeros(4, 5)) == 20 * 4


def test_a_view_keeps_what_it_looks_at_alive() -> None:
    model = Computes(lambda x: (x.cos()[:1], x.sin()))
    assert _peak(model, torch.zeros(100)) == 300 * 4  # one element of the cosine is wanted, all of it stays


def test_indices_count_with_their_own_width() -> None:
    model = Computes(lambda x: nn.functional.max_pool2d(x, 2, return_indices=True))
    assert _peak(model, torch.zeros(1, 1, 4, 4)) == 16 * 4 + 4 * 4 + 4 * 8


def test_parameters_and_buffers_are_not_activations() -> None:
    norm = nn.BatchNorm1d(6)
    assert _peak(norm, torch.zeros(2, 6)) == 2 * 12 * 4


def test_it_grows_with_the_batch_and_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once, thrice = (_peak(model, torch.zeros(batch, 3, 8, 8)) for batch in (2, 6))
    assert thrice == 3 * once
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
