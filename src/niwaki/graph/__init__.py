"""What a model computes, read from its exported program: channels, parts and costs."""

from niwaki.graph.channels import ChannelGroup, Channels, Labels, State, UnknownOperator
from niwaki.graph.program import Program, Traced

__all__ = ["ChannelGroup", "Channels", "Labels", "Program", "State", "Traced", "UnknownOperator"]
