"""The paths through a model: one for all tasks, or one a task where the model is routed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from niwaki.contract import Example
from niwaki.export import ExportResult, export

__all__ = ["as_example", "export_paths"]


def as_example(paths: Mapping[str, Example]) -> Any:
    """Return the inputs of all paths as the library takes an example: one as it is, several as a list.

    Args:
        paths: Task to the inputs of its call; a single path through all tasks has no name.

    Returns:
        An `Example`, or a list of them.

    Examples:
        >>> as_example({"": Example(1)}), as_example({"cars": Example(1), "boats": Example(2)})
        (Example(1), [Example(1), Example(2)])
    """
    inputs = list(paths.values())
    return inputs[0] if len(inputs) == 1 else inputs


def export_paths(
    model: nn.Module, paths: Mapping[str, Example], path: Path, tasks: Sequence[str] | None
) -> dict[str, ExportResult]:
    """Export every path through a model, each to a file of its own: an ONNX file holds one.

    Args:
        model: The model.
        paths: Task to the inputs of its call; a single path through all tasks has no name.
        path: The file; of several paths, ``model.onnx`` becomes ``model.TASK.onnx``.
        tasks: Names of the outputs, for a model that returns a tuple or one tensor.

    Returns:
        Path to what was written and how its answers compare.

    Raises:
        ExportError: As `niwaki.export`; files written before the failure stay.
        FileError: When a file can't be written.
    """
    results = {}
    for name, example in paths.items():
        file = path.with_name(f"{path.stem}.{name}{path.suffix}") if name else path
        results[name] = export(model, example, file, tasks=[name] if name else tasks)
    return results
