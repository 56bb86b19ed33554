"""Random state: set aside for the length of a training, saved with it, put back exactly."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["own_randomness", "random_state", "seed_everything", "seed_host", "set_random_state"]


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch that models and data sets draw from.

    Args:
        seed: Any integer; NumPy gets its lowest 32 bits.
    """
    seed_host(seed)
    torch.manual_seed(seed)


def seed_host(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch that live in this process, and none of an accelerator.

    Args:
        seed: Any integer that torch takes; NumPy gets its lowest 32 bits.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a user's data set may draw from the global generator
    torch.default_generator.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all global generators as tensors and plain data.

    Returns:
        What `set_random_state` takes.

    Examples:
        >>> state = random_state()
        >>> first = torch.rand(2)
        >>> set_random_state(state)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - saved for a user's data set
    assert name == "MT19937", "the legacy global generator of NumPy has no other kind"
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": {
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "rest": [int(position), int(has_gauss), float(cached)],
        },
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = {str(index): each for index, each in enumerate(torch.cuda.get_rng_state_all())}
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put all global generators back into a state.

    Args:
        state: What `random_state` returned, here or in another process.
    """
    torch.set_rng_state(state["torch"])
    position, has_gauss, cached = state["numpy"]["rest"]
    keys = state["numpy"]["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, cached))  # noqa: NPY002 - see random_state
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    for index, each in state.get("cuda", {}).items():
        if int(index) < torch.cuda.device_count():
            torch.cuda.set_rng_state(each, int(index))


@contextmanager
def own_randomness(seed: int | None = None) -> Iterator[None]:
    """Give a piece of work random numbers of its own and leave the caller's as they were.

    Args:
        seed: Seed for the length of the block, or None to start from the caller's state.

    Yields:
        Nothing.

    Examples:
        >>> before = torch.get_rng_state()
        >>> with own_randomness(seed=1):
        ...     _ = torch.rand(3)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    state = random_state()
    try:
        if seed is not None:
            seed_everything(seed)
        yield
    finally:
        set_random_state(state)
