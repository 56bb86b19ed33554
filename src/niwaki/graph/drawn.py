"""What indices draw: rows and columns of a bank that several layers share, and outputs that are gathered.

A bank is a parameter that is read through two indices alone, one for its rows and one for its columns, both buffers of
the model. A row goes when no position draws it any more, which no class of channels can say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import fx

from niwaki.graph.call import arguments_of, operator_name, shape_of
from niwaki.graph.channels import Channels
from niwaki.graph.classes import Classes
from niwaki.graph.program import Program

__all__ = ["Drawn", "drawn_from_banks", "drawn_outputs"]

_CONVOLVING = frozenset({"conv1d", "conv2d", "conv3d", "convolution"})


@dataclass(frozen=True, eq=False)
class Drawn:
    """Things of which those stay that some position draws.

    Attributes:
        size: How many there are.
        positions: Class of each position that draws.
        things: What each position draws.
    """

    size: int
    positions: Classes
    things: NDArray[np.int64]

    def count(self, kept: NDArray[np.bool_]) -> int:
        """Return how many are drawn by positions that stay.

        Args:
            kept: By class id, whether the class stays.

        Returns:
            Their number.

        Examples:
            >>> drawn = Drawn(3, np.array([1, 2, 3]), np.array([0, 0, 2]))
            >>> drawn.count(np.array([True, False, True, False]))
            1
        """
        return int(np.unique(self.things[kept[self.positions]]).size)

    def joined(self, other: "Drawn") -> "Drawn":
        """Return what positions of either draw."""
        positions = np.concatenate([self.positions, other.positions])
        return Drawn(self.size, positions, np.concatenate([self.things, other.things]))


def drawn_from_banks(channels: Channels) -> dict[str, tuple[Drawn, Drawn]]:
    """Return what is drawn of every bank.

    Args:
        channels: The channels of the model.

    Returns:
        Parameter to its rows and columns.
    """
    found: dict[str, tuple[Drawn, Drawn]] = {}
    for program in channels.traced.eval_programs:
        for name, rows, columns in _banks(channels, program):
            known = found.get(name)
            found[name] = (rows, columns) if known is None else (known[0].joined(rows), known[1].joined(columns))
    return found


def drawn_outputs(channels: Channels, program: Program) -> dict[fx.Node, Drawn]:
    """Return which outputs of convolutions are drawn by an index, where nothing else reads them.

    Args:
        channels: The channels of the model.
        program: One of its programs.

    Returns:
        Convolution to its outputs.
    """
    found = {}
    for node in program:
        gather = next(iter(node.users), None)
        if operator_name(node) not in _CONVOLVING or len(node.users) != 1 or gather is None:
            continue
        index = _index_of(program, gather)
        dim = len(shape_of(node)) - len(shape_of(arguments_of(node)["weight"])) + 1
        if index is not None and arguments_of(gather)["dim"] % len(shape_of(node)) == dim:
            found[node] = _drawn(channels, program, index, shape_of(node)[dim])
    return found


def _banks(channels: Channels, program: Program) -> Iterator[tuple[str, Drawn, Drawn]]:
    for source in program:
        name = program.tensors.get(source.name)
        if name not in channels.traced.parameters or not source.users:
            continue
        picks = [(each, second) for each in source.users for second in each.users]
        for rows, columns in picks:
            by_row, by_column = _index_of(program, rows), _index_of(program, columns)
            if by_row is None or by_column is None:
                continue
            if (arguments_of(rows)["dim"], arguments_of(columns)["dim"]) != (0, 1):
                continue
            shape = shape_of(source)
            drawn = _through(channels, program, columns, _drawn(channels, program, by_row, shape[0]))
            yield name, drawn, _drawn(channels, program, by_column, shape[1])


def _through(channels: Channels, program: Program, filters: fx.Node, rows: Drawn) -> Drawn:
    """Return rows as positions of the gathered outputs draw them, where outputs are gathered."""
    outputs = drawn_outputs(channels, program)
    gathered = next((outputs[user] for user in filters.users if user in outputs), None)
    return rows if gathered is None else Drawn(rows.size, gathered.positions, rows.things[gathered.things])


def _index_of(program: Program, node: fx.Node) -> fx.Node | None:
    """Return the buffer that a node selects by; None where it does something else."""
    if operator_name(node) != "index_select":
        return None
    index = arguments_of(node)["index"]
    return index if isinstance(index, fx.Node) and index.name in program.tensors else None


def _drawn(channels: Channels, program: Program, index: fx.Node, size: int) -> Drawn:
    values = program.code.held[index.name].cpu().numpy().astype(np.int64)
    classes = channels.tensors[program.tensors[index.name]][0]
    return Drawn(size, np.zeros(values.size, dtype=np.int64) if classes is None else classes, values)
