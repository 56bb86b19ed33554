"""Outputs: whatever a model returns, as a dict keyed by task."""

from collections.abc import Mapping, Sequence
from typing import Any

from niwaki.errors import ContractError

__all__ = ["name_outputs", "name_path_outputs"]


def name_outputs(output: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Name the outputs of a model by task.

    Args:
        output: What the model returned: a dict keyed by task, a tuple or list in task order, or one tensor.
        names: Task names, in order. Without them a tuple's outputs are ``output0``, ``output1``… and a single one
            ``output``.

    Returns:
        Task name to output. A dict is returned as it is, with extra keys.

    Raises:
        ContractError: When the number of outputs is not the number of names, or the output is of no known form.

    Examples:
        >>> name_outputs(("a", "b"), ["depth", "normals"])
        {'depth': 'a', 'normals': 'b'}
        >>> name_outputs(("a", "b"))
        {'output0': 'a', 'output1': 'b'}
    """
    if isinstance(output, Mapping):
        return _checked_keys(output)
    if isinstance(output, tuple | list):
        chosen = list(names) if names is not None else [f"output{i}" for i in range(len(output))]
        if len(chosen) != len(output):
            raise ContractError(
                f"the model returned {len(output)} outputs for {len(chosen)} tasks ({', '.join(chosen)}); "
                "return one output for each task, or a dict keyed by task name"
            )
        return dict(zip(chosen, output, strict=True))
    if not hasattr(output, "shape"):
        raise ContractError(
            f"a model returns a dict keyed by task, a tuple in task order, or one tensor; got {type(output).__name__}"
        )
    chosen = list(names) if names is not None else ["output"]
    if len(chosen) != 1:
        raise ContractError(f"the model returned one tensor for {len(chosen)} tasks ({', '.join(chosen)})")
    return {chosen[0]: output}


def name_path_outputs(output: Any, names: Sequence[str] | None, index: int, paths: int) -> dict[str, Any]:
    """Name what a model returned on one of several paths: where each returns one tensor, path i answers task i.

    Args:
        output: As for `name_outputs`.
        names: Task names, in order, or None.
        index: Which path it is, from 0.
        paths: How many there are.

    Returns:
        Task name to output; without names ``output0``, ``output1``… by path.

    Raises:
        ContractError: As `name_outputs` does.

    Examples:
        >>> import numpy as np
        >>> list(name_path_outputs(np.zeros(2), ["depth", "normals"], 1, 2))
        ['normals']
    """
    if paths > 1 and hasattr(output, "shape"):
        if names is None:
            return {f"output{index}": output}
        if len(names) == paths:
            return {names[index]: output}
    return name_outputs(output, names)


def _checked_keys(output: Mapping[Any, Any]) -> dict[str, Any]:
    wrong = next((key for key in output if not isinstance(key, str)), None)
    if wrong is not None:
        raise ContractError(f"a model's output dict is keyed by task name (text); got the key {wrong!r}")
    return dict(output)
