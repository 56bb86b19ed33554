"""Random draws of a balancer's own, which no other draw of the process changes or is changed by."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["OwnRandomness"]


class OwnRandomness:
    """A generator with a seed, and a way to let code draw from it that only knows the global generators.

    Args:
        seed: Any integer.

    Examples:
        >>> own = OwnRandomness(0)
        >>> before = torch.get_rng_state()
        >>> with own.drawn(torch.device("cpu")):
        ...     first = torch.rand(2)
        >>> own.reset()
        >>> with own.drawn(torch.device("cpu")):
        ...     again = torch.rand(2)
        >>> torch.equal(first, again), torch.equal(before, torch.get_rng_state())
        (True, True)
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)
        self.reset()

    def reset(self) -> None:
        """Start anew from the seed."""
        self.generator = torch.Generator().manual_seed(self.seed)

    @contextmanager
    def drawn(self, device: torch.device) -> Iterator[None]:
        """Within the context the global generators of the CPU and of a device are this one's.

        Args:
            device: Where else code may draw; only CUDA has a generator of its own here.
        """
        cards = [device] if device.type == "cuda" else []
        seed = int(torch.randint(2**62, (1,), generator=self.generator))
        with torch.random.fork_rng(devices=cards):
            torch.default_generator.manual_seed(seed)
            for card in cards:
                with torch.cuda.device(card):
                    torch.cuda.manual_seed(seed)
            yield

    def state(self) -> Tensor:
        """Return the generator's state."""
        return self.generator.get_state()

    def load(self, state: Tensor) -> None:
        """Go on from a state."""
        self.generator.set_state(state.cpu())
