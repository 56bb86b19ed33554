"""The oracle: the original program on its original sizes, with the removed channels silenced.

Every removed slice of a parameter or buffer is zero. Norms, softmax, means and other reductions over a dimension with
removed positions are taken over the kept ones; products read zeros there. Nothing else is touched, so that this says
what a cut ought to compute without knowing how cuts are made.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.graph import Channels, Program, arguments_of, operator_name, written
from niwaki.surgery.batchnorm import settled_statistics
from niwaki.surgery.kept import Kept, Mask, labels_of
from niwaki.surgery.operators import RULES, Step

__all__ = ["Oracle", "own_tensors", "silenced_outputs", "values_of"]


def silenced_outputs(
    program: Program,
    channels: Channels,
    removed: Mask,
    *,
    inputs: Example | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> list[Any]:
    """Run a program with the removed channels silenced (`docs/why/proof.md`).

    Args:
        program: One of the programs that the channels were read from.
        channels: The model's channel classes.
        removed: By class id, whether the class goes.
        inputs: What to feed, of the example's shapes; the program's own example by default.
        tensors: Values of the parameters and buffers by canonical name; the model's own by default. None is changed.
        dtype: Floating type to compute in; that of the tensors by default. `float64` settles near-ties.

    Returns:
        The leaves of the model's output in their order, of the original sizes.

    Examples:
        >>> from niwaki.graph import find_channels, trace
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1, bias=False))
        >>> traced = trace(model, torch.ones(1, 2))
        >>> channels = find_channels(traced)
        >>> silenced_outputs(traced.programs[0], channels, channels.removable)
        [tensor([[0.]])]
    """
    oracle = Oracle(program, channels, removed, tensors=tensors, dtype=dtype)
    return oracle.answers(inputs or program.example)


def own_tensors(program: Program) -> dict[str, Tensor]:
    """Return the values of a program's parameters and buffers.

    Args:
        program: Any program.

    Returns:
        Canonical name to the model's own tensor.
    """
    return {name: program.code.held[node] for node, name in program.tensors.items()}


class Oracle:
    """A program with the removed channels silenced, ready to answer.

    Args:
        program: One of the programs that the channels were read from.
        channels: The model's channel classes.
        removed: By class id, whether the class goes.
        tensors: Values of the parameters and buffers by canonical name; the model's own by default. None is changed.
        silent: The same, where the channels that go are zero already.
        dtype: Floating type to compute in; that of the tensors by default.
        settle: Whether batch norms in eval mode take their statistics from what they are given first (`settled`).
    """

    def __init__(
        self,
        program: Program,
        channels: Channels,
        removed: Mask,
        *,
        tensors: Mapping[str, Tensor] | None = None,
        silent: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
        settle: bool = False,
    ) -> None:
        states = channels.values[channels.traced.programs.index(program)]
        self._program = program
        self._dtype = dtype
        self._interpreter = _Silenced(program, _Silence(states, removed, dtype, silent is not None, settle))
        self._held = _held(program, silent or tensors or own_tensors(program))

    @property
    def choices(self) -> list[Tensor]:
        """The indices that pools chose in the last run, in order, among the positions that stay."""
        return list(self._interpreter.choices)

    @property
    def settled(self) -> dict[str, Tensor]:
        """Statistics that batch norms took, by canonical name."""
        return {self._program.tensors[name]: value for name, value in self._interpreter.settled.items()}

    @torch.no_grad()
    def answers(self, inputs: Example) -> list[Any]:
        """Run the program.

        Args:
            inputs: What to feed, of the example's shapes.

        Returns:
            The leaves of the model's output in their order, of the original sizes.
        """
        feed = _fed(self._program, self._held, inputs.copied().map(lambda each: _widened(each, self._dtype)))
        self._interpreter.choices.clear()
        return list(self._interpreter.run(*feed))


@torch.no_grad()
def values_of(program: Program, nodes: Collection[fx.Node]) -> dict[fx.Node, Any]:
    """Run a program as it is and return what some of its nodes computed.

    Args:
        program: Any program; its tensors are not changed.
        nodes: Which nodes.

    Returns:
        Node to value.
    """
    found: dict[fx.Node, Any] = {}

    class Noting(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n in nodes:
                found[n] = value
            return value

    feed = _fed(program, _held(program, own_tensors(program)), program.example.copied())
    Noting(program.code.root, graph=program.graph).run(*feed)
    return found


def _fed(program: Program, held: Mapping[str, Any], inputs: Example) -> list[Any]:
    """Return the values of a program's placeholders, in order."""
    given = pytree.tree_leaves((inputs.args, inputs.kwargs))
    return program.code.feed({name: _writable(program, name, value) for name, value in held.items()}, given)


