"""The spatial factorisation, against the two convolutions it stands for; and that every start learns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.methods.expand.factors import Combine, Factors, combined, factorise
from niwaki.methods.expand.wiring import expand_layer, expansions, fold_layer, tensors_of
from niwaki.surgery.layout import Layout


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    groups=st.integers(1, 3),
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    rank=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_factors_multiply_to_the_matrix(groups: int, rows: int, columns: int, rank: int, seed: int) -> None:
    left = torch.randn(groups, rows, rank, generator=rng(seed))
    matrix = left @ torch.randn(groups, rank, columns, generator=rng(seed + 1))  # of any rank, zero too
    u, v = factorise(matrix)
    assert u.shape == (groups, rows, min(rows, columns))
    assert (u @ v - matrix).norm() <= 1e-5 * matrix.norm()
    torch.testing.assert_close(u.norm(dim=1)[v.norm(dim=2) > 0], v.norm(dim=2)[v.norm(dim=2) > 0])


def test_a_low_rank_is_the_nearest_of_that_rank() -> None:
    matrix = torch.randn(2, 6, 9, generator=rng(), dtype=torch.float64)
    u, v = factorise(matrix, rank=2)
    lost = torch.linalg.svdvals(matrix)[:, 2:].square().sum()
    torch.testing.assert_close((u @ v - matrix).square().sum(), lost)


@given(
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    groups=st.sampled_from([1, 2]),
)
def test_the_weight_is_a_column_a_scale_and_a_row_of_convolutions(
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    kernel: tuple[int, int],
    groups: int,
) -> None:
    conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups, dtype=torch.float64)
    layout = Layout.of(conv)
    u, v = factorise(layout.matrix(conv.weight))
    scale = torch.rand(groups, layout.full_rank, generator=rng(), dtype=torch.float64) + 0.5
    kh, kw = kernel
    high = u.reshape(groups, 4 // groups, kh, -1).permute(0, 3, 1, 2).reshape(-1, 4 // groups, kh, 1)
    wide = v.reshape(groups, -1, 6 // groups, kw).transpose(1, 2).reshape(6, -1, 1, kw)
    x = torch.randn(2, 4, 11, 12, generator=rng(1), dtype=torch.float64)
    inner = F.conv2d(x, high, None, (stride[0], 1), (padding[0], 0), (dilation[0], 1), groups)
    by_hand = F.conv2d(
        inner * scale.reshape(-1, 1, 1), wide, conv.bias, (1, stride[1]), (0, padding[1]), (1, dilation[1]), groups
    )
    factors = Factors(layout, ["a"], layout.full_rank, "product")
    weight = factors.compute([u, v], [scale.log()])
    torch.testing.assert_close(F.conv2d(x, weight, conv.bias, stride, padding, dilation, groups), by_hand)


@pytest.mark.parametrize("rank", [0, 1])
def test_weights_of_low_rank_learn_out_of_it(rank: int) -> None:
    conv = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        left, right = (torch.randn(each, rank, generator=rng()) for each in (9, 12))
        conv.weight.copy_(Layout.of(conv).weight(left @ right.T))
    x, y = torch.randn(8, 3, 5, 5, generator=rng(1)), torch.randn(8, 4, 3, 3, generator=rng(2))
    layout = Layout.of(conv)
    expand_layer(conv, Factors(layout, ["a", "b"], layout.full_rank, "product"))
    optimizer = torch.optim.Adam(conv.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = F.mse_loss(conv(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    weight: Tensor = conv.weight
    assert int(torch.linalg.matrix_rank(layout.matrix(weight.detach()))) > rank + 3


@pytest.mark.parametrize(("combine", "expected"), [("product", 6.0), ("mean", 2.5), ("anneal", 2.5)])
def test_how_scales_combine(combine: Combine, expected: float) -> None:
    assert combined([torch.tensor(2.0).log(), torch.tensor(3.0).log()], combine).item() == pytest.approx(expected)


def test_a_task_sees_its_own_scale_and_on_the_way_a_mixture() -> None:
    layout = Layout((1, 1))
    scales = [torch.tensor([[2.0]]).log(), torch.tensor([[4.0]]).log()]
    ones = [torch.ones(1, 1, 1), torch.ones(1, 1, 1)]
    own = Factors(layout, ["a", "b"], 1, "per_task")
    own.task = "b"
    assert own.compute(ones, scales).item() == pytest.approx(4.0)
    own.task = "head of another"
    assert own.compute(ones, scales).item() == pytest.approx(3.0)
    way = Factors(layout, ["a", "b"], 1, "anneal")
    way.task = "a"
    for blend, expected in [(0.0, 2.0), (0.5, 2.5), (1.0, 3.0)]:
        way.blend.fill_(blend)
        assert way.compute(ones, scales).item() == pytest.approx(expected)


def test_a_layer_is_expanded_and_folded_in_its_own_place() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    names, random = [name for name, _ in net.named_parameters()], torch.get_rng_state()
    layer = net[0]
    layout = Layout.of(layer)
    expand_layer(layer, Factors(layout, ["a"], layout.full_rank, "product"))
    assert isinstance(layer, nn.Conv2d)
    ((name, found, expansion),) = expansions(net)
    assert (name, found) == ("0", layer)
    assert [tuple(each.shape) for each in tensors_of(layer)] == [(1, 6, 6), (1, 6, 9)]
    weight: Tensor = layer.weight.detach()
    fold_layer(layer, expansion)
    assert type(layer) is nn.Conv2d
    assert [name for name, _ in net.named_parameters()] == names
    torch.testing.assert_close(layer.weight, weight, atol=1e-6, rtol=1e-6)
    assert torch.equal(random, torch.get_rng_state())


def test_autocast_leaves_the_weight_exact() -> None:
    layer = nn.Linear(16, 16)
    plain = layer.weight.detach().clone()
    expand_layer(layer, Factors(Layout.of(layer), ["a"], 16, "product"))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer.weight, plain, atol=1e-6, rtol=1e-5)
        assert layer(torch.ones(1, 16)).dtype == torch.bfloat16
