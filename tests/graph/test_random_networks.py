"""Random small convolutional networks: any mixture of operators must cut to the silenced model's answers."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from niwaki.graph import Channels

KINDS = ("conv", "grouped", "depthwise", "shared", "residual", "join", "halves", "pool", "gate", "norm", "shuffle")


class Drawn(nn.Module):
    """A stream of channels through the kinds of steps drawn, and two heads."""

    def __init__(self, steps: list[tuple[str, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleDict()
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        width = 8
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        for index, (kind, size) in enumerate(steps):
            width = self.add(str(index), kind, width, size)
        self.near, self.far = nn.Conv2d(width, 2, 1), nn.Linear(width, 3)

    def add(self, name: str, kind: str, width: int, size: int) -> int:
        made = {
            "conv": lambda: nn.Conv2d(width, size, 3, padding=1),
            "grouped": lambda: nn.Conv2d(width, size, 3, padding=1, groups=2),
            "depthwise": lambda: nn.Conv2d(width, width, 3, padding=1, groups=width),
            "residual": lambda: nn.Conv2d(width, width, 1),
            "join": lambda: nn.Conv2d(width, size, 1),
            "halves": lambda: nn.Conv2d(width // 2, size, 1),
            "gate": lambda: nn.Conv2d(width, width, 1),
            "norm": lambda: nn.BatchNorm2d(width),
            "shuffle": lambda: nn.Conv2d(width // 4, size, 1),
        }
        if width % {"halves": 2, "grouped": 2, "shuffle": 4}.get(kind, 1) or (kind == "shared" and width != 8):
            return width
        self.layers[name] = made.get(kind, nn.Identity)()
        after = {"conv": size, "grouped": size, "shuffle": size, "join": width + size, "halves": width // 2 + size}
        return after.get(kind, width)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x)
        for index, (kind, _) in enumerate(self.steps):
            if str(index) in self.layers:
                x = getattr(self, f"do_{kind}")(x, self.layers[str(index)])
        return {"near": self.near(x), "far": self.far(F.adaptive_avg_pool2d(x, 1).flatten(1))}

    def do_conv(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return F.leaky_relu(layer(x))  # a dead ReLU makes ties, and a tie lets a pool choose either index

    do_grouped = do_depthwise = do_conv

    def do_shared(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return self.shared(layer(x))

    def do_residual(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return x + layer(x)

    def do_join(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return torch.cat([x, layer(x)], 1)

    def do_halves(self, x: torch.Tensor, layer: nn.Module) -> Any:
        first, second = x.chunk(2, 1)
        return torch.cat([second, layer(first)], 1)

    def do_pool(self, x: torch.Tensor, layer: nn.Module) -> Any:
        small, where = F.max_pool2d(layer(x), 2, return_indices=True)
        return F.max_unpool2d(small.sigmoid(), where, [2, 2])

    def do_gate(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return x * torch.sigmoid(layer(x.mean((2, 3), keepdim=True)))

    def do_norm(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return layer(x)

    def do_shuffle(self, x: torch.Tensor, layer: nn.Module) -> Any:
        return F.interpolate(layer(F.pixel_shuffle(x, 2)), scale_factor=0.5)


steps = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from((4, 8, 12))), min_size=1, max_size=6)


@given(steps)
def test_any_mixture_of_operators_is_cut_rightly(
    check_cut: Callable[..., Channels], drawn: list[tuple[str, int]]
) -> None:
    generator = torch.Generator().manual_seed(len(drawn))
    check_cut(Drawn(drawn), torch.randn(2, 3, 8, 8, generator=generator))
