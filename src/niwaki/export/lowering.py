"""Max-unpooling in ONNX: indices within a plane, and a scatter per plane.

torch counts a pool's indices within one plane [H, W]; ONNX counts them over all of [N, C, H, W]. The exporter's own
way undoes that with a second pool over the full-size input and then scatters into one flat vector; it is right and a
third slower. Here the index within the plane is ``index mod (H * W)``, and the scatter runs plane by plane, which
other runtimes also know (few know ``MaxUnpool``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["lowerings"]


def lowerings() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return the translations given to the exporter: ATen operator to the function that writes its ONNX nodes."""
    aten = torch.ops.aten
    return {aten.max_pool2d_with_indices.default: _pool, aten.max_unpool2d.default: _unpool}


def _pool(
    self: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 - the operator's own signature
) -> tuple[Any, Any]:
    op = _operators()

    # ONNX pools batches only
    single = len(self.shape) == 3
    values, indices = op.MaxPool(
        op.Unsqueeze(self, op.Constant(value_ints=[0])) if single else self,
        kernel_shape=_pair(kernel_size),
        strides=_pair(stride or kernel_size),
        pads=_pair(padding) * 2,
        dilations=_pair(dilation),
        ceil_mode=int(ceil_mode),
    )
    plane = op.ReduceProd(op.Shape(self, start=-2), keepdims=1)
    indices = op.Mod(indices, plane)
    if single:
        first = op.Constant(value_ints=[0])
        return op.Squeeze(values, first), op.Squeeze(indices, first)
    return values, indices


def _unpool(self: Any, indices: Any, output_size: Sequence[Any]) -> Any:
    op = _operators()

    one = op.Constant(value_ints=[-1])
    lead = op.Shape(self, start=0, end=-2)
    size = op.Concat(*(_one(op, each) for each in output_size), axis=0)
    plane = op.ReduceProd(size, keepdims=1)
    zeros = op.Expand(op.CastLike(op.Constant(value_float=0.0), self), op.Concat(lead, plane, axis=0))
    rows = op.Concat(lead, one, axis=0)
    flat = op.ScatterElements(zeros, op.Reshape(indices, rows), op.Reshape(self, rows), axis=-1)
    return op.Reshape(flat, op.Concat(lead, size, axis=0))


def _pair(values: Sequence[int]) -> list[int]:
    return [int(values[0]), int(values[-1])]


def _one(op: Any, size: Any) -> Any:
    if isinstance(size, int):
        return op.Constant(value_ints=[size])
    return op.Reshape(size, op.Constant(value_ints=[1]))


def _operators() -> Any:
    from onnxscript import opset18  # noqa: PLC0415 - heavy, and only wanted while exporting

    return opset18
