"""IMTL-L: learned scales for the losses."""

from typing import Any, ClassVar

from niwaki.balance.base import balancers
from niwaki.balance.scalarizer import Scalarizer

__all__ = ["IMTLL"]


@balancers.register("IMTL_L")
class IMTLL(Scalarizer):
    """Learned scales that bring every loss to one size: `sum_t exp(s_t) L_t - s_t` (Liu et al., ICLR 2021, equation 7).

    The scales take a step of gradient descent in the call. Their size is learned: they don't sum to the number of
    tasks.

    Args:
        lr: Learning rate of the scales, above 0.

    Raises:
        SettingError: When `lr` is not positive.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> import torch
        >>> balance = IMTLL(lr=0.1)
        >>> for _ in range(200):
        ...     _ = balance({"depth": torch.tensor(4.0), "normals": torch.tensor(0.5)})
        >>> {task: round(weight, 3) for task, weight in balance.weights.items()}
        {'depth': 0.25, 'normals': 2.0}
    """

    kind: ClassVar[str] = "IMTL_L"

    def __init__(self, *, lr: float = 1e-3) -> None:
        super().__init__("IMTLL", lr=lr)

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the learning rate."""
        return {"kind": self.kind, "lr": self.lr}
