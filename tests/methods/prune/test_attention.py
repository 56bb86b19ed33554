"""Heads of attention: their widths, or whole heads."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import niwaki as nw
from niwaki.surgery import GraphModel, Plan, plans_of

TOKENS = torch.randn(2, 10, 24, generator=torch.Generator().manual_seed(0))


class Fused(nn.Module):
    """Self-attention with one layer for queries, keys and values; its output joins its input."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 6, 8
        self.qkv, self.out = nn.Linear(24, 3 * 48), nn.Linear(48, 24)
        self.norm = nn.LayerNorm(8)
        self.answer = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.qkv(x).reshape(x.shape[0], x.shape[1], 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        q, k, v = mixed.unbind(0)
        y = F.scaled_dot_product_attention(self.norm(q), k, v).transpose(1, 2)
        answer: Tensor = self.answer(x + self.out(y.reshape(x.shape[0], x.shape[1], self.heads * self.width)))
        return answer


class Separate(nn.Module):
    """Attention by products, with a bias for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 4, 8
        self.q, self.k, self.v = (nn.Linear(24, 32) for _ in range(3))
        self.bias = nn.Parameter(torch.randn(4, 10, 10))
        self.out = nn.Linear(32, 5)

    def split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.width).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        y = ((q @ k.transpose(-1, -2)) * 0.35 + self.bias).softmax(-1) @ v
        answer: Tensor = self.out(y.transpose(1, 2).reshape(x.shape[0], x.shape[1], self.heads * self.width))
        return answer


class Torch(nn.Module):
    """Torch's own attention, whose width is also that of a layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(24, 32)
        self.mix = nn.MultiheadAttention(32, 4, batch_first=True)
        self.last = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        answer: Tensor = self.last(self.mix(y, y, y, need_weights=False)[0])
        return answer


def built(kind: type[nn.Module]) -> nn.Module:
    """Build a network in eval mode, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind().eval()


@pytest.mark.parametrize(("kind", "layer", "heads", "width"), [(Fused, "qkv", 6, 8), (Separate, "q", 4, 8)])
def test_heads_go_as_a_whole(kind: type[nn.Module], layer: str, heads: int, width: int) -> None:
    plan = nw.plan(built(kind), TOKENS, channels=0.5, attention="heads", round_to=1)
    (group,) = [each for each in plan.groups if each.name == layer]
    assert (group.size, len(group.kept), group.unit) == (heads, heads // 2, "heads")
    assert f"{heads} heads -> {heads // 2}" in str(plan)
    assert {len(each) for piece in group.slices for each in piece.positions} <= {1, width, 3 * width}
    small = plan.apply(built(kind))
    assert isinstance(small, kind)
    assert vars(small)["heads"] == heads // 2
    assert vars(small)["width"] == width
    assert small(TOKENS).shape == built(kind)(TOKENS).shape


@pytest.mark.parametrize(("kind", "layer"), [(Fused, "qkv"), (Separate, "q")])
def test_widths_go_from_every_head_by_default(kind: type[nn.Module], layer: str) -> None:
    plan = nw.plan(built(kind), TOKENS, channels=0.5, round_to=1)
    assert next(each.size for each in plan.groups if each.name == layer) == 8
    assert plan.attention == "widths"
    assert {each.unit for each in plan.groups} == {"channels"}


def test_what_is_no_head_keeps_its_name() -> None:
    net = nn.Sequential(nn.Linear(24, 24), nn.GELU(), built(Separate), nn.Linear(5, 4))
    plan = nw.plan(net, TOKENS, channels=0.5, attention="heads", round_to=1)
    units = {each.name: each.unit for each in plan.groups}
    assert units == {"0": "channels", "2.q": "heads", "2.out": "channels"}


def test_the_answers_are_those_of_the_other_heads() -> None:
    net = built(Separate)
    plan = nw.plan(net, TOKENS, channels=0.5, attention="heads", round_to=1)
    kept = next(each.kept for each in plan.groups if each.name == "q")
    small, silent = plan.apply(net), built(Separate)
    gone = [head * 8 + i for head in range(4) if head not in kept for i in range(8)]
    with torch.no_grad():
        silent.get_parameter("out.weight")[:, gone] = 0
    assert torch.allclose(small(TOKENS), silent(TOKENS), atol=1e-5)


def test_torchs_own_attention_loses_heads_and_keeps_their_width() -> None:
    small = nw.prune(built(Torch), TOKENS, channels=0.5, attention="heads", round_to=1)
    assert isinstance(small, Torch)
    assert (small.mix.num_heads, small.mix.head_dim, small.mix.embed_dim) == (2, 8, 16)
    assert plans_of(small)[0].repairs[0].attribute == "num_heads"


def test_a_graph_loses_the_same_heads() -> None:
    small = nw.prune(built(Fused), TOKENS, channels=0.5, attention="heads", round_to=1, form="graph")
    assert isinstance(small, GraphModel)
    assert small(TOKENS).shape == (2, 10, 3)


def test_a_plan_for_heads_is_replayed_from_its_text() -> None:
    plan = nw.plan(built(Torch), TOKENS, channels=0.5, attention="heads", round_to=1)
    again = Plan.from_json(plan.to_json()).apply(built(Torch))
    assert torch.equal(again(TOKENS), plan.apply(built(Torch))(TOKENS))
