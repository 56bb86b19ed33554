"""Sizes that code computes from other sizes keep their proportion to them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from niwaki.graph import Channels, find_channels, trace

TOKENS = torch.randn(2, 5, 8)


class Block(nn.Module):
    """Two layers of a token's width; `mix` reads the stream and what one of them made of it."""

    def __init__(self, mix: Callable[[Tensor, Tensor], Tensor], inner: int) -> None:
        super().__init__()
        self.embed, self.inner, self.head = nn.Linear(8, 12), nn.Linear(12, inner), nn.Linear(inner, 3)
        self.out = nn.Linear(12, 3)
        self.mix = mix

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        stream = torch.relu(self.embed(x))
        return self.head(self.mix(stream, torch.relu(self.inner(stream)))), self.out(stream)


def whole(stream: Tensor, made: Tensor) -> Tensor:
    n, length, c = stream.shape
    return made.reshape(n, length, 3, -1).transpose(1, 2).transpose(1, 2).reshape(n, length, c)


def third(stream: Tensor, made: Tensor) -> Tensor:
    n, length, c = stream.shape
    return made.view(n, length, 2, c // 3).sum(2).repeat(1, 1, 2)


def double(stream: Tensor, made: Tensor) -> Tensor:
    n, length = stream.shape[:2]
    return made.reshape(n, length, 2 * stream.size(2))


def unrelated(_: Tensor, made: Tensor) -> Tensor:
    return made.reshape(*made.shape)


def find(mix: Callable[[Tensor, Tensor], Tensor], inner: int, *, permutations: bool = False) -> Channels:
    return find_channels(trace(Block(mix, inner), TOKENS), permutations=permutations)


@pytest.mark.parametrize(("mix", "inner", "share"), [(whole, 12, 1.0), (third, 8, 1 / 3), (double, 24, 2.0)])
def test_a_size_read_from_another_tensor_keeps_its_share(
    mix: Callable[[Tensor, Tensor], Tensor], inner: int, share: float
) -> None:
    channels = find(mix, inner)
    (pair,) = channels.equal_chunks
    stream = channels.tensors["embed.weight"][0]
    assert stream is not None
    assert any(set(piece.tolist()) == set(stream.tolist()) for piece in pair)
    assert len({len(piece) for piece in pair}) == 1
    keep = np.ones(channels.count, dtype=np.bool_)
    assert len({int(keep[piece].sum()) for piece in pair}) == 1
    times = [len(piece) / len(set(piece.tolist())) for piece in pair]
    assert max(times) == pytest.approx(max(share, 1 / share, 3.0 if mix is whole else 0.0))


def test_a_size_of_its_own_demands_nothing() -> None:
    assert find(unrelated, 12).equal_chunks == []


def test_programs_that_are_rewritten_have_no_such_demand() -> None:
    assert find(double, 24, permutations=True).equal_chunks == []


def test_fused_attention_is_as_wide_inside_as_what_it_reads() -> None:
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.head = nn.Linear(8, 12), nn.MultiheadAttention(12, 2), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.embed(x)
            answer: Tensor = self.head(self.mix(y, y, y)[0])
            return answer

    channels = find_channels(trace(Fused(), TOKENS))
    (pair,) = channels.equal_chunks
    assert sorted(len(set(piece.tolist())) for piece in pair) == [6, 12]
