"""One small network for each kind of operator: its groups, and where zeroing is exact the answers of a cut."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.graph import Channels, find_channels, trace
from niwaki.graph.rules import RULES

Check = Callable[..., Channels]


class Between(nn.Module):
    """A layer, some function of its result, another layer."""

    def __init__(self, first: nn.Module, middle: Callable[..., Tensor], last: nn.Module, *more: nn.Module) -> None:
        super().__init__()
        self.first, self.last = first, last
        self.more = nn.ModuleList(more)
        self.middle = middle

    def forward(self, x: Tensor) -> Any:
        return self.last(self.middle(self.first(x), *self.more))


def image(middle: Callable[..., Tensor], width: int = 8, *more: nn.Module) -> Between:
    """Eight channels, a function of them, ``width`` channels."""
    return Between(nn.Conv2d(3, 8, 3, padding=1), middle, nn.Conv2d(width, 2, 1), *more)


def tokens(middle: Callable[..., Tensor], width: int = 8, *more: nn.Module) -> Between:
    return Between(nn.Linear(3, 8), middle, nn.Linear(width, 2), *more)


def by_hand(x: Tensor) -> Tensor:
    """Shuffle pixels by a factor of two with views."""
    n, c, h, w = x.shape
    return x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
TOKENS = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(2))
CONV = {
    "relu": image(torch.relu),
    "in place": image(F.relu_),
    "softplus": image(F.softplus),
    "clamp": image(lambda x: x.clamp(-1, 1)),
    "max pool": image(lambda x: F.max_pool2d(x, 2)),
    "average pool": image(lambda x: F.avg_pool2d(x, 2)),
    "adaptive max pool": image(lambda x: F.adaptive_max_pool2d(x, 3)),
    "nearest": image(lambda x: F.interpolate(x, scale_factor=2.0)),
    "bicubic": image(lambda x: F.interpolate(x, size=(5, 7), mode="bicubic")),
    "grid sample": image(lambda x: F.grid_sample(x, torch.zeros(2, 4, 4, 2, dtype=x.dtype), align_corners=False)),
    "reflection pad": image(lambda x: F.pad(x, (1, 1, 2, 2), mode="reflect")),
    "constant pad": image(lambda x: F.pad(x, (1, 1, 2, 2), value=1.0)),
    "flip of rows": image(lambda x: x.flip(2)),
    "flip of channels": image(lambda x: x.flip(1)),
    "roll of columns": image(lambda x: x.roll(1, 3)),
    "batch norm": image(lambda x, norm: norm(x), 8, nn.BatchNorm2d(8)),
    "instance norm": image(lambda x, norm: norm(x), 8, nn.InstanceNorm2d(8, affine=True, track_running_stats=True)),
    "groups of one": image(lambda x, norm: norm(x), 8, nn.GroupNorm(8, 8)),
    "slope for each channel": image(lambda x, act: act(x), 8, nn.PReLU(8)),
    "one slope": image(lambda x, act: act(x), 8, nn.PReLU()),
    "dropout": image(lambda x, drop: drop(x), 8, nn.Dropout2d()),
    "permute and back": image(lambda x: x.permute(0, 2, 3, 1).sin().movedim(-1, 1)),
    "mean over space": image(lambda x: x.mean((2, 3), keepdim=True)),
    "largest in space": image(lambda x: x.amax(3, keepdim=True)),
    "spatial slice": image(lambda x: x[:, :, 1:-1, ::2]),
    "where": image(lambda x: torch.where(x > 0, x, x * 0.1)),
    "zeros like": image(lambda x: x + torch.zeros_like(x)),
    "new zeros": image(lambda x: x + x.new_zeros(2, x.shape[1], 1, 1)),
    "running sum in space": image(lambda x: x.cumsum(2)),
    "written in place": image(lambda x: x.new_zeros(x.shape).copy_(x)),
    "type": image(lambda x: x.float().double()),
    "unfold and fold": image(lambda x: F.fold(F.unfold(x, 3, padding=1), (8, 8), 3, padding=1)),
    "one group": image(lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1, -1).sum(1)),
}


@pytest.mark.parametrize("name", CONV)
def test_operators_that_leave_channels_single(name: str, check_cut: Check) -> None:
    channels = check_cut(CONV[name], IMAGE)
    assert [(group.name, group.size) for group in channels.groups] == [("first", 8)]
    assert channels.unknown == ()


SHAPED = {
    "channels repeated": (image(lambda x: x.repeat(1, 2, 1, 1), 16), 8),
    "channels interleaved": (image(lambda x: x.repeat_interleave(2, 1), 16), 8),
    "joined with itself": (image(lambda x: torch.cat([x, -x], 1), 16), 8),
    "zeros behind": (image(lambda x: F.pad(x, (0, 0, 0, 0, 0, 3)), 11), 8),
    "zeros joined": (image(lambda x: torch.cat([x, x.new_zeros(2, 2, 8, 8)], 1), 10), 8),
    "channel chosen": (image(lambda x: x + x[:, 0:1]), 7),
    "channel picked": (image(lambda x: x + x[:, 2].unsqueeze(1)), 5),
    "last channel picked": (image(lambda x: x + x[:, -2].unsqueeze(1)), 6),
    "pairs": (image(lambda x: x.view(2, x.shape[1] // 2, 2, 8, 8).sum(2), 4), 4),
    "pixel shuffle by hand": (Between(nn.Conv2d(3, 24, 1), by_hand, nn.Conv2d(6, 2, 1)), 6),
    "from a place on": (image(lambda x: torch.cat([x[:, :3].sin(), x[:, 3:]], 1)), 5),
    "groups alike": (image(lambda x: x.view(2, 2, x.shape[1] // 2, 8, 8).sum(1), 4), 4),
    "quarters": (image(lambda x: torch.cat(x.split(x.shape[1] // 4, 1)[::-1], 1)), 8),
}


@pytest.mark.parametrize("name", SHAPED)
def test_operators_that_move_channels(name: str, check_cut: Check) -> None:
    model, free = SHAPED[name]
    channels = check_cut(model, IMAGE)
    assert sum(group.size for group in channels.groups if group.reason is None) == free


class Matched(nn.Module):
    """A product of two layers' results, contracted over their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(3, 8, bias=False) for _ in range(3))
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.q(x) @ self.k(x).transpose(1, 2) @ self.v(x))


