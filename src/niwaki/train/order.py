"""The order of samples: a pure function of seed and epoch, so that any position can be found again."""

from collections.abc import Iterator

import torch

__all__ = ["Order", "sample_order"]


def sample_order(count: int, seed: int, epoch: int) -> list[int]:
    """Return a random order of samples.

    Args:
        count: Number of samples.
        seed: Seed of the training.
        epoch: Epoch from 0.

    Returns:
        A permutation of ``range(count)``, always the same for the same arguments.

    Examples:
        >>> sorted(sample_order(4, seed=0, epoch=1)) == [0, 1, 2, 3]
        True
    """
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(count, generator=generator).tolist()


class Order:
    """A batch sampler that starts anywhere: set ``epoch`` and ``start``, then iterate. Iterators are independent.

    It yields batches of ``(epoch, index)``, so that what loads a sample knows the epoch without any shared state.

    Args:
        count: Number of samples.
        batch_size: Samples in a batch.
        seed: Seed of the order, or None for the order of the data.
        drop_last: Whether a last batch that is not full is left out.

    Examples:
        >>> order = Order(5, 2, seed=None, drop_last=False)
        >>> order.start = 1
        >>> list(order)
        [[(0, 2), (0, 3)], [(0, 4)]]
    """

    def __init__(self, count: int, batch_size: int, seed: int | None, *, drop_last: bool) -> None:
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        chosen = list(range(self.count)) if self.seed is None else sample_order(self.count, self.seed, self.epoch)
        epoch, size = self.epoch, self.batch_size  # as they are now, not at the first `next`
        return (
            [(epoch, index) for index in chosen[batch * size : (batch + 1) * size]]
            for batch in range(self.start, len(self))
        )
