"""Where the channels of a model are made: the weights' rows, the norms' scales, and what a gate would multiply."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import fx

from niwaki.graph import Channels, Program, arguments_of, operator_name

__all__ = ["Place", "Sides", "read_sides"]

Place = tuple[str, int]
"""Canonical name of a parameter, and the dimension along which its channels lie."""

_NORMS = frozenset({"batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm"})
_PASSING = frozenset(
    {"view", "reshape", "flatten", "unflatten", "permute", "transpose", "contiguous", "clone", "squeeze"}
)


@dataclass(frozen=True)
class Sides:
    """The output sides of a model's channels.

    Attributes:
        rows: Weights that make channels, each with its dimension of outputs.
        scales: Scales of norms.
        gates: What a gate after each channel would multiply: scales and shifts of norms, and rows and biases of the
            layers that no norm follows directly.
    """

    rows: tuple[Place, ...]
    scales: tuple[Place, ...]
    gates: tuple[Place, ...]


def read_sides(channels: Channels) -> Sides:
    """Read from the programs of a model where its channels are made.

    A channel that no known layer makes (a parameter that is added, a weight that is computed) is given every slice that
    it lies in.

    Args:
        channels: The channel classes.

    Returns:
        The places, each once, in the order of the programs.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import find_channels, trace
        >>> net = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> sides = read_sides(find_channels(trace(net, torch.zeros(1, 3))))
        >>> sides.rows
        (('0.weight', 0), ('2.weight', 0))
        >>> sides.gates[:4]
        (('1.weight', 0), ('1.bias', 0), ('2.weight', 0), ('2.bias', 0))
    """
    if "sides" not in channels.memo:
        channels.memo["sides"] = _read(channels)
    found: Sides = channels.memo["sides"]
    return found


def _read(channels: Channels) -> Sides:
    made = dict.fromkeys(place for place in channels.solution.walk.produced if place[0] in channels.traced.parameters)
    scales: dict[Place, None] = {}
    gates: dict[Place, None] = {}
    normed: set[str] = set()
    bare: dict[str, list[Place]] = {}
    for program in channels.traced.programs:
        for node in program:
            if node.op != "call_function" or not hasattr(node.target, "_schema"):
                continue
            if operator_name(node) in _NORMS:
                own = list(_norm_places(program, node, channels))
                scales.update(dict.fromkeys(own[:1]))
                gates.update(dict.fromkeys(own))
                normed.update(_normed_weights(program, node) if own else ())
            else:
                bare.update(_maker(program, node, made))
    for weight, places in bare.items():
        gates.update(dict.fromkeys(() if weight in normed else places))
    rows, sites = (_bearing(channels, places) for places in (made, gates))
    return Sides(
        (*rows, *_others(channels, rows)), tuple(_bearing(channels, scales)), (*sites, *_others(channels, sites))
    )


def _bearing(channels: Channels, places: Iterable[Place]) -> list[Place]:
    return [(name, dim) for name, dim in places if channels.tensors[name][dim] is not None]


def _norm_places(program: Program, node: fx.Node, channels: Channels) -> Iterator[Place]:
    """Yield the scale and the shift of a norm, where they bear channels along one dimension."""
    for argument in ("weight", "bias"):
        name = _tensor(program, arguments_of(node).get(argument))
        dims = [dim for dim, labels in enumerate(channels.tensors.get(name, ())) if labels is not None]
        if name in channels.traced.parameters and len(dims) == 1:
            yield name, dims[0]


def _maker(program: Program, node: fx.Node, made: dict[Place, None]) -> dict[str, list[Place]]:
    """Return a layer's weight, with the places that a gate right after the layer would multiply."""
    arguments = arguments_of(node)
    weight, bias = (_tensor(program, arguments.get(name)) for name in ("weight", "bias"))
    rows = [place for place in made if place[0] == weight]
    shift: list[Place] = [(bias, 0)] if rows and bias else []
    return {weight: rows + shift} if rows else {}


def _normed_weights(program: Program, norm: fx.Node) -> list[str]:
    """Return the weight of the layer whose output goes into a norm and nowhere else."""
    node = norm.all_input_nodes[0]
    while node.op == "call_function" and operator_name(node) in _PASSING and len(node.users) == 1:
        node = node.all_input_nodes[0]
    if node.op != "call_function" or len(node.users) > 1:
        return []
    weight = _tensor(program, arguments_of(node).get("weight"))
    return [weight] if weight else []


def _tensor(program: Program, node: object) -> str:
    return program.tensors.get(node.name, "") if isinstance(node, fx.Node) else ""


def _others(channels: Channels, known: list[Place]) -> list[Place]:
    """Return every place that bears a class which no known place bears."""
    missing = channels.removable.copy()
    for name, dim in known:
        missing[channels.tensors[name][dim]] = False
    return [
        (name, dim)
        for name in sorted(channels.traced.parameters)
        for dim, labels in enumerate(channels.tensors[name])
        if labels is not None and missing[labels].any() and (name, dim) not in known
    ]
