"""The oracle against slow loops that know nothing of labels."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.surgery.choosing import find
from tests.surgery.nets import tensor
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.surgery import silenced_outputs
from niwaki.surgery.kept import Kept

GONE = [1, 4, 6]
STAYS = [0, 2, 3, 5, 7]


class Probe(nn.Module):
    """A linear layer of 8 channels, an operator over them, a head."""

    def __init__(self, act: Callable[[Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(width, 2)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.act(torch.sigmoid(self.first(x))))
        return answer


def silenced(act: Callable[[Tensor], Tensor], width: int = 8) -> tuple[Probe, Tensor, Tensor]:
    """Return the probe, its input, and the oracle's answer when some channels of the first layer go."""
    torch.manual_seed(0)
    model = Probe(act, width).eval()
    x = torch.randn(4, 3)
    channels = find(model, x)
    labels = channels.tensors["first.weight"][0]
    assert labels is not None
    removed = channels.removable & False
    removed[labels[GONE]] = True
    assert removed.sum() == len(GONE)
    return model, x, silenced_outputs(channels.traced.programs[0], channels, removed)[0]


def kept_hidden(model: Probe, x: Tensor) -> Tensor:
    return torch.sigmoid(F.linear(x, model.first.weight[STAYS], model.first.bias[STAYS]))


@pytest.mark.parametrize("softmax", [torch.softmax, lambda y, dim: torch.ops.aten._softmax(y, dim, False)])
def test_softmax_is_over_what_stays(softmax: Callable[[Tensor, int], Tensor]) -> None:
    model, x, answer = silenced(lambda y: softmax(y, -1))
    hidden = kept_hidden(model, x)
    weights = torch.stack([row.exp() / sum(value.exp() for value in row) for row in hidden])
    torch.testing.assert_close(answer, weights @ model.last.weight[:, STAYS].T + model.last.bias)


def test_layer_norm_counts_what_stays() -> None:
    model, x, answer = silenced(lambda y: F.layer_norm(y, (8,)))
    hidden = kept_hidden(model, x)
    rows = [(row - row.mean()) / ((row - row.mean()).square().mean() + 1e-5).sqrt() for row in hidden]
    torch.testing.assert_close(answer, torch.stack(rows) @ model.last.weight[:, STAYS].T + model.last.bias)


@pytest.mark.parametrize(
    ("act", "by_hand"),
    [
        (lambda y: y.mean(1, keepdim=True), lambda row: sum(row) / len(row)),
        (lambda y: y.sum(1, keepdim=True), sum),
        (lambda y: (-y).amax(1, keepdim=True), lambda row: -min(row)),
        (lambda y: y.amin(1, keepdim=True), min),
        (lambda y: y.prod(1, keepdim=True), lambda row: torch.stack(row).log().sum().exp()),
        (lambda y: y.std(1, keepdim=True), lambda row: torch.stack(row).std()),
        (lambda y: y.norm(dim=1, keepdim=True), lambda row: sum(v * v for v in row) ** 0.5),
        (lambda y: y.logsumexp(1, keepdim=True), lambda row: sum(v.exp() for v in row).log()),
        (lambda y: (y @ y.T).diagonal()[:, None], lambda row: sum(v * v for v in row)),
        (lambda y: torch.einsum("nc,nc->n", y, y)[:, None], lambda row: sum(v * v for v in row)),
    ],
)
def test_reductions_and_products_read_what_stays(
    act: Callable[[Tensor], Tensor], by_hand: Callable[[list[Tensor]], Tensor]
) -> None:
    model, x, answer = silenced(act, width=1)
    column = torch.stack([torch.as_tensor(by_hand(list(row))) for row in kept_hidden(model, x)])[:, None]
    torch.testing.assert_close(answer, column @ model.last.weight.T + model.last.bias)


def test_attention_keeps_the_scale_of_the_whole_width() -> None:
    def attend(y: Tensor) -> Tensor:
        q = y[None, None]
        return F.scaled_dot_product_attention(q, q, torch.ones(1, 1, 4, 1) * torch.arange(4.0)[:, None])[0, 0]

    model, x, answer = silenced(attend, width=1)
    hidden = kept_hidden(model, x)
    weights = (hidden @ hidden.T / model.first.out_features**0.5).softmax(-1)
    expected = (weights @ torch.arange(4.0)[:, None]) @ model.last.weight.T + model.last.bias
    torch.testing.assert_close(answer, expected)


@pytest.mark.parametrize("groups", [2, 8])
def test_group_norm_is_over_what_stays_of_each_group(groups: int) -> None:
    first, norm, last = nn.Conv2d(3, 8, 1), nn.GroupNorm(groups, 8), nn.Conv2d(8, 2, 1)
    model = nn.Sequential(first, norm, last).eval()
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 3, 4, 4)
    channels = find(model, x)
    labels = channels.tensors["0.weight"][0]
    assert labels is not None
    removed = channels.removable & False
    removed[labels[[1, 5]]] = True
    (answer,) = silenced_outputs(channels.traced.programs[0], channels, removed)
    stays = [0, 2, 3, 4, 6, 7]
    hidden = F.conv2d(x, tensor(first, "weight")[stays], tensor(first, "bias")[stays])
    count = len(stays) if groups == 8 else groups
    parts = [
        (part - part.mean((1, 2, 3), keepdim=True)) / (part.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        for part in hidden.chunk(count, 1)
    ]
    normed = torch.cat(parts, 1) * norm.weight[stays][:, None, None] + norm.bias[stays][:, None, None]
    torch.testing.assert_close(answer, F.conv2d(normed, last.weight[:, stays], last.bias))


def test_nothing_removed_is_the_model_itself() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(), nn.Conv2d(8, 2, 1))
    x = torch.randn(2, 3, 6, 6)
    channels = find(model, x)
    program = next(each for each in channels.traced.programs if not each.training)
    (answer,) = silenced_outputs(program, channels, channels.removable & False)
    assert torch.equal(answer, model.eval()(x))
    (wide,) = silenced_outputs(program, channels, channels.removable & False, dtype=torch.float64)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), answer)


def test_a_program_in_train_mode_leaves_the_buffers_alone() -> None:
    class Asking(nn.Sequential):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * (2 if self.training else 1)

    model = Asking(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
    channels = find(model, torch.randn(2, 3, 6, 6))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    program = next(each for each in channels.traced.programs if each.training)
    silenced_outputs(program, channels, channels.removable)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_restrict_and_scatter_are_inverse_on_what_stays() -> None:
    import numpy as np

    kept = Kept((None, np.array([0, 1, 2, 1])), np.array([False, True, False]))
    x = torch.arange(8.0).reshape(2, 4)
    part = kept.restrict(x)
    assert part.tolist() == [[0, 2], [4, 6]]
    assert kept.scatter(part).tolist() == kept.silence(x).tolist() == [[0, 0, 2, 0], [4, 0, 6, 0]]
    assert kept.touched() == kept.touched([-1]) == [1]
    assert kept.touched([0]) == []
