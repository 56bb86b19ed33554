"""The small network, its channel classes, and batches to judge it by."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from niwaki.graph import Channels, find_channels, trace
from niwaki.methods.calibration import Calibration
from niwaki.tasks import Task


@pytest.fixture(scope="session")
def calibration(tasks: list[Task], batches: list[Any]) -> Calibration:
    """Four batches."""
    return Calibration(tuple(tasks), tuple(batches[:4]))


@pytest.fixture
def net(make_net: Callable[[], nn.Module]) -> nn.Module:
    """The small network."""
    return make_net()


@pytest.fixture
def channels(net: nn.Module, example: Tensor) -> Channels:
    """Its channel classes."""
    return find_channels(trace(net, example))
