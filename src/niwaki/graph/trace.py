"""Read a model once: export it on every example, in eval and in train mode, and name what the programs hold."""

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.utils import _pytree as pytree

from niwaki.contract import Example, Named, as_examples, name_outputs, task_names
from niwaki.errors import ContractError, GraphError
from niwaki.graph.inline import inline_regions
from niwaki.graph.naming import canonical_names, named_tensors
from niwaki.graph.paths import doubled, free_batch
from niwaki.graph.program import Program, Traced
from niwaki.modules import device_of, require_module
from niwaki.quiet import quiet

__all__ = ["trace"]


def trace(
    model: nn.Module, example: Any, *, tasks: Sequence[str | Named] | None = None, any_batch: bool = False
) -> Traced:
    """Export a model on its examples in eval and train mode.

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
        >>> traced = trace(nn.Linear(3, 2), torch.zeros(1, 3))
        >>> [(program.training, program.outputs) for program in traced.programs]
        [(False, {'output': ['linear']}), (True, {'output': ['linear']})]
    """
    examples, asked = as_examples(example), task_names(tasks)
    names = canonical_names(require_module(model))
    twin = _twin(model)
    programs: list[Program] = []
    notes: list[str] = []
    for index, each in enumerate(examples):
        naming = _Naming(names, asked, index, len(examples))
        found, remarks = _both_modes(twin, each, naming, any_batch=any_batch)
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


def _twin(model: nn.Module) -> nn.Module:
    """Copy the modules and share the parameters and buffers: export reads only their shapes."""
    shared = {id(tensor): tensor for _, tensor in named_tensors(model)}
    try:
        return copy.deepcopy(model, shared)
    except Exception as error:
        raise GraphError(
            f"the model can't be copied ({type(error).__name__}: {_first_line(error)}); a model holds only what "
            "copy.deepcopy can copy: detach tensors kept as attributes, drop open files and locks"
        ) from error


@dataclass(frozen=True)
class _Naming:
    """What the tensors and outputs of one route are called."""

    tensors: dict[str, str]
    tasks: list[str] | None
    index: int
    routes: int

    def outputs(self, result: Any) -> dict[str, Any]:
        """Name what the model returned: one tensor for each of several routes answers one task each."""
        if self.routes > 1 and isinstance(result, _Leaf):
            if self.tasks is None:
                return {f"output{self.index}": result}
            if len(self.tasks) == self.routes:
                return {self.tasks[self.index]: result}
        return name_outputs(result, self.tasks)


def _both_modes(
    twin: nn.Module, example: Example, naming: _Naming, *, any_batch: bool
) -> tuple[list[Program], list[str]]:
    programs: list[Program] = []
    failures: list[str] = []
    misfit = _misfit(twin, example)
    for training in (False, True):
        inputs = [*_doubled(example), example] if training or (any_batch and example.batch == 1) else [example]
        exported, used, failure = _export_first(twin, inputs, training=training, any_batch=any_batch)
        if exported is None:
            mode = "train" if training else "eval"
            failures.append(f"{mode} mode of {example!r} can't be exported: {failure}")
            continue
        inline_regions(exported.graph_module)
        programs.append(
            Program(
                exported=exported,
                example=used,
                training=training,
                tensors=_tensor_names(exported, naming.tensors),
                outputs=_outputs(exported, naming, training=training),
                index=naming.index,
            )
        )
    if misfit and (not programs or not programs[0].training):
        raise ContractError(
            f"the example does not fit the model: called with {example!r} it raises {misfit}; give inputs of the "
            "shapes and types that its forward takes"
        )
    if not programs:
        raise GraphError(
            f"torch.export can't read the model ({'; '.join(failures)}). Take data-dependent Python out of forward, "
            "or give the tensor part of the model (backbone and heads) alone"
        )
    return programs, [f"{failure}; parameters that only this mode reaches are kept whole" for failure in failures]


def _doubled(example: Example) -> list[Example]:
    """Return the example with twice its batch, or nothing where its inputs, such as NumPy arrays, can't be joined."""
    try:
        return [doubled(example)]
    except (TypeError, RuntimeError):
        return []


def _misfit(twin: nn.Module, example: Example) -> str:
    """Call a copy of the model, buffers too, as it is meant to be called, and return what it raised, or nothing.

    Shapes alone let some mistakes pass, such as inputs of another type.
    """
    whole = copy.deepcopy(twin).eval()
    try:
        with _leaving_chance_alone(device_of(whole)), torch.no_grad(), quiet():
            example.call(whole)
    except Exception as error:  # noqa: BLE001  # whatever the user's forward raises
        return f"{type(error).__name__}: {_first_line(error)}"
    return ""


@contextmanager
def _leaving_chance_alone(device: torch.device | None = None) -> Iterator[None]:
    """Put the states of all generators of random numbers back after a block."""
    drawing = [device] if device is not None and device.type == "cuda" else []
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # saved for the caller, not drawn from
    try:
        with torch.random.fork_rng(devices=drawing):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002  # the same


def _export_first(
    twin: nn.Module, inputs: list[Example], *, training: bool, any_batch: bool
) -> tuple[ExportedProgram | None, Example, str]:
    failure = ""
    for each in inputs:
        try:
            return _export(twin, each, training=training, any_batch=any_batch), each, ""
        except Exception as error:  # noqa: BLE001  # whatever the user's forward or torch.export raises
            failure = failure or f"{type(error).__name__}: {_first_line(error)}"
    return None, inputs[0], failure


def _export(twin: nn.Module, example: Example, *, training: bool, any_batch: bool) -> ExportedProgram:
    twin.train(training)
    shapes = free_batch(twin, example) if any_batch else None
    with _leaving_chance_alone(), quiet():  # what can't be exported, torch logs and prints line by line
        return torch.export.export(twin, example.args, example.kwargs, dynamic_shapes=shapes, strict=False)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _tensor_names(exported: ExportedProgram, names: dict[str, str]) -> dict[str, str]:
    signature = exported.graph_signature
    held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    return {node: names[target] for node, target in held.items() if target in names}


@dataclass(frozen=True)
class _Leaf:
    """Stands for one returned value while the outputs are named; None for a value that is no tensor."""

    node: str | None
    shape: tuple[int, ...] = ()


def _outputs(exported: ExportedProgram, naming: _Naming, *, training: bool) -> dict[str, list[str]]:
    """Name the outputs; train mode may return other ones than the tasks, which then keep their numbers."""
    returned = exported.graph.output_node().args[0]
    assert isinstance(returned, tuple | list)
    kinds = [spec.kind for spec in exported.graph_signature.output_specs]
    leaves = [
        _Leaf(value.name if isinstance(value, fx.Node) else None)
        for value, kind in zip(returned, kinds, strict=True)
        if kind == OutputKind.USER_OUTPUT
    ]
    assert exported.call_spec.out_spec is not None
    result = pytree.tree_unflatten(leaves, exported.call_spec.out_spec)
    try:
        named = naming.outputs(result)
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
