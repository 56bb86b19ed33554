"""Channel classes written by hand, so that allocation is tested without a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from niwaki.graph import ChannelGroup, Channels
from niwaki.records import Slice

Dims = dict[tuple[str, int], list[list[int]]]
MakeChannels = Callable[..., Channels]


@dataclass
class FakeTraced:
    """Only the shapes."""

    shapes: dict[str, tuple[int, ...]]


@dataclass
class FakeChannels:
    """What allocation and criteria read."""

    traced: FakeTraced
    tensors: dict[str, tuple[Any, ...]]
    removable: NDArray[np.bool_]
    groups: tuple[ChannelGroup, ...]
    equal_chunks: list[list[NDArray[np.int64]]]


def _group(name: str, first: int, dims: Dims) -> ChannelGroup:
    count = len(next(iter(dims.values())))
    keys = [tuple(len(positions[j]) for positions in dims.values()) for j in range(count)]
    numbers = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    slices = tuple(
        Slice(tensor=tensor, dim=dim, positions=tuple(map(tuple, positions)))
        for (tensor, dim), positions in dims.items()
    )
    strata = np.array([numbers[key] for key in keys])
    return ChannelGroup(name, np.arange(first, first + count), slices, strata)


@pytest.fixture(scope="session")
def make_channels() -> MakeChannels:
    """Return a function that makes channel classes from groups of ``{(tensor, dim): positions of each channel}``."""

    def make(
        groups: Sequence[Dims], shapes: dict[str, tuple[int, ...]], equal: Sequence[Sequence[Sequence[int]]] = ()
    ) -> Channels:
        made, first = [], 1
        for index, dims in enumerate(groups):
            made.append(_group(f"group{index}", first, dims))
            first += made[-1].size
        tensors: dict[str, tuple[Any, ...]] = {
            name: tuple(np.zeros(size, dtype=np.int64) for size in shape) for name, shape in shapes.items()
        }
        for group in made:
            for piece in group.slices:
                for label, positions in zip(group.classes, piece.positions, strict=True):
                    tensors[piece.tensor][piece.dim][list(positions)] = label
        removable = np.arange(first) > 0
        chunks = [[np.array(piece) for piece in pieces] for pieces in equal]
        return cast("Channels", FakeChannels(FakeTraced(shapes), tensors, removable, tuple(made), chunks))

    return make
