"""Mixed precision that leaves the backward pass to whoever wants a gradient."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

from lightning_fabric.plugins.precision import MixedPrecision, Precision

__all__ = ["BFloat16Mixed"]


class BFloat16Mixed(Precision):
    """Autocast to bfloat16, with Fabric's own conversions of what goes in and comes out.

    Fabric's `MixedPrecision` has a backward pass of its own, for float16's scaler, and so forbids every other one:
    `torch.autograd.grad` of one task's loss raises. bfloat16 has float32's range and needs no scaler.

    Args:
        device: Type of the device: ``"cpu"``, ``"cuda"``…

    Examples:
        >>> import torch
        >>> with BFloat16Mixed("cpu").forward_context():
        ...     (torch.ones(1, 2) @ torch.ones(2, 1)).dtype
        torch.bfloat16
    """

    precision: ClassVar[Literal["bf16-mixed"]] = "bf16-mixed"  # type: ignore[misc]  # Fabric's is no ClassVar

    def __init__(self, device: str) -> None:
        self._mixed = MixedPrecision("bf16-mixed", device)

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass: autocast."""
        return self._mixed.forward_context()

    def convert_input(self, data: Any) -> Any:
        """Return a call's inputs with floating tensors in bfloat16."""
        return self._mixed.convert_input(data)

    def convert_output(self, data: Any) -> Any:
        """Return a call's answers with floating tensors in torch's default type."""
        return self._mixed.convert_output(data)
