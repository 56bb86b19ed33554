"""What a model computes, read from its exported program: channels, parts and costs."""

from niwaki.graph.call import arguments_of, module_of, operator_name
from niwaki.graph.channels import Channels
from niwaki.graph.classes import ChannelGroup, Classes, Labels, State, UnknownOperator
from niwaki.graph.drawn import Drawn, drawn_from_banks
from niwaki.graph.find import find_channels
from niwaki.graph.flow import sources, written
from niwaki.graph.inline import inline_regions
from niwaki.graph.layers import Layer, planned_layers
from niwaki.graph.macs import node_macs, uncounted
from niwaki.graph.naming import canonical_names, named_tensors
from niwaki.graph.origins import (
    Attribute,
    Expression,
    OriginInt,
    attributes_in,
    evaluate,
    integer_attributes,
)
from niwaki.graph.parts import Parts, find_parts, node_tasks
from niwaki.graph.paths import doubled, example_from_spec
from niwaki.graph.peephole import Shuffle, find_shuffles
from niwaki.graph.program import Program, Traced
from niwaki.graph.size import planned_size
from niwaki.graph.trace import trace
from niwaki.graph.watch import Calls, CallWatch, TorchCall, integers

__all__ = [
    "Attribute",
    "CallWatch",
    "Calls",
    "ChannelGroup",
    "Channels",
    "Classes",
    "Drawn",
    "Expression",
    "Labels",
    "Layer",
    "OriginInt",
    "Parts",
    "Program",
    "Shuffle",
    "State",
    "TorchCall",
    "Traced",
    "UnknownOperator",
    "arguments_of",
    "attributes_in",
    "canonical_names",
    "doubled",
    "drawn_from_banks",
    "evaluate",
    "example_from_spec",
    "find_channels",
    "find_parts",
    "find_shuffles",
    "inline_regions",
    "integer_attributes",
    "integers",
    "module_of",
    "named_tensors",
    "node_macs",
    "node_tasks",
    "operator_name",
    "planned_layers",
    "planned_size",
    "sources",
    "trace",
    "uncounted",
    "written",
]
