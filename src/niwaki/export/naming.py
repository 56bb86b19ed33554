"""Names inside an exported program: inputs, outputs by task, weights as in the model."""

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["name_values"]

_PREFIX = "model."


def name_values(program: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name a program's inputs and outputs, in place.

    A name that something else in the program bears is taken from it; an input that is called like an output becomes
    ``NAME_input``, because ONNX knows one name space.

    Args:
        program: The `onnx_ir` model.
        inputs: Name of each input, in order.
        outputs: Name of each output, in order.
    """
    graph = program.graph
    wanted = [name if name not in outputs else f"{name}_input" for name in inputs]
    ends = {id(each) for each in (*graph.inputs, *graph.outputs)}
    inner = [each for each in _values(graph) if id(each) not in ends]
    taken = {*wanted, *outputs, *(str(each.name) for each in inner)}
    for value in inner:
        name = str(value.name).removeprefix(_PREFIX)
        if name != value.name or name in wanted or name in outputs:
            value.name = _free(name, taken)
            taken.add(value.name)
    for i, value in enumerate((*graph.inputs, *graph.outputs)):
        value.name = f"niwaki_end_{i}"
    for value, name in zip((*graph.inputs, *graph.outputs), (*wanted, *outputs), strict=True):
        value.name = name


def _values(graph: Any) -> Iterator[Any]:
    yield from list(graph.initializers.values())
    for node in graph.all_nodes():
        yield from node.outputs


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(each for i in range(1, len(taken) + 2) if (each := f"{name}_{i}") not in taken)
