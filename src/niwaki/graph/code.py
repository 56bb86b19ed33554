"""The ATen code of one call of a model: its graph, what the graph reads, and how what it returns is put together."""

from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.utils import _pytree as pytree

from niwaki.graph.inline import inline_regions

__all__ = ["Code", "from_exported"]


@dataclass(frozen=True, eq=False)
class Code:
    """A graph of ATen operators and what its placeholders stand for.

    Attributes:
        graph: The nodes in order; each carries its value without data as ``meta["val"]``.
        root: Holds what nodes that get an attribute refer to.
        held: Placeholder to what it reads besides the inputs: the model's own parameter or buffer, or a constant.
        targets: Placeholder to the name of the parameter or buffer it reads, one of its names.
        inputs: The placeholders of the call's inputs, in the order of their leaves.
        structure: How the returned leaves are put together.
    """

    graph: fx.Graph
    root: nn.Module
    held: dict[str, Any]
    targets: dict[str, str]
    inputs: tuple[str, ...]
    structure: pytree.TreeSpec

    @property
    def returned(self) -> tuple[Any, ...]:
        """The leaves that are returned: nodes, or plain values."""
        leaves = self.graph.output_node().args[0]
        assert isinstance(leaves, tuple | list)
        return tuple(leaves)

    def feed(self, held: dict[str, Any], inputs: list[Any]) -> list[Any]:
        """Return the values of all placeholders in order.

        Args:
            held: Value for each placeholder that is no input.
            inputs: The leaves of the inputs.

        Returns:
            What an interpreter of the graph is called with.
        """
        given = {**held, **dict(zip(self.inputs, inputs, strict=True))}
        return [given[node.name] for node in self.graph.nodes if node.op == "placeholder"]


def from_exported(exported: ExportedProgram) -> Code:
    """Take over what ``torch.export`` read.

    Args:
        exported: Its program, not functionalised; regions are put in line, and only the outputs are returned.

    Returns:
        The code; it holds the tensors that the program holds.
    """
    signature = exported.graph_signature
    inline_regions(exported.graph_module)
    graph = exported.graph_module.graph
    names = {node.name: node for node in graph.nodes}
    tensors = {**exported.constants, **exported.state_dict}
    held, inputs = {}, []
    for spec in signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            held[spec.arg.name] = tensors[str(spec.target)]
            continue
        inputs.append(spec.arg.name)
        if isinstance(spec.arg, ConstantArgument):
            names[spec.arg.name].meta["val"] = spec.arg.value
    _return_only_outputs(exported, graph)
    assert exported.call_spec.out_spec is not None
    return Code(
        graph=graph,
        root=exported.graph_module,
        held=held,
        targets={**signature.inputs_to_parameters, **signature.inputs_to_buffers},
        inputs=tuple(inputs),
        structure=exported.call_spec.out_spec,
    )


def _return_only_outputs(exported: ExportedProgram, graph: fx.Graph) -> None:
    """Take buffers that the program changes out of what it returns."""
    node = graph.output_node()
    returned = node.args[0]
    assert isinstance(returned, tuple | list)
    kinds = [spec.kind for spec in exported.graph_signature.output_specs]
    node.args = (tuple(value for value, kind in zip(returned, kinds, strict=True) if kind == OutputKind.USER_OUTPUT),)
