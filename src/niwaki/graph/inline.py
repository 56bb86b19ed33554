"""Regions such as ``with torch.no_grad()`` are sub-graphs in an exported program: put their nodes in line."""

from itertools import count

import torch
from torch import fx

__all__ = ["inline_regions"]

REGIONS = frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"})


def inline_regions(module: fx.GraphModule) -> None:
    """Replace each call of a region by the nodes of the region.

    Args:
        module: The graph module of an exported program; changed in place.
    """
    changed = True
    while changed:
        regions = [node for node in module.graph.nodes if _is_region(node)]
        for node in regions:
            _inline(module, node)
        changed = bool(regions)


def _is_region(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") in REGIONS


def _inline(module: fx.GraphModule, node: fx.Node) -> None:
    position = next(i for i, arg in enumerate(node.args) if isinstance(arg, fx.Node) and arg.op == "get_attr")
    handle = node.args[position]
    assert isinstance(handle, fx.Node)
    body = getattr(module, str(handle.target))
    renamed = {name: _moved(module, name, child) for name, child in body.named_children()}
    inputs = [each for each in body.graph.nodes if each.op == "placeholder"]
    mapping: dict[fx.Node, fx.Node] = {}
    for inner, outer in zip(inputs, node.args[position + 1 :], strict=True):
        assert isinstance(outer, fx.Node)
        mapping[inner] = outer
    with module.graph.inserting_before(node):
        results = module.graph.graph_copy(body.graph, mapping)
    for inner, copied in mapping.items():
        if inner.op == "get_attr":
            copied.target = renamed[str(inner.target)]
    _redirect(node, results)
    module.graph.erase_node(node)
    if not handle.users:
        module.graph.erase_node(handle)


def _moved(module: fx.GraphModule, name: str, child: torch.nn.Module) -> str:
    """Move a region inside a region up, under a name that is free."""
    free = next(each for each in (f"{name}_{i}" for i in count()) if not hasattr(module, each))
    module.add_submodule(free, child)
    return free


def _redirect(node: fx.Node, results: object) -> None:
    parts = results if isinstance(results, tuple | list) else (results,)
    for user in list(node.users):
        assert getattr(user.target, "__name__", "") == "getitem"
        part = parts[user.args[1]]  # type: ignore[index]  # a getitem's second argument is an integer
        assert isinstance(part, fx.Node)
        user.replace_all_uses_with(part)
        user.graph.erase_node(user)
