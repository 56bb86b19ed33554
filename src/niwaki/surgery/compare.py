"""Comparing answers: how far two models are apart on each output, and whether that says anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from niwaki.errors import SurgeryError
from niwaki.graph import Program

__all__ = ["TOLERANCE", "Agreement", "agreements"]

TOLERANCE = 1e-4
"""Largest difference between a cut model and the oracle, absolute or relative to the largest answer."""


@dataclass(frozen=True)
class Agreement:
    """How an output of a cut model compares with the oracle's.

    Attributes:
        output: Name of the output.
        error: Largest difference, in the output's unit.
        scale: Largest absolute value of the oracle's answers.
        signal: Largest change of an answer from one input to another.
    """

    output: str
    error: float
    scale: float
    signal: float

    @property
    def holds(self) -> bool:
        """Whether the answers are the same."""
        return self.error < self.allowed

    @property
    def allowed(self) -> float:
        """The largest difference allowed."""
        return TOLERANCE * max(1.0, self.scale)

    @property
    def telling(self) -> bool:
        """Whether the answers follow the input so much that wrong routing would show."""
        return self.signal > 10 * self.allowed


def agreements(program: Program, expected: Sequence[list[Any]], given: Sequence[list[Any]]) -> list[Agreement]:
    """Compare the answers of two models to the same inputs.

    Args:
        program: Names the outputs.
        expected: For each of the first inputs, the leaves that the oracle returns.
        given: For each input, the leaves that the cut model returns.

    Returns:
        One comparison for each floating output; answers that are not finite in the oracle are left out.

    Raises:
        SurgeryError: When the cut model returns something of another structure or shape.
    """
    names = _leaf_names(program, len(expected[0]))
    if any(len(each) != len(expected[0]) for each in given):
        raise SurgeryError(f"the cut model returns {len(given[0])} values where the dense one returns {len(names)}")
    found = []
    for i, name in enumerate(names):
        pairs = [(one[i], other[i]) for one, other in zip(expected, given, strict=False)]
        if isinstance(pairs[0][0], Tensor) and pairs[0][0].numel():
            found.append(_agreement(name, pairs, _signal([each[i] for each in given])))
    return found


def _signal(answers: list[Any]) -> float:
    """Return the largest change of an answer from the first input to the last, where both are finite."""
    first, last = answers[0], answers[-1]
    if not (isinstance(first, Tensor) and isinstance(last, Tensor) and first.shape == last.shape):
        return 0.0
    return _largest((first.double() - last.double())[first.isfinite() & last.isfinite()])


def _agreement(name: str, pairs: list[tuple[Tensor, Any]], signal: float) -> Agreement:
    for oracle, answer in pairs:
        if not isinstance(answer, Tensor) or answer.shape != oracle.shape:
            shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise SurgeryError(
                f"output {name!r} of the cut model is {shape}, of the dense one {tuple(oracle.shape)}; outputs keep "
                "their shape: the code that makes it reads a size that was cut"
            )
    wide = [(oracle.double(), answer.double()) for oracle, answer in pairs]
    finite = [oracle.isfinite() for oracle, _ in wide]
    errors = [_largest((oracle - answer)[mask]) for (oracle, answer), mask in zip(wide, finite, strict=True)]
    scale = max(_largest(oracle[mask]) for (oracle, _), mask in zip(wide, finite, strict=True))
    return Agreement(name, max(errors), scale, signal)


def _largest(values: Tensor) -> float:
    if not values.numel():
        return 0.0
    found = values.abs().max().item()
    return found if found == found else float("inf")  # noqa: PLR0124 - NaN differs from itself


def _leaf_names(program: Program, count: int) -> list[str]:
    by_node = {node: name for name, nodes in program.outputs.items() for node in nodes}
    returned = program.graph.output_node().args[0]
    specs = program.exported.graph_signature.output_specs
    assert isinstance(returned, tuple | list)
    names = [
        by_node.get(getattr(value, "name", ""), "output")
        for value, spec in zip(returned, specs, strict=True)
        if spec.kind.name == "USER_OUTPUT"
    ]
    return names if len(names) == count else ["output"] * count
