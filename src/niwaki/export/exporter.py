"""`export`: a model into an ONNX file that was seen to give the model's answers."""

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from niwaki.atomic import atomic_folder, told_as_file_error
from niwaki.contract import Example, Named, as_examples, task_names
from niwaki.errors import ContractError, ExportError
from niwaki.export.calls import Call, FlatCall, answered, answers, read_call
from niwaki.export.choices import chooses
from niwaki.export.compare import Comparing, Program, Scorer, compare
from niwaki.export.convert import Captured, capture, translate
from niwaki.export.inputs import with_batch
from niwaki.export.result import ExportResult
from niwaki.export.runtime import FileAnswers
from niwaki.export.storing import write_program
from niwaki.modules import evaluating, require_module, unwrap
from niwaki.quiet import quiet

__all__ = ["export", "export_each", "paths_answer"]


class _Options(TypedDict, total=False):
    check: bool
    tolerance: float
    data: Iterable[Any] | None
    evaluation: Scorer | None
    seed: int


def export(
    model: nn.Module,
    example: Any,
    path: str | Path,
    *,
    tasks: Sequence[str | Named] | None = None,
    opset: int | None = None,
    dynamic_batch: bool = True,
    **how: Unpack[_Options],
) -> ExportResult:
    """Export a model to ONNX and compare the file's answers with the model's, task by task.

    A copy of the model is exported, in evaluation mode, on the CPU; the model itself is left as it was found. Inputs
    bear the names of ``forward``'s parameters, outputs the names of the tasks. The file is written beside the target
    and moved into place after it has passed; when anything fails, an older file at ``path`` stays.

    Several paths through a model, such as one for each task, become one file that holds every weight once. It runs all
    of them in each call; each has inputs (``TASK.x``) and a batch of its own, but paths whose examples hold the same
    tensors share them (``x``). `export_each` writes files that run one path each.

    Args:
        model: The model.
        example: Its inputs: a tensor, a tuple, an `Example`; or a list of them, one for each path. Values that are no
            tensors are baked in.
        path: The file to write.
        tasks: Task names, or tasks, for a model that returns a tuple or one tensor; a dict names its own.
        opset: ONNX operator set, or None for torch's default.
        dynamic_batch: Whether the file takes any batch size; where torch.export refuses, the batch is fixed and
            the result says why.
        **how: ``check`` (compare at all), ``tolerance`` (largest difference allowed, as a fraction of max(1, largest
            answer)), ``data`` (labelled batches to compare on), ``evaluation`` (measures metrics on them), ``seed`` (of
            the drawn inputs): see `Comparing`.

    Returns:
        What was written and how its answers compare.

    Raises:
        ContractError: When an example does not fit the model, or two answer the same task.
        ExportError: When the model can't be exported (the message names operator and module) or the file gives other
            answers (the message names the task).
        FileError: When the file can't be written.

    Examples:
        >>> import tempfile
        >>> model = nn.Conv2d(3, 2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = export(model, torch.rand(2, 3, 4, 4), f"{folder}/model.onnx", tasks=["depth"])
        >>> result.outputs, result.batch, result.max_difference < 1e-5
        (('depth',), 'dynamic', True)
    """
    require_module(model)
    target, examples, names = Path(path), as_examples(example), task_names(tasks)
    comparing = Comparing(**how)
    with quiet(), torch.random.fork_rng(devices=[]), torch.no_grad():
        view = _view(model)
        call = _on_cpu(_read(view, examples, names))
        outputs = tuple(answers(view, call.examples, names))
        port = FlatCall(view, call, names).eval()
        captured = capture(port, call.tensors, _dynamic_inputs(call, wanted=dynamic_batch), call.axes)
        program = translate(captured, port, (call.names, outputs), opset)
        result = _describe(program, captured, target, comparing)
        with atomic_folder(target) as staged:
            with told_as_file_error(target):
                result = result.model_copy(update={"bytes": write_program(program, staged)})
            if comparing.check:
                result = _compared(result, FileAnswers(staged, result.inputs), port, call, comparing, captured)
        return result


