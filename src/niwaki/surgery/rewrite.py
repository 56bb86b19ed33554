"""A program at its sizes after a cut: a copy of its graph whose integer arguments, pieces and indices are renewed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from niwaki.errors import SurgeryError
from niwaki.graph import Program, Shuffle, State, arguments_of, find_shuffles, integers, module_of, operator_name
from niwaki.surgery.kept import Kept, Mask, labels_of
from niwaki.surgery.sizes import NEVER, renewed_arguments

__all__ = ["Rewritten", "rewrite"]

_CHECKS = frozenset({"_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size"})
_SPLITS = frozenset({
    "split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes",
    "hsplit", "vsplit", "dsplit",
})  # fmt: skip


@dataclass(eq=False)
class Rewritten:
    """A program's graph at its new sizes.

    Attributes:
        graph: The graph; its placeholders are those of the program, then one for each constant.
        constants: Placeholder to an index that the graph reads and the program did not.
    """

    graph: fx.Graph
    constants: dict[str, Tensor] = field(default_factory=dict)


def rewrite(program: Program, states: Mapping[str, State], removed: Mask, shuffles: Iterable[str] = ()) -> Rewritten:
    """Copy a program's graph and renew whatever depends on the sizes that a cut changes.

    Args:
        program: The program; it is left as it is.
        states: The labels of its values.
        removed: By class id, whether the class goes.
        shuffles: Names of the nodes that permute channels, which become look-ups of those that stay.

    Returns:
        The graph, to be run on cut parameters and buffers.

    Raises:
        SurgeryError: When a node can't be rewritten; the message names it and its module.

    Examples:
        >>> import numpy as np
        >>> from niwaki.graph import find_channels, trace
        >>> class Net(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.inner, self.outer = torch.nn.Linear(2, 6), torch.nn.Linear(6, 1)
        ...
        ...     def forward(self, x):
        ...         return self.outer(self.inner(x).reshape(1, 6))
        >>> traced = trace(Net(), torch.zeros(1, 2))
        >>> channels = find_channels(traced)
        >>> removed = np.zeros(channels.count, dtype=bool)
        >>> removed[channels.tensors["inner.weight"][0][:2]] = True
        >>> found = rewrite(traced.programs[0], channels.values[0], removed)
        >>> [node.args[1] for node in found.graph.nodes if "reshape" in node.name]
        [[1, 4]]
    """
    graph = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(program.graph, copied))
    work = _Work(graph, states, removed)
    chains = {each.last.name: each for each in find_shuffles(program.graph) if each.last.name in set(shuffles)}
    for node in program:
        if node.op != "call_function" or node not in copied:
            continue
        if operator_name(node) in _CHECKS:
            graph.erase_node(copied[node])
        elif node.name in chains:
            work.permute(copied[node], chains[node.name], copied)
        else:
            work.renew(node, copied[node], permuted=node.name in set(shuffles))
    for chain in reversed(chains.values()):
        for middle in reversed(chain.middle):
            graph.erase_node(copied[middle])
    graph.lint()
    return Rewritten(graph, work.constants)


@dataclass(eq=False)
class _Work:
    graph: fx.Graph
    states: Mapping[str, State]
    removed: Mask
    constants: dict[str, Tensor] = field(default_factory=dict)

    def renew(self, old: fx.Node, new: fx.Node, *, permuted: bool) -> None:
        """Give a copied node the arguments it must have."""
        name = operator_name(old)
        special = _SPECIAL.get(name)
        if permuted and name in {"channel_shuffle", "native_channel_shuffle"}:
            self._shuffle(old, new)
        elif special is not None:
            special(self, old, new)
        else:
            self._plain(old, new)

    def permute(self, last: fx.Node, chain: Shuffle, copied: Mapping[fx.Node, fx.Node]) -> None:
        """Replace a chain of views that permutes channels by a look-up."""
        order = self._renumbered(self.kept(chain.source), chain.dim, chain.order)
        self._look_up(last, copied[chain.source], chain.dim, order)

    def kept(self, node: fx.Node) -> Kept:
        value = node.meta.get("val")
        rank = value.ndim if isinstance(value, Tensor) else 0
        return Kept(labels_of(self.states.get(node.name), rank), self.removed)

    def _plain(self, old: fx.Node, new: fx.Node) -> None:
        renewed = renewed_arguments(old, self.states, self.removed)
        if renewed is None or integers(renewed) == integers(old.args):
            return
        if any(number is NEVER for number in integers(renewed)):
            raise SurgeryError(
                f"{old.target} in {module_of(old) or 'the model itself'} can't be written at the sizes after the cut; "
                "keep its channels with keep=[...]"
            )
        new.args = _merged(renewed, old.args, new.args)

    def _shuffle(self, old: fx.Node, new: fx.Node) -> None:
        source, groups = old.args[0], int(arguments_of(old)["groups"])
        assert isinstance(source, fx.Node)
        size = int(source.meta["val"].shape[1])
        order = self._renumbered(self.kept(source), 1, np.arange(size).reshape(groups, -1).T.reshape(-1))
        self._look_up(new, new.args[0], 1, order)

    def _renumbered(self, kept: Kept, dim: int, order: Any) -> Tensor:
        if not kept.touched([dim]):
            return torch.from_numpy(np.ascontiguousarray(order))
        stays = kept.stays(dim)
        place = np.cumsum(stays) - 1
        return torch.from_numpy(place[order[stays[order]]])

    def _look_up(self, node: fx.Node, source: Any, dim: int, index: Tensor) -> None:
        name = f"index_{len(self.constants)}"
        with self.graph.inserting_before(next(iter(self.graph.nodes))):
            held = self.graph.placeholder(name)
        self.constants[held.name] = index
        node.target, node.args, node.kwargs = torch.ops.aten.index_select.default, (source, dim, held), {}

    def _split(self, old: fx.Node, new: fx.Node) -> None:
        values, state = old.meta["val"], self.states.get(old.name)
        if not isinstance(state, list):
            return
        source = old.args[0]
        assert isinstance(source, fx.Node)
        rank = source.meta["val"].ndim
        dim = int(arguments_of(old).get("dim", 0)) % rank
        parts = [Kept(labels_of(each, rank), self.removed) for each in state]
        if not any(part.touched([dim]) for part in parts):
            return
        sizes = [
            int(part.stays(dim).sum()) if part.touched([dim]) else int(value.shape[dim])
            for part, value in zip(parts, values, strict=True)
        ]
        new.target, new.args, new.kwargs = torch.ops.aten.split_with_sizes.default, (new.args[0], sizes, dim), {}

    def _attention(self, old: fx.Node, new: fx.Node) -> None:
        """Keep the scale: by default it is computed from the width of the heads."""
        arguments = arguments_of(old)
        query = arguments["query"]
        if arguments["scale"] is None and self.kept(query).touched([-1]):
            new.kwargs = {**new.kwargs, "scale": int(query.meta["val"].shape[-1]) ** -0.5}


def _merged(renewed: Any, old: Any, new: Any) -> Any:
    """Take renewed integers, and what is a node from the copy."""
    if isinstance(old, tuple | list):
        parts = [_merged(*each) for each in zip(renewed, old, new, strict=True)]
        return tuple(parts) if isinstance(old, tuple) else parts
    return renewed if isinstance(old, int) and not isinstance(old, bool) else new


_SPECIAL: dict[str, Callable[[_Work, fx.Node, fx.Node], None]] = {
    **dict.fromkeys(_SPLITS, _Work._split),  # noqa: SLF001 - the table of its own class
    "scaled_dot_product_attention": _Work._attention,  # noqa: SLF001 - the same
}
