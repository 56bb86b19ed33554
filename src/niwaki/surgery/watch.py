"""Watching which integers a forward hands to torch, call by call, and which node of the program each call became."""

import copy
import warnings
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import fx, nn
from torch.fx import traceback as fx_traceback
from torch.overrides import TorchFunctionMode

from niwaki.contract import Example
from niwaki.graph import Program, inline_regions
from niwaki.surgery.origins import mark_attributes
from niwaki.surgery.sizes import integers

__all__ = ["Calls", "SizeWatch", "TorchCall", "calls_of"]

_KEY = "niwaki_call"


@dataclass(frozen=True)
class TorchCall:
    """One call from Python into torch.

    Attributes:
        function: Name of the function or method.
        integers: The integers among its arguments, in order.
    """

    function: str
    integers: tuple[int, ...]


class SizeWatch(TorchFunctionMode):
    """Writes down every call into torch while it is active.

    Args:
        annotate: Whether the nodes that an export makes carry the number of the call they came from.
    """

    def __init__(self, *, annotate: bool = False) -> None:
        super().__init__()
        self.calls: list[TorchCall] = []
        self._annotate = annotate

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", func))
        if name in {"__get__", "__set__"}:
            return func(*args, **kwargs)
        number = len(self.calls)
        self.calls.append(TorchCall(name, tuple(integers((args, kwargs)))))
        if not self._annotate:
            return func(*args, **kwargs)
        with fx_traceback.annotate({_KEY: number}):
            return func(*args, **kwargs)


@dataclass(frozen=True)
class Calls:
    """The calls of one program's forward.

    Attributes:
        calls: Every call into torch, in order; integers that came from attributes remember which.
        made_by: Node name to the number of the call that made it.
    """

    calls: list[TorchCall] = field(default_factory=list)
    made_by: dict[str, int] = field(default_factory=dict)


class _Watched(nn.Module):
    """Runs a model under a watch that is the innermost mode."""

    def __init__(self, model: nn.Module, watch: SizeWatch) -> None:
        super().__init__()
        self.model = model
        self._watch = watch

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self._watch:
            return self.model(*args, **kwargs)


def calls_of(model: nn.Module, program: Program) -> Calls:
    """Export a model again and note which call made which node.

    Args:
        model: The model a program was exported from; it is left as it is.
        program: The program.

    Returns:
        The calls; empty when the model can't be exported a second time in the same way, so that nothing is known.
    """
    if program not in _KNOWN:
        _KNOWN[program] = _watch(model, program)
    return _KNOWN[program]


_KNOWN: WeakKeyDictionary[Program, Calls] = WeakKeyDictionary()
"""What was watched before: a planner's trial and the cut after it read the same programs."""


def _watch(model: nn.Module, program: Program) -> Calls:
    marked = copy.deepcopy(model).train(program.training)
    mark_attributes(marked)
    watch = SizeWatch(annotate=True)
    try:
        graph = _export(_Watched(marked, watch), program.example)
    except Exception:  # noqa: BLE001 - whatever the user's forward raises on marked integers: nothing is known then
        return Calls()
    again, first = _calls(graph), _calls(program.graph)
    if [node.target for node in again] != [node.target for node in first]:
        return Calls()
    notes = [node.meta.get("custom", {}).get(_KEY) for node in again]
    made_by = {node.name: note for node, note in zip(first, notes, strict=True) if note is not None}
    return Calls(watch.calls, made_by)


def _export(model: nn.Module, example: Example) -> fx.Graph:
    with fx_traceback.preserve_node_meta(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first export has said what there is to say
        exported = torch.export.export(model, example.args, example.kwargs, strict=False)
    inline_regions(exported.graph_module)
    return cast("fx.Graph", exported.graph)


def _calls(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op == "call_function"]
