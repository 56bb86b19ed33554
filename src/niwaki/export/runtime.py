"""The exported file in ONNX Runtime, and the model's own answers: as they are, in float64, a few roundings off."""

import copy
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from niwaki.errors import ExportError
from niwaki.export.blame import reason
from niwaki.export.calls import FlatCall

__all__ = ["FileAnswers", "OwnAnswers", "session"]

_SILENT = 3  # ONNX Runtime's log level: errors only
_ROUNDING = 1e-6  # relative; what summing some hundred products in another order comes to in float32


def session(path: str | Path, threads: int) -> Any:
    """Open an ONNX file in ONNX Runtime on the CPU.

    Args:
        path: The file.
        threads: Threads inside one operator, at least 1; between calls they sleep, so that idle ones disturb nobody.

    Returns:
        The `onnxruntime.InferenceSession`.

    Raises:
        ExportError: When ONNX Runtime refuses the file.
    """
    import onnxruntime  # noqa: PLC0415 - heavy, and only wanted here

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime refuses {Path(path).name}: {reason(error)}. Try another opset") from error


class FileAnswers:
    """Runs an ONNX file on the CPU.

    Args:
        path: The file.
        names: Names of its inputs, in order.

    Raises:
        ExportError: When ONNX Runtime refuses the file.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._session = session(path, torch.get_num_threads())
        self._names = tuple(names)
        self._taken = {each.name for each in self._session.get_inputs()}
        self.name = f"onnxruntime {version('onnxruntime')}"

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the file's answers, one tensor for each output.

        Raises:
            ExportError: When it fails on these inputs.
        """
        feed = {name: each.numpy() for name, each in zip(self._names, tensors, strict=True) if name in self._taken}
        try:
            found = self._session.run(None, feed)
        except Exception as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
            raise ExportError(
                f"the exported file fails in ONNX Runtime on {shapes}: {reason(error)}. If it runs at the "
                "example's own batch size, export with dynamic_batch=False"
            ) from error
        return [torch.from_numpy(each) for each in found]


class OwnAnswers:
    """The model's answers, in its own precision, in float64, and a few roundings off.

    Args:
        port: The model behind a flat list of tensors.
    """

    def __init__(self, port: FlatCall) -> None:
        self._port = port
        self._double: FlatCall | None = None
        self._has_double = True

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the model's answers."""
        with torch.no_grad():
            return list(self._port(list(tensors)))

    def shaken(self, tensors: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Return the answers to inputs that are moved by about as much as a runtime rounds on its way."""
        moved = [
            each * (1 + _ROUNDING * torch.randn(each.shape, generator=generator, dtype=each.dtype))
            if each.is_floating_point()
            else each
            for each in tensors
        ]
        return self(moved)

    def exact(self, tensors: Sequence[Tensor]) -> list[Tensor] | None:
        """Return the answers of the model's float64 copy, or None where it does not run in float64."""
        if not self._has_double:
            return None
        self._double = self._double or copy.deepcopy(self._port).double()
        try:
            with torch.no_grad():
                return list(self._double([each.double() if each.is_floating_point() else each for each in tensors]))
        except Exception:  # noqa: BLE001 - a forward that makes float32 tensors of its own fails here in many ways
            self._double, self._has_double = None, False
            return None
