"""Small networks with residual sums, from one start or apart."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from niwaki.models import TaskNets


class Block(nn.Module):
    """Two convolutions and a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


class Net(nn.Module):
    """A stem, a block, a strided convolution, and a classifier."""

    def __init__(self, classes: int, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.block = Block(width)
        self.down = nn.Conv2d(width, 16, 3, stride=2)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.block(torch.relu(self.norm(self.stem(x))))
        answer: Tensor = self.head(torch.relu(self.down(features)).mean((2, 3)))
        return answer


MakeNet = Callable[..., Net]
MakeNets = Callable[..., TaskNets]


@pytest.fixture(scope="session")
def make_one() -> MakeNet:
    """Return a function that makes a network with norms that differ."""

    def make(classes: int = 4, seed: int = 0) -> Net:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = Net(classes)
            for norm in (net.norm, net.block.norm):
                nn.init.uniform_(norm.weight, 0.5, 2)
                nn.init.normal_(norm.bias, std=0.3)
            for _ in range(3):
                net(torch.randn(8, 3, 10, 10))
            return net.eval()

    return make


@pytest.fixture(scope="session")
def make_nets(make_one: MakeNet) -> MakeNets:
    """Return a function that makes two networks of one start, the second moved by some noise."""

    def make(noise: float = 0.02) -> TaskNets:
        left, right = make_one(4), make_one(3)
        right.load_state_dict({k: v for k, v in left.state_dict().items() if "head" not in k}, strict=False)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in right.parameters():
                parameter.add_(noise * torch.randn(parameter.shape, generator=generator))
        return TaskNets({"left": left, "right": right}).eval()

    return make


@pytest.fixture(scope="session")
def x() -> Tensor:
    """Four images."""
    return torch.randn(4, 3, 10, 10, generator=torch.Generator().manual_seed(7))
