"""What to tell the user when the exporter fails: the operator, the module it stands in, the reason."""

import re
from collections.abc import Iterator
from typing import Any, Self

from torch import nn

from niwaki.export.calls import FlatCall

__all__ = ["Footprints", "blame_translation", "reason"]

_NODE = re.compile(r"translating node %?(\w+)")
_TARGET = re.compile(r"target=(?:torch\.ops\.)?([\w.]+)")
_OVERLOAD = re.compile(r"<OpOverload\(op='([\w.]+)'")
_SPECIALISED = re.compile(r"specialized it to be a constant \((\d+)\)")
_COLOUR = re.compile(r"\x1b?\[\d+m|[^\x00-\x7f]")


class Footprints:
    """Remembers which modules were entered and not left, so that a failed call shows where it stopped.

    Args:
        model: The module to watch; its hooks are taken off when the block ends.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._inside: list[str] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in self._model.named_modules():
            self._hooks.append(module.register_forward_pre_hook(self._entered(name)))
            self._hooks.append(module.register_forward_hook(self._left))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def where(self) -> str:
        """The innermost module that was entered and not left, in words."""
        inside = [name.removeprefix("model").removeprefix(".") for name in self._inside]
        name = next((each for each in reversed(inside) if each), "")
        if not name:
            return "the model's own forward"
        return f"module {name!r} ({type(self._model.get_submodule(f'model.{name}')).__name__})"

    def _entered(self, name: str) -> Any:
        def hook(*_: object) -> None:
            self._inside.append(name)

        return hook

    def _left(self, *_: object) -> None:
        self._inside.pop()


def blame_translation(error: BaseException, program: Any, port: FlatCall) -> str:
    """Name the operator an ONNX translation stopped at and the module it comes from.

    Args:
        error: What the exporter raised.
        program: The `torch.export.ExportedProgram` that was translated.
        port: The exported module.

    Returns:
        Words such as ``"operator aten.foo.default in module 'head.act' (Foo)"``.
    """
    text = " ".join(str(each) for each in _chain(error))
    found = _OVERLOAD.search(text) or _TARGET.search(text)
    operator = found.group(1).replace("::", ".") if found else "an operator"
    node = _NODE.search(text)
    name = node.group(1) if node else ""
    stem = operator.removesuffix(".default").rpartition(".")[2].lstrip("_")  # decompositions add underscores
    suspects = [each for each in program.graph.nodes if each.name == name]
    suspects += [each for each in program.graph.nodes if stem in str(each.target)]
    path = next((place for each in suspects if (place := _place(each))), "")
    if not path:
        return f"operator {operator}"
    return f"operator {operator} in module {path!r} ({type(port.get_submodule(f'model.{path}')).__name__})"


def reason(error: BaseException) -> str:
    """Return the first telling line of the innermost error."""
    errors = list(_chain(error))
    texts = [_COLOUR.sub("", str(each)).strip() for each in reversed(errors)]
    first = next((text for text in texts if text), type(error).__name__)
    if special := _SPECIALISED.search(first):
        return f"the model's code takes the batch for the constant {special.group(1)}"
    return re.split(r"\n|(?<=\w\w)\. ", first)[0].rstrip(".: ")


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _place(node: Any) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(entry[0]) for entry in stack.values()]
    inside = [each.partition("model.")[2] for each in paths if "model." in each]
    return inside[-1] if inside else ""
