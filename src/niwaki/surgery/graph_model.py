"""A model as its own program: what surgery returns where a model's Python can't run at the sizes after a cut."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from niwaki.errors import ContractError
from niwaki.graph import Program
from niwaki.surgery.memory import ATTRIBUTE, recall
from niwaki.surgery.rewrite import Rewritten
from niwaki.surgery.switches import Switch, switches
from niwaki.surgery.tensors import named_tensors

__all__ = ["GraphModel", "Route", "route_of"]

_CONSTANT = "niwaki_constant_"


@dataclass(frozen=True, eq=False)
class Route:
    """One program of a model, for inputs of one structure and one mode.

    Attributes:
        code: The graph; a placeholder for each tensor, constant, switch and input.
        training: Whether it was read in train mode.
        reads: For each placeholder, where its value comes from: a tensor's name, a `Switch`, or the number of an input.
        given: For each input, the value it must have, or the shape of the tensor (None for sizes that may vary).
        structure: How the inputs were given: arguments by name, flattened.
        returned: How the outputs are put together.
    """

    code: fx.GraphModule
    training: bool
    reads: tuple[str | Switch | int, ...]
    given: tuple[Any, ...]
    structure: pytree.TreeSpec
    returned: pytree.TreeSpec

    def __deepcopy__(self, _: dict[int, Any]) -> "Route":
        return self  # it never changes, and holds no tensor

    def takes(self, leaves: Sequence[Any], structure: pytree.TreeSpec) -> bool:
        """Tell whether inputs have the structure and the plain values of this route."""
        return structure == self.structure and all(
            isinstance(leaf, Tensor) if isinstance(each, _Shape) else type(leaf) is type(each) and leaf == each
            for leaf, each in zip(leaves, self.given, strict=True)
        )


class _Shape(tuple[int | None, ...]):
    """The shape an input tensor must have; None where it may vary."""

    __slots__ = ()

    def fits(self, tensor: Tensor) -> bool:
        sizes = zip(self, tensor.shape, strict=False)
        return len(self) == tensor.ndim and all(size is None or size == given for size, given in sizes)

    def __str__(self) -> str:
        return f"[{', '.join('any' if size is None else str(size) for size in self)}]"


class GraphModel(nn.Module):
    """A model that runs its exported programs instead of its Python.

    Its parameters, buffers and submodules bear the names they had, so that state dicts, optimizers and `train()` work
    as before; norms and dropouts follow the mode of their own modules. The batch may vary where the model's code lets
    it; other sizes of the inputs are those it was exported with.

    Args:
        model: The cut model whose tensors are taken over; not used otherwise any more.
        routes: Its programs at their new sizes.
        constants: Indices that the programs read, by name.
        signature: How the model is called.
    """

    def __init__(
        self, model: nn.Module, routes: Sequence[Route], constants: dict[str, Tensor], signature: inspect.Signature
    ) -> None:
        super().__init__()
        for registry in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[registry] = model.__dict__[registry]
        self.training = model.training
        self.origin: str = model.origin if isinstance(model, GraphModel) else type(model).__name__
        self.__dict__[ATTRIBUTE] = recall(model)
        self._routes = tuple(routes)
        self._signature = signature
        for name, tensor in constants.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program of the current mode that takes such inputs.

        Raises:
            ContractError: When no program takes inputs of that structure or size.
        """
        leaves, structure = pytree.tree_flatten(dict(self._signature.bind(*args, **kwargs).arguments))
        route = self._route(leaves, structure)
        return pytree.tree_unflatten(route.code.forward(*self._values(route, leaves)), route.returned)

    def _route(self, leaves: list[Any], structure: pytree.TreeSpec) -> Route:
        fitting = [route for route in self._routes if route.takes(leaves, structure)]
        for route in sorted(fitting, key=lambda each: each.training is not self.training):
            shapes = zip(route.given, leaves, strict=True)
            if all(each.fits(leaf) for each, leaf in shapes if isinstance(each, _Shape)):
                return route
        known = "; ".join(
            ", ".join(str(each) if isinstance(each, _Shape) else repr(each) for each in route.given)
            for route in self._routes
        )
        raise ContractError(
            f"this {self.origin} was cut as a graph, which takes inputs like its examples: {known}; cut it with "
            "examples of the sizes you need, or make its code read sizes from its tensors so that its class can stay"
        )

    def _values(self, route: Route, leaves: list[Any]) -> list[Any]:
        tensors = named_tensors(self)
        return [
            tensors[each] if isinstance(each, str) else leaves[each] if isinstance(each, int) else each.read(self)
            for each in route.reads
        ]

    def extra_repr(self) -> str:
        """Name the class it stands for, and its inputs."""
        return f"of {self.origin}, {len(self._routes)} programs"


def route_of(
    program: Program, rewritten: Rewritten, model: nn.Module, signature: inspect.Signature, constants: dict[str, Tensor]
) -> Route:
    """Make a program at its new sizes ready to run.

    Args:
        program: The program.
        rewritten: Its graph at its new sizes.
        model: The cut model.
        signature: How the model is called.
        constants: Collects what the graph reads besides the model's tensors, by new names.

    Returns:
        The route.
    """
    graph = rewritten.graph
    found = switches(program, graph, model)
    leaves, structure, given = _inputs(program, signature)
    reads: dict[str, str | Switch | int] = {each.name: each for each in found}
    for name, tensor in rewritten.constants.items():
        reads[name] = _keep(constants, tensor)
    reads.update(zip(program.code.inputs, leaves, strict=True))
    for name, tensor in program.code.held.items():
        reads[name] = program.tensors[name] if name in program.tensors else _keep(constants, tensor)
    order = [str(node.target) for node in graph.nodes if node.op == "placeholder"]  # a copy renames one called "input"
    code = fx.GraphModule(program.code.root, graph)
    reading = tuple(reads[name] for name in order)
    return Route(code, program.training, reading, given, structure, program.code.structure)


def _keep(constants: dict[str, Tensor], tensor: Tensor) -> str:
    name = f"{_CONSTANT}{len(constants)}"
    constants[name] = tensor.detach().clone()
    return name


def _inputs(program: Program, signature: inspect.Signature) -> tuple[list[int], pytree.TreeSpec, tuple[Any, ...]]:
    """Return for each of the program's inputs its number among the arguments by name, their structure, and values."""
    names = program.code.inputs
    example = program.example
    _, flat = pytree.tree_flatten((example.args, example.kwargs))
    args, kwargs = pytree.tree_unflatten(list(range(len(names))), flat)
    order, structure = pytree.tree_flatten(dict(signature.bind(*args, **kwargs).arguments))
    place = {number: at for at, number in enumerate(order)}
    given = [_value(program.node(names[number]).meta["val"]) for number in order]
    return [place[number] for number in range(len(names))], structure, tuple(given)


def _value(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return _Shape(size if isinstance(size, int) else None for size in value.shape)
