"""Small multi-task networks, each with something that trips pruners: how channels meet, and how tasks are asked for."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from niwaki.contract import Example


def image() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class TwoHeads(nn.Module):
    """A stem, whatever `middle` does with its eight channels, and two heads."""

    def __init__(self, inner: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU())
        self.depth, self.normals = conv(inner, 1, 1), conv(inner, 3, 1)

    def middle(self, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.middle(self.stem(x))
        return {"depth": self.depth(y), "normals": self.normals(y)}


class TaskNorms(nn.Module):
    """One task a call, each with norms of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = conv(3, 8), conv(8, 6)
        self.norms = nn.ModuleDict({task: nn.BatchNorm2d(8) for task in ("depth", "edges")})
        self.heads = nn.ModuleDict({task: conv(6, 1, 1) for task in ("depth", "edges")})

    def forward(self, x: Tensor, task: str) -> dict[str, Tensor]:
        y = F.relu(self.deep(F.relu(self.norms[task](self.stem(x)))))
        return {task: self.heads[task](y)}


class Film(nn.Module):
    """An embedding of the domain scales and shifts channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth, self.normals = conv(3, 8), conv(8, 1, 1), conv(8, 3, 1)
        self.scale, self.shift = nn.Embedding(3, 8), nn.Embedding(3, 8)

    def forward(self, x: Tensor, domain: Tensor) -> dict[str, Tensor]:
        y = self.stem(x) * (1 + self.scale(domain)[:, :, None, None]) + self.shift(domain)[:, :, None, None]
        return {"depth": self.depth(y), "normals": self.normals(y)}


class Shuffler(TwoHeads):
    def __init__(self) -> None:
        super().__init__(2)
        self.up = nn.PixelShuffle(2)

    def middle(self, y: Tensor) -> Tensor:
        answer: Tensor = self.up(y)
        return answer


class EinsumAttention(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = conv(8, 6, 1), conv(8, 6, 1), conv(8, 8, 1)

    def middle(self, y: Tensor) -> Tensor:
        q, k, v = (part(y).flatten(2) for part in (self.query, self.key, self.value))
        weights = torch.einsum("bci,bcj->bij", q, k).softmax(-1)
        return y + torch.einsum("bij,bcj->bci", weights, v).view_as(y)


class Detached(TwoHeads):
    """The second task reads the first one's features without teaching them."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.join = conv(8, 5), conv(13, 6)
        self.last = conv(6, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.stem(x)
        mine = F.relu(self.own(y))
        return {"depth": self.depth(y), "labels": self.last(F.relu(self.join(torch.cat([mine, y.detach()], 1))))}


class Helper(TwoHeads):
    """A head that only training has."""

    def __init__(self) -> None:
        super().__init__()
        self.helper = nn.Sequential(conv(8, 6), nn.ReLU(), conv(6, 2, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = super().forward(x)
        return {**found, "helper": self.helper(self.stem(x))} if self.training else found


class Unpooled(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.deep = conv(8, 8)

    def middle(self, y: Tensor) -> Tensor:
        y, places = F.max_pool2d(y, 2, return_indices=True)
        return F.max_unpool2d(self.deep(y), places, [2, 2])


class Shuffled(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.shuffle, self.deep = nn.ChannelShuffle(2), conv(8, 8)

    def middle(self, y: Tensor) -> Tensor:
        return F.relu(self.deep(self.shuffle(y)))


class CrossStitch(nn.Module):
    """Two trunks that mix channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 8), conv(3, 8)
        self.mix = nn.Parameter(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
        self.depth, self.normals = conv(8, 1, 1), conv(8, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.stack([F.relu(self.first(x)), F.relu(self.second(x))])
        mixed = torch.einsum("st,tbchw->sbchw", self.mix, both)
        return self.depth(mixed[0]), self.normals(mixed[1])


class Frozen(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.stem.requires_grad_(False)


class Functional(TwoHeads):
    """Convolutions on a raw parameter, a standardised one and a masked one."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.randn(6, 8, 3, 3) / 8)
        self.standard = nn.Parameter(torch.randn(7, 6, 3, 3))
        self.masked = nn.Parameter(torch.randn(8, 7, 3, 3) / 7)
        self.mask = nn.Buffer((torch.rand(8, 7, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.3).float())

    def middle(self, y: Tensor) -> Tensor:
        y = torch.relu(F.conv2d(y, self.raw, padding=1))
        w: Tensor = self.standard
        w = (w - w.mean((2, 3), keepdim=True)) / (w.std((2, 3), keepdim=True) + 1e-5)
        return F.conv2d(torch.relu(F.conv2d(y, w / 6, padding=1)), self.masked * self.mask, padding=1)


class Standardised(TwoHeads):
    """A weight standardised by a batch norm without statistics, as in NFNet."""

    def __init__(self) -> None:
        super().__init__()
        self.deep, self.gain = conv(8, 8), nn.Parameter(torch.ones(8))

    def middle(self, y: Tensor) -> Tensor:
        w: Tensor = self.deep.weight
        rows = w.reshape(1, w.shape[0], -1)
        w = F.batch_norm(rows, None, None, self.gain, training=True, momentum=0.0).reshape_as(w)
        return F.relu(F.conv2d(y, w, self.deep.bias, padding=1))


class Gated(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.deep, self.join = conv(8, 12), conv(6, 8)

    def middle(self, y: Tensor) -> Tensor:
        value, gate = self.deep(y).chunk(2, 1)
        return F.relu(self.join(value * torch.sigmoid(gate)))


class Tied(TwoHeads):
    """Two branches with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv(8, 6), conv(8, 6)
        self.right.weight = self.left.weight
        self.join = conv(12, 8)

    def middle(self, y: Tensor) -> Tensor:
        answer: Tensor = F.relu(self.join(torch.cat([torch.tanh(self.left(y)), torch.relu(self.right(y))], 1)))
        return answer


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


class Parametrised(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.normed = parametrizations.weight_norm(conv(8, 6))
        self.halved = conv(6, 8)
        parametrize.register_parametrization(self.halved, "weight", Halved())

    def middle(self, y: Tensor) -> Tensor:
        answer: Tensor = F.relu(self.halved(F.relu(self.normed(y))))
        return answer


class Fused(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)

    def middle(self, y: Tensor) -> Tensor:
        tokens = y.flatten(2).transpose(1, 2)
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        answer: Tensor = tokens.transpose(1, 2).reshape(y.shape)
        return answer


class ScaledDot(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.qkv, self.out = nn.Linear(8, 36), nn.Linear(12, 8)

    def middle(self, y: Tensor) -> Tensor:
        n, c, h, w = y.shape
        q, k, v = self.qkv(y.flatten(2).transpose(1, 2)).reshape(n, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, -1)
        answer: Tensor = y + self.out(mixed).transpose(1, 2).reshape(n, c, h, w)
        return answer


class Windows(TwoHeads):
    """Attention inside shifted windows, with a table of biases for each head."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.side = 2, 4
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.bias = nn.Parameter(torch.randn(2, 16, 16))

    def middle(self, y: Tensor) -> Tensor:
        n, c, h, w = y.shape
        s = self.side
        y = torch.roll(y.permute(0, 2, 3, 1), (2, 2), (1, 2))
        tokens = y.view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        q, k, v = self.qkv(tokens).reshape(-1, s * s, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q * (c // self.heads) ** -0.5 @ k.transpose(-2, -1) + self.bias).softmax(-1)
        tokens = tokens + self.out((weights @ v).transpose(1, 2).reshape(-1, s * s, c))
        y = tokens.view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(y, (-2, -2), (1, 2)).permute(0, 3, 1, 2)


class Excited(TwoHeads):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)

    def middle(self, y: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return y * gate[:, :, None, None]


class TaskAttention(nn.Module):
    """Each task attends to shared features by a mask of its own, as in MTAN."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = conv(3, 8), conv(8, 8)
        self.masks = nn.ModuleList(
            [nn.Sequential(conv(8, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 8, 1)) for _ in range(2)]
        )
        self.heads = nn.ModuleList([conv(8, 1, 1), conv(8, 3, 1)])

    def forward(self, x: Tensor) -> list[Tensor]:
        y = F.relu(self.stem(x))
        z = F.relu(self.deep(y))
        return [head(torch.sigmoid(mask(y)) * z) for mask, head in zip(self.masks, self.heads, strict=True)]


class Pooled(TwoHeads):
    """A branch that sees the whole picture, stretched to its size."""

    def __init__(self) -> None:
        super().__init__(12)
        self.near, self.far = conv(8, 8), conv(8, 4, 1)

    def middle(self, y: Tensor) -> Tensor:
        far = F.relu(self.far(F.adaptive_avg_pool2d(y, 1)))
        return torch.cat([F.relu(self.near(y)), F.interpolate(far, y.shape[-2:], mode="nearest")], 1)


class Tokens(nn.Module):
    """A token for each task before those of the picture, and positions to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.tasks, self.places = nn.Parameter(torch.randn(1, 2, 8)), nn.Parameter(torch.randn(1, 6, 8))
        self.inner = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.mix = nn.Linear(6, 6)
        self.heads = nn.ModuleList([nn.Linear(8, 2), nn.Linear(8, 5)])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.embed(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.tasks.expand(len(x), -1, -1), y], 1) + self.places
        y = y + self.mix(y.transpose(1, 2)).transpose(1, 2)
        y = y + self.inner(y)
        return tuple(head(y[:, i]) for i, head in enumerate(self.heads))


DOMAIN = torch.tensor([0, 2])

KINDS: dict[str, tuple[Callable[[], nn.Module], Any, dict[str, int]]] = {
    "tasks routed one per call": (
        TaskNorms,
        [Example(image(), task=t) for t in ("depth", "edges")],
        {"stem": 8, "deep": 6},
    ),
    "an embedding scales channels": (Film, (image(), DOMAIN), {"stem": 8}),
    "pixel shuffle": (Shuffler, image(), {"stem.0": 2}),
    "einsum attention": (EinsumAttention, image(), {"stem.0": 8, "query": 6}),
    "detached features": (Detached, image(), {"stem.0": 13, "join": 6}),
    "a head of train mode": (Helper, image(), {"stem.0": 8, "helper.0": 6}),
    "max-unpool": (Unpooled, image(), {"stem.0": 8}),
    "channel shuffle": (Shuffled, image(), {"stem.0": 4, "deep": 8}),
    "cross-stitch": (CrossStitch, image(), {"first": 8}),
    "a frozen trunk": (Frozen, image(), {"stem.0": 8}),
    "functional convolutions": (Functional, image(), {"stem.0": 8, "raw": 6, "standard": 7, "masked": 8}),
    "standardised weights": (Standardised, image(), {"stem.0": 8, "deep": 8}),
    "gates by chunk": (Gated, image(), {"stem.0": 8, "deep": 6, "join": 8}),
    "tied parameters": (Tied, image(), {"stem.0": 8, "left": 6, "join": 8}),
    "parametrised modules": (Parametrised, image(), {"stem.0": 8, "normed": 6, "halved": 8}),
    "fused attention": (Fused, image(), {"stem.0": 8, "attention": 4}),
    "scaled dot products": (ScaledDot, image(), {"stem.0": 8, "qkv": 6}),
    "shifted windows": (Windows, image(), {"stem.0": 8, "qkv": 4}),
    "squeeze and excite": (Excited, image(), {"stem.0": 8, "squeeze": 4}),
    "attention of tasks": (TaskAttention, image(), {"stem": 8, "deep": 8, "masks.0.0": 6, "masks.1.0": 6}),
    "a pooled branch": (Pooled, image(), {"stem.0": 8, "far": 12}),
    "task tokens": (Tokens, image(), {"embed": 8, "inner.1": 16}),
}
"""What it is about, the network, its example, and the groups it must have with their channels."""
