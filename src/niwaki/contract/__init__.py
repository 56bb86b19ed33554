"""The contract with the user's model: what is put in, and how what comes out is named."""

from niwaki.contract.example import Example, as_examples, describe_example
from niwaki.contract.names import Named, task_names
from niwaki.contract.outputs import name_outputs

__all__ = ["Example", "Named", "as_examples", "describe_example", "name_outputs", "task_names"]
