"""Watching a forward while it is exported: which integers it hands to torch, and whether it asks for its mode."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import traceback as fx_traceback
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from niwaki.graph.origins import OriginInt, SizeOf

__all__ = ["CallWatch", "Calls", "TorchCall", "integers", "mode_readers", "noted_calls", "watched"]

_KEY = "niwaki_call"

_ARITHMETIC = frozenset({
    *("add", "sub", "mul", "div", "truediv", "floordiv", "pow", "multiply", "divide", "true_divide", "subtract"),
    *("radd", "rsub", "rmul", "rdiv", "rtruediv", "rpow", "iadd", "isub", "imul", "idiv", "itruediv"),
})  # fmt: skip
"""Functions and methods, without underscores, whose integers are values."""

_TENSORS = frozenset({"tensor", "as_tensor", "scalar_tensor"})
"""Functions that make a tensor of numbers."""


@dataclass(frozen=True)
class TorchCall:
    """One call from Python into torch.

    Attributes:
        function: Name of the function or method.
        integers: The integers among its arguments, in order; those that came from attributes may remember which.
        factors: The numbers among its arguments that are values rather than sizes: floats, and in arithmetic integers.
    """

    function: str
    integers: tuple[int, ...]
    factors: tuple[float, ...] = ()


@dataclass(frozen=True)
class Calls:
    """The calls of one program's forward; none where the export could not be watched.

    Attributes:
        calls: Every call into torch, in order.
        made_by: Node name to the number of the call that made it.
    """

    calls: list[TorchCall] = field(default_factory=list)
    made_by: dict[str, int] = field(default_factory=dict)


class CallWatch(TorchFunctionMode):
    """Writes down every call into torch while it is active.

    Args:
        annotate: Whether the nodes that an export makes carry the number of the call they came from.
    """

    def __init__(self, *, annotate: bool = False) -> None:
        super().__init__()
        self.calls: list[TorchCall] = []
        self._annotate = annotate
        self._makers: dict[
            int, tuple[Any, int]
        ] = {}  # by identity: a tensor, kept alive, and the call that returned it

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", func))
        if name in {"__get__", "__set__"}:
            found = func(*args, **kwargs)
            return self._sized(args[0], found) if getattr(func, "__self__", None) is Tensor.shape else found
        number = len(self.calls)
        self.calls.append(TorchCall(name, tuple(integers((args, kwargs))), _factors(name, (args, kwargs))))
        if not self._annotate:
            return func(*args, **kwargs)
        with fx_traceback.annotate({_KEY: number}):
            found = func(*args, **kwargs)
        for each in pytree.tree_leaves(found):
            if isinstance(each, Tensor):
                self._makers[id(each)] = (each, number)
        return self._size(found, *args, **kwargs) if name == "size" else found

    def _size(self, found: Any, tensor: Any, dim: int | None = None) -> Any:
        """Let what ``tensor.size(dim)`` returned remember whose it is."""
        shape = self._sized(tensor, tensor.shape if dim is not None else found)
        return shape if dim is None else shape[dim]

    def _sized(self, tensor: Any, shape: torch.Size) -> torch.Size:
        """Let the sizes of a tensor remember whose they are."""
        if id(tensor) not in self._makers or not self._annotate:
            return shape
        number = self._makers[id(tensor)][1]
        marked = [
            OriginInt(size, SizeOf(number, dim, size)) if type(size) is int else size for dim, size in enumerate(shape)
        ]
        return torch.Size(marked)


def integers(value: Any) -> list[int]:
    """Return the integers among an operator's arguments, in order, also inside lists, slices and dicts.

    Args:
        value: Arguments.

    Returns:
        The integers; truth values are none.

    Examples:
        >>> integers(("x", [2, -1], slice(None, 4), True))
        [2, -1, 4]
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, slice):
        return integers((value.start, value.stop, value.step))
    if isinstance(value, Mapping):
        return integers(tuple(value.values()))
    if isinstance(value, tuple | list):
        return [number for each in value for number in integers(each)]
    return []


def _factors(function: str, value: Any) -> tuple[float, ...]:
    whole = function.strip("_") in _ARITHMETIC or function in _TENSORS
    return tuple(
        float(each)
        for each in pytree.tree_leaves(value)
        if isinstance(each, float) or (whole and isinstance(each, int) and not isinstance(each, bool))
    )


@contextmanager
def watched(model: nn.Module) -> Iterator[CallWatch]:
    """Watch a model's forward while it is exported; the watch is the innermost mode.

    Args:
        model: A throw-away copy.

    Yields:
        The watch, which the nodes made meanwhile refer to (`noted_calls`).
    """
    watch = CallWatch(annotate=True)
    forward = model.forward

    @wraps(forward)
    def watching(*args: Any, **kwargs: Any) -> Any:
        with watch:
            return forward(*args, **kwargs)

    model.__dict__["forward"] = watching
    try:
        with fx_traceback.preserve_node_meta():
            yield watch
    finally:
        del model.__dict__["forward"]


def noted_calls(watch: CallWatch, graph: fx.Graph) -> Calls:
    """Read which call made which node of an exported graph.

    Args:
        watch: What watched the export.
        graph: The graph.

    Returns:
        The calls.
    """
    notes = {node.name: node.meta.get("custom", {}).get(_KEY) for node in graph.nodes if node.op == "call_function"}
    return Calls(watch.calls, {name: number for name, number in notes.items() if number is not None})


_DROPPING = frozenset({"torchvision.ops.stochastic_depth", "timm.layers.drop", "timm.layers.norm_act"})
"""Code that asks for the mode only to drop paths or blocks at random, or to hand it to a batch norm."""


def _has_two_ways(module: nn.Module) -> bool:
    """Tell whether a layer of torch's own does more in train mode than a batch norm or a dropout layer does."""
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):  # noqa: SLF001 - the root of its kinds has no other name
        return bool(module.track_running_stats)
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return float(module.dropout) > 0
    return isinstance(module, nn.RReLU)


@contextmanager
def mode_readers(*, drops_paths: bool = False) -> Iterator[set[str]]:
    """Note whose code asks for the mode of a module, torch's own layers apart.

    Where nobody does, train mode differs from eval mode in nothing but batch norms and dropouts. Torch's layers that
    differ in more count as code that asks.

    Args:
        drops_paths: Whether layers that only drop paths or blocks at random in train mode count as well: which channels
            belong together does not depend on it, what the program does in train mode does.

    Yields:
        Names of the Python modules whose code read ``training``.

    Examples:
        >>> with mode_readers() as readers:
        ...     nn.Dropout()(torch.zeros(1)), nn.Identity().training
        (tensor([0.]), True)
        >>> readers == {__name__}
        True
    """
    readers: set[str] = set()

    def read(module: nn.Module) -> bool:
        asking = str(sys._getframe(1).f_globals.get("__name__"))  # noqa: SLF001 - there is no other way to know who asks
        known = asking.partition(".")[0] == "torch" or (asking in _DROPPING and not drops_paths)
        if not known or _has_two_ways(module):
            readers.add(asking)
        mode: bool = module.__dict__["training"]
        return mode

    def write(module: nn.Module, mode: bool) -> None:  # noqa: FBT001 - the form of a property's setter
        module.__dict__["training"] = mode

    def drop(module: nn.Module) -> None:
        del module.__dict__["training"]

    nn.Module.training = property(read, write, drop)  # type: ignore[assignment]  # it goes before the instance's own
    try:
        yield readers
    finally:
        del nn.Module.training