def _writable(program: Program, name: str, value: Any) -> Any:
    """Copy a buffer, since in train mode a program writes to it."""
    parameter = isinstance(program.code.held[name], nn.Parameter)
    return value if parameter or not isinstance(value, Tensor) else value.clone()


@dataclass(frozen=True, eq=False)
class _Silence:
    """Which channels of a program go, in which type it runs, and what was or is to be done to its tensors."""

    states: Mapping[str, Any]
    removed: Mask
    dtype: torch.dtype | None
    silent: bool
    settle: bool


class _Silenced(fx.Interpreter):
    """Runs the nodes one by one; those that `RULES` names are computed over the positions that stay.

    A parameter or buffer is silenced when it is first read, so that there are never many silenced ones at once.
    """

    def __init__(self, program: Program, how: _Silence) -> None:
        super().__init__(program.code.root, graph=program.graph)
        self.choices: list[Tensor] = []
        self.settled: dict[str, Tensor] = {}
        self._held = frozenset(program.code.held)
        self._named = frozenset(program.tensors)
        self._how = how

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "placeholder":
            value = super().run_node(n)
            return _Held(value) if n.name in self._held else value
        for source in n.all_input_nodes:
            if isinstance(held := self.env[source], _Held):
                self.env[source] = self._ready(source, held.value)
        if self._how.settle and n.op == "call_function" and operator_name(n) == "batch_norm":
            self._settle(arguments_of(n))
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if self._how.dtype is not None:
            args, kwargs = pytree.tree_map(self._wider, (args, kwargs))
        rule = RULES.get(operator_name(n)) if hasattr(n.target, "_schema") else None
        if rule is None:
            return cast("Callable[..., Any]", n.target)(*args, **kwargs)
        return rule(Step(n, args, kwargs, self._kept, self.choices.append))

    def _ready(self, source: fx.Node, value: Any) -> Any:
        if source.name in self.settled:
            return self.settled[source.name]
        wide = _widened(value, self._how.dtype)
        if self._how.silent or not isinstance(wide, Tensor):
            return wide
        return Kept(labels_of(self._how.states.get(source.name), wide.ndim), self._how.removed).silence(wide)

    def _settle(self, arguments: Mapping[str, Any]) -> None:
        """Let a batch norm take its statistics from its input, unless it has done so or is in train mode."""
        nodes = [arguments[name] for name in ("running_mean", "running_var")]
        names = {getattr(node, "name", "") for node in nodes}
        if arguments["training"] or not names <= self._named - self.settled.keys():
            return
        for node, found in zip(nodes, settled_statistics(self.env[arguments["input"]]), strict=True):
            rounded = found.to(node.meta["val"].dtype).to(found.dtype)  # as the cut model's buffer will hold it
            self.settled[node.name] = self.env[node] = rounded

    def _wider(self, value: Any) -> Any:
        return self._how.dtype if isinstance(value, torch.dtype) and value.is_floating_point else value

    def _kept(self, node: fx.Node) -> Kept:
        value = node.meta.get("val")
        rank = value.ndim if isinstance(value, Tensor) else 0
        return Kept(labels_of(self._how.states.get(node.name), rank), self._how.removed)


@dataclass(frozen=True, eq=False)
class _Held:
    """A parameter or buffer that was not read yet."""

    value: Any


def _held(program: Program, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what a program reads besides its inputs, by placeholder."""
    changed = written(program)
    held = {}
    for node, own in program.code.held.items():
        name = program.tensors.get(node, "")
        value = tensors[name].detach() if name else own
        held[node] = value.clone() if name in changed else value
    return held


def _widened(value: Any, dtype: torch.dtype | None) -> Any:
    """Return a tensor in the floating type asked for."""
    if not isinstance(value, Tensor):
        return value
    return value.to(dtype) if dtype is not None and value.is_floating_point() else value
