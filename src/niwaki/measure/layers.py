"""Single layers timed in a runtime: built from their description, without a model around them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from niwaki.export import session
from niwaki.graph import Layer
from niwaki.measure.machine import torch_threads
from niwaki.measure.rounds import time_rounds

__all__ = ["TIMED_IN", "time_layers"]

_ROUNDS, _WARMUP = 5, 2
_FLOAT, _OPSET = 1, 17


def time_layers(layers: Sequence[Layer], runtime: str, *, threads: int = 1) -> list[float]:
    """Time layers on random numbers, in turns.

    Args:
        layers: The layers.
        runtime: One of `TIMED_IN`.
        threads: Threads inside one operator, at least 1.

    Returns:
        The median milliseconds of one call of each.

    Examples:
        >>> fast, slow = time_layers([Layer("linear", (1, n), (n, n), bias=True) for n in (8, 1024)], "eager")
        >>> fast > 0, slow > 0
        (True, True)
    """
    with ExitStack() as stack, torch.no_grad():
        prepare = TIMED_IN[runtime]
        calls = {(runtime, str(index)): prepare(layer, threads, stack) for index, layer in enumerate(layers)}
        stack.enter_context(torch_threads(threads))
        times = time_rounds(calls, rounds=_ROUNDS, warmup=_WARMUP).wall_ms
    return [median(times[who]) for who in calls]


def _eager(layer: Layer, _threads: int, _stack: ExitStack) -> Callable[[], object]:
    operator: Any = getattr(torch.nn.functional, layer.operator)
    data, weight, bias = (torch.zeros(shape) for shape in (layer.input, layer.weight, (_outputs(layer),)))
    options = dict(layer.options) if layer.operator == "linear" else {**dict(layer.options), "groups": layer.groups}
    return lambda: operator(data, weight, bias if layer.bias else None, **options)


def _onnxruntime(layer: Layer, threads: int, stack: ExitStack) -> Callable[[], object]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="niwaki-")))
    (folder / "layer.onnx").write_bytes(onnx_of(layer))
    opened = session(folder / "layer.onnx", threads)
    feed = {"x": torch.zeros(layer.input).numpy()}
    return lambda: opened.run(None, feed)


TIMED_IN: dict[str, Callable[[Layer, int, ExitStack], Callable[[], object]]] = {
    "eager": _eager,
    "onnxruntime": _onnxruntime,
}
"""Runtimes that single layers can be timed in; each makes a call of a layer, and undoes on the stack what it did."""


def onnx_of(layer: Layer) -> bytes:
    """Write one layer as an ONNX file.

    Args:
        layer: The layer.

    Returns:
        The file's bytes: input ``x``, output ``y``.
    """
    from onnx import helper  # noqa: PLC0415 - heavy, and only wanted here

    weight, kind, attributes = torch.zeros(layer.weight), "MatMul", {}
    if layer.operator == "linear":
        weight = weight.T
    else:
        kind = "ConvTranspose" if "transpose" in layer.operator else "Conv"
        attributes = {"group": layer.groups, **_attributes(layer)}
    held = {"w": weight, **({"b": torch.zeros(_outputs(layer))} if layer.bias else {})}
    added = kind == "MatMul" and layer.bias
    names = ["x", "w"] if added else ["x", *held]
    nodes = [helper.make_node(kind, names, ["product" if added else "y"], **attributes)]
    if added:
        nodes.append(helper.make_node("Add", ["product", "b"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", _FLOAT, layer.input)],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        [
            helper.make_tensor(name, _FLOAT, each.shape, each.contiguous().numpy().tobytes(), raw=True)
            for name, each in held.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    written: bytes = model.SerializeToString()
    return written


def _attributes(layer: Layer) -> dict[str, Any]:
    """Return stride, padding and dilation by ONNX's names."""
    told = dict(layer.options)
    found = {"strides": told["stride"], "dilations": told["dilation"]}
    if "output_padding" in told:
        found["output_padding"] = told["output_padding"]
    if isinstance(told["padding"], str):
        return {**found, "auto_pad": "SAME_UPPER" if told["padding"] == "same" else "VALID"}
    return {**found, "pads": [*told["padding"], *told["padding"]]}


def _outputs(layer: Layer) -> int:
    return layer.weight[1] * layer.groups if "transpose" in layer.operator else layer.weight[0]
