"""Writing an ONNX program into a file."""

from pathlib import Path
from typing import Any

__all__ = ["write_program"]

_PROTOBUF_LIMIT = 2**31 - 2**24  # a protobuf message holds 2 GiB; the graph itself needs some of it


def write_program(program: Any, path: Path) -> int:
    """Write an ONNX program into one file; weights go into ``NAME.data`` beside it only beyond 2 GiB.

    Args:
        program: The `torch.onnx.ONNXProgram`.
        path: Where to write, in a folder of its own.

    Returns:
        Bytes of all files.
    """
    weights = sum(int(each.const_value.nbytes) for each in program.model.graph.initializers.values())
    program.save(path, external_data=weights > _PROTOBUF_LIMIT)
    return sum(each.stat().st_size for each in path.parent.iterdir())
