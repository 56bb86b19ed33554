"""The oracle: the original program on its original sizes, with the removed channels silenced.

Every removed slice of a parameter or buffer is zero. Norms, softmax, means and other reductions over a dimension with
removed positions are taken over the kept ones; products read zeros there. Nothing else is touched, so that this says
what a cut ought to compute without knowing how cuts are made.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.graph import Channels, Program, operator_name
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
    exported = program.exported
    held = {**exported.constants, **exported.state_dict}
    return {
        program.tensors[spec.arg.name]: held[cast("str", spec.target)]
        for spec in exported.graph_signature.input_specs
        if spec.arg.name in program.tensors
    }


class Oracle:
    """A program with the removed channels silenced, ready to answer.

    Args:
        program: One of the programs that the channels were read from.
        channels: The model's channel classes.
        removed: By class id, whether the class goes.
        tensors: Values of the parameters and buffers by canonical name; the model's own by default. None is changed.
        dtype: Floating type to compute in; that of the tensors by default.
    """

    def __init__(
        self,
        program: Program,
        channels: Channels,
        removed: Mask,
        *,
        tensors: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        states = channels.values[channels.traced.programs.index(program)]
        self._program = program
        self._dtype = dtype
        self._interpreter = _Silenced(program, states, removed, dtype)
        held = _held(program, tensors or own_tensors(program))
        self._held = {name: _silence(name, _widened(value, dtype), states, removed) for name, value in held.items()}

    @property
    def choices(self) -> list[Tensor]:
        """The indices that pools chose in the last run, in order, among the positions that stay."""
        return list(self._interpreter.choices)

    @torch.no_grad()
    def answers(self, inputs: Example) -> list[Any]:
        """Run the program.

        Args:
            inputs: What to feed, of the example's shapes.

        Returns:
            The leaves of the model's output in their order, of the original sizes.
        """
        feed = _fed(self._program, self._held, inputs, self._dtype)
        self._interpreter.choices.clear()
        found = self._interpreter.run(*feed)
        kinds = [spec.kind for spec in self._program.exported.graph_signature.output_specs]
        return [value for value, kind in zip(found, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]


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

    feed = _fed(program, _held(program, own_tensors(program)), program.example, None)
    Noting(program.exported.graph_module).run(*feed)
    return found


def _fed(program: Program, held: Mapping[str, Any], inputs: Example, dtype: torch.dtype | None) -> list[Any]:
    """Return the values of a program's placeholders, in order."""
    given = iter(pytree.tree_leaves((inputs.args, inputs.kwargs)))
    feed = []
    for spec in program.exported.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            feed.append(_widened(next(given), dtype))
        else:
            value = held[spec.arg.name]
            writable = spec.kind != InputKind.PARAMETER and isinstance(value, Tensor)
            feed.append(value.clone() if writable else value)  # in train mode a program writes to its buffers
    return feed


class _Silenced(fx.Interpreter):
    """Runs the nodes one by one; those that `RULES` names are computed over the positions that stay."""

    def __init__(self, program: Program, states: Mapping[str, Any], removed: Mask, dtype: torch.dtype | None) -> None:
        super().__init__(program.exported.graph_module)
        self.choices: list[Tensor] = []
        self._states = states
        self._removed = removed
        self._dtype = dtype

    def run_node(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if self._dtype is not None:
            args, kwargs = pytree.tree_map(self._wider, (args, kwargs))
        rule = RULES.get(operator_name(n)) if hasattr(n.target, "_schema") else None
        if rule is None:
            return cast("Callable[..., Any]", n.target)(*args, **kwargs)
        return rule(Step(n, args, kwargs, self._kept, self.choices.append))

    def _wider(self, value: Any) -> Any:
        return self._dtype if isinstance(value, torch.dtype) and value.is_floating_point else value

    def _kept(self, node: fx.Node) -> Kept:
        value = node.meta.get("val")
        rank = value.ndim if isinstance(value, Tensor) else 0
        return Kept(labels_of(self._states.get(node.name), rank), self._removed)


def _held(program: Program, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what a program reads besides its inputs, by placeholder."""
    exported = program.exported
    own = {**exported.constants, **exported.state_dict}
    return {
        spec.arg.name: tensors[program.tensors[spec.arg.name]].detach()
        if spec.arg.name in program.tensors
        else own[cast("str", spec.target)]
        for spec in exported.graph_signature.input_specs
        if spec.kind != InputKind.USER_INPUT
    }


def _widened(value: Any, dtype: torch.dtype | None) -> Any:
    """Copy a tensor, in the floating type asked for."""
    if not isinstance(value, Tensor):
        return value
    wide = dtype if dtype is not None and value.is_floating_point() else value.dtype
    return value.to(wide, copy=True)


def _silence(name: str, value: Any, states: Mapping[str, Any], removed: Mask) -> Any:
    if not isinstance(value, Tensor):
        return value
    return Kept(labels_of(states.get(name), value.ndim), removed).silence(value)
