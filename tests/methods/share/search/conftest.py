"""Small layers of filters, some alike, of very different norms, and one of zeros."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from niwaki.methods.share.search import SearchLayer
from niwaki.methods.share.selecting import Question
from niwaki.methods.share.stack import LayerStack

MakeLayer = Callable[..., SearchLayer]
MakeQuestion = Callable[..., Question]


def _layer(seed: int = 0, filters: int = 12, networks: int = 2, **options: Any) -> SearchLayer:
    chance = np.random.default_rng(seed)
    basis = chance.normal(size=(max(1, filters // 3), 5))
    rows = basis[chance.integers(len(basis), size=filters)] + 0.4 * chance.normal(size=(filters, 5))
    rows *= chance.lognormal(sigma=2, size=(filters, 1))
    rows[filters // 2] = 0
    bounds = {"least": filters // 2, "most": filters // 2} | options
    owners = np.arange(filters) * networks // filters
    return SearchLayer(options.pop("name", f"layer{seed}"), rows.astype(np.float32), owners, **bounds)


def _question(world: int = 0, count: int | None = 6, **options: Any) -> Question:
    stacks = []
    for number in range(2):
        filters = torch.from_numpy(_layer(world + number).filters)
        tasks = (("a",), ("b",))
        owners = torch.arange(len(filters)) * 2 // len(filters)
        stacks.append(LayerStack(f"conv{number}", ("a", "b"), filters, owners, tasks, filters.abs().sum(1)))
    counts = None if count is None else (count, count)
    return Question(stacks=tuple(stacks), counts=counts, least=(2, 2), **options)


@pytest.fixture(scope="session")
def make_layer() -> MakeLayer:
    """Return what makes a layer."""
    return _layer


@pytest.fixture(scope="session")
def make_question() -> MakeQuestion:
    """Return what makes a question about two layers of twelve filters of two networks."""
    return _question
