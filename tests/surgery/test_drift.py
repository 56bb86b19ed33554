"""Factors that code computes from a size: found, and put into weights or left to the graph."""

from collections.abc import Callable

import pytest
import torch
from tests.surgery.choosing import choose, find, plan_of
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.errors import SurgeryError
from niwaki.records import Rescale
from niwaki.surgery import Plan, cut, plans_of
from niwaki.surgery.drift import find_drift
from niwaki.surgery.rescale import apply_rescales, find_rescales

TOKENS = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))


class Attention(nn.Module):
    """Attention of two heads; `attend` mixes values by queries and keys."""

    def __init__(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(6, 16) for _ in range(3))
        self.out = nn.Linear(16, 3)
        self.attend = attend

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (each(x).view(n, length, 2, -1).transpose(1, 2) for each in (self.query, self.key, self.value))
        answer: Tensor = self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return answer


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1) @ v
    return mixed


def divided(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return mixed


def by_torch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = F.scaled_dot_product_attention(q, k, v)
    return mixed


def of_one_layer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    del k
    mixed: Tensor = (q @ q.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return mixed


def bent(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = (torch.tanh(q) * q.shape[-1] ** 0.5) @ k.transpose(-2, -1) @ v
    return mixed


def sharp(attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Attention:
    torch.manual_seed(0)
    model = Attention(attend).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.mark.parametrize(
    ("attend", "layers"),
    [(by_hand, {"query"}), (divided, {"query", "key"}), (by_torch, {"query"}), (of_one_layer, {"query"})],
)
def test_a_drifted_scale_is_put_into_weights(attend: Callable[..., Tensor], layers: set[str]) -> None:
    model = sharp(attend)
    channels = find(model, TOKENS)
    plan = plan_of(channels, choose(channels), TOKENS)
    small = cut(model, plan, channels=channels, form="module")
    (told,) = plans_of(small)
    assert {each.tensor.partition(".")[0] for each in told.rescales} <= {"query", "key"}
    assert told.rescales
    factor = told.rescales[0].factor
    assert factor == pytest.approx(0.5**0.25 if attend in (of_one_layer, divided) else 0.5**0.5)
    assert "rescaled: query.weight by" in str(told)
    assert layers


def test_a_replay_multiplies_as_well_and_other_weights_stay_bit_for_bit() -> None:
    model = sharp(by_torch)
    channels = find(model, TOKENS)
    small = cut(model, plan_of(channels, choose(channels), TOKENS), channels=channels)
    (told,) = plans_of(small)
    again = Plan.from_json(told.to_json()).apply(model, verify=False)
    assert all(torch.equal(value, small.state_dict()[name]) for name, value in again.state_dict().items())
    before, after = model.state_dict()["value.weight"], small.state_dict()["value.weight"]
    assert int(torch.isin(before, after).all(1).sum()) == len(after)


def test_what_no_weight_can_undo_comes_back_as_a_graph() -> None:
    model = sharp(bent)
    channels = find(model, TOKENS)
    plan = plan_of(channels, choose(channels), TOKENS)
    (told,) = plans_of(cut(model, plan, channels=channels))
    assert told.form == "graph"
    assert "computes the number 2 from a size" in told.notes[-1]
    with pytest.raises(SurgeryError, match="no weights could be multiplied to undo that"):
        cut(model, plan, channels=channels, form="module")


def test_a_number_in_a_tensor_is_seen() -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed: Tensor = (q @ k.transpose(-2, -1) / torch.sqrt(torch.tensor(q.shape[-1]))).softmax(-1) @ v
        return mixed

    model = sharp(attend)
    channels = find(model, TOKENS)
    (told,) = plans_of(cut(model, plan_of(channels, choose(channels), TOKENS), channels=channels))
    assert told.form == "graph"
    assert "it can't be put into weights" in told.notes[-1]


def test_nothing_drifts_where_factors_are_constants() -> None:
    model = sharp(lambda q, k, v: (q * 0.3 @ k.transpose(-2, -1)).softmax(-1) @ v)
    channels = find(model, TOKENS)
    small = cut(model, plan_of(channels, choose(channels), TOKENS), channels=channels)
    assert find_drift(model, small, channels, choose(channels)) == []
    assert find_rescales([]) == []
    assert plans_of(small)[0].rescales == ()


def test_weights_that_are_not_there_are_refused() -> None:
    wish = Rescale(tensor="weight", dim=0, ranges=((0, 9),), factor=2.0, reason="a test")
    with pytest.raises(SurgeryError, match="positions up to 9 along dimension 0 of 'weight'"):
        apply_rescales(nn.Linear(3, 2), [wish])
