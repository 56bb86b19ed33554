"""Read a model once: export it on every example, in eval and in train mode, and name what the programs hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.utils import _pytree as pytree

from niwaki.contract import Example, Named, as_examples, name_outputs, name_path_outputs, task_names
from niwaki.errors import ContractError, GraphError
from niwaki.graph.code import Code
from niwaki.graph.exporting import Exporter
from niwaki.graph.naming import canonical_names, named_tensors
from niwaki.graph.program import Program, Traced
from niwaki.modules import require_module
from niwaki.quiet import uninterrupted

__all__ = ["trace"]


@uninterrupted()
def trace(
    model: nn.Module, example: Any, *, tasks: Sequence[str | Named] | None = None, any_batch: bool = False
) -> Traced:
    """Export a model on its examples in eval mode, and in train mode where its code asks for the mode.

    The caller's model is left as it was, bit for bit; the programs hold its own parameters, not copies.

    Args:
        model: Any module whose forward ``torch.export`` can read.
        example: A tensor, a tuple of positional inputs, an `Example`, or a list of these (several paths).
        tasks: Tasks or names of the outputs, in order, where the model returns a tuple or one tensor. When each of
            several examples returns one tensor, example i answers task i.
        any_batch: Whether the programs are to run at any batch size, where the model's code lets them; both modes are
            then read with the batch doubled, since a batch of one is taken for a constant.

    Returns:
        The programs with their tensors and outputs named.

    Raises:
        GraphError: When neither mode of an example can be exported; the message carries torch's own reason.
        ContractError: When the model is no module, it can't run on an example, or the example or the output is of no
            known form.

    Examples:
        >>> import torch
        >>> traced = trace(nn.Linear(3, 2), torch.zeros(1, 3))
        >>> [(program.training, program.outputs) for program in traced.programs]
        [(False, {'output': ['linear']})]
    """
    examples, asked = as_examples(example), task_names(tasks)
    names = canonical_names(require_module(model))
    exporter = Exporter(model, any_batch=any_batch)
    programs: list[Program] = []
    notes: list[str] = []
    for index, each in enumerate(examples):
        naming = _Naming(names, asked, index, len(examples))
        found, remarks = _both_modes(exporter, each, naming)
        programs += found
        notes += remarks
    tensors = {names[name]: tensor for name, tensor in named_tensors(model)}
    return Traced(
        programs=tuple(programs),
        names=names,
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        parameters=frozenset(name for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)),
        tasks=_tasks(programs, asked),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Naming:
    """What the tensors and outputs of one route are called."""

    tensors: dict[str, str]
    tasks: list[str] | None
    index: int
    routes: int


def _both_modes(exporter: Exporter, example: Example, naming: _Naming) -> tuple[list[Program], list[str]]:
    found, failures = exporter.both_modes(example)
    misfit = "" if found and exporter.fits_by_type(example) else exporter.misfit(example)
    if misfit and (not found or not found[0].training):
        raise ContractError(
            f"the example does not fit the model: called with {example!r} it raises {misfit}; give inputs of the "
            "shapes and types that its forward takes"
        )
    if not found:
        raise GraphError(
            f"torch.export can't read the model ({'; '.join(failures)}). Take data-dependent Python out of forward, "
            "or give the tensor part of the model (backbone and heads) alone"
        )
    programs = [
        Program(
            code=each.code,
            example=each.example,
            training=each.training,
            tensors={
                node: naming.tensors[target] for node, target in each.code.targets.items() if target in naming.tensors
            },
            outputs=_outputs(each.code, naming, training=each.training),
            index=naming.index,
            calls=each.calls,
        )
        for each in found
    ]
    return programs, [f"{failure}; parameters that only this mode reaches are kept whole" for failure in failures]


@dataclass(frozen=True)
class _Leaf:
    """Stands for one returned value while the outputs are named; None for a value that is no tensor."""

    node: str | None
    shape: tuple[int, ...] = ()


def _outputs(code: Code, naming: _Naming, *, training: bool) -> dict[str, list[str]]:
    """Name the outputs; train mode may return other ones than the tasks, which then keep their numbers."""
    leaves = [_Leaf(value.name if isinstance(value, fx.Node) else None) for value in code.returned]
    result = pytree.tree_unflatten(leaves, code.structure)
    try:
        named = name_path_outputs(result, naming.tasks, naming.index, naming.routes)
    except ContractError:
        if not training or not isinstance(result, tuple | list):
            raise
        named = name_outputs(result)
    found = {name: [leaf.node for leaf in pytree.tree_leaves(value) if leaf.node] for name, value in named.items()}
    return {name: nodes for name, nodes in found.items() if nodes}


def _tasks(programs: list[Program], asked: Sequence[str] | None) -> tuple[str, ...]:
    """Return the tasks asked for, which must all have an output, or else the names of all outputs of eval mode."""
    evaluated = [program for program in programs if not program.training] or programs
    found = tuple(dict.fromkeys(name for program in evaluated for name in program.outputs))
    missing = [] if asked is None else [task for task in asked if task not in found]
    if missing:
        raise ContractError(
            f"the model returns nothing for the task {missing[0]!r}; its outputs are {', '.join(found)}: key the "
            "returned dict by task name, or give an example for each path"
        )
    return found if asked is None else tuple(asked)
