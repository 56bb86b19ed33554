"""Peak activation memory, from which values of the exported program are alive together."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from niwaki.graph import Program

__all__ = ["peak_activation_bytes"]


def peak_activation_bytes(program: Program) -> int:
    """Return the largest sum of activations that are alive at one step of a program.

    A value lives from the node that makes it to the last node that reads it or a view of it; the input lives from
    the start, outputs to the end. Views and in-place results share the memory they look at. Parameters, buffers and
    what a kernel takes for itself while it runs are not counted. Nothing is computed: the program runs on fake tensors.

    Args:
        program: One path through a model, in one mode.

    Returns:
        Bytes at the example's own batch size.

    Examples:
        >>> from niwaki.graph import trace
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> (program,) = trace(net, torch.zeros(1, 4)).eval_programs
        >>> peak_activation_bytes(program)  # the ReLU reads 8 floats and makes 8
        64
    """
    held = _Held(program)
    held.replay()
    steps = {node: step for step, node in enumerate(program.graph.nodes)}
    change = [0] * (len(steps) + 1)
    for memory, size in held.sizes.items():
        change[held.births[memory]] += size
        change[max(steps[node] for node in _holders_and_readers(held.holders[memory])) + 1] -= size
    return _highest(change)


class _Held(fx.Interpreter):
    """Replays a program on its fake tensors and notes which memory each node's value looks at.

    Attributes:
        sizes: Memory to bytes, without that of parameters and buffers.
        births: Memory to the step that made it.
        holders: Memory to the nodes whose value looks at it.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program.code.root, garbage_collect_values=False, graph=program.graph)
        self._program = program
        self._stored: set[int] = set()
        self._step = -1
        self.sizes: dict[int, int] = {}
        self.births: dict[int, int] = {}
        self.holders: dict[int, list[fx.Node]] = {}

    def replay(self) -> None:
        """Run every node once; all values are kept, so that no memory's number is used twice."""
        inputs = [node.meta["val"] for node in self._program.graph.nodes if node.op == "placeholder"]
        mode = torch._guards.detect_fake_mode(inputs)  # noqa: SLF001  # torch's own way to find the mode of fake tensors
        assert mode is not None
        with mode, torch.no_grad():
            self.run(*inputs, enable_io_processing=False)

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and note the memory of its value."""
        value = super().run_node(n)
        self._step += 1
        if n.op != "output":
            for tensor in pytree.tree_leaves(value):
                if isinstance(tensor, Tensor):
                    self._note(n, tensor)
        return value

    def _note(self, node: fx.Node, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        memory = storage._cdata  # noqa: SLF001  # the storage's address: the only identity fake tensors share with views
        if node.op == "placeholder" and not self._is_input(node):
            self._stored.add(memory)
        if memory in self._stored:
            return
        self.sizes[memory] = max(self.sizes.get(memory, 0), int(storage.nbytes()))
        self.births.setdefault(memory, 0 if node.op == "placeholder" else self._step)
        self.holders.setdefault(memory, []).append(node)

    def _is_input(self, node: fx.Node) -> bool:
        return node.name in self._program.code.inputs


def _holders_and_readers(holders: Iterable[fx.Node]) -> set[fx.Node]:
    return {node for holder in holders for node in (holder, *holder.users)}


def _highest(change: list[int]) -> int:
    highest = alive = 0
    for each in change:
        alive += each
        highest = max(highest, alive)
    return highest
