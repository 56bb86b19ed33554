"""The program of a model on one example in one mode, with its tensors and outputs named."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch.fx import Graph, Node

from niwaki.contract import Example
from niwaki.graph.code import Code
from niwaki.graph.watch import Calls

__all__ = ["Program", "Traced"]


@dataclass(frozen=True, eq=False)
class Program:
    """One path through a model: its ATen program as it ran, not functionalised.

    Attributes:
        code: The graph and what it reads. Its parameters are the caller's own tensors: never run it in place.
        example: The example, in eval mode as given, in train mode with the batch doubled where that was possible.
        training: Whether the model was in train mode.
        tensors: Placeholder node to the canonical name of its parameter or buffer.
        outputs: Output or task name to the names of the nodes that produce it.
        index: Which of the examples it is.
        calls: The calls into torch that made it, with the integers that they were given.
        memo: What was counted once, such as MACs.
    """

    code: Code
    example: Example
    training: bool
    tensors: dict[str, str]
    outputs: dict[str, list[str]]
    index: int = 0
    calls: Calls = field(default_factory=Calls)
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The graph of ATen nodes, in order."""
        return self.code.graph

    def node(self, name: str) -> Node:
        """Return a node by its name.

        Args:
            name: The node's name in the graph.

        Returns:
            The node.
        """
        return self._by_name[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.graph.nodes)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.graph.nodes}


@dataclass(frozen=True, eq=False)
class Traced:
    """A model read once: every program of it, and the names of its tensors.

    Attributes:
        programs: One for each example and mode (eval, then train) that could be read; of eval mode alone where the
            model's code never asks for its mode, so that train mode only differs in its norms and dropouts.
        names: Every name of a parameter or buffer to its canonical one (the first that the model lists).
        shapes: Canonical name to shape, parameters first.
        parameters: Canonical names of the parameters.
        tasks: The names of the outputs of all eval programs.
        notes: Remarks for the plan, such as a mode that could not be read.
    """

    programs: tuple[Program, ...]
    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    parameters: frozenset[str]
    tasks: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def unread(self) -> frozenset[str]:
        """The parameters and buffers that no program reads: the examples don't say how they are used."""
        read = {
            name
            for program in self.programs
            for node in program
            if (name := program.tensors.get(node.name)) is not None and node.users
        }
        return frozenset(self.shapes) - read

    @property
    def unreached(self) -> str:
        """A remark that names the outermost modules of which no parameter is read, or an empty text."""
        unread = self.unread & self.parameters
        alive = {owner for name in self.parameters - unread for owner in _owners(name)}
        names = dict.fromkeys(
            next((owner for owner in _owners(name) if owner not in alive), name)
            for name in self.shapes
            if name in unread
        )
        if not names:
            return ""
        return (
            f"no example reaches: {', '.join(names)} (its layers may not run after the cut); give an example for each "
            "path"
        )

    @property
    def eval_programs(self) -> tuple[Program, ...]:
        """The programs of eval mode, one for each example (the train program where only that exists)."""
        found: dict[int, Program] = {}
        for program in self.programs:
            found.setdefault(program.index, program)
        return tuple(found.values())


def _owners(name: str) -> list[str]:
    """Return the modules a tensor lies in, outermost first, without the root."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
