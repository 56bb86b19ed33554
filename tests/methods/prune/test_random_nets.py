"""Random small networks through plan, cut with self-check, and export, against oracles of their own."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.errors import BudgetError
from niwaki.export import export
from niwaki.methods.prune import RandomScore, prune
from niwaki.surgery import Plan, plans_of

Size = Callable[..., tuple[int, int]]
UNSHRUNK = (Phase.explicit, Phase.generate)  # shrinking takes minutes: every try traces a network


class Piece(NamedTuple):
    """One operation: what it does, on which earlier values, and how wide."""

    kind: str
    first: int
    second: int
    width: int


KINDS = ("conv", "skip", "concat", "grouped", "depthwise", "shared", "gate", "resample", "transposed", "slices")
pieces = st.builds(Piece, st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9), st.sampled_from([8, 12, 16]))
nets = st.tuples(
    st.lists(pieces, min_size=2, max_size=6),
    st.lists(st.sampled_from(["map", "vector", "deep"]), min_size=1, max_size=3),
)


class RandomNet(nn.Module):
    """A stem, then random pieces on random earlier values, then a head for each task; all maps have one size."""

    def __init__(self, body: list[Piece], heads: list[str]) -> None:
        super().__init__()
        self.body, self.kinds = body, heads
        self.layers = nn.ModuleList()
        self.widths = [8]
        self.stem = conv(3, 8)
        for piece in body:
            source = piece.first % len(self.widths)
            self.layers.append(self._layer(piece, self.widths[source]))
            self.widths.append(self._width(piece, self.widths[source]))
        self.heads = nn.ModuleList([self._head(kind) for kind in heads])

    def _other(self, piece: Piece) -> int:
        return self.widths[piece.second % len(self.widths)]

    def _layer(self, piece: Piece, width: int) -> nn.Module:
        made: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: conv(width, piece.width),
            "skip": lambda: conv(width, self._other(piece)),
            "concat": nn.Identity,
            "grouped": lambda: conv(width, piece.width, groups=4),
            "depthwise": lambda: conv(width, width, groups=width),
            "shared": lambda: nn.Conv2d(width, width, 1),
            "gate": lambda: conv(width, 2 * piece.width),
            "resample": lambda: nn.AvgPool2d(2),
            "transposed": lambda: nn.ConvTranspose2d(width, piece.width, 3, padding=1),
            "slices": lambda: conv(width, piece.width),
        }
        return made[piece.kind]()

    def _width(self, piece: Piece, width: int) -> int:
        if piece.kind == "concat":
            return width + self._other(piece)
        if piece.kind == "skip":
            return self._other(piece)
        return width if piece.kind in {"depthwise", "shared", "resample"} else piece.width

    def _head(self, kind: str) -> nn.Module:
        width = self.widths[-1]
        if kind == "map":
            return nn.Conv2d(width, 3, 1)
        if kind == "deep":
            return nn.Sequential(conv(width, 8), nn.Conv2d(8, 2, 1))
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 5))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        values = [self.stem(x)]
        for piece, layer in zip(self.body, self.layers, strict=True):
            first, second = values[piece.first % len(values)], values[piece.second % len(values)]
            values.append(run(piece.kind, layer, first, second))
        return {
            f"{kind}{i}": head(values[-1]) for i, (kind, head) in enumerate(zip(self.kinds, self.heads, strict=True))
        }


def run(kind: str, layer: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    if kind == "concat":
        return torch.cat([first, second], dim=1)
    made: Tensor = layer(first)
    after: dict[str, Callable[[], Tensor]] = {
        "skip": lambda: F.relu(made + second),
        "shared": lambda: layer(F.relu(made)),
        "gate": lambda: made.chunk(2, dim=1)[0] * torch.sigmoid(made.chunk(2, dim=1)[1]),
        "resample": lambda: F.interpolate(made, scale_factor=2, mode="nearest"),
        "slices": lambda: torch.cat([made[:, 4:], F.relu(made[:, :4])], dim=1),
    }
    return after[kind]() if kind in after else made


def conv(inputs: int, outputs: int, groups: int = 1) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=groups > 1)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


def build(body: list[Piece], heads: list[str], seed: int = 0) -> RandomNet:
    """Make the network with weights that let every input reach every output, and statistics that fit them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = RandomNet(body, heads)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
            elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=1.4 / module.weight[0].numel() ** 0.5)
        for _ in range(8):
            net(torch.randn(4, 3, 8, 8))
    return net.eval()