def test_contracted_channels_go_in_pairs(check_cut: Check) -> None:
    channels = check_cut(Matched(), TOKENS)
    assert [(group.name, group.size) for group in channels.groups] == [("q", 8), ("v", 8)]
    assert ("k.weight", 0) in {(piece.tensor, piece.dim) for piece in channels.groups[0].slices}


# Removed positions count in these norms and sums, so zeroing is no oracle here: only the classes are pinned.
COUPLED = {
    "layer norm": (tokens(lambda x, norm: norm(x), 8, nn.LayerNorm(8)), TOKENS, 8),
    "rms norm": (tokens(lambda x, norm: norm(x), 8, nn.RMSNorm(8)), TOKENS, 8),
    "group norm": (image(lambda x, norm: norm(x), 8, nn.GroupNorm(2, 8)), IMAGE, 4),
    "softmax": (tokens(lambda x: x.softmax(-1)), TOKENS, 8),
    "spatial attention": (image(lambda x: x * x.mean(1, keepdim=True)), IMAGE, 8),
    "best channel": (image(lambda x: x + x.max(1, keepdim=True).values), IMAGE, 0),
    "sorted channels": (image(lambda x: x.sort(1).values), IMAGE, 0),
    "best in space": (image(lambda x: x.flatten(2).max(2).values[..., None, None]), IMAGE, 8),
    "indexed": (image(lambda x: x[:, torch.tensor([3, 1, 0])], 3), IMAGE, 0),
    "index select": (image(lambda x: x.index_select(1, torch.tensor([1, 0])), 2), IMAGE, 0),
    "gathered": (image(lambda x: x.gather(1, torch.zeros_like(x, dtype=torch.int64))), IMAGE, 0),
    "rolled": (image(lambda x: x.roll(1, 1)), IMAGE, 0),
    "running": (image(lambda x: x.cumsum(1)), IMAGE, 0),
    "every second": (image(lambda x: x[:, ::2], 4), IMAGE, 0),
    "uneven split": (image(lambda x: torch.cat(x.split([3, 5], 1)[::-1], 1)), IMAGE, 0),
    "one by one": (image(lambda x: torch.stack(x.unbind(1), 1)), IMAGE, 0),
    "positions added": (tokens(lambda x: x + torch.arange(8.0)), TOKENS, 0),
    "random values": (tokens(lambda x: x + torch.randn(8)), TOKENS, 0),
    "all elements": (image(lambda x: x * x.sum()), IMAGE, 8),
    "flattened with nothing": (image(lambda x: x.reshape(-1).cos().reshape(2, 8, 8, 8)), IMAGE, 8),
}


