"""From classes to groups: what may go, what shares a dimension, what may replace what."""

from collections import Counter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from niwaki.graph.classes import ChannelGroup, Classes
from niwaki.graph.solve import Solution
from niwaki.records import Slice, Unit

__all__ = ["covering", "group_classes"]


def covering(solution: Solution) -> dict[int, str]:
    """Return the classes that are a whole dimension of something, with the name of it: without them it is empty."""
    found: dict[int, str] = {}
    for array, home in zip(solution.arrays, solution.homes, strict=True):
        if array[0] and (array == array[0]).all():
            found.setdefault(int(array[0]), home)
    return found


def group_classes(
    solution: Solution, removable: NDArray[np.bool_], reasons: dict[int, str]
) -> tuple[ChannelGroup, ...]:
    """Put classes that share a dimension of something into one group.

    Args:
        solution: The classes and where they lie.
        removable: By class, whether it may go.
        reasons: Class to the reason why it may not go.

    Returns:
        The groups in the order in which the programs produce their channels.
    """
    component = _components(solution)
    members = _members(solution, component, removable)
    index_in, group_of = _places(solution, members)
    strata = _signatures(solution)
    slices = _slices(solution, members, index_in, group_of)
    names = _names(solution, group_of, slices)
    heads = np.concatenate([np.zeros(0, int), *(solution.of_unit[units] for units in solution.walk.edges.heads)])
    groups = []
    for number in sorted(range(len(members)), key=lambda number: names[number][0]):
        classes = members[number]
        stuck = None if removable[classes].any() else reasons.get(int(classes[0]), "its channels can't be removed")
        unit: Unit = "heads" if np.isin(classes, heads).all() else "channels"
        pieces, alike = tuple(slices[number]), _dense(strata[classes])
        groups.append(ChannelGroup(names[number][1], classes, pieces, alike, stuck, unit))
    return tuple(groups)


def _components(solution: Solution) -> Classes:
    """Return for each class the component of classes that it shares dimensions with."""
    present = [np.unique(array) for array in solution.arrays]
    present = [classes[classes > 0] for classes in present]
    first = np.concatenate([classes[:-1] for classes in present] or [np.zeros(0, dtype=np.int64)])
    second = np.concatenate([classes[1:] for classes in present] or [np.zeros(0, dtype=np.int64)])
    shape = (solution.count, solution.count)
    _, component = connected_components(coo_matrix((np.ones(first.size), (first, second)), shape=shape), directed=False)
    return component.astype(np.int64)


def _members(solution: Solution, component: Classes, removable: NDArray[np.bool_]) -> list[Classes]:
    """Return the classes of each group: those that may go, or all that parameters hold where none may."""
    held = np.flatnonzero(solution.held)
    order = held[np.argsort(component[held], kind="stable")]
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    pieces = np.split(order, cuts) if order.size else []
    return [piece[removable[piece]] if removable[piece].any() else piece for piece in pieces]


def _places(solution: Solution, members: list[Classes]) -> tuple[Classes, Classes]:
    """Return by class its index in its group and the group, -1 where it is in none."""
    index_in = np.full(solution.count, -1, dtype=np.int64)
    group_of = np.full(solution.count, -1, dtype=np.int64)
    for number, classes in enumerate(members):
        index_in[classes] = np.arange(classes.size)
        group_of[classes] = number
    return index_in, group_of


def _signatures(solution: Solution) -> Classes:
    """Number the classes by which arrays they lie in, and at how many positions of each."""
    count = max(len(solution.arrays), 1)
    keys = [array * count + number for number, array in enumerate(solution.arrays)]
    pairs, times = np.unique(np.concatenate(keys or [np.zeros(0, dtype=np.int64)]), return_counts=True)
    owner, entries = pairs // count, np.stack([pairs % count, times], axis=1)
    starts = np.searchsorted(owner, np.arange(solution.count + 1))
    known: dict[bytes, int] = {}
    return np.array(
        [known.setdefault(entries[a:b].tobytes(), len(known)) for a, b in pairwise(starts)],
        dtype=np.int64,
    )


def _dense(numbers: Classes) -> Classes:
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _slices(solution: Solution, members: list[Classes], index_in: Classes, group_of: Classes) -> list[list[Slice]]:
    found: list[list[Slice]] = [[] for _ in members]
    cache: dict[int, list[tuple[int, tuple[tuple[int, ...], ...]]]] = {}
    for name, dims in solution.tensors.items():
        for dim, classes in enumerate(dims):
            if classes is None:
                continue
            if id(classes) not in cache:
                cache[id(classes)] = _positions(classes, members, index_in, group_of)
            for number, positions in cache[id(classes)]:
                found[number].append(Slice.model_construct(tensor=name, dim=dim, positions=positions))
    return found


def _positions(
    classes: Classes, members: list[Classes], index_in: Classes, group_of: Classes
) -> list[tuple[int, tuple[tuple[int, ...], ...]]]:
    """Return for each group in an array of classes the positions of each of its channels."""
    owners = group_of[classes]
    result = []
    for number in np.unique(owners[owners >= 0]):
        where = np.flatnonzero(owners == number)
        indices = index_in[classes[where]]
        ordered = where[np.argsort(indices, kind="stable")].tolist()
        ends = np.cumsum(np.bincount(indices, minlength=members[number].size)).tolist()
        result.append((int(number), tuple(tuple(ordered[a:b]) for a, b in pairwise([0, *ends]))))
    return result


def _names(solution: Solution, group_of: Classes, slices: list[list[Slice]]) -> list[tuple[int, str]]:
    """Return the rank and the name of each group: the module of the first weight that produces its channels."""
    first: dict[int, tuple[int, str]] = {}
    for rank, (tensor, dim) in enumerate(solution.walk.produced):
        classes = solution.tensors[tensor][dim]
        for number in [] if classes is None else np.unique(group_of[classes]).tolist():
            first.setdefault(number, (rank, _module_of(tensor)))
    last = len(solution.walk.produced)
    names = [
        first.get(number, (last + number, _module_of(pieces[0].tensor) if pieces else f"group {number}"))
        for number, pieces in enumerate(slices)
    ]
    repeated = Counter[str]()
    totals = Counter(name for _, name in names)
    for number in sorted(range(len(names)), key=lambda number: names[number][0]):
        rank, name = names[number]
        repeated[name] += 1
        if totals[name] > 1:
            names[number] = (rank, f"{name}#{repeated[name]}")
    return names


def _module_of(tensor: str) -> str:
    """Return the module that holds a tensor; what parametrises a weight stands for the weight's own module."""
    module = tensor.rpartition(".")[0] or tensor
    return module.partition(".parametrizations")[0]
