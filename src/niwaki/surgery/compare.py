"""Comparing answers: how far two models are apart on each output, and whether that says anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from niwaki.errors import SurgeryError
from niwaki.graph import Program

__all__ = ["TOLERANCE", "Agreement", "agreements", "vague_outputs"]

TOLERANCE = 1e-4
"""Largest difference between a cut model and the oracle, absolute or relative to the largest answer."""

_SIGNAL = 10
"""An answer must change by so many times the tolerance from one input to another, or a comparison says nothing."""


@dataclass(frozen=True)
class Agreement:
    """How an output of a cut model compares with the oracle's.

    Attributes:
        output: Name of the output.
        error: Largest difference, in the output's unit.
        scale: Largest absolute value of the oracle's answers.
    """

    output: str
    error: float
    scale: float

    @property
    def holds(self) -> bool:
        """Whether the answers are the same."""
        return self.error < TOLERANCE * max(1.0, self.scale)


def agreements(program: Program, expected: Sequence[Any], given: Sequence[Any]) -> list[Agreement]:
    """Compare the answers of two models to the same input.

    Args:
        program: Names the outputs.
        expected: The leaves that the oracle returns.
        given: The leaves that the cut model returns.

    Returns:
        One comparison for each output that is a tensor; answers that are not finite in the oracle are left out.

    Raises:
        SurgeryError: When the cut model returns something of another structure or shape.
    """
    names = _leaf_names(program, len(expected))
    if len(given) != len(names):
        raise SurgeryError(f"the cut model returns {len(given)} values where the dense one returns {len(names)}")
    return [
        _agreement(name, oracle, answer)
        for name, oracle, answer in zip(names, expected, given, strict=True)
        if isinstance(oracle, Tensor) and oracle.numel()
    ]


def vague_outputs(program: Program, answers: Sequence[list[Any]]) -> list[str]:
    """Return the outputs that hardly depend on the input, so that wrong routing would not show in them.

    Args:
        program: Names the outputs.
        answers: For each of two inputs, the leaves that a model returns.

    Returns:
        Names of outputs, among those that are tensors of floating point numbers.
    """
    first, last = answers
    names = _leaf_names(program, len(first))
    leaves = zip(names, first, last, strict=True)
    return [name for name, one, other in leaves if isinstance(one, Tensor) and not _follows(one, other)]


def _follows(one: Tensor, other: Any) -> bool:
    if not one.is_floating_point() or not one.numel():
        return True
    if not isinstance(other, Tensor) or one.shape != other.shape:
        return False
    first, second = _wide(one), _wide(other)
    finite = first.isfinite() & second.isfinite()
    return _largest((first - second)[finite]) > _SIGNAL * TOLERANCE * max(1.0, _largest(first[finite]))


def _agreement(name: str, oracle: Tensor, answer: Any) -> Agreement:
    if not isinstance(answer, Tensor) or answer.shape != oracle.shape:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise SurgeryError(
            f"output {name!r} of the cut model is {shape}, of the dense one {tuple(oracle.shape)}; outputs keep "
            "their shape: the code that makes it reads a size that was cut"
        )
    wide, finite = _wide(oracle), oracle.cpu().isfinite()
    return Agreement(name, _largest((wide - _wide(answer))[finite]), _largest(wide[finite]))


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float64 on the CPU: not every device has it."""
    return tensor.cpu().double()


def _largest(values: Tensor) -> float:
    if not values.numel():
        return 0.0
    found = values.abs().max().item()
    return found if found == found else float("inf")  # noqa: PLR0124 - NaN differs from itself


def _leaf_names(program: Program, count: int) -> list[str]:
    by_node = {node: name for name, nodes in program.outputs.items() for node in nodes}
    names = [by_node.get(getattr(value, "name", ""), "output") for value in program.code.returned]
    return names if len(names) == count else ["output"] * count
