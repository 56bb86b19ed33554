"""Which convolutions of several networks may share filters: found by comparing their programs, not their names."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, cast

from torch import fx, nn

from niwaki.errors import ContractError, did_you_mean
from niwaki.graph import Program, Traced, node_tasks, operator_name
from niwaki.models import TaskNets

__all__ = ["Convolution", "Layer", "Reach", "find_layers", "fits", "networks_of"]

Reach = Literal["all", "inner", "none"]
"""How far filters are shared: across networks, inside each network alone, or not at all."""

_PLAIN = {nn.Conv1d, nn.Conv2d, nn.Conv3d}
_CONVOLVING = frozenset({"conv1d", "conv2d", "conv3d", "convolution"})
_MAKING = _CONVOLVING | {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "addmm", "matmul", "mm"}


@dataclass(frozen=True)
class Convolution:
    """One convolution as its network's program has it.

    Attributes:
        module: Dotted name.
        network: Name of its network; empty where there is only one.
        tasks: The tasks it serves.
        signature: What two layers have in common whose filters may stand for one another: the shape of a filter,
            stride, padding and dilation.
    """

    module: str
    network: str
    tasks: tuple[str, ...]
    signature: tuple[object, ...]


@dataclass(frozen=True)
class Layer:
    """Convolutions that may draw from one bank, at most one of each network.

    Attributes:
        members: They, in the order of the networks.
    """

    members: tuple[Convolution, ...]

    @property
    def name(self) -> str:
        """The first member's module name."""
        return self.members[0].module


def networks_of(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a model's networks: the tasks of a `TaskNets`, or one empty name.

    Args:
        model: The plain model.

    Returns:
        The names.
    """
    return model.tasks if isinstance(model, TaskNets) else ("",)


def find_layers(model: nn.Module, traced: Traced, scope: Mapping[str, Reach] | None = None) -> tuple[Layer, ...]:
    """Find the convolutions that may share filters.

    The k-th convolution of a signature in one network meets the k-th of the same signature in the others, in the order
    in which their programs run them. Left as they are: grouped, depthwise and transposed convolutions, those whose
    weight is computed, tied or held by a module of another class, and each network's last ones, whose channels are the
    answer.

    Args:
        model: The plain model that was traced.
        traced: Its programs.
        scope: Name or pattern of a module to how far its filters are shared; the first that fits counts, ``"all"``
            where none does.

    Returns:
        The layers, in the order of the programs.

    Raises:
        ContractError: When a name or pattern fits no module.

    Examples:
        >>> import torch
        >>> from niwaki.graph import trace
        >>> net = lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 1))
        >>> nets = TaskNets({"left": net(), "right": net()})
        >>> found = find_layers(nets, trace(nets, torch.zeros(1, 3, 8, 8)))
        >>> [[each.module for each in layer.members] for layer in found]
        [['nets.left.0', 'nets.right.0']]
    """
    chosen = dict(scope or {})
    require_known(model, "scope", chosen)
    met: Counter[tuple[str, tuple[object, ...]]] = Counter()
    found: dict[tuple[object, ...], list[Convolution]] = {}
    for each in _convolutions(model, traced):
        reach = next((how for pattern, how in chosen.items() if fits(each.module, pattern)), "all")
        number = met[each.network, each.signature]
        met[each.network, each.signature] += 1
        if reach != "none":
            alone = each.network if reach == "inner" else ""
            found.setdefault((each.signature, number, alone), []).append(each)
    return tuple(Layer(tuple(members)) for members in found.values())


def _convolutions(model: nn.Module, traced: Traced) -> Iterator[Convolution]:
    """Yield every plain convolution once, network by network, each in the order of its programs."""
    networks = networks_of(model)
    modules = dict(model.named_modules())
    holders = Counter(id(tensor) for module in modules.values() for tensor in module.parameters(recurse=False))
    answering = {_filters_of(node, program) for program in traced.eval_programs for node in _last(program)}
    found: dict[str, Convolution] = {}
    for program in traced.eval_programs:
        served = node_tasks(program)
        for node in program:
            name = _filters_of(node, program)
            module = modules.get(name.rpartition(".")[0]) if name else None
            if name is None or name in answering or type(module) not in _PLAIN:
                continue
            conv = cast("nn.Conv2d", module)
            if conv.groups > 1 or holders[id(conv.weight)] > 1 or not name.endswith("weight"):
                continue
            owner = name.rpartition(".")[0]
            network = next((each for each in networks if owner.startswith(f"nets.{each}.")), "")
            tasks = {*served[node.name], *(found[owner].tasks if owner in found else ())}
            found[owner] = Convolution(owner, network, _ordered(traced.tasks, tasks), _signature(conv))
    for network in networks:
        yield from (each for each in found.values() if each.network == network)


def _filters_of(node: fx.Node, program: Program) -> str | None:
    """Return the parameter that a convolution takes as its filters, just as it is."""
    if operator_name(node) not in _CONVOLVING:
        return None
    weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    return program.tensors.get(weight.name) if isinstance(weight, fx.Node) else None


def _last(program: Program) -> set[fx.Node]:
    """Return the nodes that make the channels of an output, with no other such node behind them."""
    todo = [program.node(name) for names in program.outputs.values() for name in names]
    seen: set[fx.Node] = set()
    last: set[fx.Node] = set()
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        if operator_name(node) in _MAKING:
            last.add(node)
        else:
            todo += node.all_input_nodes
    return last


def _signature(conv: nn.Conv2d) -> tuple[object, ...]:
    return (tuple(conv.weight.shape[1:]), conv.stride, conv.padding, conv.dilation, conv.padding_mode)


def _ordered(tasks: tuple[str, ...], served: set[str]) -> tuple[str, ...]:
    return tuple(task for task in tasks if task in served)


def fits(module: str, pattern: str) -> bool:
    """Say whether a name or pattern stands for a module, or for one that it lies in."""
    parts = module.split(".")
    return any(fnmatchcase(".".join(parts[: end + 1]), pattern) for end in range(len(parts)))


def require_known(model: nn.Module, setting: str, patterns: Iterable[str]) -> None:
    """Refuse a name or pattern that stands for no module.

    Args:
        model: The model, unwrapped.
        setting: Where they were given, for the message.
        patterns: Names or patterns.

    Raises:
        ContractError: When one fits none.
    """
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ContractError(f"{setting}: {pattern!r} fits no module of the model{did_you_mean(pattern, names)}")