def silenced(net: nn.Module, made: Plan) -> nn.Module:
    """The dense network with every removed slice set to 0, parameter by parameter: an oracle apart from the graph's."""
    quiet = deepcopy(net)
    tensors: dict[str, Tensor] = dict(quiet.named_parameters())
    with torch.no_grad():
        for (name, dim), positions in made.removed_positions().items():
            if name in tensors:
                tensors[name].index_fill_(dim, torch.tensor(positions, dtype=torch.int64), 0)
    return quiet


def check(net: RandomNet, share: float, round_to: int, size_of: Size) -> tuple[Plan, nn.Module]:
    example = torch.zeros(1, 3, 8, 8)
    options: Any = {"channels": share, "round_to": round_to, "criterion": RandomScore(seed=1)}
    try:
        small = prune(net, example, **options)
    except BudgetError:
        reject()
    (made,) = plans_of(small)
    dense, cut = size_of(net, example), size_of(small, example)
    assert cut == (round(made.reached["params"] * dense[0]), round(made.reached["macs"] * dense[1]))
    assert made.reached["channels"] <= share + 1e-9
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted, found = silenced(net, made)(x), small(x)
    for name, value in wanted.items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(found[name], value, atol=1e-4 * scale, rtol=1e-4)
    return made, small


def check_multiples(made: Plan, net: nn.Module, round_to: int) -> None:
    """Every layer that lost channels, and could have lost any of them, has a multiple of them."""
    tensors = dict(net.named_parameters())
    grouped: Counter[tuple[str, int]] = Counter()
    for piece in (piece for group in made.groups if len(group.kept) < group.size for piece in group.slices):
        grouped[piece.tensor, piece.dim] += sum(map(len, piece.positions))
    for (name, dim), positions in made.removed_positions().items():
        free = name in tensors and grouped[name, dim] == tensors[name].shape[dim]
        if free and positions and dim == 0 and name.endswith("weight"):
            assert (tensors[name].shape[0] - len(positions)) % round_to == 0, name


@settings(phases=UNSHRUNK)
@given(net=nets, share=st.sampled_from([0.5, 0.6, 0.75]), round_to=st.sampled_from([1, 2, 4]))
def test_any_network_is_cut_to_the_plan(size_of: Size, net: Any, share: float, round_to: int) -> None:
    model = build(*net)
    made, _ = check(model, share, round_to, size_of)
    check_multiples(made, model, round_to)


@settings(max_examples=3, phases=UNSHRUNK)
@given(net=nets)
def test_any_network_exports_after_the_cut(tmp_path_factory: pytest.TempPathFactory, size_of: Size, net: Any) -> None:
    _, small = check(build(*net), 0.5, 2, size_of)
    folder: Path = tmp_path_factory.mktemp("export")
    result = export(small, torch.zeros(1, 3, 8, 8), folder / "small.onnx")
    assert result.max_difference < 1e-4


@pytest.mark.slow
@settings(max_examples=400, phases=UNSHRUNK)
@given(
    net=st.tuples(
        st.lists(pieces, min_size=2, max_size=12), st.lists(st.sampled_from(["map", "vector", "deep"]), min_size=1)
    ),
    share=st.floats(0.4, 0.95),
    round_to=st.sampled_from([1, 2, 3, 4, 8]),
)
def test_many_larger_networks(size_of: Size, net: Any, share: float, round_to: int) -> None:
    model = build(*net)
    made, _ = check(model, share, round_to, size_of)
    check_multiples(made, model, round_to)
