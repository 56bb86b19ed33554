"""The nearest point of the probability simplex."""

import torch
from torch import Tensor

__all__ = ["project_simplex"]


def project_simplex(vector: Tensor) -> Tensor:
    """Return the point `w` with `w >= 0` and `sum w = 1` that lies nearest to a vector.

    It is the vector less a number, cut at zero; the number follows from the sorted entries (Held, Wolfe, Crowder 1974;
    Duchi et al., ICML 2008, figure 1). Nothing waits for the device.

    Args:
        vector: `[K]`, at least one entry.

    Returns:
        `[K]`; the order of the entries is kept, up to ties at zero.

    Examples:
        >>> project_simplex(torch.tensor([0.5, 0.9, -3.0])).tolist()
        [0.30000001192092896, 0.699999988079071, 0.0]
    """
    falling = vector.sort(descending=True).values
    counts = torch.arange(1, len(vector) + 1, device=vector.device, dtype=vector.dtype)
    excess = (falling.cumsum(0) - 1) / counts
    last = (falling > excess).sum() - 1
    return (vector - excess.gather(0, last.clamp(min=0).reshape(1))).clamp(min=0)
