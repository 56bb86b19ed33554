"""From a model to an ONNX program: capture with `torch.export`, translate, name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from niwaki.errors import ExportError
from niwaki.export.blame import Footprints, blame_translation, reason
from niwaki.export.calls import FlatCall
from niwaki.export.lowering import lowerings
from niwaki.export.naming import name_values

__all__ = ["Captured", "capture", "translate"]


@dataclass(frozen=True)
class Captured:
    """A captured program.

    Attributes:
        program: The `torch.export.ExportedProgram`.
        axes: For each input the name of its dynamic dimensions, by dimension.
        fixed_because: Why the batch size is fixed; empty when it is dynamic.
    """

    program: Any
    axes: tuple[dict[int, str], ...]
    fixed_because: str = ""


def capture(port: FlatCall, fixed: Sequence[Tensor], dynamic: Sequence[Tensor], batches: Sequence[str]) -> Captured:
    """Capture a model, with a dynamic batch where the model allows it.

    Args:
        port: The model behind a flat list of tensors, in evaluation mode.
        fixed: Inputs as the user gave them.
        dynamic: The same with a batch of two or more; empty when a fixed batch is wanted.
        batches: Name of each input's batch dimension, which is dimension 0; empty where it has none.

    Returns:
        The program; with ``fixed_because`` when the model only captures with a fixed batch.

    Raises:
        ExportError: When it can't be captured at all; the message names the module where it stopped.
    """
    why = ""
    if dynamic and any(batches):
        axes = tuple({0: each} if each else {} for each in batches)
        try:
            return Captured(_export(port, dynamic, axes), axes)
        except Exception as error:  # noqa: BLE001 - torch.export lets through whatever the model's code raises
            why = f"torch.export refused a dynamic batch: {reason(error)}"
    try:
        program = _export(port, fixed, tuple({} for _ in fixed))
    except Exception as error:
        raise ExportError(
            f"torch.export can't capture the model: it stopped in {_where(port, fixed)} with: {reason(error)}. Take "
            "decisions on tensor values out of that forward (torch.where instead of `if`), or export the part before it"
        ) from error
    why = why or ("asked for" if any(batches) else "no input tensor has a batch dimension")
    return Captured(program, tuple({} for _ in fixed), why)


def translate(captured: Captured, port: FlatCall, names: tuple[Sequence[str], Sequence[str]], opset: int | None) -> Any:
    """Translate a captured program to ONNX.

    Args:
        captured: The captured program.
        port: The module it was captured from.
        names: Names of the inputs and of the outputs.
        opset: ONNX operator set, or None for torch's default.

    Returns:
        A `torch.onnx.ONNXProgram` whose values bear the names.

    Raises:
        ExportError: When an operator has no translation; the message names it and its module.
    """
    try:
        program = torch.onnx.export(
            captured.program,
            dynamo=True,
            verbose=False,
            opset_version=opset,
            custom_translation_table=lowerings(),
            dynamic_shapes=([dict(each) for each in captured.axes],) if any(captured.axes) else None,
        )
    except Exception as error:
        raise ExportError(
            f"no ONNX for {blame_translation(error, captured.program, port)}: {reason(error)}. Replace it by operators "
            "that ONNX has, or keep it outside the exported model"
        ) from error
    if program is None:
        raise ExportError("torch.onnx.export gave no program; use a torch version that Niwaki was run on")
    name_values(program.model, *names)
    return program


def _export(port: FlatCall, tensors: Sequence[Tensor], axes: Sequence[dict[int, str]]) -> Any:
    sizes = {name: torch.export.Dim(name) for each in axes for name in each.values()}
    shapes = ([{axis: sizes[name] for axis, name in each.items()} for each in axes],) if any(axes) else None
    with torch.no_grad():
        return torch.export.export(port, (list(tensors),), dynamic_shapes=shapes, strict=False)


def _where(port: FlatCall, tensors: Sequence[Tensor]) -> str:
    with Footprints(port) as footprints:
        try:
            _export(port, tensors, [{} for _ in tensors])
        except Exception:  # noqa: BLE001 - the same failure again, watched this time
            return footprints.where
    return "the model"
