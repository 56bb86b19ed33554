"""The contract with the user's model: what is put in, and how what comes out is named."""

from niwaki.contract.batch import Batch, Call, answers, read_batch
from niwaki.contract.example import Example, as_examples, describe_example
from niwaki.contract.names import Named, task_names
from niwaki.contract.outputs import name_outputs, name_path_outputs
from niwaki.contract.own_code import import_own
from niwaki.contract.routing import answers_all, is_routed, route

__all__ = [
    "Batch",
    "Call",
    "Example",
    "Named",
    "answers",
    "answers_all",
    "as_examples",
    "describe_example",
    "import_own",
    "is_routed",
    "name_outputs",
    "name_path_outputs",
    "read_batch",
    "route",
    "task_names",
]
