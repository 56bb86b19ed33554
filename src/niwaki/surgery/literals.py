"""Sizes written into Python code: found by a trial cut, so that a planner can leave those channels alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from niwaki.graph import Calls, CallWatch, Channels, Program, State, TorchCall, module_of
from niwaki.modules import copied
from niwaki.surgery.attributes import find_repairs, resized_nodes
from niwaki.surgery.cutting import operate
from niwaki.surgery.kept import Mask, positions_of
from niwaki.surgery.rehearsal import failing_module, seeded
from niwaki.surgery.sizes import SizeArgument
from niwaki.surgery.wrappers import unwrap

__all__ = ["LiteralSize", "find_literal_sizes"]


@dataclass(frozen=True, eq=False)
class LiteralSize:
    """A call whose size does not follow a cut.

    Attributes:
        module: Dotted name of the module that makes the call; empty for the model itself.
        operator: Name of the node that the call became.
        old: The size it hands over, None where the call raised for a reason that no size of its own explains.
        new: The size it ought to hand over, None where no single number would do.
        classes: The removable channel classes that the call reads or returns: freeze these.
        error: What the call raised, or empty.

    Examples:
        >>> str(LiteralSize("neck", "view_2", old=64, new=32, classes=np.arange(64)))
        "module 'neck' has the size 64 written in its code (view_2; 32 after the cut)"
    """

    module: str
    operator: str
    old: int | None
    new: int | None
    classes: NDArray[np.int64]
    error: str = ""

    def __str__(self) -> str:
        place = f"module {self.module!r}" if self.module else "the model's own forward"
        if self.old is None:
            return f"the code of {place} can't run at other sizes ({self.operator}: {self.error})"
        wanted = "no single number would do" if self.new is None else f"{self.new} after the cut"
        return f"{place} has the size {self.old} written in its code ({self.operator}; {wanted})"


def find_literal_sizes(model: nn.Module, channels: Channels, removed: Mask) -> list[LiteralSize]:
    """Make a trial cut and tell which calls hand over sizes that do not follow it.

    A forward that says ``x.view(n, 64, h, w)`` or ``x[:, :32]`` with a number written in its code runs with the dense
    sizes only. A planner freezes the classes named here, with the text as the reason, and plans again, until nothing
    is found. Where no operator with a size argument reads channels that go, no trial is made.

    Args:
        model: The dense model; it is left as it is.
        channels: Its channel classes.
        removed: By class id, whether the class goes in the trial: what is planned.

    Returns:
        The calls at fault, in order of the programs, as far as the trial ran.

    Examples:
        >>> from niwaki.graph import find_channels, trace
        >>> class Halves(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.first, self.last = nn.Linear(2, 8), nn.Linear(4, 1)
        ...
        ...     def forward(self, x):
        ...         y = self.first(x)
        ...         return self.last(y[:, :4] * y[:, 4:])
        >>> model = Halves()
        >>> channels = find_channels(trace(model, torch.zeros(1, 2)))
        >>> removed = np.zeros(channels.count, dtype=bool)
        >>> removed[channels.tensors["first.weight"][0][:3]] = True
        >>> [(each.old, each.new, len(each.classes)) for each in find_literal_sizes(model, channels, removed)]
        [(4, 1, 4), (4, 1, 4)]
    """
    dense = unwrap(model)
    watched = [
        (program, resized_nodes(dense, program, states, removed))
        for program, states in zip(channels.traced.programs, channels.values, strict=True)
    ]
    if not any(nodes for _, nodes in watched):
        return []
    small = operate(dense, positions_of(channels, removed), find_repairs(dense, channels, removed))
    found: list[LiteralSize] = []
    for (program, nodes), states in zip(watched, channels.values, strict=True):
        if nodes:
            found += _Trial(program, states, channels.removable).faults(small, nodes, program.calls)
    return list({(each.module, each.operator): each for each in found}.values())


@dataclass(frozen=True)
class _Trial:
    """One program, run with a cut model."""

    program: Program
    states: Mapping[str, State]
    removable: Mask

    def faults(self, small: nn.Module, nodes: Mapping[fx.Node, list[SizeArgument]], calls: Calls) -> list[LiteralSize]:
        watch, error = _run(small, self.program)
        found = [each for node, arguments in nodes.items() for each in self._fault(node, arguments, calls, watch)]
        if found or error is None:
            return found
        module, _ = failing_module(small, error)
        last = [self.program.node(name) for name, number in calls.made_by.items() if number == len(watch) - 1]
        first_line = (str(error).splitlines() or [""])[0]
        return [LiteralSize(module, node.name, None, None, self._classes(node), first_line) for node in last]

    def _fault(
        self, node: fx.Node, arguments: list[SizeArgument], calls: Calls, trial: list[TorchCall]
    ) -> Iterator[LiteralSize]:
        number = calls.made_by.get(node.name, len(trial))
        if number >= len(trial) or trial[number].function != calls.calls[number].function:
            return
        before, after = calls.calls[number].integers, trial[number].integers
        if len(before) != len(after):
            return
        for argument in arguments:
            given = [after[i] for i, value in enumerate(before) if value == argument.old]
            if argument.old != argument.new and argument.new not in given:
                yield LiteralSize(module_of(node) or "", node.name, argument.old, argument.new, self._classes(node))
                return

    def _classes(self, node: fx.Node) -> NDArray[np.int64]:
        """Collect the removable classes of what a node reads and returns."""
        labels = [each for near in (node, *node.all_input_nodes) for each in _flat(self.states.get(near.name))]
        known: NDArray[np.int64] = np.unique(np.concatenate([np.empty(0, np.int64), *labels]))
        return np.asarray(known[self.removable[known]], dtype=np.int64)


def _flat(state: State) -> list[NDArray[np.int64]]:
    if state is None:
        return []
    if isinstance(state, list):
        return [classes for each in state for classes in _flat(each)]
    return [classes for classes in state if classes is not None]


def _run(small: nn.Module, program: Program) -> tuple[list[TorchCall], Exception | None]:
    watch = CallWatch()
    twin = copied(small, {}).train(program.training)
    try:
        with seeded(twin), torch.no_grad(), watch:
            program.example.call(twin)
    except Exception as error:  # noqa: BLE001 - whatever the user's forward raises is what the trial is for
        return watch.calls, error
    return watch.calls, None