@pytest.mark.parametrize("name", COUPLED)
def test_operators_that_look_across_channels(name: str) -> None:
    model, example, free = COUPLED[name]
    channels = find_channels(trace(model, example))
    assert sum(group.size for group in channels.groups if group.reason is None) == free
    assert channels.unknown == ()


EMPTY, FIRST = torch.zeros(0), torch.tensor([0])
RARE = {
    "two results": (lambda x: x * torch.frexp(x).mantissa, 0),
    "several views": (lambda x: torch.atleast_2d(x, x)[0], 0),
    "random numbers of no tensor": (lambda x: x * torch.normal(0.0, 1.0, (8, 1, 1)), 0),
    "place of a number": (lambda x: x + x.sum().argmax(0), 8),
    "largest number": (lambda x: x + x.sum().max(0).values + x.sum().topk(1).values, 8),
    "running number": (lambda x: x + x.sum().cumsum(0) + x.sum().cummax(0).values, 8),
    "selected number": (lambda x: x + x.sum().index_select(0, FIRST), 8),
    "a number for a slope": (lambda x: F.prelu(x, x.mean()), 8),
    "nothing joined": (lambda x: x + torch.cat([EMPTY, EMPTY]).sum(), 8),
    "one larger of two": (lambda x: torch.maximum(x, x) + torch.max(x, x), 8),
}


@pytest.mark.parametrize("name", RARE)
def test_rare_forms_of_operators_are_read_or_freeze_what_they_read(name: str) -> None:
    middle, free = RARE[name]
    channels = find_channels(trace(image(middle), IMAGE))
    assert sum(group.size for group in channels.groups if group.reason is None) == free


def test_a_bug_in_a_rule_is_no_unknown_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise IndexError("a bug")

    monkeypatch.setitem(RULES, "relu", broken)
    with pytest.raises(IndexError, match="a bug"):
        find_channels(trace(image(torch.relu), IMAGE))


def test_embeddings_keep_their_rows(check_cut: Check) -> None:
    model = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 2))
    channels = check_cut(model, torch.tensor([[1, 2, 3]]))
    assert {(piece.tensor, piece.dim) for piece in channels.groups[0].slices} == {("0.weight", 1), ("1.weight", 1)}


def test_weight_norm_cuts_direction_and_length() -> None:
    first = nn.utils.parametrizations.weight_norm(nn.Linear(3, 8))
    channels = find_channels(trace(nn.Sequential(first, nn.Linear(8, 2)), torch.zeros(1, 3)))
    original = "0.parametrizations.weight.original"
    assert {(piece.tensor, piece.dim) for piece in channels.groups[0].slices} == {
        ("0.bias", 0), (f"{original}0", 0), (f"{original}1", 0), ("1.weight", 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "size"), [(nn.Conv1d, (2, 3, 9)), (nn.Conv3d, (1, 3, 5, 5, 5)), (nn.Conv2d, (3, 9, 9))]
)
def test_convolutions_of_any_rank_with_or_without_batch(
    layer: Callable[..., nn.Module], size: tuple[int, ...], check_cut: Check
) -> None:
    channels = check_cut(nn.Sequential(layer(3, 8, 3), nn.ReLU(), layer(8, 2, 1)), torch.randn(size))
    assert [(group.name, group.size) for group in channels.groups] == [("0", 8)]


@pytest.mark.parametrize("groups", [2, 4])
def test_transposed_convolutions_in_groups(groups: int, check_cut: Check) -> None:
    up = nn.ConvTranspose2d(8, 12, 2, stride=2, groups=groups)
    channels = check_cut(nn.Sequential(nn.Conv2d(3, 8, 1), up, nn.Conv2d(12, 2, 1)), IMAGE)
    assert {group.name: group.size for group in channels.groups} == {"0": 8 // groups, "1": 12 // groups}


def test_attention_heads_keep_their_number_and_give_of_their_width(check_cut: Check) -> None:
    def heads(x: Tensor) -> Tensor:
        return x.view(2, 5, 2, x.shape[-1] // 2).transpose(1, 2).sin().transpose(1, 2).flatten(2)

    channels = check_cut(tokens(heads), TOKENS)
    assert channels.groups[0].size == 4
    assert channels.groups[0].slices[0].positions[1] == (1, 5)


def test_every_rule_has_a_name_torch_knows() -> None:
    unknown = [name for name in RULES if not hasattr(torch.ops.aten, name)]
    inplace = [name for name in unknown if not hasattr(torch.ops.aten, f"{name}_")]
    assert inplace == []
