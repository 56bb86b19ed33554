"""Exporting a model in both modes, watched, without a trace left in it or in the state of chance."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from niwaki.contract import Example
from niwaki.errors import GraphError
from niwaki.graph.code import Code, from_exported
from niwaki.graph.naming import named_tensors
from niwaki.graph.origins import OriginInt, mark_attributes
from niwaki.graph.paths import doubled, free_batch
from niwaki.graph.recording import Weightless, record
from niwaki.graph.watch import Calls, CallWatch, mode_readers, noted_calls, watched
from niwaki.modules import copied, device_of, leaving_chance_alone
from niwaki.quiet import quiet

__all__ = ["Exported", "Exporter"]


class Exported(NamedTuple):
    """What one reading gave: the code, the inputs it was read on, the mode, and the calls that made it."""

    code: Code
    example: Example
    training: bool
    calls: Calls


class Exporter:
    """Exports copies of a model; they share its parameters and buffers, since only shapes are read.

    Args:
        model: The model; it is left as it is.
        any_batch: Whether the programs are to run at any batch size.

    Raises:
        GraphError: When the model can't be copied.
    """

    def __init__(self, model: nn.Module, *, any_batch: bool) -> None:
        self._model = model
        self._any_batch = any_batch
        self._spare: nn.Module | None = _twin(model)

    @cached_property
    def _weightless(self) -> Weightless:
        return Weightless(self._model)

    def _copy(self, *, marked: bool) -> nn.Module:
        """Return a copy that nobody has run, since a forward may keep things in attributes; its integers remember."""
        twin, self._spare = self._spare or _twin(self._model), None
        if marked:
            mark_attributes(twin)
        return twin

    def fits_by_type(self, example: Example) -> bool:
        """Tell whether inputs are numbers of the parameters' own type and device.

        Shapes alone, which are all that is read, let some mistakes pass, such as inputs of another type or indices that
        are too large; such inputs can't make them.
        """
        kinds = {(each.dtype, each.device) for each in self._model.parameters()}
        return all(each.is_floating_point() and kinds == {(each.dtype, each.device)} for each in example.tensors())

    def misfit(self, example: Example, *, training: bool = False) -> str:
        """Call a copy of the model as it is meant to be called, and return what it raised, or nothing."""
        whole = copied(self._model, {}).train(training)
        try:
            with leaving_chance_alone(device_of(whole)), torch.no_grad(), quiet():
                example.copied().call(whole)
        except Exception as error:  # noqa: BLE001  # whatever the user's forward raises
            return f"{type(error).__name__}: {_first_line(error)}"
        return ""

    def both_modes(self, example: Example) -> tuple[list[Exported], list[str]]:
        """Export in eval mode, and in train mode unless no code but torch's own layers asks for the mode.

        Args:
            example: The inputs of one call.

        Returns:
            What could be exported, and for each mode that could not, why.
        """
        found: list[Exported] = []
        failures: list[str] = []
        with mode_readers(drops_paths=self._any_batch) as readers:
            self._add(found, failures, example, training=False)
        if readers or failures:
            self._add(found, failures, example, training=True)
        return found, failures

    def _add(self, found: list[Exported], failures: list[str], example: Example, *, training: bool) -> None:
        double = training or (self._any_batch and example.batch == 1)
        told: list[str] = []
        for inputs in [*(_doubled(example) if double else []), example]:
            read = self._read(inputs, told, training=training)
            if read is not None:
                found.append(read)
                return
        failures.append(f"{'train' if training else 'eval'} mode of {example!r} can't be exported: {told[-1]}")

    def _read(self, inputs: Example, told: list[str], *, training: bool) -> Exported | None:
        """Read in the first way that succeeds; tell what the others raised."""
        for number, way in enumerate(self._ways):
            try:
                return way(inputs, training=training)
            except Exception as error:  # noqa: BLE001  # whatever the user's forward or torch.export raises
                told.append(f"{type(error).__name__}: {_first_line(error)}")
            if number == 0 and self.misfit(inputs, training=training):
                break  # it can't be called so, whoever reads it
        return None

    @property
    def _ways(self) -> list[Callable[..., Exported]]:
        """The ways to read, one of which may succeed where those before raise."""
        exporting: list[Callable[..., Exported]] = [self._exported, partial(self._exported, watch=False)]
        return exporting if self._any_batch else [self._recorded, *exporting]

    def _recorded(self, example: Example, *, training: bool) -> Exported:
        twin = self._copy(marked=True).train(training)
        with leaving_chance_alone(), quiet(), watched(twin) as seen:
            code = record(twin, self._weightless, example)
        return _noted(code, example, training, seen)

    def _exported(self, example: Example, *, training: bool, watch: bool = True) -> Exported:
        twin = self._copy(marked=watch).train(training)
        shapes = free_batch(twin, example) if self._any_batch else None
        watching = watched(twin) if watch else nullcontext()
        with leaving_chance_alone(), quiet(), watching as seen:  # what can't be exported, torch logs line by line
            exported = torch.export.export(twin, example.args, example.kwargs, dynamic_shapes=shapes, strict=False)
        return _noted(from_exported(exported), example, training, seen)


def _noted(code: Code, example: Example, training: bool, seen: CallWatch | None) -> Exported:  # noqa: FBT001 - one of four
    _unmark(code.graph)
    calls = Calls() if seen is None else noted_calls(seen, code.graph)
    return Exported(code, example, training, calls)


def _twin(model: nn.Module) -> nn.Module:
    """Copy the modules and share the parameters and buffers: export reads only their shapes."""
    shared = {id(tensor): tensor for _, tensor in named_tensors(model)}
    try:
        return copied(model, shared)
    except Exception as error:
        raise GraphError(
            f"the model can't be copied ({type(error).__name__}: {_first_line(error)}); a model holds only what "
            "copy.deepcopy can copy: detach tensors kept as attributes, drop open files and locks"
        ) from error


def _unmark(graph: fx.Graph) -> None:
    """Leave plain integers in a graph that was read from a copy with marked ones."""
    for node in graph.nodes:
        if node.op == "call_function":
            node.args = fx.node.map_aggregate(node.args, _plain_integer)
            node.kwargs = fx.node.map_aggregate(node.kwargs, _plain_integer)


def _plain_integer(value: Any) -> Any:
    return int(value) if isinstance(value, OriginInt) else value


def _doubled(example: Example) -> list[Example]:
    """Return the example with twice its batch, or nothing where its inputs, such as NumPy arrays, can't be joined."""
    try:
        return [doubled(example)]
    except (TypeError, RuntimeError):
        return []


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
