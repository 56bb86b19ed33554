"""Where a model can be timed: each runtime makes a call without arguments out of a model and its examples."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.errors import MeasureError
from niwaki.export import export_each, session
from niwaki.modules import device_of, evaluating
from niwaki.registry import Registry

__all__ = ["Entry", "Runtime", "Subject", "runtimes"]

Subject = nn.Module | Path | Callable[..., Any]
"""What can be timed: a module, an exported file, or any callable that takes the example."""


class Entry(NamedTuple):
    """How one model is to be run.

    Attributes:
        subject: The model, file or callable.
        examples: Its inputs; one call runs all of them.
        tasks: Names of its outputs, where an export needs them.
        threads: Threads inside one operator.
    """

    subject: Subject
    examples: Sequence[Example]
    tasks: Sequence[str] | None
    threads: int


class Runtime(NamedTuple):
    """One way to run a model.

    Attributes:
        prepare: Makes the call to be timed, or None where it can't take the subject; what must be undone after the
            timing goes on the stack.
        version: Gives the runtime's version.
    """

    prepare: Callable[[Entry, ExitStack], Callable[[], object] | None]
    version: Callable[[], str]


runtimes: Registry[Runtime] = Registry("runtime")
"""Name to runtime."""


def eager(entry: Entry, stack: ExitStack) -> Callable[[], object] | None:
    """Run a module in evaluation mode, or a callable as it is, without gradients; modes are put back afterwards.

    Args:
        entry: What to run.
        stack: Undoes the change of mode.

    Returns:
        The call, or None for an exported file.
    """
    if isinstance(entry.subject, Path):
        return None
    subject = entry.subject
    device = torch.device("cpu")
    if isinstance(subject, nn.Module):
        stack.enter_context(evaluating(subject))
        device = device_of(subject)

    def call() -> None:
        with torch.no_grad():
            for example in entry.examples:
                example.call(subject)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    return call


def onnxruntime(entry: Entry, stack: ExitStack) -> Callable[[], object] | None:
    """Export a module (or take an exported file) and run it in ONNX Runtime on the CPU.

    Args:
        entry: What to run.
        stack: Removes the temporary files.

    Returns:
        The call, or None for a callable that is no module.

    Raises:
        ExportError: When the module can't be exported, or ONNX Runtime refuses the file.
        MeasureError: When an exported file does not take the example's inputs.
    """
    if isinstance(entry.subject, Path):
        if len(entry.examples) != 1:
            raise MeasureError(f"{entry.subject.name} is one file for {len(entry.examples)} examples; give the model")
        calls = [_file_call(entry.subject, entry.examples[0], entry.threads)]
    elif isinstance(entry.subject, nn.Module):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="niwaki-")))
        files = export_each(entry.subject, entry.examples, folder / "path.onnx", tasks=entry.tasks, check=False)
        pairs = zip(files, entry.examples, strict=True)
        calls = [_opened_call(Path(each.path), each.inputs, example, entry.threads) for each, example in pairs]
    else:
        return None
    return lambda: [call() for call in calls]


runtimes.register("eager")(Runtime(eager, lambda: f"torch {version('torch')}"))
runtimes.register("onnxruntime")(Runtime(onnxruntime, lambda: version("onnxruntime")))


def _opened_call(path: Path, names: Sequence[str], example: Example, threads: int) -> Callable[[], object]:
    feed = dict(zip(names, _arrays(example), strict=True))
    opened = session(path, threads)
    taken = {each.name: feed[each.name] for each in opened.get_inputs()}
    return lambda: opened.run(None, taken)


def _file_call(path: Path, example: Example, threads: int) -> Callable[[], object]:
    opened = session(path, threads)
    names = [each.name for each in opened.get_inputs()]
    arrays = _arrays(example)
    if len(names) != len(arrays):
        raise MeasureError(f"{path.name} takes {len(names)} inputs, but the example has {len(arrays)} tensors")
    feed = dict(zip(names, arrays, strict=True))
    return lambda: opened.run(None, feed)


def _arrays(example: Example) -> list[Any]:
    return [each.detach().cpu().numpy() for each in example.tensors() if isinstance(each, Tensor)]
