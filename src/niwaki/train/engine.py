"""The engine under the loop: Lightning Fabric chooses the device and the precision and runs the backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Self

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from niwaki.errors import SettingError
from niwaki.train.precision import BFloat16Mixed
from niwaki.train.settings import Precision, Training

__all__ = ["Engine", "backward_for_each_task", "computes_bfloat16"]

_PATHS = 256
"""Forms that one forward pass may be compiled in: tasks, times training and not, times shapes of batches."""


class Engine:
    """One device and one precision.

    Args:
        device: An accelerator of Lightning Fabric: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``; or one of several:
            ``"cuda:1"``.
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"auto"``.
        channels_last: Whether 4-D weights and inputs are laid out channels last.
        compiles: Whether models are compiled.

    Raises:
        SettingError: When there is no such device here.

    Examples:
        >>> engine = Engine("cpu", "32-true")
        >>> str(engine.device), engine.precision
        ('cpu', '32-true')
    """

    def __init__(
        self,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        channels_last: bool = False,
        compiles: bool = False,
    ) -> None:
        try:
            kind, number = _read(device)
            fabric = Fabric(accelerator=kind, devices=number)
        except (RuntimeError, ValueError) as error:
            raise SettingError(f"device {device!r} can't be used: {error}") from None
        native: Precision = "bf16-mixed" if computes_bfloat16(fabric.device.type) else "32-true"
        self.precision = native if precision == "auto" else precision
        if self.precision == "bf16-mixed":
            fabric = Fabric(accelerator=kind, devices=number, plugins=[BFloat16Mixed(fabric.device.type)])
        self._fabric = fabric
        self.device = fabric.device
        self.channels_last = channels_last
        self.compiles = compiles

    @classmethod
    def of(cls, training: Training) -> Self:
        """Return the engine that a training asks for."""
        options = {"channels_last": training.channels_last, "compiles": training.compile}
        return cls(training.device, training.precision, **options)

    @property
    def pins(self) -> bool:
        """Whether batches come to the device faster from pinned memory."""
        return self.device.type == "cuda"

    def place(self, model: nn.Module) -> nn.Module:
        """Bring a model to the device and its weights into their layout, keeping every parameter object.

        Args:
            model: The model; it is changed.

        Returns:
            The same model.
        """
        self._fabric.to_device(model)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model  # type: ignore[call-overload]  # torch's stub lacks it

    def wrap(self, model: nn.Module, *, compiled: bool = False) -> Callable[..., Any]:
        """Make a callable that runs a model on this device in this precision.

        Args:
            model: A plain module, which stays plain.
            compiled: Whether to compile it, where the engine compiles at all.

        Returns:
            The forward pass.
        """
        self.place(model)
        if not (compiled and self.compiles):
            return self._fabric.setup_module(model)
        torch.compiler.reset()  # what was compiled for a model that is gone now would count against the limit
        return _many_paths(self._fabric.setup_module(torch.compile(model)))  # type: ignore[arg-type]  # it is a module

    def move(self, value: Any) -> Any:
        """Bring nested tensors to the device."""
        return self._fabric.to_device(value)

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass."""
        self._fabric.backward(loss)


def computes_bfloat16(kind: str) -> bool:
    """Say whether a kind of device computes bfloat16 itself, and does not only imitate it.

    Args:
        kind: Type of a torch device: ``"cpu"``, ``"cuda"``…

    Returns:
        On CUDA what torch says of the card; on a CPU whether it has AMX tiles or AVX512-BF16; False elsewhere.

    Examples:
        >>> computes_bfloat16("mps")
        False
    """
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        return any(_asks(name) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return False


@contextmanager
def backward_for_each_task(training: Training) -> Iterator[None]:
    """Let compiled graphs be run backwards several times: methods and balancers do so, once for each task.

    Torch would give their buffers away in the first backward pass, and looks at its setting in each.

    Args:
        training: Says whether anything is compiled.
    """
    if not training.compile:
        yield
        return
    from torch._functorch import config  # noqa: PLC0415 - only what is compiled needs it

    with config.patch(donated_buffer=False):
        yield


def _many_paths(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a forward pass be compiled once for each of many tasks: after torch's own few it would run as it is."""
    from torch._dynamo import config  # noqa: PLC0415 - seconds to import, and only what is compiled needs it

    @wraps(forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        with config.patch(recompile_limit=_PATHS):
            return forward(*args, **kwargs)

    return call


def _read(device: str) -> tuple[str, int | list[int]]:
    """Return a device's kind, and the list of its one number, or how many devices of the kind are wanted: one."""
    kind, _, number = device.partition(":")
    return kind, [int(number)] if number and kind != "cpu" else 1  # a CPU has a count of processes and no numbers


def _asks(name: str) -> bool:
    """Ask a private question of torch.cpu, which has no public one; an absent question is a no."""
    ask: Callable[[], bool] | None = getattr(torch.cpu, name, None)
    return bool(ask()) if ask is not None else False