def export_each(
    model: nn.Module,
    examples: Sequence[Any],
    path: str | Path,
    *,
    tasks: Sequence[str | Named] | None = None,
    **options: Any,
) -> tuple[ExportResult, ...]:
    """Export every path of a routed model into a file of its own: what runs one task at a time needs no other.

    Args:
        model: A model that runs one task per call, such as ``forward(x, task=NAME)``.
        examples: One example for each path.
        path: Pattern of the files: ``model.onnx`` becomes ``model.depth.onnx``, ``model.normals.onnx``…; a path that
            answers several tasks has its number instead.
        tasks: Task names, or tasks; where each path returns one tensor, path i answers task i.
        **options: As for `export`.

    Returns:
        One result for each file, in order.

    Raises:
        ContractError: As `export`.
        ExportError: As `export`; files written before the failure stay.

    Examples:
        >>> import tempfile
        >>> from niwaki.contract import Example
        >>> class Power(nn.Module):
        ...     def forward(self, x, task):
        ...         return {task: x**2 if task == "square" else x**3}
        >>> paths = [Example(torch.rand(2, 3), task=task) for task in ("square", "cube")]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = export_each(Power(), paths, f"{folder}/power.onnx")
        >>> [(Path(each.path).name, each.outputs) for each in files]
        [('power.square.onnx', ('square',)), ('power.cube.onnx', ('cube',))]
    """
    pattern, paths = Path(path), as_examples(list(examples))
    answered = paths_answer(model, paths, tasks)
    labels = _labels(answered)
    return tuple(
        export(model, each, pattern.with_name(f"{pattern.stem}.{label}{pattern.suffix}"), tasks=own, **options)
        for each, label, own in zip(paths, labels, answered, strict=True)
    )


def paths_answer(
    model: nn.Module, examples: Sequence[Example], tasks: Sequence[str | Named] | None = None
) -> list[list[str]]:
    """Return which tasks each of several paths through a model answers.

    Args:
        model: The model; it is left as it was.
        examples: One for each path, on the model's device.
        tasks: Task names, or tasks; where each path returns one tensor, path i answers task i.

    Returns:
        Their names, for each path.

    Raises:
        ContractError: When the outputs can't be named, or a task has no path.
    """
    names = task_names(tasks)
    with evaluating(require_module(model)), torch.random.fork_rng(devices=[]), torch.no_grad():
        found = answered(unwrap(model), examples, names)
    missing = [name for name in names or () if not any(name in each for each in found)]
    if missing:
        raise ContractError(f"no example answers {', '.join(missing)}; give one for each task")
    return found


def _read(view: nn.Module, examples: Sequence[Example], tasks: Sequence[str] | None) -> Call:
    if len(examples) == 1:
        return read_call(view, examples[0])
    return read_call(view, *examples, labels=_labels(answered(view, examples, tasks)))


def _labels(names: Sequence[Sequence[str]]) -> list[str]:
    """Call each path by its only task, as a file can be called; by its number where that is not enough."""
    labels = [re.sub(r"[^\w.-]", "_", each[0]) if len(each) == 1 else str(index) for index, each in enumerate(names)]
    return labels if len(set(labels)) == len(labels) else [str(index) for index in range(len(labels))]


def _view(model: nn.Module) -> nn.Module:
    try:
        view = copy.deepcopy(unwrap(model))
    except Exception as error:
        raise ExportError(f"{type(model).__name__} can't be copied, and only a copy is exported: {error}") from error
    view = view.to("cpu").eval().requires_grad_(requires_grad=False)
    odd = next((each.dtype for each in view.state_dict().values() if each.dtype is torch.bfloat16), None)
    if odd is not None:
        raise ExportError("the model holds bfloat16 weights, which ONNX Runtime can't run; export model.float()")
    return view


def _on_cpu(call: Call) -> Call:
    return replace(call, examples=call.with_tensors(call.tensors))


def _dynamic_inputs(call: Call, *, wanted: bool) -> list[torch.Tensor]:
    # torch.export takes a size of 0 or 1 for a constant
    return with_batch(call, max(2, call.batch)) if wanted and call.batch else []


def _describe(program: Any, captured: Captured, path: Path, how: Comparing) -> ExportResult:
    graph = program.model.graph
    return ExportResult(
        path=str(path),
        opset=int(program.model.opset_imports[""]),
        inputs=tuple(each.name for each in graph.inputs),
        outputs=tuple(each.name for each in graph.outputs),
        batch="dynamic" if any(captured.axes) else "fixed",
        batch_reason=captured.fixed_because,
        bytes=0,
        tolerance=how.tolerance,
    )


def _compared(
    result: ExportResult, file: FileAnswers, port: FlatCall, call: Call, how: Comparing, captured: Captured
) -> ExportResult:
    program = Program(dynamic=result.batch == "dynamic", chooses=chooses(captured.program))
    found = compare(file, port, call, result.outputs, how, program)
    update = {name: getattr(found, name) for name in ("counted", "tried", "batches", "agreement", "runtime", "notes")}
    return result.model_copy(update={**update, "checked": True})
