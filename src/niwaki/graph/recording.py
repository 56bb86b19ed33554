"""Writing a forward down as ATen operators while it runs on tensors without data: what `torch.export` reads, sooner.

``torch.export`` stands on the same switch of torch's dispatcher, which shows each operator before autograd and before
composite operators are taken apart. Here the operators are written down and nothing else is done: no guards, no
symbols, no stack traces, no generated Python. Whatever this can't follow raises, and ``torch.export`` is asked instead.
"""

import inspect
import operator
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx import traceback as fx_traceback
from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils import _pytree as pytree

from niwaki.contract import Example
from niwaki.errors import GraphError
from niwaki.graph.code import Code

__all__ = ["Weightless", "record"]

_COPYING = {torch.ops.aten.lift_fresh.default: torch.ops.aten.lift_fresh_copy.default}
"""What hands on a constant, and what copies it first, so that running the code never writes to it."""


class Weightless:
    """Tensors without data in place of a model's parameters and buffers, made once for all its calls.

    Args:
        model: The model; it is left as it is.

    Attributes:
        fake: Makes tensors without data and runs operators on them.
        tensors: Name of a parameter or buffer to its stand-in; of tied ones the first name.
        originals: The same names, with what they stand for.
    """

    def __init__(self, model: nn.Module) -> None:
        self.fake = FakeTensorMode(allow_non_fake_inputs=True, static_shapes=True)
        self.originals: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.tensors: dict[str, Tensor] = {
            name: self.fake.from_tensor(each, static_shapes=True) for name, each in self.originals.items()
        }


