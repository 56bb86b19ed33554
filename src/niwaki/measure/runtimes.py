"""Where a model can be timed: each runtime makes a call without arguments out of a model and its examples."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.errors import MeasureError
from niwaki.export import export
from niwaki.export.calls import read_call
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
        stack.enter_context(_evaluating(subject))
        device = next((tensor.device for tensor in subject.state_dict().values()), device)

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
        ExportError: When the module can't be exported.
        MeasureError: When an exported file does not take the example's inputs.
    """
    if isinstance(entry.subject, Path):
        if len(entry.examples) != 1:
            raise MeasureError(f"{entry.subject.name} is one file for {len(entry.examples)} examples; give the model")
        calls = [_file_call(entry.subject, entry.examples[0], entry.threads)]
    elif isinstance(entry.subject, nn.Module):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="niwaki-")))
        calls = [_export_call(entry, example, folder / f"{index}.onnx") for index, example in enumerate(entry.examples)]
    else:
        return None
    return lambda: [call() for call in calls]


runtimes.register("eager")(Runtime(eager, lambda: f"torch {version('torch')}"))
runtimes.register("onnxruntime")(Runtime(onnxruntime, lambda: version("onnxruntime")))


def _export_call(entry: Entry, example: Example, path: Path) -> Callable[[], object]:
    assert isinstance(entry.subject, nn.Module)
    names = export(entry.subject, example, path, tasks=entry.tasks, check=False).inputs
    feed = dict(zip(names, read_call(entry.subject, example).tensors, strict=True))
    session = _session(path, entry.threads)
    taken = {each.name: feed[each.name].numpy() for each in session.get_inputs()}
    return lambda: session.run(None, taken)


def _file_call(path: Path, example: Example, threads: int) -> Callable[[], object]:
    session = _session(path, threads)
    names = [each.name for each in session.get_inputs()]
    leaves = pytree.tree_leaves((example.args, example.kwargs))
    tensors = [leaf.detach().cpu().numpy() for leaf in leaves if isinstance(leaf, Tensor)]
    if len(names) != len(tensors):
        raise MeasureError(f"{path.name} takes {len(names)} inputs, but the example has {len(tensors)} tensors")
    feed = dict(zip(names, tensors, strict=True))
    return lambda: session.run(None, feed)


def _session(path: Path, threads: int) -> Any:
    import onnxruntime as ort  # noqa: PLC0415  # heavy, and only wanted here

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle threads would disturb who comes next
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while; afterwards every module is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
