"""Reading nodes: names, arguments and modules, in one place for every room."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from niwaki.graph import arguments_of, module_of, operator_name, trace
from niwaki.graph.call import operands_of


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        soft: Tensor = torch.ops.aten._softmax(x, -1, False)
        return soft


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.inner(torch.cat([x, x], 1))
        return wide.add_(1.0) @ torch.ones(6, 6)


@pytest.fixture(scope="module", name="nodes")
def _nodes() -> dict[str, fx.Node]:
    program = trace(Outer(), torch.zeros(2, 3)).eval_programs[0]
    return {operator_name(node): node for node in program if node.op == "call_function"}


def test_nodes_are_named_by_their_operator_without_overload_and_place(nodes: dict[str, fx.Node]) -> None:
    assert {"_softmax", "cat", "add", "matmul"} <= nodes.keys()


def test_arguments_have_the_names_of_the_schema_and_the_values_given(nodes: dict[str, fx.Node]) -> None:
    node = nodes["add"]
    assert arguments_of(node) == {"self": node.args[0], "other": 1.0, "alpha": 1}
    assert arguments_of(node, (5, 6), {"alpha": 7}) == {"self": 5, "other": 6, "alpha": 7}


def test_a_tensor_read_twice_is_two_operands(nodes: dict[str, fx.Node]) -> None:
    first, second = operands_of(nodes["cat"])
    assert first is second
    assert operands_of(nodes["add"]) == [nodes["_softmax"]]


@pytest.mark.parametrize(("operator", "module"), [("_softmax", "inner"), ("cat", "")])
def test_nodes_know_their_module(operator: str, module: str, nodes: dict[str, fx.Node]) -> None:
    assert module_of(nodes[operator]) == module


def test_a_node_from_nowhere_has_no_module() -> None:
    assert module_of(fx.Graph().placeholder("x")) is None


def test_other_rooms_read_the_graph_through_its_door(project: Path) -> None:
    private = re.compile(r"from niwaki\.graph\.\w+ import")
    package = project / "src" / "niwaki"
    rooms = [file for file in package.rglob("*.py") if file.relative_to(package).parts[0] != "graph"]
    assert [file.name for file in rooms if private.search(file.read_text())] == []