_LIKE_FIRST = frozenset({
    *("dropout", "relu", "relu6", "silu", "gelu", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu"),
    *("elu", "celu", "selu", "mish", "softplus"),
})  # fmt: skip
"""Operators that return what looks like their first argument, which torch takes long to find out."""


def record(model: nn.Module, stand_in: Weightless, example: Example) -> Code:
    """Run a model without data and write down the operators it calls.

    Args:
        model: A throw-away copy that may share its parameters and buffers with others; they are left as they are, but
            what its forward keeps in attributes has no data afterwards.
        stand_in: Its tensors without data.
        example: The inputs of one call; only their shapes, types and devices are looked at.

    Returns:
        The code, which holds the model's own parameters and buffers.

    Raises:
        GraphError: When a value comes from somewhere else than an operator, an input or a constant, or a part of the
            model is TorchScript, whose code can't be followed by surgery.
        Exception: Whatever else the model's forward or torch raises, such as when code looks at a value.

    Examples:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> code = record(model, Weightless(model), Example(torch.zeros(1, 3)))
        >>> [node.name for node in code.graph.nodes]
        ['p_0_weight', 'p_0_bias', 'input_1', 'linear', 'relu', 'output']
    """
    if any(isinstance(each, torch.jit.ScriptModule) for each in model.modules()):
        raise GraphError("TorchScript has no code that could be followed: give the module it was made from")
    recorder = _Recorder(stand_in.fake)
    recorder.read_tensors(stand_in)
    inputs = recorder.read_inputs(model, example)
    with stand_in.fake, enable_python_dispatcher(), _named_modules(model, recorder.owners), recorder:
        returned = torch.func.functional_call(model, stand_in.tensors, inputs.args, inputs.kwargs)
    leaves, structure = pytree.tree_flatten(returned)
    recorder.graph.output(tuple(recorder.node_of(leaf) for leaf in leaves))
    return Code(
        graph=recorder.graph,
        root=nn.Module(),
        held=recorder.held,
        targets=recorder.targets,
        inputs=tuple(recorder.inputs),
        structure=structure,
    )


class _Recorder(ProxyTorchDispatchMode):
    """Sees every operator before autograd does, and makes a node of it.

    torch lets only modes of its own classes look there; of this one nothing but the place on its stack is used.

    Args:
        fake: Makes tensors without data and runs operators on them.

    Attributes:
        graph: The nodes so far.
        held: Placeholder to the tensor it stands for.
        targets: Placeholder to the name of the parameter or buffer it stands for.
        inputs: Placeholders of the inputs.
        owners: The modules whose forward is running, outermost first.
    """

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__(cast("Any", None), "fake", pre_dispatch=True)
        self.fake = fake
        self.graph = fx.Graph()
        self.held: dict[str, Any] = {}
        self.targets: dict[str, str] = {}
        self.inputs: list[str] = []
        self.owners: list[tuple[str, type]] = []
        self._nodes: dict[int, tuple[Any, fx.Node]] = {}  # by identity: a tensor or a reference to it, and its node

    def read_tensors(self, stand_in: Weightless) -> None:
        """Make a placeholder for each parameter and buffer."""
        for name, tensor in stand_in.originals.items():
            kind = "p" if isinstance(tensor, nn.Parameter) else "b"
            node = self._placeholder(f"{kind}_{name.replace('.', '_')}", stand_in.tensors[name])
            self._nodes[id(tensor)] = (tensor, node)  # code may hold it by another way than its module
            self.held[node.name] = tensor
            self.targets[node.name] = name

    def read_inputs(self, model: nn.Module, example: Example) -> Example:
        """Make placeholders for the leaves of the inputs, named after the arguments; return inputs without data."""
        inputs = example.map(lambda tensor: self.fake.from_tensor(tensor, static_shapes=True))
        names = pytree.tree_leaves(_argument_names(model, inputs))
        for name, value in zip(names, pytree.tree_leaves((inputs.args, inputs.kwargs)), strict=True):
            self.inputs.append(self._placeholder(name, value).name)
        return inputs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._keep_shapes(func, args)
        found = _like_first(func, args) if _is_like_first(func, args) else func(*args, **kwargs)
        if not isinstance(found, Tensor | tuple | list) and not func._schema.is_mutable:  # noqa: SLF001 - it has no other
            return found  # a question, such as for a device
        given = [self.node_of(each) for each in args], {name: self.node_of(each) for name, each in kwargs.items()}
        target = _COPYING.get(func, func)
        name = target.overloadpacket.__name__
        node = self.graph.create_node("call_function", target, tuple(given[0]), given[1], name)
        node.meta |= self._meta(found)
        if not isinstance(found, Tensor):
            self._take_apart(node, found)
        elif any(isinstance(each, Tensor) for each in pytree.tree_leaves((args, kwargs))):
            self._nodes[id(found)] = (found, node)
        else:
            self._note_creation(node, found)
        return found

    def node_of(self, value: Any) -> Any:
        """Return the node of a tensor, also inside lists; plain values are returned as they are."""
        if isinstance(value, Tensor):
            tensor, node = self._nodes.get(id(value), (None, None))
            known = tensor() if isinstance(tensor, weakref.ref) else tensor
            return node if known is value else self._constant(value)
        if type(value) in {tuple, list, torch.Size}:
            found = [self.node_of(each) for each in value]
            return found if isinstance(value, list) else tuple(found)
        return value

    def _constant(self, value: Tensor) -> fx.Node:
        if isinstance(value, FakeTensor):
            raise GraphError("a tensor was made past torch's operators")
        with self.graph.inserting_before(next(iter(self.graph.nodes))):
            node = self._placeholder("c_constant", self.fake.from_tensor(value, static_shapes=True))
        self._nodes[id(value)] = (value, node)
        self.held[node.name] = value
        return node

    def _placeholder(self, name: str, value: Any) -> fx.Node:
        node = self.graph.placeholder(name)
        node.target = node.name
        node.meta["val"] = value
        if isinstance(value, Tensor):
            self._nodes[id(value)] = (value, node)
        return node

    def _take_apart(self, node: fx.Node, found: Any) -> None:
        for index, each in enumerate(found if isinstance(found, tuple | list) else ()):
            if isinstance(each, Tensor):
                part = self.graph.call_function(operator.getitem, (node, index))
                part.meta |= self._meta(each)
                self._nodes[id(each)] = (each, part)

    def _note_creation(self, node: fx.Node, found: Tensor) -> None:
        """Remember a tensor that was made from no other; torch hands it on as it is only where nobody else holds it."""
        node.meta["val"] = found.detach()
        self._nodes[id(found)] = (weakref.ref(found), node)

    def _meta(self, value: Any) -> dict[str, Any]:
        noted = fx_traceback.current_meta.get("custom", {})
        stack = {owner: (owner, kind) for owner, kind in self.owners[-1:]}
        return {"val": value, "custom": dict(noted), "nn_module_stack": stack}

    def _keep_shapes(self, func: Any, args: tuple[Any, ...]) -> None:
        """Where an operator changes the shape of a tensor in place, let its node keep the shape from before."""
        if torch.Tag.inplace_view in func.tags and id(args[0]) in self._nodes:
            node = self._nodes[id(args[0])][1]
            node.meta["val"] = torch.empty_like(args[0], device="meta")


def _is_like_first(func: Any, args: tuple[Any, ...]) -> bool:
    """Tell whether an operator's result is in all that is read of it like its first argument."""
    name = str(func.overloadpacket.__name__).removesuffix("_")
    if name != "batch_norm":
        return name in _LIKE_FIRST
    given = [each for each in args[1:5] if isinstance(each, Tensor)]
    wanting = any(each.requires_grad for each in given) and not args[0].requires_grad
    return not wanting and all(tuple(each.shape) == tuple(args[0].shape[1:2]) for each in given)


def _like_first(func: Any, args: tuple[Any, ...]) -> Any:
    """Return a tensor like the first argument, or the argument itself where it is written to."""
    return args[0] if func._schema.is_mutable else args[0].clone()  # noqa: SLF001 - it has no other


def _argument_names(model: nn.Module, inputs: Example) -> Any:
    """Return inputs with every leaf replaced by the name of its argument."""
    parameters = inspect.signature(model.forward).parameters.values()
    known = [each.name for each in parameters if each.kind not in {each.KEYWORD_ONLY, each.VAR_KEYWORD}]
    places = [known[min(place, len(known) - 1)] for place in range(len(inputs.args))]  # many may share the last name
    args = [pytree.tree_map(lambda _, name=name: name, each) for name, each in zip(places, inputs.args, strict=True)]
    return args, {name: pytree.tree_map(lambda _, name=name: name, each) for name, each in inputs.kwargs.items()}


@contextmanager
def _named_modules(model: nn.Module, running: list[tuple[str, type]]) -> Iterator[None]:
    """Keep track of which modules' forwards are running."""
    names = {id(module): (name, type(module)) for name, module in model.named_modules()}

    def enter(module: nn.Module, _: Any) -> None:
        if id(module) in names:
            running.append(names[id(module)])

    def leave(module: nn.Module, *_: Any) -> None:
        if id(module) in names:
            running.pop()

    entering = register_module_forward_pre_hook(enter)
    leaving = register_module_forward_hook(cast("Callable[..., None]", leave), always_call=True)
    try:
        yield
    finally:
        entering.remove()
        leaving.remove()
