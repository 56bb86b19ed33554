"""Small networks, each with one of the ways in which channels are tied."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.contract import Example


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8)
        self.one, self.two = block(8, 12), nn.Sequential(nn.Conv2d(12, 8, 1), nn.BatchNorm2d(8))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.two(self.one(x)))
        answer: Tensor = self.head(x)
        return answer


class Concat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = block(3, 6), block(3, 10)
        self.heads = nn.ModuleDict({"depth": nn.Conv2d(16, 1, 1), "normals": nn.Conv2d(16, 3, 3, padding=1)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = torch.cat([self.left(x), self.right(x)], 1)
        return {name: head(y) for name, head in self.heads.items()}


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.deep = block(3, 12), nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.norm, self.project = nn.BatchNorm2d(24), nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.project(F.silu(self.norm(self.deep(self.expand(x)))))
        return answer


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped = block(3, 16), nn.Conv2d(16, 24, 3, padding=1, groups=4)
        self.norm, self.head = nn.GroupNorm(4, 24), nn.Conv2d(24, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(torch.tanh(self.norm(self.grouped(self.stem(x)))))
        return answer


class Unpool(nn.Module):
    """A SegNet in small: pooling indices of the encoder steer the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep, self.up = block(3, 8), block(8, 8), block(8, 6)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.heads = nn.ModuleList([nn.Conv2d(6, 3, 1), nn.Conv2d(6, 1, 1)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, places = self.pool(self.down(x))
        y = self.up(self.unpool(self.deep(y), places))
        return tuple(head(y) for head in self.heads)


class Shared(nn.Module):
    """One layer used twice, and a decoder whose weight is the encoder's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.again = nn.Linear(5, 8)
        self.again.weight = self.first.weight
        self.kept_by_hand = self.last.weight

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x)) + torch.sigmoid(self.again(x))
        y = torch.relu(self.twice(torch.relu(self.twice(y))))
        return F.linear(y, self.kept_by_hand, self.last.bias)


class Raw(nn.Module):
    """Convolutions on a raw parameter and on a computed one, with groups taken from an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 8
        self.kernel = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.depthwise = nn.Parameter(torch.randn(8, 1, 3, 3))
        self.scale = nn.Parameter(torch.rand(8, 1, 1, 1))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.kernel * self.scale, padding=1)
        y = F.conv2d(torch.sigmoid(y), self.depthwise, groups=self.width)
        answer: Tensor = self.head(y.view(len(y), self.width, -1, y.shape[-1]))
        return answer


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(block(3, 6), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 10), nn.ReLU())
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(F.dropout(self.body(x), 0.3, self.training))
        return answer


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.width = 12
        self.stem = block(3, 12)
        self.gate = nn.Sequential(nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 12), nn.Sigmoid())
        self.head = nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        gate = self.gate(y.mean((2, 3))).view(-1, self.width, 1, 1)
        answer: Tensor = self.head(y * gate)
        return answer


class Normed(nn.Module):
    """Norms over channels, a softmax over channels, and means that must count only what stays."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 10, 3)
        self.plain, self.layer = nn.InstanceNorm2d(10), nn.LayerNorm(10)
        self.bare, self.head = nn.LayerNorm(10, elementwise_affine=False), nn.Conv2d(10, 2, 1)
        self.side = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.plain(self.stem(x))
        y = self.layer(y.permute(0, 2, 3, 1))
        y = self.bare(torch.sigmoid(y) * 3).permute(0, 3, 1, 2)
        mean = torch.exp(y).mean(1, keepdim=True) + y.amax(1, keepdim=True)
        return {"main": self.head(y.softmax(1)), "side": self.side(mean)}


class Shuffled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = block(3, 8), block(3, 8), block(16, 4)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.left(x), self.right(x)], 1)
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        first, second = y.chunk(2, 1)
        answer: Tensor = self.last(self.head(torch.cat([first * 2, second], 1)))
        return answer


class Sliced(nn.Module):
    """Splits and slices at bounds kept in attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.parts, self.bound = [4, 8], 4
        self.stem, self.small, self.large = block(3, 12), nn.Conv2d(4, 2, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.stem(x)
        first, second = y.split(self.parts, 1)
        return [self.small(first) + self.large(second), self.small(y[:, : self.bound])]


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = block(3, 8, 2)
        self.up = nn.ConvTranspose2d(8, 6, 2, 2)
        self.deep = nn.ConvTranspose2d(6, 6, 3, padding=1, groups=6)
        self.head = nn.Sequential(nn.PReLU(6), nn.Conv2d(6, 8, 1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.deep(self.up(self.down(x))))
        return answer


class Attention(nn.Module):
    """Heads counted by one attribute, width by another, in a view."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.width = 2, 12
        self.embed = nn.Conv2d(3, 8, 2, 2)
        self.query, self.key, self.value = (nn.Linear(8, 12) for _ in range(3))
        self.out, self.head = nn.Linear(12, 8), nn.Linear(8, 3)
        self.scale = 0.4

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x).flatten(2).transpose(1, 2)
        n, length, _ = y.shape
        q, k, v = (
            part(y).view(n, length, self.heads, self.width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1) @ v
        y = y + self.out(mixed.transpose(1, 2).reshape(n, length, self.width))
        answer: Tensor = self.head(y)
        return answer


class Routed(nn.Module):
    """One task a call, with norms of its own; a head that only training has."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
        self.heads = nn.ModuleList([nn.Conv2d(8, 1, 1), nn.Conv2d(8, 3, 1)])
        self.helper = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor, task: int) -> dict[str, Tensor]:
        y = F.relu(self.norms[task](self.stem(x)))
        found = {f"task{task}": self.heads[task](y)}
        return {**found, "helper": self.helper(y)} if self.training else found


def compiled(model: nn.Module) -> nn.Module:
    """Compile as a user does, without a backend's cost."""
    return cast("nn.Module", torch.compile(model, backend="eager"))


def tensor(model: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}[name]


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(1))


NETS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "residual": (Residual, image()),
    "concat": (Concat, image(1)),
    "depthwise": (Depthwise, image()),
    "grouped": (Grouped, image()),
    "unpool": (Unpool, image()),
    "shared": (Shared, torch.randn(4, 5, generator=torch.Generator().manual_seed(2))),
    "raw": (Raw, image()),
    "flattened": (Flattened, image()),
    "squeeze": (SqueezeExcite, image()),
    "normed": (Normed, image()),
    "shuffled": (Shuffled, image()),
    "sliced": (Sliced, image()),
    "transposed": (Transposed, image()),
    "attention": (Attention, image()),
    "routed": (Routed, [Example(image(), task=0), Example(image(), 1)]),
}
