"""The oracle: the original program on its original sizes, with the removed channels silenced.

Every removed slice of a parameter or buffer is zero. Norms, softmax, means and other reductions over a dimension with
removed positions are taken over the kept ones; products read zeros there. Nothing else is touched, so that this says
what a cut ought to compute without knowing how cuts are made.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.graph import Channels, Program
from niwaki.surgery.kept import Kept, Mask, labels_of
from niwaki.surgery.operators import RULES, Step, plain_operator

__all__ = ["own_tensors", "silenced_outputs"]


@torch.no_grad()
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

    Example:
        >>> from niwaki.graph import find_channels, trace
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1, bias=False))
        >>> traced = trace(model, torch.ones(1, 2))
        >>> channels = find_channels(traced)
        >>> silenced_outputs(traced.programs[0], channels, channels.removable)
        [tensor([[0.]])]
    """
    states = channels.values[channels.traced.programs.index(program)]
    interpreter = _Silenced(program, states, removed, dtype)
    feed = _feed(program, inputs or program.example, tensors or own_tensors(program), dtype)
    found = interpreter.run(*(_silence(node, value, states, removed) for node, value in feed))
    kinds = [spec.kind for spec in program.exported.graph_signature.output_specs]
    return [value for value, kind in zip(found, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]


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


class _Silenced(fx.Interpreter):
    """Runs the nodes one by one; those that `RULES` names are computed over the positions that stay."""

    def __init__(self, program: Program, states: Mapping[str, Any], removed: Mask, dtype: torch.dtype | None) -> None:
        super().__init__(program.exported.graph_module)
        self._states = states
        self._removed = removed
        self._dtype = dtype

    def run_node(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if self._dtype is not None:
            args, kwargs = pytree.tree_map(self._wider, (args, kwargs))
        rule = RULES.get(plain_operator(n.target)) if hasattr(n.target, "_schema") else None
        if rule is None:
            return cast("Callable[..., Any]", n.target)(*args, **kwargs)
        return rule(Step(n, args, kwargs, self._kept))

    def _wider(self, value: Any) -> Any:
        return self._dtype if isinstance(value, torch.dtype) and value.is_floating_point else value

    def _kept(self, node: fx.Node) -> Kept:
        value = node.meta.get("val")
        rank = value.ndim if isinstance(value, Tensor) else 0
        return Kept(labels_of(self._states.get(node.name), rank), self._removed)


def _feed(
    program: Program, inputs: Example, tensors: Mapping[str, Tensor], dtype: torch.dtype | None
) -> list[tuple[fx.Node, Any]]:
    given = iter(pytree.tree_leaves((inputs.args, inputs.kwargs)))
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    feed: list[tuple[fx.Node, Any]] = []
    for node, spec in zip(nodes, program.exported.graph_signature.input_specs, strict=True):
        if spec.kind == InputKind.USER_INPUT:
            value = next(given)
        elif node.name in program.tensors:
            value = tensors[program.tensors[node.name]].detach()
        else:
            held = {**program.exported.constants, **program.exported.state_dict}
            value = held[cast("str", spec.target)]
        feed.append((node, _widened(value, dtype)))
    return feed


def _widened(value: Any, dtype: torch.dtype | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    wide = dtype if dtype is not None and value.is_floating_point() else value.dtype
    return value.to(wide, copy=True)  # a program in train mode writes to its buffers


def _silence(node: fx.Node, value: Any, states: Mapping[str, Any], removed: Mask) -> Any:
    if not isinstance(value, Tensor):
        return value
    return Kept(labels_of(states.get(node.name), value.ndim), removed).silence(value)
