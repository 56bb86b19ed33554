"""Trunk, branches and heads: which tasks each tensor serves, by what each output is computed from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import fx

from niwaki.graph.flow import sources, written_before_output
from niwaki.graph.program import Program, Traced

__all__ = ["Parts", "find_parts", "node_tasks"]


@dataclass(frozen=True)
class Parts:
    """The parts of a multi-task model, as names of parameters and buffers.

    Attributes:
        tasks: Names of the tasks.
        of: Tensor to the tasks whose output is computed from it.
        trunk: Tensors that every task uses; with one task everything is trunk.
        branches: Tensors that two or more tasks use, but not all; keyed by their names joined with ``+``.
        heads: Tensors that one of several tasks uses, by task.
        unused: Tensors no output is computed from.
    """

    tasks: tuple[str, ...]
    of: dict[str, frozenset[str]]
    trunk: list[str]
    branches: dict[str, list[str]]
    heads: dict[str, list[str]]
    unused: list[str]

    def part(self, tasks: Iterable[str]) -> str:
        """Name the part that serves these tasks: ``trunk``, ``branch a+b``, ``head a`` or ``unused``."""
        served = set(tasks)
        served = served & set(self.tasks) or served  # an extra output beside a task's own does not count
        if not served:
            return "unused"
        if served >= set(self.tasks):
            return "trunk"
        return f"head {served.pop()}" if len(served) == 1 else f"branch {self.join(served)}"

    def join(self, tasks: Iterable[str]) -> str:
        """Join task names with ``+`` in the order of the tasks."""
        served = set(tasks)
        return "+".join([*(task for task in self.tasks if task in served), *sorted(served - set(self.tasks))])

    def node_tasks(self, program: Program) -> dict[str, frozenset[str]]:
        """Return the tasks that each node of a program serves, by node name."""
        return node_tasks(program)


def node_tasks(program: Program) -> dict[str, frozenset[str]]:
    """Find which outputs each node of a program contributes to.

    Args:
        program: One path through the model.

    Returns:
        Node name to the names of outputs; empty for nodes no output depends on.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import trace
        >>> program = trace(nn.Linear(3, 2), torch.zeros(1, 3), tasks=["depth"]).programs[0]
        >>> sorted(node_tasks(program)["linear"])
        ['depth']
    """
    served: dict[fx.Node, set[str]] = {node: set() for node in program}
    writers = written_before_output(program)
    for task, names in program.outputs.items():
        for name in names:
            node = program.node(name)
            served[node].add(task)
            if node in writers:
                served[writers[node]].add(task)
    flow = sources(program)
    for node in reversed(list(program)):
        if node.op == "output":
            continue
        for source in flow[node]:
            served[source] |= served[node]
    return {node.name: frozenset(tasks) for node, tasks in served.items()}


def find_parts(traced: Traced) -> Parts:
    """Find which tasks every parameter and buffer serves.

    The programs decide, not names and not gradients: frozen and detached parts count. A tensor that only train mode
    reaches (an auxiliary head) counts for the outputs of train mode.

    Args:
        traced: The model, read by `trace`.

    Returns:
        Its parts.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import trace
        >>> class Two(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.body, self.near, self.far = (nn.Linear(2, 2, bias=False) for _ in range(3))
        ...     def forward(self, x):
        ...         shared = self.body(x)
        ...         return {"near": self.near(shared), "far": self.far(shared)}
        >>> parts = find_parts(trace(Two(), torch.zeros(1, 2)))
        >>> parts.trunk, parts.heads
        (['body.weight'], {'near': ['near.weight'], 'far': ['far.weight']})
    """
    of: dict[str, set[str]] = {name: set() for name in traced.shapes}
    for training in (False, True):
        reached = {name for name, tasks in of.items() if tasks}
        for name, tasks in _served(traced, training=training):
            if name not in reached:
                of[name] |= tasks
    _file_counters(traced, of)
    return _sorted(traced, {name: frozenset(tasks) for name, tasks in of.items()})


def _served(traced: Traced, *, training: bool) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each tensor of each program of one mode with the tasks it serves there."""
    for program in [each for each in traced.programs if each.training == training]:
        tasks_of = node_tasks(program)
        yield from ((name, tasks_of[node]) for node, name in program.tensors.items())


def _file_counters(traced: Traced, of: dict[str, set[str]]) -> None:
    """Give a buffer no output is computed from, such as a count of batches, the tasks of its module's other tensors."""
    for name in [name for name, tasks in of.items() if not tasks and name not in traced.parameters]:
        module = name.rpartition(".")[0]
        of[name] = set().union(*(tasks for other, tasks in of.items() if other.rpartition(".")[0] == module))


def _sorted(traced: Traced, of: dict[str, frozenset[str]]) -> Parts:
    parts = Parts(traced.tasks, of, [], {}, {task: [] for task in traced.tasks} if len(traced.tasks) > 1 else {}, [])
    for name, tasks in of.items():
        kind = parts.part(tasks)
        if kind == "trunk":
            parts.trunk.append(name)
        elif kind == "unused":
            parts.unused.append(name)
        elif kind.startswith("head "):
            parts.heads.setdefault(kind.removeprefix("head "), []).append(name)
        else:
            parts.branches.setdefault(kind.removeprefix("branch "), []).append(name)
    return parts
