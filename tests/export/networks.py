"""Small networks that between them hold what an export has to get right."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Unpooling(nn.Module):
    """SegNet in small: two pools whose indices come back in reverse order, one head for each task."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.heads = nn.ModuleDict({"segmentation": nn.Conv2d(width, 4, 1), "depth": nn.Conv2d(width, 1, 1)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.norm(self.enter(x)).relu()
        x, first = self.pool(x)
        x = self.deep(x)
        size = x.shape
        x, second = self.pool(x)
        x = self.unpool(self.unpool(x, second, output_size=size), first)
        return {name: head(x) for name, head in self.heads.items()}


class Resizing(nn.Module):
    """Bilinear with and without aligned corners, nearest, adaptive pools, pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.conv(x)
        size = x.shape[-2:]
        return {
            "aligned": F.interpolate(y, size=size, mode="bilinear", align_corners=True),
            "loose": F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False),
            "odd": F.interpolate(y, size=(7, 5), mode="bilinear", align_corners=False),
            "nearest": F.interpolate(y, scale_factor=2.0),
            "average": F.adaptive_avg_pool2d(y, 1).flatten(1),
            "grid": F.adaptive_avg_pool2d(y, (2, 4)),
            "peak": F.adaptive_max_pool2d(y, 1),
            "shuffled": F.pixel_shuffle(y, 2),
        }


class Norms(nn.Module):
    """Batch, instance, group and layer norm, transposed, grouped and depthwise convolution, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, groups=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.InstanceNorm2d(8), nn.GroupNorm(2, 8)])
        self.layer = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.grouped(x)
        for norm in self.norms:
            y = norm(y)
        y = self.layer(self.depthwise(y).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        first, second = y.chunk(2, dim=1)
        joined = torch.cat([first, second, y[:, 2:6]], dim=1)
        return self.up(y), joined.mean((2, 3))


class SeveralInputs(nn.Module):
    """Two tensors, one of them by keyword, a list of tensors, and plain values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(
        self, image: Tensor, others: list[Tensor], *, scale: Tensor | None = None, flip: bool = False, task: int = 0
    ) -> Tensor:
        y: Tensor = self.conv(image)
        for other in others:
            y = y + other
        y = y.flip(-1) if flip else y
        return (y if scale is None else y * scale) + task


class Awkward(nn.Module):
    """Outputs that collide: named like an input, a weight or an operator; one tensor twice; an input; a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> dict[str, object]:
        y = self.conv(x)
        return {
            "x": y,
            "relu": y + 1,
            "conv.weight": F.relu(y),
            "again": y,
            "input": x,
            "weight": self.conv.weight,
            "classes": y.argmax(1),
            "levels": [y.mean(), {"deep": y.sum((2, 3))}],
            "nothing": None,
            "count": 3,
        }


class Reacting(nn.Module):
    """Takes a decision on a value, which can't be captured."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Applying(nn.Module):
    """Applies any function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
